"""The client rule at work: an agent host believes f + 1 ledger nodes, and nobody else."""

from __future__ import annotations

import pytest

from agents.announcements import ReceiptLine, encode_receipts
from agents.exchange import BusExchange, ExchangeConfig
from devices.telemetry import Telemetry
from market.events import Phase, PhaseChange, Settlement
from market.orders import Side
from market.receipts import ReasonCode
from market.transactions import CancelOrder, PlaceOrder, Transaction
from mosquitto.batch import BATCH_BYTES, decode_batch
from mosquitto.bus import BusMessage
from mosquitto.codec import encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.keys import KeyPair
from mosquitto.local_bus import LocalNetwork
from mosquitto.topics import Topics

CHAIN = "exchange-test"
TOPICS = Topics(CHAIN)
NODES = [KeyPair.derive(1, f"node-{index}") for index in range(4)]
STRANGER = KeyPair.derive(1, "stranger")
ANNA, BEN = KeyPair.derive(1, "anna"), KeyPair.derive(1, "ben")
METER = KeyPair.derive(1, "meter")
ORDER = PlaceOrder(side=Side.BUY, energy_wh=500, price_micro=200_000, period=0, expiry_period=0)


class Committee:
    """Four scripted nodes: each answers transactions with the code that `codes` gives it, or not at all."""

    def __init__(self, codes: dict[int, ReasonCode], open_period: bool = True) -> None:
        self.network = LocalNetwork()
        self.codes = codes
        self.heard: list[tuple[str, tuple[bytes, ...]]] = []
        self.bus = self.network.bus("committee")
        self.bus.subscribe(TOPICS.every_transactions(), self._on_transactions)
        config = ExchangeConfig(
            host="agents",
            chain_id=CHAIN,
            committee=tuple(node.public for node in NODES),
            threshold=2,
            regions={ANNA.public: "north", BEN.public: "south"},
            devices={"inverter": METER.public},
            default_region="north",
            receipt_limit_ms=4_000,
            result_limit_ms=2_000,
        )
        self.exchange = BusExchange(self.network.bus("agents"), config, KeyPair.derive(1, "host"), self.now_ms)
        if open_period:
            for index in (0, 1):
                self.say(index, Kind.PHASE, PhaseChange(period=0, phase=Phase.OPEN, time_ms=0).to_values())

    def now_ms(self) -> int:
        return self.network.now_ms

    def say(self, index: int, kind: Kind, values: object, key: KeyPair | None = None) -> None:
        topics = {Kind.PHASE: TOPICS.phases, Kind.SETTLEMENT: TOPICS.settlements, Kind.RECEIPTS: TOPICS.receipts}
        body = values if isinstance(values, bytes) else encode(values)  # type: ignore[arg-type]
        self.bus.publish(topics[kind](f"node-{index}"), sign(key or NODES[index], kind, CHAIN, body).encode())

    def submit(self, *calls: tuple[KeyPair, Transaction]) -> list[ReasonCode | None]:
        return [receipt and receipt.code for receipt in self.exchange.submit(calls)]

    def _on_transactions(self, message: BusMessage) -> None:
        envelopes = decode_batch(message.payload)
        self.heard.append((message.topic, envelopes))
        ids = [open_envelope(data, CHAIN).content_id() for data in envelopes]
        for index, code in self.codes.items():
            self.say(index, Kind.RECEIPTS, encode_receipts(7, [ReceiptLine(item, int(code), 0) for item in ids]))


def test_two_equal_receipts_of_four_nodes_are_believed() -> None:
    committee = Committee({2: ReasonCode.OK, 3: ReasonCode.OK})
    assert committee.submit((ANNA, ORDER)) == [ReasonCode.OK]


def test_one_liar_convinces_nobody_however_often_it_speaks() -> None:
    committee = Committee({0: ReasonCode.OK})
    assert committee.submit((ANNA, ORDER)) == [None]
    assert len(committee.heard) > 1, "the order was sent again, so the liar answered more than once"


def test_a_liar_does_not_hide_what_two_others_say() -> None:
    committee = Committee({0: ReasonCode.OK, 1: ReasonCode.NOT_ENOUGH_MONEY, 2: ReasonCode.NOT_ENOUGH_MONEY})
    assert committee.submit((ANNA, ORDER)) == [ReasonCode.NOT_ENOUGH_MONEY]


def test_receipts_signed_by_a_stranger_on_a_nodes_topic_count_for_nothing() -> None:
    committee = Committee({0: ReasonCode.OK})
    original = committee.say

    def impersonate(index: int, kind: Kind, values: object, key: KeyPair | None = None) -> None:
        original(index, kind, values)
        original(1, kind, values, STRANGER)

    committee.say = impersonate  # type: ignore[method-assign]
    assert committee.submit((ANNA, ORDER)) == [None]


def test_an_order_is_sent_again_unchanged_until_it_is_answered() -> None:
    committee = Committee({})
    assert committee.submit((ANNA, ORDER)) == [None]
    sent = {envelopes for _, envelopes in committee.heard}
    assert len(committee.heard) >= 2
    assert len(sent) == 1, "each time the same bytes, so that a replay does nothing"


def test_two_equal_orders_of_one_person_are_two_transactions() -> None:
    committee = Committee({0: ReasonCode.OK, 1: ReasonCode.OK})
    assert committee.submit((ANNA, ORDER), (ANNA, ORDER)) == [ReasonCode.OK, ReasonCode.OK]
    ids = {open_envelope(data, CHAIN).content_id() for _, envelopes in committee.heard for data in envelopes}
    assert len(ids) == 2


def test_transactions_go_out_in_one_batch_a_region() -> None:
    committee = Committee({0: ReasonCode.OK, 1: ReasonCode.OK})
    committee.submit((ANNA, ORDER), (BEN, ORDER), (ANNA, CancelOrder(order=1)))
    counts = {topic: len(envelopes) for topic, envelopes in committee.heard}
    assert counts == {TOPICS.transactions("north", "agents"): 2, TOPICS.transactions("south", "agents"): 1}


def test_a_large_batch_is_cut_below_what_brokers_carry() -> None:
    committee = Committee({0: ReasonCode.OK, 1: ReasonCode.OK})
    receipts = committee.submit(*[(ANNA, ORDER)] * 2_000)
    assert set(receipts) == {ReasonCode.OK}
    assert len(committee.heard) > 1
    assert all(sum(map(len, envelopes)) <= BATCH_BYTES for _, envelopes in committee.heard)


def test_a_settlement_is_returned_when_two_nodes_publish_the_same() -> None:
    committee = Committee({})
    true, false = (
        Settlement(period=0, time_ms=time_ms, rows=(), grid_nano=0, pot_nano=0) for time_ms in (1_000, 2_000)
    )
    for index, settlement in ((0, false), (1, true), (3, true)):
        committee.say(index, Kind.SETTLEMENT, settlement.to_values())
    assert committee.exchange.wait_settlement(0) == true


def test_what_never_comes_ends_in_a_timeout_that_says_what() -> None:
    committee = Committee({})
    with pytest.raises(TimeoutError, match="settlement of period 5"):
        committee.exchange.wait_settlement(5)


def test_the_open_period_is_unknown_until_nodes_have_said_it() -> None:
    committee = Committee({}, open_period=False)
    with pytest.raises(TimeoutError, match="open period"):
        _ = committee.exchange.open_period
    for index in (1, 2):
        committee.say(index, Kind.PHASE, PhaseChange(period=4, phase=Phase.SETTLED, time_ms=9).to_values())
    assert committee.exchange.open_period == 5


def test_telemetry_counts_only_under_the_devices_own_key() -> None:
    committee = Committee({})
    state = Telemetry(
        device_id="inverter", period=3, pv_wh=10, soc_wh=500, charged_wh=0, discharged_wh=0, measured_ms=1
    )
    committee.bus.publish(TOPICS.telemetry("inverter"), state.seal(STRANGER, CHAIN))
    committee.exchange.bus.poll(0.01)
    assert committee.exchange.latest_telemetry("inverter") is None
    committee.bus.publish(TOPICS.telemetry("inverter"), state.seal(METER, CHAIN))
    committee.exchange.bus.poll(0.01)
    assert committee.exchange.latest_telemetry("inverter") == state


@pytest.mark.parametrize("junk", [b"", b"\xc1", encode((1, 2, 3)), b"\x93" * 5_000])
def test_junk_on_any_topic_is_counted_and_changes_nothing(junk: bytes) -> None:
    committee = Committee({0: ReasonCode.OK, 1: ReasonCode.OK})
    for topic in (TOPICS.receipts("x"), TOPICS.clearings("x"), TOPICS.settlements("x"), TOPICS.phases("x")):
        committee.bus.publish(topic, junk)
    committee.bus.publish(TOPICS.telemetry("inverter"), junk)
    assert committee.submit((ANNA, ORDER)) == [ReasonCode.OK]
    assert sum(committee.exchange.refused.values()) == 5
