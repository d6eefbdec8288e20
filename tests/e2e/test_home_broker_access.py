"""A home broker that asks who is there: TLS, user and password, a client's certificate."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_harness import gridbazaar, wait_until

from agents.scenario_text import to_toml
from mosquitto.access import BrokerAccess
from mosquitto.address import BrokerAddress
from mosquitto.broker import free_port
from mosquitto.errors import BrokerError
from mosquitto.install import require_broker
from mosquitto.mqtt_bus import MqttBus

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates"),
]
PASSWORD = "open-sesame-81"


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, BrokerAddress]]:
    """A mosquitto with TLS that asks for a certificate and a password."""
    folder = tmp_path_factory.mktemp("guarded")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(
        folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=home", "-days", "2"
    )
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "keyUsage=digitalSignature")):
        (folder / f"{name}.ext").write_text(extension + "\n")
        openssl(folder, "req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext", "-days", "2"]
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)
    binary = require_broker()
    passwords = folder / "passwords"
    tool = shutil.which("mosquitto_passwd") or str(Path(binary.path).with_name("mosquitto_passwd"))
    if not Path(tool).exists():
        pytest.skip("mosquitto_passwd is not there")
    environment = {**os.environ, **binary.environment}
    subprocess.run([tool, "-b", "-c", str(passwords), "me", PASSWORD], check=True, env=environment)
    port = free_port()
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\ncafile {folder}/ca.pem\n"
        f"certfile {folder}/server.pem\nkeyfile {folder}/server.key\nrequire_certificate true\nuser root\n"
    )
    process = subprocess.Popen(
        [binary.path, "-c", str(folder / "mosquitto.conf")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield folder, BrokerAddress("127.0.0.1", port, "me", tls=True)
    process.kill()
    process.wait()


def access(folder: Path, **changes: object) -> BrokerAccess:
    fields: dict[str, object] = {
        "password": PASSWORD,
        "ca_file": folder / "ca.pem",
        "certificate_file": folder / "client.pem",
        "key_file": folder / "client.key",
    }
    return BrokerAccess(**{**fields, **changes})  # type: ignore[arg-type]  # the fields above


def enters(address: BrokerAddress, how: BrokerAccess, limit_s: float) -> bool:
    bus = MqttBus([address], f"test-{time.monotonic_ns()}", access=how)
    try:
        return bus.wait_connected(limit_s)
    finally:
        bus.close()


def test_password_authority_and_certificate_open_the_door_and_nothing_less_does(
    guarded: tuple[Path, BrokerAddress],
) -> None:
    folder, address = guarded
    wait_until(lambda: enters(address, access(folder), 5.0), "the guarded broker")
    assert not enters(address, access(folder, password="wrong"), 1.5)
    assert not enters(address, access(folder, ca_file=None), 1.5)
    assert not enters(address, access(folder, certificate_file=None, key_file=None), 1.5)


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    path = tmp_path / "nothing.pem"
    path.write_text("nothing")
    with pytest.raises(BrokerError, match=r"nothing.pem is no certificate authority"):
        BrokerAccess(ca_file=path).tls_context()
    with pytest.raises(BrokerError, match=r"nothing.pem and the key in it are no certificate"):
        BrokerAccess(certificate_file=path).tls_context()


def test_a_scenario_s_meter_is_read_behind_the_door_and_its_password_stands_nowhere(
    guarded: tuple[Path, BrokerAddress], tmp_path: Path
) -> None:
    folder, address = guarded
    (folder / "password").write_text(PASSWORD + "\n")
    meter = {
        "participant": "ann",
        "family": "sml2mqtt",
        "broker": str(address),
        "prefix": "cellar",
        "password_file": str(folder / "password"),
        "ca_file": str(folder / "ca.pem"),
        "certificate_file": str(folder / "client.pem"),
        "key_file": str(folder / "client.key"),
    }
    path = tmp_path / "guarded.toml"
    person = {"name": "ann", "role": "consumer", "region": "street", "annual_kwh": 3_000.0}
    sections = {"scenario": {"name": "guarded"}, "market": {"pace": "live"}, "region": [{"name": "street"}]}
    path.write_text(to_toml({**sections, "participant": [person], "meter": [meter]}))
    wait_until(lambda: enters(address, access(folder), 5.0), "the guarded broker")
    speaker = MqttBus([address], "speaker", access=access(folder))
    assert speaker.wait_connected(5.0)
    speaker.publish("cellar/energy_total", b"1000", retain=True)
    assert speaker.flush(5.0)
    speaker.close()
    shown = gridbazaar("gateway", path, "--watch", "--seconds", "4", "--json")
    assert shown.returncode == 0, shown.stderr
    assert '"retained": 1' in shown.stdout
    assert PASSWORD not in shown.stdout + shown.stderr
