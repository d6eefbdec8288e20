"""Thousands of wrong messages during a run, from a client of the same broker: refused, counted, without effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from hostile_client import HostileClient
from run_harness import (
    NODES,
    STREET,
    Ended,
    LiveRun,
    assert_audit_is_green,
    assert_ended_well,
    live_run,
    wait_until,
)

from agents.key_ring import FolderKeys
from mosquitto.address import BrokerAddress
from mosquitto.broker import PACKET_BYTES_MAX

pytestmark = pytest.mark.e2e

PERIODS = 40
LOG_BYTES_MAX = 1_000_000
MEMORY_KB_MAX = 400_000


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveRun, Ended, HostileClient]]:
    with live_run(tmp_path_factory.mktemp("attacked") / "run", "--periods", str(PERIODS), scenario=STREET) as run:
        wait_until(run.folder.deployment.exists, "the deployment")
        client = HostileClient(run.deployment(), FolderKeys(run.folder))
        try:
            attack(run, client)
            memory_kb = {part: peak_memory_kb(run.pid(part)) for part in (*NODES, "agents")}
            assert max(memory_kb.values()) < MEMORY_KB_MAX, memory_kb
            while run.is_running:
                client.bus.poll(0.05)
            yield run, run.finish(), client
        finally:
            client.bus.close()


def attack(run: LiveRun, client: HostileClient) -> None:
    """Everything at once, in the middle of a run that has most of its periods still before it."""

    def settled() -> int:
        return len(run.rows("periods"))

    def two_settled() -> bool:
        client.bus.poll(0.01)
        return settled() >= 2

    wait_until(two_settled, "two settled periods")
    for _ in range(20):
        client.send("transactions", client.transactions(settled()))
    client.send("rubbish", client.rubbish())
    client.send("forged", client.forged())
    client.send("broken", client.broken())
    client.send("replays", client.replays())
    client.send("oversized", client.oversized())
    client.send("strangers", client.strangers(500, settled()))
    client.send("retained", client.rubbish(), retain=True)
    send_what_the_broker_refuses(run)
    # A node that comes back finds the retained rubbish before anything else.
    run.kill(NODES[1])
    assert run.is_running


def send_what_the_broker_refuses(run: LiveRun) -> None:
    """Larger than the broker takes: it ends this client's connection, and nobody else notices."""
    address = BrokerAddress.parse(run.deployment().brokers[0])
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="too-large")
    client.connect(address.host, address.port)
    client.loop_start()
    wait_until(client.is_connected, "the connection")
    client.publish(f"gb/{run.deployment().chain_id}/clock", bytes(PACKET_BYTES_MAX + 1), qos=1)
    wait_until(lambda: not client.is_connected(), "the broker's refusal")
    client.disconnect()
    client.loop_stop()


def peak_memory_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0  # Ended already.
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


Attacked = tuple[LiveRun, Ended, HostileClient]


def test_the_run_ends_as_if_nothing_had_been(attacked: Attacked) -> None:
    run, ended, client = attacked
    assert client.sent.total() > 4_000, client.sent
    result = assert_ended_well(ended, PERIODS)
    nodes = assert_audit_is_green(run.folder.path)
    assert {name: node["height"] for name, node in nodes.items()} == {
        name: node["height"] for name, node in result["nodes"].items()
    }
    assert {path.name for path in run.folder.logs.glob("*.out") if path.stat().st_size} == set()


def test_nobody_lost_or_won_money_by_it(attacked: Attacked) -> None:
    run, _, _ = attacked
    last: dict[str, int] = {}
    for row in run.rows("settlements"):
        now, net = int(row["balance_nano"]), int(row["net_nano"])
        assert row["account"] not in last or now == last[row["account"]] + net, row
        last[row["account"]] = now
    names = {entry.name for entry in run.deployment().participants}
    assert {row["buyer"] for row in run.rows("trades")} <= names
    assert set(last) == names


def test_every_kind_of_wrong_transaction_is_answered_with_its_reason(attacked: Attacked) -> None:
    _, _, client = attacked
    expected = {
        "NOT_ENOUGH_MONEY",
        "NOT_ENOUGH_ENERGY",
        "ROLE_FORBIDS_SIDE",
        "PRICE_OUTSIDE_LIMITS",
        "PERIOD_TOO_FAR",
        "VALID_TOO_LONG",
        "EXPIRED",
        "UNKNOWN_ORDER",
        "UNKNOWN_ACCOUNT",
        "UNKNOWN_METER",
        "NOT_METER_KEY",
        "NOT_REGULATOR",
        "NOT_CASHIER",
        "NOT_OPERATOR",
        "NOT_COMMITTEE",
    }
    assert expected <= set(client.reasons), expected - set(client.reasons)


def test_nodes_count_each_kind_of_refusal_and_log_it_once_a_source(attacked: Attacked) -> None:
    run, _, _ = attacked
    expected = {
        "CodecError",
        "EnvelopeError",
        "not a batch",
        "not a packet",
        "not a consensus message",
        "not a member",
        "malformed",
        "unknown_type",
        "replayed",
        "expired",
        "unknown_account",
        "unknown_meter",
        "not_meter_key",
        "not_cashier",
    }
    for node in (NODES[0], *NODES[2:]):  # The one that was killed has counted from its return on.
        lines = run.log(node)
        refused = lines[-1]["refused"]
        assert expected <= set(refused), expected - set(refused)
        assert refused["CodecError"] > 100
        logged = Counter((line["reason"], line["source"]) for line in lines if line["event"] == "refused")
        assert set(logged.values()) == {1}
        assert {reason for reason, _ in logged} <= set(refused)
        assert lines[-1]["evidence_count"] == 0


def test_neither_logs_nor_tables_grow_with_the_attack(attacked: Attacked) -> None:
    run, _, _ = attacked
    for path in run.folder.logs.iterdir():
        assert path.stat().st_size < LOG_BYTES_MAX, path.name
    assert len(run.rows("periods")) == PERIODS
    lost = [row for row in run.rows("latencies") if not row["latency_ms"]]
    assert sum(int(row["transactions"]) for row in lost) == 0, lost
    assert run.folder.orders_csv.stat().st_size < LOG_BYTES_MAX
