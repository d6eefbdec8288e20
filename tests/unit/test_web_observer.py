"""The page's observer: it mirrors what f + 1 nodes say, forgets in good order, and cannot publish."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import START_MS, SyntheticCommittee, deployment, key, make_clearing, make_settlement, record_day

from agents.announcements import ReceiptLine
from agents.observer import ChainObserver
from agents.run_folder import RunFolder
from agents.web.facts import FeedState
from agents.web.feed import Feed
from agents.web.folder_events import FolderEvents, PeriodFile
from agents.web.history import ThinnedRows, ThinnedTable
from agents.web.hub import Hub
from agents.web.mirror import MirrorModel
from agents.web.read_only_bus import ReadOnlyBus, ReadOnlyBusError
from market.orders import Side
from market.receipts import ReasonCode
from mosquitto.batch import decode_batch, encode_batch
from mosquitto.envelope import Envelope, parse
from mosquitto.local_bus import LocalNetwork


class Scene:
    """A committee that says what it is told to, and a mirror that listens."""

    def __init__(self, periods: int = 8) -> None:
        self.network = LocalNetwork(start_ms=START_MS)
        self.deployment = deployment(6, periods)
        self.mirror = MirrorModel(self.deployment)
        bus = ReadOnlyBus(self.network.bus("web"))
        self.observer = ChainObserver(self.deployment, bus, self.mirror, verify_transactions=False)
        self.committee = SyntheticCommittee(self.network, self.deployment)

    def deliver(self) -> None:
        self.mirror.now_ms = self.network.now_ms
        self.committee.bus.poll(0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_observer_cannot_publish() -> None:
    network = LocalNetwork(start_ms=0)
    heard: list[bytes] = []
    other = network.bus("other")
    other.subscribe("#", lambda message: heard.append(message.payload))
    with pytest.raises(ReadOnlyBusError):
        ReadOnlyBus(network.bus("web")).publish("gb/chain/clock", b"close")
    other.poll(0)
    assert heard == []


def test_observing_a_whole_period_puts_nothing_on_the_bus(scene: Scene) -> None:
    topics: list[str] = []
    ear = scene.network.bus("ear")
    ear.subscribe("#", lambda message: topics.append(message.topic))
    clearing = make_clearing(scene.deployment, 4)
    scene.committee.clearing(clearing)
    scene.committee.settlement(make_settlement(scene.deployment, clearing))
    scene.deliver()
    assert len(topics) == 8


def test_a_settled_period_reaches_the_agents_it_is_about(scene: Scene) -> None:
    clearing = make_clearing(scene.deployment, 4)
    settlement = make_settlement(scene.deployment, clearing)
    scene.committee.clearing(clearing)
    scene.committee.settlement(settlement)
    scene.deliver()
    snapshot = scene.mirror.snapshot(FeedState.LIVE)
    assert snapshot.settled == 1
    assert snapshot.periods[-1].traded_wh == clearing.traded_wh
    for line, home in zip(snapshot.agents, scene.deployment.participants, strict=True):
        row = settlement.row(home.account)
        assert row is not None
        assert (line.sold_wh, line.bought_wh, line.metered_wh) == (row.sold_wh, row.bought_wh, row.metered_wh)
        paid = row.bought_nano + row.fee_nano + row.penalty_nano
        assert line.net_nano == row.sold_nano + row.imbalance_nano + row.reward_nano - paid
        assert line.tariff_nano == 80_000 * row.export_wh - 300_000 * row.import_wh
    facts = scene.mirror.facts(4)
    assert facts is not None
    assert facts.clearing == clearing
    assert facts.settlement == settlement


def test_one_node_is_not_believed_and_a_repetition_changes_nothing(scene: Scene) -> None:
    settlement = make_settlement(scene.deployment, make_clearing(scene.deployment, 0))
    scene.committee.settlement(settlement, members=[1])
    scene.deliver()
    assert scene.mirror.snapshot(FeedState.LIVE).settled == 0
    scene.committee.settlement(settlement, members=[0, 2, 3])
    scene.deliver()
    before = scene.mirror.snapshot(FeedState.LIVE).agents
    scene.mirror.on_settlement(settlement)
    assert scene.mirror.snapshot(FeedState.LIVE).agents == before


def test_an_order_is_shown_only_once_f_plus_1_nodes_have_answered_it(scene: Scene) -> None:
    accepted = scene.committee.order("home-01", Side.BUY, 500, 200_000, 0)
    refused = scene.committee.order("home-02", Side.SELL, 400, 100_000, 0)
    scene.deliver()
    assert scene.mirror.snapshot(FeedState.LIVE).book == ()
    lines = [ReceiptLine(accepted, ReasonCode.OK, 7), ReceiptLine(refused, ReasonCode.NOT_ENOUGH_ENERGY, 0)]
    scene.committee.receipts(3, lines, members=[2])
    scene.deliver()
    assert scene.mirror.snapshot(FeedState.LIVE).book == ()
    scene.committee.receipts(3, lines, members=[1])
    scene.deliver()
    snapshot = scene.mirror.snapshot(FeedState.LIVE)
    assert [(order.side, order.energy_wh, order.number) for order in snapshot.book] == [("buy", 500, 7)]
    assert snapshot.refused == 1
    orders = scene.mirror.participants[key("home-02").public].orders
    assert [order.code for order in orders] == [ReasonCode.NOT_ENOUGH_ENERGY]


def test_an_order_with_a_forged_signature_has_no_receipt_and_is_never_shown(scene: Scene) -> None:
    heard: list[bytes] = []
    ear = scene.network.bus("ear")
    ear.subscribe(scene.committee.topics.every_transactions(), lambda message: heard.append(message.payload))
    scene.committee.order("home-01", Side.BUY, 500, 200_000, 0)
    scene.deliver()
    honest = parse(decode_batch(heard[0])[0])
    stolen = Envelope(
        kind=honest.kind,
        chain_id=honest.chain_id,
        signer=key("home-03").public,
        body=honest.body,
        signature=honest.signature,
    )
    topic = scene.committee.topics.transactions("east", "thief")
    scene.committee.bus.publish(topic, encode_batch([stolen.encode()]))
    scene.committee.receipts(1, [ReceiptLine(honest.content_id(), ReasonCode.OK, 1)])
    scene.deliver()
    book = scene.mirror.snapshot(FeedState.LIVE).book
    assert [order.account for order in book] == [key("home-01").public]


def test_a_snapshot_does_not_change_when_the_market_goes_on(scene: Scene) -> None:
    scene.committee.block(1, 0, 10)
    scene.deliver()
    before = scene.mirror.snapshot(FeedState.LIVE)
    kept = (before.blocks, before.nodes, before.agents, before.periods)
    clearing = make_clearing(scene.deployment, 4)
    scene.committee.clearing(clearing)
    scene.committee.settlement(make_settlement(scene.deployment, clearing))
    scene.committee.block(2, 0, 10)
    scene.deliver()
    assert (before.blocks, before.nodes, before.agents, before.periods) == kept
    assert scene.mirror.snapshot(FeedState.LIVE).blocks != before.blocks


def test_nodes_are_compared_with_the_committee(scene: Scene) -> None:
    scene.committee.block(1, 0, 40)
    scene.committee.block(2, 0, 40, members=[0, 1, 3])
    scene.deliver()
    scene.mirror.step()
    nodes = {node.name: node for node in scene.mirror.snapshot(FeedState.LIVE).nodes}
    assert nodes["notary-office"].behind == 1
    assert nodes["grid-company"].behind == 0
    assert [node.name for node in nodes.values() if node.is_primary] == ["energy-bureau"]


def test_a_model_of_nobody_steps_like_any_model() -> None:
    model = MirrorModel()
    for _ in range(10):
        model.step()
    assert model.snapshot(FeedState.WAITING).agents == ()


def test_history_keeps_the_recent_past_whole_and_stays_bounded() -> None:
    rows: ThinnedRows[int] = ThinnedRows(64)
    for number in range(10_000):
        rows.append(number)
    assert len(rows.rows) <= 64
    assert list(rows.rows) == sorted(rows.rows)
    assert list(rows.rows[-12:]) == list(range(9_988, 10_000))
    assert rows.rows[0] == 0


def test_histories_of_agents_stay_aligned_when_they_are_thinned() -> None:
    import numpy as np

    table = ThinnedTable(("a", "b"), 3, 64)
    for period in range(1_000):
        table.append(period, {"a": np.array([period, 2 * period, 3 * period], dtype=float)})
        table.put(period, "b", 1, float(-period))
    periods, columns = table.read(("a", "b"), 1)
    assert len(periods) <= 64
    assert columns["a"] == [2.0 * period for period in periods]
    assert columns["b"] == [float(-period) for period in periods]
    assert table.at(periods[0], "a") == [0.0, 0.0, 0.0]
    assert table.at(5_000, "a") is None


def test_a_run_folder_tells_the_same_as_the_bus_did(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "day", homes=6, periods=8)
    hub = Hub(folder, folder.read_deployment())
    folder.result_json.write_text("{}")
    Feed(hub).run()
    snapshot = hub.snapshot
    assert snapshot.state is FeedState.ENDED
    assert snapshot.settled == 8
    for period in range(8):
        clearing = make_clearing(hub.deployment, period)
        facts = hub.facts(period)
        assert facts is not None
        assert facts.clearing is not None
        assert facts.clearing.trades == clearing.trades
        assert facts.clearing.prices == clearing.prices
        assert facts.clearing.demand == clearing.demand
        assert facts.settlement is not None
        told = {row.account: replace(row, arrears_nano=0, owed_nano=0) for row in facts.settlement.rows}
        assert told == {row.account: row for row in make_settlement(hub.deployment, clearing).rows}
    history = hub.agent_history(key("home-00").public)
    assert history is not None
    assert history.periods == tuple(range(8))
    assert history.orders[-1].period == 7


def test_a_table_that_grows_is_read_on_from_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    file = PeriodFile(path)
    file.scan()
    assert file.periods() == []
    path.write_text("order,period,side\n1,0,buy\n2,0,sell\n3,1,b")
    file.scan()
    assert [row["order"] for row in file.rows(0)] == ["1", "2"]
    assert file.periods() == [0]
    with path.open("a") as end:
        end.write("uy\n4,0,buy\nrubbish\n5,x,buy\n")
    file.scan()
    assert [row["order"] for row in file.rows(0)] == ["1", "2", "4"]
    assert [row["side"] for row in file.rows(1)] == ["buy"]


def test_a_period_that_is_long_gone_comes_from_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.web.mirror.FACT_ROWS_MAX", 10)
    folder = record_day(tmp_path / "day", homes=6, periods=8)
    folder.result_json.write_text("{}")
    hub = Hub(folder, folder.read_deployment())
    Feed(hub).run()
    assert hub.mirror.facts(0) is None
    facts = hub.facts(0)
    assert facts is not None
    assert facts.settlement is not None
    assert len(facts.settlement.rows) == 6
    assert hub.facts(99) is None


def test_a_folder_without_result_and_broker_is_shown_as_it_is(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "day", homes=4, periods=8, settled=3)
    hub = Hub(folder, folder.read_deployment())
    Feed(hub).run()
    assert hub.snapshot.settled == 3


def test_an_unreachable_broker_is_said_and_the_past_is_shown(tmp_path: Path, free_port: int) -> None:
    folder = record_day(tmp_path / "day", homes=4, periods=8, settled=3)
    deployed = replace(folder.read_deployment(), brokers=(f"mqtt://127.0.0.1:{free_port}",))
    folder.write_deployment(deployed)
    hub = Hub(RunFolder(folder.path), deployed)
    feed = Feed(hub)
    feed.start()
    deadline_s = time.monotonic() + 30
    while hub.snapshot.state is not FeedState.DISCONNECTED and time.monotonic() < deadline_s:
        time.sleep(0.02)
    feed.stop()
    feed.join(10)
    assert hub.snapshot.state is FeedState.DISCONNECTED
    assert hub.snapshot.settled == 3
    assert not feed.is_alive()


def test_the_folders_events_name_everybody_by_key(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "day", homes=6, periods=8)
    events = FolderEvents(folder, folder.read_deployment())
    assert events.scan() == list(range(8))
    accounts = {order.account for order in events.orders(3)}
    assert accounts == {home.account for home in folder.read_deployment().participants}
