"""The recorder writes what f + 1 nodes say, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_run import (
    START_MS,
    SyntheticCommittee,
    deployment,
    key,
    make_clearing,
    make_settlement,
    record_day,
)

from agents.announcements import ReceiptLine
from agents.recorder import LOST_AFTER_MS, Recorder
from agents.run_folder import RunFolder
from agents.tables import Table
from market.orders import Side
from market.receipts import ReasonCode
from mosquitto.codec import encode
from mosquitto.envelope import Kind, sign
from mosquitto.local_bus import LocalNetwork


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", "")


@pytest.fixture
def network() -> LocalNetwork:
    return LocalNetwork(start_ms=START_MS)


@pytest.fixture
def recorder(folder: RunFolder, network: LocalNetwork) -> Iterator[Recorder]:
    recorder = Recorder(folder, deployment(), network.bus("recorder"), lambda: network.now_ms)
    yield recorder
    recorder.close()


@pytest.fixture
def committee(network: LocalNetwork, recorder: Recorder) -> SyntheticCommittee:
    return SyntheticCommittee(network, recorder.deployment)


def test_a_settled_period_stands_in_all_tables_at_once(
    folder: RunFolder, recorder: Recorder, committee: SyntheticCommittee
) -> None:
    clearing = make_clearing(recorder.deployment, 4)
    committee.clearing(clearing)
    committee.bus.poll(0)
    assert not Table.read(folder.trades_csv)
    settlement = make_settlement(recorder.deployment, clearing)
    committee.settlement(settlement)
    committee.bus.poll(0)
    trades = Table.read(folder.trades_csv)
    assert len(trades) == len(clearing.trades) > 0
    assert int(trades.numbers("energy_wh").sum()) == clearing.traded_wh
    assert set(trades.texts("buyer")) <= {home.name for home in recorder.deployment.participants}
    periods = Table.read(folder.periods_csv)
    assert periods.texts("start_time") == ["2016-04-20T01:00:00Z"]
    assert periods.integers("traded_wh").tolist() == [clearing.traded_wh]
    rows = Table.read(folder.settlements_csv)
    assert len(rows) == len(settlement.rows)
    net = rows.integers("sold_nano") - rows.integers("bought_nano") - rows.integers("fee_nano")
    net += rows.integers("imbalance_nano") - rows.integers("penalty_nano") + rows.integers("reward_nano")
    assert rows.integers("net_nano").tolist() == net.tolist()
    assert recorder.figures.periods_settled == 1
    assert recorder.figures.energy_wh == clearing.traded_wh


def test_one_node_alone_or_two_that_differ_are_not_believed(
    folder: RunFolder, recorder: Recorder, committee: SyntheticCommittee
) -> None:
    settlement = make_settlement(recorder.deployment, make_clearing(recorder.deployment, 0))
    committee.settlement(settlement, members=[0])
    other = make_settlement(recorder.deployment, make_clearing(recorder.deployment, 1))
    lie = type(other)(period=0, time_ms=0, rows=other.rows, grid_nano=1, pot_nano=1)
    committee.settlement(lie, members=[1])
    committee.bus.poll(0)
    assert recorder.periods_settled == 0
    committee.settlement(settlement, members=[2])
    committee.bus.poll(0)
    assert recorder.periods_settled == 1
    committee.settlement(lie, members=[3])
    committee.settlement(settlement, members=[3])
    committee.bus.poll(0)
    assert Table.read(folder.periods_csv).integers("period").tolist() == [0]
    assert set(Table.read(folder.settlements_csv).integers("import_wh")) == {
        row.import_wh for row in settlement.rows
    }


def test_strangers_rubbish_and_the_wrong_kind_change_nothing_and_are_logged_once(
    recorder: Recorder, committee: SyntheticCommittee, caplog: pytest.LogCaptureFixture
) -> None:
    settlement = make_settlement(recorder.deployment, make_clearing(recorder.deployment, 0))
    body = encode(settlement.to_values())
    for name in ("stranger-1", "stranger-2", "stranger-3"):
        envelope = sign(key(name), Kind.SETTLEMENT, "synthetic", body)
        committee.bus.publish(committee.topics.settlements(name), envelope.encode())
    for member in ("energy-bureau", "grid-company"):
        envelope = sign(key(member), Kind.CLEARING, "synthetic", body)
        committee.bus.publish(committee.topics.settlements(member), envelope.encode())
    for rubbish in (b"", b"\xc1", b"\x93\x01", encode((1, 2, 3)), b"x" * 2_000_000):
        committee.bus.publish(committee.topics.settlements("noise"), rubbish)
        committee.bus.publish(committee.topics.transactions("east", "noise"), rubbish)
        committee.bus.publish(committee.topics.telemetry("noise"), rubbish)
    committee.say(Kind.CLEARING, encode(("not", "a", "clearing")))
    committee.bus.poll(0)
    assert recorder.periods_settled == 0
    assert recorder.refused["noise"] == 15
    assert sum("noise" in str(record.__dict__.get("fields")) for record in caplog.records) == 1


def test_an_accepted_order_is_written_with_its_number_and_latency(
    folder: RunFolder, recorder: Recorder, committee: SyntheticCommittee
) -> None:
    accepted = committee.order("home-01", Side.BUY, 500, 200_000, 0)
    refused = committee.order("home-02", Side.SELL, 400, 100_000, 0)
    committee.bus.poll(0)
    committee.bus.poll(0.040)
    lines = [ReceiptLine(accepted, ReasonCode.OK, 7), ReceiptLine(refused, ReasonCode.NOT_ENOUGH_ENERGY, 0)]
    committee.receipts(3, lines, members=[2])
    committee.bus.poll(0)
    committee.bus.poll(0.010)
    committee.receipts(3, lines, members=[0, 1])
    committee.bus.poll(0)
    orders = Table.read(folder.orders_csv)
    assert orders.texts("account") == ["home-01"]
    assert orders.integers("order").tolist() == [7]
    latencies = Table.read(folder.latencies_csv)
    assert latencies.texts("kind") == ["place_order"]
    assert latencies.integers("latency_ms").tolist() == [50]
    assert latencies.integers("transactions").tolist() == [2]
    assert recorder.figures.latency_ms == 50
    assert recorder.figures.transactions == 2


def test_a_transaction_that_is_never_receipted_is_written_as_lost(
    folder: RunFolder, recorder: Recorder, committee: SyntheticCommittee, network: LocalNetwork
) -> None:
    committee.order("home-01", Side.BUY, 500, 200_000, 0)
    committee.order("stranger", Side.BUY, 500, 200_000, 0)
    committee.bus.poll(0)
    committee.bus.poll(LOST_AFTER_MS / 1_000 + 1)
    recorder.close()
    latencies = Table.read(folder.latencies_csv)
    assert latencies.texts("latency_ms") == [""]


def test_telemetry_counts_only_when_the_devices_owner_signed_it(
    folder: RunFolder, recorder: Recorder, committee: SyntheticCommittee
) -> None:
    committee.telemetry("home-00", 0, 120, 3_000)
    committee.telemetry("home-00", 0, 120, 3_000)
    committee.telemetry("home-01", 0, 999, 3_000)
    committee.bus.poll(0)
    assert Table.read(folder.telemetry_csv).integers("pv_wh").tolist() == [120]
    assert recorder.refused["inverter-home-01"] == 1


def test_blocks_are_written_once_and_each_nodes_own_height_is_kept(
    folder: RunFolder, recorder: Recorder, committee: SyntheticCommittee
) -> None:
    committee.block(1, 0, 40)
    committee.block(2, 0, 41, members=[0, 1])
    committee.block(3, 0, 42, members=[3])
    committee.bus.poll(0)
    assert Table.read(folder.blocks_csv).integers("height").tolist() == [1, 2]
    assert {name: node.height for name, node in recorder.nodes().items()} == {
        "energy-bureau": 2,
        "grid-company": 2,
        "notary-office": 1,
        "trading-center": 3,
    }
    assert recorder.figures.height == 2


def test_a_whole_day_leaves_a_row_for_every_period(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "day", homes=6, periods=8)
    assert Table.read(folder.periods_csv).integers("period").tolist() == list(range(8))
    assert Table.read(folder.settlements_csv).texts("estimated").count("1") == 1
    assert len(Table.read(folder.curves_csv)) > 8
    assert len(Table.read(folder.orders_csv)) == 48
