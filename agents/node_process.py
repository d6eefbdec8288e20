"""The process of one ledger node."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from agents.component import Component, start_component
from agents.errors import WorkError
from agents.genesis import genesis_of
from agents.ledger_node import LedgerNode
from agents.market_operator import PaceConfig
from agents.run_folder import RunFolder
from agents.scenario import Scenario
from agents.wall_clock import now_ms
from ledger.blocks import Genesis
from ledger.config import ReplicaConfig
from ledger.errors import LedgerError, StoreCorrupt
from ledger.store import LedgerStore
from mosquitto.keys import KeyPair

log = logging.getLogger(__name__)

POLL_S: Final = 0.1


def replica_config(scenario: Scenario, members: int) -> ReplicaConfig:
    """The replica's parameters that a scenario asks for."""
    ledger = scenario.ledger
    return ReplicaConfig(
        n=members,
        checkpoint_interval=ledger.checkpoint_interval,
        window=max(256, 4 * ledger.checkpoint_interval),
        batch_count=ledger.batch_transactions,
        request_timeout_ms=ledger.request_timeout_ms,
        view_change_timeout_ms=ledger.request_timeout_ms,
    )


def pace_config(scenario: Scenario, first_period_ms: int) -> PaceConfig:
    """The operator's parameters that a scenario asks for."""
    market = scenario.market
    return PaceConfig(
        pace=market.pace,
        periods=market.periods,
        period_ms=scenario.period_ms,
        first_period_ms=first_period_ms,
        factor=market.time_factor,
        phase_limit_ms=scenario.ledger.phase_limit_ms,
    )


def main(folder: RunFolder, name: str) -> None:
    """Run until told to stop. A node that was killed goes on where its ledger ends, and catches up.

    Raises WorkError when the ledger cannot be kept, such as on a full disk: what the replica has in memory
    is then ahead of its disk, so it must not say another word. Started again, it goes on from its disk.
    """
    component = start_component(folder, name)
    try:
        _run(component)
    except (LedgerError, OSError) as error:
        log.error("node failed", extra={"fields": {"node": name, "reason": str(error)}})
        component.say("offline")
        raise WorkError(f"{name}: {error}") from error
    finally:
        component.bus.close()


def _run(component: Component) -> None:
    name, folder, deployment = component.name, component.folder, component.deployment
    scenario = Scenario.load(folder.scenario)
    store = open_store(folder.ledger(name), genesis_of(deployment), component.key)
    node = LedgerNode(
        deployment=deployment,
        key=component.key,
        replica=replica_config(scenario, len(deployment.committee)),
        pace=pace_config(scenario, deployment.first_period_ms),
        store=store,
        bus=component.bus,
        clock_ms=now_ms,
    )
    node.start()
    component.bus.on_reconnect(lambda: component.say(node.state))
    component.bus.on_reconnect(node.announce_again)
    log.info("node started", extra={"fields": {"node": name, "height": store.last_height}})
    said = ""
    while not component.stop:
        if said != node.state:
            said = node.state
            component.say(said)
        node.poll(POLL_S)
    component.say("ended")
    log.info("node stopped", extra={"fields": node.driver.status().as_dict()})
    node.close()


def open_store(path: Path, genesis: Genesis, key: KeyPair) -> LedgerStore:
    """Open a ledger. A damaged file is set aside, and the node rejoins by state transfer without its votes."""
    try:
        return LedgerStore.open(path, genesis, seal=key)
    except StoreCorrupt as error:
        store, aside = LedgerStore.replace(path, genesis, seal=key)
        log.error(
            "ledger damaged, joining again from the others",
            extra={"fields": {"reason": str(error), "set_aside": aside.name}},
        )
        return store
