"""Run folders and `deployment.json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.deployment import Deployment, HostEntry, MemberEntry, MeterEntry, ParticipantEntry
from agents.errors import RunFolderError
from agents.run_folder import RunFolder
from mosquitto.keys import KeyPair


def example() -> Deployment:
    def key(name: str) -> bytes:
        return KeyPair.derive(7, name).public

    return Deployment(
        chain_id="test",
        scenario="example",
        brokers=("mqtt://127.0.0.1:1883",),
        committee=tuple(MemberEntry(name=name, public_key=key(name)) for name in ("a", "b", "c", "d")),
        genesis={"market": {"retail_micro": 300_000}},
        participants=(
            ParticipantEntry(
                name="home-1",
                account=key("home-1"),
                region="east",
                role="prosumer",
                meters=(MeterEntry(meter_id="home-1", public_key=key("meter/home-1")),),
                devices=("inverter-1",),
            ),
        ),
        hosts=(HostEntry(name="agents", public_key=key("agents")),),
        periods=96,
        period_ms=900_000,
        first_period_ms=0,
    )


def test_a_deployment_read_back_from_its_file_is_the_same(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "[scenario]\n")
    folder.write_deployment(example())
    assert folder.read_deployment() == example()
    assert RunFolder.open(tmp_path / "run") == folder


def test_a_new_run_refuses_a_folder_that_holds_anything(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty"):
        RunFolder.create(tmp_path, "")
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]


def test_opening_what_is_not_a_run_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no such folder"):
        RunFolder.open(tmp_path / "missing")
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_only_the_owner_may_enter_the_key_folder(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "")
    assert folder.keys.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("format",), 9, "format = 9; expected 1"),
        (("periods",), "many", "periods = 'many'; expected int"),
        (("periods",), True, "periods = True; expected int"),
        (("chain_id",), None, "chain_id = None; expected str"),
        (("committee", 1, "public_key"), "ff", r"committee\[1\].public_key = 'ff'; expected 64 hexadecimal"),
        (("participants", 0, "meters", 0), 3, r"participants\[0\].meters\[0\] must be an object"),
        (("brokers", 0), 3, "brokers = 3; expected text"),
    ],
)
def test_a_wrong_value_is_named_with_file_key_and_what_is_right(
    tmp_path: Path, path: tuple[str | int, ...], value: object, words: str
) -> None:
    tree = json.loads(example().to_text())
    place = tree
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(tree))
    with pytest.raises(RunFolderError, match=f"deployment.json: {words}"):
        Deployment.load(file)


def test_a_missing_key_and_a_broken_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "deployment.json"
    with pytest.raises(RunFolderError, match="cannot be read"):
        Deployment.load(file)
    file.write_text("{")
    with pytest.raises(RunFolderError, match="not a JSON file"):
        Deployment.load(file)
    file.write_text("{}")
    with pytest.raises(RunFolderError, match="format is missing"):
        Deployment.load(file)


def test_accounts_have_names_and_strangers_the_start_of_their_key() -> None:
    deployment = example()
    assert deployment.name_of(deployment.participants[0].account) == "home-1"
    assert deployment.name_of(deployment.committee[2].public_key) == "c"
    assert deployment.name_of(b"\xab" * 32) == "ab" * 8
    assert deployment.agreement_threshold == 2
