"""What every process of a run does first: read its folder, log, connect with a last will, heed signals."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass

from agents.deployment import Deployment
from agents.errors import WorkError
from agents.key_ring import FolderKeys
from agents.logging_setup import configure_logging
from agents.run_folder import RunFolder
from agents.supervisor import StopSignal
from agents.wall_clock import now_ms
from mosquitto.address import BrokerAddress
from mosquitto.keys import KeyPair
from mosquitto.mqtt_bus import MqttBus
from mosquitto.status import ComponentStatus
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

CONNECT_LIMIT_S = 30.0
STOP_LOOK_S = 0.5
"""How long a component may be deaf to a signal, or to the end of its runner, while it waits for a broker."""

SWITCH_INTERVAL_S = 0.0005
"""How long one thread may keep another waiting. Python's 5 ms is a long time between two votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A process of a run, connected and ready to speak for itself."""

    name: str
    folder: RunFolder
    deployment: Deployment
    keys: FolderKeys
    key: KeyPair
    bus: MqttBus
    topics: Topics
    stop: StopSignal

    def say(self, state: str) -> None:
        """Publish our status, retained."""
        self.bus.publish(self.topics.status(self.name), self.status(state), retain=True)

    def status(self, state: str) -> bytes:
        """Our signed status."""
        return seal_status(self.name, state, self.key, self.deployment.chain_id)


def seal_status(name: str, state: str, key: KeyPair, chain_id: str) -> bytes:
    """A signed status that says nothing about readiness."""
    return ComponentStatus(component=name, state=state, time_ms=now_ms()).seal(key, chain_id)


def start_component(folder: RunFolder, name: str, *, persistent: bool = False) -> Component:
    """Read deployment and key, configure logging, connect to the brokers.

    `persistent`: the broker keeps messages for this component while it is away.

    Raises RunFolderError when the folder lacks something, WorkError when no broker answers or when told to
    stop before one did.
    """
    configure_logging(name, folder.log(name))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    deployment = folder.read_deployment()
    keys = FolderKeys(folder)
    key = keys.key(name)
    stop = StopSignal()
    topics = Topics(deployment.chain_id)
    will = (topics.status(name), seal_status(name, "offline", key, deployment.chain_id))
    brokers = [BrokerAddress.parse(url) for url in deployment.brokers]
    bus = MqttBus(brokers, f"{deployment.chain_id}-{name}", will=will, clean=not persistent)
    _wait_for_broker(bus, name, stop)
    return Component(
        name=name,
        folder=folder,
        deployment=deployment,
        keys=keys,
        key=key,
        bus=bus,
        topics=topics,
        stop=stop,
    )


def _wait_for_broker(bus: MqttBus, name: str, stop: StopSignal) -> None:
    deadline_s = time.monotonic() + CONNECT_LIMIT_S
    while not bus.wait_connected(STOP_LOOK_S):
        # A runner that was killed took its broker along, so its parts would wait here for nothing.
        if stop:
            raise WorkError(f"{name}: told to stop before a broker answered")
        if time.monotonic() > deadline_s:
            raise WorkError(f"{name}: no broker answered within {CONNECT_LIMIT_S:.0f} s: {bus.describe()}")
