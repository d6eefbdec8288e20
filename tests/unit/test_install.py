from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mosquitto import install
from mosquitto.errors import BrokerError
from mosquitto.install import (
    PATH_VARIABLE,
    BrokerBinary,
    find_broker,
    install_broker,
    libraries_in,
    unpacked_folder,
)

SHOWS_VERSION = "#!/bin/sh\necho 'mosquitto version 2.0.11'\nexit 3\n"


def program(path: Path, text: str = SHOWS_VERSION) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_path_comes_before_the_daemons_folders_and_those_before_the_unpacked_one(tmp_path: Path) -> None:
    on_path = program(tmp_path / "bin" / "mosquitto")
    in_folder = program(tmp_path / "sbin" / "mosquitto")
    unpacked = program(unpacked_folder(tmp_path) / "usr" / "sbin" / "mosquitto")

    def found() -> Path | None:
        broker = find_broker({"PATH": str(on_path.parent)}, [str(in_folder.parent)], tmp_path)
        return broker.path if broker else None

    for expected in (on_path, in_folder, unpacked):
        assert found() == expected
        expected.unlink()
    assert found() is None


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\nexit 127\n", "#!/bin/sh\necho mosquitto_sub version 1\n", "not a program"]
)
def test_a_program_that_does_not_start_as_a_broker_is_passed_over(tmp_path: Path, text: str) -> None:
    broken = program(tmp_path / "bin" / "mosquitto", text)
    good = program(tmp_path / "sbin" / "mosquitto")
    found = find_broker({"PATH": str(broken.parent)}, [str(good.parent)], tmp_path)
    assert found == BrokerBinary(good, {})
    assert found.version() == "2.0.11"


def test_an_unpacked_broker_finds_its_libraries_beside_it(tmp_path: Path) -> None:
    folder = unpacked_folder(tmp_path)
    program(folder / "usr" / "sbin" / "mosquitto")
    libraries = folder / "usr" / "lib" / "x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    found = find_broker({"PATH": ""}, [], tmp_path)
    assert found is not None
    assert str(libraries) in found.environment["LD_LIBRARY_PATH"].split(":")


def test_a_broker_named_by_the_environment_wins_or_is_an_error(tmp_path: Path) -> None:
    chosen = program(tmp_path / "mine")
    other = program(tmp_path / "bin" / "mosquitto")
    variables = {PATH_VARIABLE: str(chosen), "PATH": str(other.parent)}
    assert find_broker(variables, [], tmp_path) == BrokerBinary(chosen, {})
    chosen.unlink()
    with pytest.raises(BrokerError, match=PATH_VARIABLE):
        find_broker(variables, [], tmp_path)


@pytest.mark.parametrize(
    ("tool", "advice"), [("brew", "brew install"), ("dnf", "dnf install"), (None, "mosquitto.org")]
)
def test_where_nothing_can_be_installed_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str | None, advice: str
) -> None:
    if tool:
        program(tmp_path / tool)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(install, "find_broker", lambda: None)
    with pytest.raises(BrokerError, match=advice) as caught:
        install_broker()
    assert "\n" not in str(caught.value)


def test_a_system_whose_package_tool_fails_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("apt-get", "apt-cache", "dpkg", "dpkg-query"):
        program(tmp_path / tool, "#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(install, "find_broker", lambda: None)
    monkeypatch.setattr(install, "unpacked_folder", lambda: tmp_path / "opt")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BrokerError, match=r"as root.*E: no network"):
        install_broker()
    assert not (tmp_path / "opt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apt-cache", "apt-get", "dpkg", "dpkg-query"]


def test_the_package_may_not_start_a_service_while_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(install, "_POLICY", policy)
    with install._no_service_starts():
        assert subprocess.run([policy, "mosquitto", "start"], check=False).returncode == 101
    assert not policy.exists()
    with pytest.raises(BrokerError), install._no_service_starts():
        raise BrokerError("the installation failed")
    assert not policy.exists()


def test_a_service_policy_of_the_systems_own_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = program(tmp_path / "policy-rc.d", "#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(install, "_POLICY", policy)
    with install._no_service_starts():
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.exists()


def test_library_packages_are_read_from_the_systems_own_list() -> None:
    listing = """mosquitto
  PreDepends: init-system-helpers
  Depends: adduser
  Depends: libssl3t64
 |Depends: libsystemd0
  Depends: <libelogind-virtual>
    libelogind0
  Depends: libwebsockets19t64
  Suggests: libnever
"""
    assert libraries_in(listing) == ["libssl3t64", "libsystemd0", "libwebsockets19t64"]
