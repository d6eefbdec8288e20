"""`kill -9` of every part in the middle of a run: the market goes on, and what was promised is kept."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from run_harness import (
    NODES,
    STREET,
    Composition,
    Ended,
    LiveRun,
    assert_audit_is_green,
    assert_ended_well,
    live_run,
    read_rows,
    require_one_view,
    wait_until,
)

from agents.announcements import BlockAnnouncement
from agents.population import populate
from agents.scenario import Scenario
from mosquitto.broker import BrokerProcess
from mosquitto.bus import BusMessage
from mosquitto.envelope import open_envelope
from mosquitto.mqtt_bus import MqttBus
from mosquitto.topics import Topics

pytestmark = pytest.mark.e2e


def times_started(run: LiveRun, part: str) -> int:
    return sum(line.get("part") == part and "pid" in line for line in run.log("runner"))


def started(run: LiveRun, node: str) -> int:
    return sum(line["event"] == "node started" for line in run.log(node))


def assert_money_is_right(run: LiveRun) -> None:
    """Everybody was credited once, and every balance follows from the one before."""
    participants = populate(Scenario.load(run.folder.scenario)).participants
    balances = {participant.name: participant.deposit_nano for participant in participants}
    for row in run.rows("settlements"):
        balances[row["account"]] += int(row["net_nano"])
        assert int(row["balance_nano"]) == balances[row["account"]], row


def assert_ended_the_same_everywhere(run: LiveRun, ended: Ended, periods: int) -> None:
    result = assert_ended_well(ended, periods)
    nodes = assert_audit_is_green(run.folder.path)
    for name, node in result["nodes"].items():
        assert (nodes[name]["height"], nodes[name]["state_root"]) == (node["height"], node["state_root"])
    assert [int(row["period"]) for row in run.rows("periods")] == list(range(periods))
    assert_money_is_right(run)


def test_nodes_killed_one_after_the_other_come_back_to_the_same_state(tmp_path: Path) -> None:
    periods = 24
    with live_run(tmp_path / "run", "--periods", str(periods), scenario=STREET) as run:
        for number, node in enumerate(NODES):  # The first is the primary and the market operator as well.
            run.wait_settled(2 + 4 * number)
            run.kill(node)
            wait_until(lambda node=node: started(run, node) == 2, f"{node} to be back")
        ended = run.finish()
        assert all(times_started(run, node) == 2 for node in NODES)
        assert_ended_the_same_everywhere(run, ended, periods)


def test_two_nodes_killed_at_once_stop_the_market_only_until_one_is_back(tmp_path: Path) -> None:
    with live_run(tmp_path / "run", "--periods", "8", scenario=STREET) as run:
        run.wait_settled(3)
        for node in NODES[:2]:
            os.kill(run.pid(node), signal.SIGKILL)
        assert_ended_the_same_everywhere(run, run.finish(), 8)


def test_a_device_host_killed_in_the_middle_changes_no_trade_and_no_reading(
    finished: tuple[LiveRun, Ended], tmp_path: Path
) -> None:
    with live_run(tmp_path / "run", "--periods", "8") as run:
        run.wait_settled(3)
        run.kill("devices-north")
        ended = run.finish()
        assert_ended_the_same_everywhere(run, ended, 8)
        undisturbed, _ = finished
        require_one_view(run, undisturbed)
        assert run.rows("trades") == undisturbed.rows("trades")

        def paid(of: LiveRun) -> list[tuple[str, ...]]:
            return sorted(tuple(row.values()) for row in of.rows("settlements"))

        assert paid(run) == paid(undisturbed)


def test_the_broker_killed_twice_loses_nothing_that_matters(tmp_path: Path) -> None:
    with live_run(tmp_path / "run", "--periods", "12", scenario=STREET) as run:
        for periods in (2, 6):
            run.wait_settled(periods)
            run.kill("broker")
        ended = run.finish()
        again = [line for line in run.log("runner") if line["event"] == "broker started again"]
        assert len(again) == 2
        assert_ended_the_same_everywhere(run, ended, 12)


def test_an_agent_host_killed_while_it_enrols_credits_everybody_once(tmp_path: Path) -> None:
    with live_run(tmp_path / "run", "--periods", "4", scenario=STREET) as run:
        wait_until(lambda: len(run.rows("blocks")) >= 3, "the block of approvals")
        run.kill("agents")
        assert_ended_the_same_everywhere(run, run.finish(), 4)
        assert len(run.rows("trades")) > 0


def test_an_agent_host_killed_in_the_middle_orders_once_a_period(tmp_path: Path) -> None:
    with live_run(tmp_path / "run", "--periods", "10", scenario=STREET) as run:
        run.wait_settled(4)
        run.kill("agents")
        assert_ended_the_same_everywhere(run, run.finish(), 10)
        # A consumer has one order a period; the host begins its strategy anew and would bid another price.
        consumers = {entry.name for entry in run.deployment().participants if entry.role == "consumer"}
        orders = Counter(
            (row["period"], row["account"]) for row in run.rows("orders") if row["account"] in consumers
        )
        assert set(orders.values()) == {1}
        assert len({(row["period"], row["account"]) for row in run.rows("agents")}) == len(run.rows("agents"))


def test_an_agent_host_killed_after_its_last_orders_still_ends_the_run(tmp_path: Path) -> None:
    with live_run(tmp_path / "run", "--periods", "6", scenario=STREET) as run:
        run.wait_settled(5)
        agents = run.pid("agents")
        wait_until(lambda: any(row["period"] == "5" for row in run.rows("orders")), "the last orders")
        os.kill(agents, signal.SIGSTOP)  # It hears nothing more, and cannot end before it is killed.
        wait_until(lambda: len(run.rows("periods")) == 6, "the last settlement", limit_s=90)
        os.kill(agents, signal.SIGKILL)
        assert_ended_the_same_everywhere(run, run.finish(), 6)


def test_three_nodes_go_on_without_the_fourth_and_it_catches_up_when_started_by_hand(
    own_broker: BrokerProcess, tmp_path: Path
) -> None:
    parts = Composition(tmp_path / "run", own_broker.address, periods=8, scenario=STREET)
    watcher = Watcher(parts, own_broker)
    try:
        parts.start_all()
        watcher.wait(lambda: min(watcher.heights.values(), default=0) >= 20, "20 blocks")
        parts.kill(NODES[0])  # Primary and operator.
        watcher.wait(lambda: parts.parts["agents"].poll() is not None, "the end of the agents", 120)
        assert parts.parts["agents"].returncode == 0
        three = {name: watcher.roots[name] for name in NODES[1:]}
        assert len(set(three.values())) == 1
        assert watcher.heights[NODES[0]] < watcher.heights[NODES[1]]
        parts.start_node(NODES[0])
        watcher.wait(lambda: watcher.heights[NODES[0]] == watcher.heights[NODES[1]], "the fourth to catch up")
        assert set(watcher.roots.values()) == set(three.values())
        codes = parts.stop()
        assert set(codes.values()) == {0}, codes
    finally:
        watcher.bus.close()
        parts.clean_up()
    nodes = assert_audit_is_green(parts.folder.path)
    assert len({(node["height"], node["state_root"]) for node in nodes.values()}) == 1
    rows = read_rows(parts.folder.agents_csv)
    assert {row["period"] for row in rows} == {str(period) for period in range(8)}


class Watcher:
    """Hears what each node says of its last block."""

    def __init__(self, parts: Composition, broker: BrokerProcess) -> None:
        self.heights: dict[str, int] = {}
        self.roots: dict[str, bytes] = {}
        self._deployment = parts.deployment
        self.bus = MqttBus([broker.address], "watcher")
        self.bus.subscribe(Topics(parts.deployment.chain_id).every_blocks(), self._on_block)

    def _on_block(self, message: BusMessage) -> None:
        envelope = open_envelope(message.payload, self._deployment.chain_id)
        block = BlockAnnouncement.parse(envelope.body)
        name = self._deployment.name_of(envelope.signer)
        self.heights[name], self.roots[name] = block.height, block.state_root

    def wait(self, condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
        def polled() -> bool:
            self.bus.poll(0.02)
            return condition()

        wait_until(polled, what, limit_s)
