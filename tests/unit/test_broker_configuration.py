from __future__ import annotations

import os
from pathlib import Path

import pytest

from mosquitto.broker import PACKET_BYTES_MAX, BrokerProcess, configuration, free_port
from mosquitto.bus import PAYLOAD_BYTES_MAX, TOPIC_BYTES_MAX
from mosquitto.errors import BrokerError
from mosquitto.install import BrokerBinary


def settings(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("log_type"))


def test_the_broker_listens_on_loopback_only_and_keeps_its_files_in_its_folder() -> None:
    found = settings(configuration(Path("/run/folder"), 4711))
    assert found["listener"] == "4711 127.0.0.1"
    assert found["persistence_location"] == "/run/folder/"
    assert found["log_dest"] == "file /run/folder/mosquitto.log"


def test_the_brokers_limits_are_above_ours() -> None:
    found = settings(configuration(Path("/run/folder"), 4711))
    assert int(found["max_packet_size"]) == PACKET_BYTES_MAX > PAYLOAD_BYTES_MAX + TOPIC_BYTES_MAX + 9
    assert found["max_queued_messages"] == "0"
    assert 0 < int(found["max_queued_bytes"]) < 2**31


def test_only_root_has_to_name_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "user" not in settings(configuration(Path("/run"), 1))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "user" in settings(configuration(Path("/run"), 1))


def test_a_broker_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho the disk is full >&2\nexit 3\n")
    program.chmod(0o755)
    process = BrokerProcess(tmp_path / "run", free_port(), BrokerBinary(program, {}))
    with pytest.raises(BrokerError, match=r"ended with 3.*the disk is full"):
        process.start()
    assert not process.is_alive
    assert process.poll() == 3


def test_a_broker_without_a_port_has_no_address_yet(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="port"):
        _ = BrokerProcess(tmp_path).address
