"""Fixtures that every kind of test shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mosquitto import broker as broker_module
from mosquitto.broker import BrokerProcess


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    return broker_module.free_port()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A real mosquitto for the whole session, shared: use a chain id of your own. Fails where there is none."""
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        yield process


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A real mosquitto for one test, which may stop, kill and restart it."""
    with BrokerProcess(tmp_path / "broker") as process:
        yield process
