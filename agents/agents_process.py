"""The process that runs the Mesa model: all agents of a run, on the market over MQTT."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import Final

from agents.component import Component, start_component
from agents.errors import WorkError
from agents.exchange import BusExchange, ExchangeConfig
from agents.host_memory import HostMemory
from agents.key_ring import AGENTS_HOST
from agents.run_folder import RunFolder
from agents.scenario import Scenario
from agents.wall_clock import now_ms
from ledger.quorums import Quorums
from mosquitto.bus import BusMessage
from mosquitto.errors import RemoteError
from mosquitto.status import open_status

log = logging.getLogger(__name__)

READY_LIMIT_S: Final = 60.0


class Stopped(Exception):  # noqa: N818 - no error: somebody asked this process to stop
    """Raised inside of a wait when the process is told to stop."""


def main(folder: RunFolder) -> bool:
    """Run all periods of the scenario, then end. Told to stop, it ends between two messages.

    Returns whether the last period was settled.
    """
    component = start_component(folder, AGENTS_HOST)
    # Imported after connecting: Mesa takes a second to load, while the ledger nodes start.
    from agents.model import MarketModel

    scenario = Scenario.load(folder.scenario)
    bus = StoppableBus(component)
    exchange = BusExchange(bus, ExchangeConfig.of(component.deployment, component.name), component.key, now_ms)
    component.bus.on_reconnect(exchange.say_again)
    memory = HostMemory(folder.agents_memory)
    try:
        with closing(
            MarketModel(scenario, exchange, keys=component.keys, records=folder.agents_csv, memory=memory)
        ) as model:
            wait_for_market(component, bus)
            component.say("online")
            while model.running:
                model.step()
        component.say("ended")
    except Stopped:
        log.info("told to stop", extra={"fields": {"ordered_in": memory.ordered_in}})
        return False
    finally:
        component.bus.close()
    return True


def wait_for_market(component: Component, bus: StoppableBus) -> None:
    """Wait until a quorum of ledger nodes and every device host say that they are online.

    Raises WorkError that names who is missing after the limit.
    """
    nodes = {entry.name: entry.public_key for entry in component.deployment.committee}
    devices = {host.name: host.public_key for host in component.deployment.hosts if host.name != AGENTS_HOST}
    online: set[str] = set()

    def on_status(message: BusMessage) -> None:
        try:
            envelope, status = open_status(message.payload, component.deployment.chain_id)
        except RemoteError:
            return
        if (nodes | devices).get(status.component) != envelope.signer:
            return
        if status.state == "online":
            online.add(status.component)
        else:
            online.discard(status.component)

    bus.subscribe(component.topics.every_status(), on_status)
    quorum = Quorums(len(nodes)).quorum
    deadline_s = time.monotonic() + READY_LIMIT_S
    while len(online & nodes.keys()) < quorum or not devices.keys() <= online:
        if time.monotonic() > deadline_s:
            missing = ", ".join(sorted((nodes.keys() | devices.keys()) - online))
            raise WorkError(f"not online after {READY_LIMIT_S:.0f} s: {missing}")
        bus.poll(0.1)


class StoppableBus:
    """The component's bus; polling it raises `Stopped` once the process is told to stop.

    The model waits deep inside of its step for what other parts send, and this is where it waits.
    """

    def __init__(self, component: Component) -> None:
        self._component = component
        self.publish = component.bus.publish
        self.subscribe = component.bus.subscribe
        self.close = component.bus.close

    def poll(self, timeout_s: float) -> int:
        """Poll, unless it is time to stop."""
        if self._component.stop:
            raise Stopped
        return self._component.bus.poll(timeout_s)
