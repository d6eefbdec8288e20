"""Transactions, readings, events and configuration as plain values: one form, and rubbish is refused."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from market_world import CONFIG, World, key

from market.config import MarketConfig
from market.errors import ConfigError, FormError, TransactionError
from market.events import (
    AccountChange,
    Clearing,
    Event,
    LimitsChange,
    OperatorChange,
    Phase,
    PhaseChange,
    Settlement,
    Status,
)
from market.offer_transactions import RequestSupply, SubmitAssignment, TakeOffer
from market.orders import Role, Side
from market.readings import Quality, Reading
from market.receipts import ReasonCode
from market.supervision_transactions import (
    Accredit,
    Dispute,
    ReportEquivocation,
    ResolveDispute,
    RetireCertificates,
    SetPriceCap,
    TransferCertificates,
)
from market.transactions import (
    TAGS,
    CancelOrder,
    ClosePeriod,
    Decision,
    DeliverPeriod,
    Deposit,
    MeterRegistration,
    PlaceOrder,
    Register,
    ReplaceOperator,
    Review,
    SetLimits,
    SettlePeriod,
    SubmitReading,
    Transaction,
    Withdraw,
    encode_call,
    parse_call,
    parse_transaction,
)

METER = MeterRegistration(meter_id="m-1", key=key("m"), max_import_wh=5000, max_export_wh=3000, import_wh=17)
READING = Reading(
    meter_id="m-1", period=4, import_wh=10, export_wh=20, measured_ms=30, quality=Quality.GATEWAY, counter=7
)
EXAMPLES: list[Transaction] = [
    Register(
        name_hash=bytes(32), role=Role.PROSUMER, region="east", settlement_account="DE12 3456", meters=(METER,)
    ),
    Review(account=key("a"), decision=Decision.FREEZE, reason="tampered"),
    Deposit(account=key("a"), amount_nano=5),
    Withdraw(amount_nano=5),
    PlaceOrder(side=Side.BUY, energy_wh=7, price_micro=9, period=1, expiry_period=2, region_only=True, hard=True),
    CancelOrder(order=3),
    ClosePeriod(period=1, time_ms=2),
    DeliverPeriod(period=1, time_ms=2),
    SettlePeriod(period=1, time_ms=2),
    SubmitReading(reading=READING),
    SetLimits(ask_limit_micro=1, lowest_micro=2, highest_micro=3),
    ReplaceOperator(term=4),
    TakeOffer(order=3, energy_wh=4, price_micro=5),
    RequestSupply(energy_wh=7, price_micro=9, period=1),
    SubmitAssignment(period=2, pairs=((1, 4), (3, 4))),
    Dispute(trade=3, evidence=(bytes(32), bytes([1]) * 32), reason="the loss is not mine"),
    ResolveDispute(trade=3, buyer_ppm=500_000, reason="half each"),
    SetPriceCap(cap_micro=9, first_period=1, last_period=5, reason="storm"),
    Accredit(account=key("a"), renewable=True),
    TransferCertificates(serials=(1, 2, 7), receiver=key("b")),
    RetireCertificates(serials=(4,)),
    ReportEquivocation(accused=key("m"), kind=2, view=3, sequence=4, proof=b"two messages"),
]


def test_there_is_an_example_of_every_transaction() -> None:
    assert {type(example) for example in EXAMPLES} == set(TAGS)


def test_tags_never_change() -> None:
    assert {kind.__name__: tag for kind, tag in TAGS.items()} == {
        "Register": 1,
        "Review": 2,
        "Deposit": 3,
        "Withdraw": 4,
        "PlaceOrder": 5,
        "CancelOrder": 6,
        "TakeOffer": 7,
        "RequestSupply": 8,
        "ClosePeriod": 9,
        "DeliverPeriod": 10,
        "SettlePeriod": 11,
        "SubmitReading": 12,
        "SetLimits": 13,
        "ReplaceOperator": 14,
        "Dispute": 15,
        "SubmitAssignment": 16,
        "ResolveDispute": 17,
        "SetPriceCap": 18,
        "Accredit": 19,
        "TransferCertificates": 20,
        "RetireCertificates": 21,
        "ReportEquivocation": 22,
    }


@pytest.mark.parametrize("transaction", EXAMPLES, ids=lambda transaction: type(transaction).__name__)
def test_a_transaction_comes_back_from_its_fields(transaction: Transaction) -> None:
    fields = encode_call(transaction, 5, 6)
    call = parse_call(msgpack.unpackb(msgpack.packb(fields), use_list=False))
    assert call.transaction == transaction == parse_transaction(fields)
    assert (call.valid_until_period, call.nonce) == (5, 6)


@pytest.mark.parametrize("transaction", EXAMPLES, ids=lambda transaction: type(transaction).__name__)
@pytest.mark.parametrize("rubbish", [-1, 2**70, b"x", "x" * 300, (), True, None, 1.5])
def test_rubbish_in_any_field_is_refused_with_a_reason(transaction: Transaction, rubbish: object) -> None:
    fields = encode_call(transaction, 5, 6)
    for index in range(len(fields)):
        # The few places where one of these is a right value: an array that may be empty.
        if rubbish == () and type(fields[index]) is tuple:
            continue
        # And bytes that only the ledger can read.
        if rubbish == b"x" and isinstance(transaction, ReportEquivocation) and fields[index] == transaction.proof:
            continue
        with pytest.raises(TransactionError):
            parse_call((*fields[:index], rubbish, *fields[index + 1 :]))  # type: ignore[arg-type]


@pytest.mark.parametrize("transaction", EXAMPLES, ids=lambda transaction: type(transaction).__name__)
def test_too_few_and_too_many_fields_are_refused(transaction: Transaction) -> None:
    fields = encode_call(transaction, 5, 6)
    for wrong in (*(fields[:length] for length in range(len(fields))), (*fields, 0)):
        with pytest.raises(TransactionError) as caught:
            parse_call(wrong)
        assert caught.value.code is ReasonCode.MALFORMED


@pytest.mark.parametrize("meter_id", ["", "a/b", "+", "#", "ü", "x" * 65, "a b", "a\n"])
def test_a_meter_id_that_could_not_be_a_topic_is_refused(meter_id: str) -> None:
    with pytest.raises(FormError):
        Reading.from_fields(replace(READING, meter_id=meter_id).to_fields())


def test_a_reading_makes_the_call_that_submits_it() -> None:
    assert READING.call_fields(5, 6) == encode_call(SubmitReading(reading=READING), 5, 6)


def test_every_reason_has_a_sentence() -> None:
    sentences = [code.sentence for code in ReasonCode]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") for sentence in sentences)


def events() -> list[Event]:
    world = World(crossing_fee_micro=40_000)
    world.join("ann", region="east")
    world.join("bob", region="west")
    world.buy("ann", 1000, 300_000)
    world.sell("bob", 600, 100_000)
    clearing, settlement = world.run_period(ann=-1000, bob=550)
    assert len(clearing.trades) == 2
    assert len(settlement.rows) == 2
    return [
        clearing,
        settlement,
        PhaseChange(period=1, phase=Phase.DELIVERED, time_ms=5),
        AccountChange(account=key("a"), status=Status.FROZEN, reason="why"),
        OperatorChange(term=3, member=3),
        LimitsChange(ask_limit_micro=1, lowest_micro=2, highest_micro=3, tx_id=bytes(32)),
    ]


@pytest.mark.parametrize("event", events(), ids=lambda event: type(event).__name__)
def test_an_event_comes_back_from_its_values(event: Event) -> None:
    values = msgpack.unpackb(msgpack.packb(event.to_values()), use_list=False)
    assert type(event).from_values(values) == event


@pytest.mark.parametrize("event", events(), ids=lambda event: type(event).__name__)
def test_rubbish_in_an_event_is_refused(event: Event) -> None:
    values = event.to_values()
    for index in range(len(values)):
        with pytest.raises(FormError):
            type(event).from_values((*values[:index], None, *values[index + 1 :]))  # type: ignore[arg-type]
    with pytest.raises(FormError):
        type(event).from_values((*values, 0))
    with pytest.raises(FormError):
        type(event).from_values(values[:-1])


def test_a_trade_that_names_an_account_outside_the_table_is_refused() -> None:
    clearing = events()[0]
    assert isinstance(clearing, Clearing)
    values = list(clearing.to_values())
    trades = values[6]
    assert isinstance(trades, tuple)
    first = trades[0]
    assert isinstance(first, tuple)
    values[6] = ((*first[:3], 99, *first[4:]), *trades[1:])
    with pytest.raises(FormError):
        Clearing.from_values(tuple(values))


def test_a_settlement_without_the_account_has_no_row() -> None:
    settlement = events()[1]
    assert isinstance(settlement, Settlement)
    assert settlement.row(key("nobody")) is None


def test_a_configuration_comes_back_from_its_values_and_has_a_digest() -> None:
    assert MarketConfig.from_values(CONFIG.to_values()) == CONFIG
    assert CONFIG.digest() == MarketConfig.from_values(CONFIG.to_values()).digest()
    assert CONFIG.digest() != replace(CONFIG, retail_micro=CONFIG.retail_micro + 1).digest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("committee", ()),
        ("committee", (key("a"), key("a"))),
        ("regulator", b"short"),
        ("regions", ()),
        ("regions", ("a", "a")),
        ("regions", ("a/b",)),
        ("mechanism", "lottery"),
        ("price_rule", "random"),
        ("region_priority", "none"),
        ("crossing_fee_micro", -1),
        ("crossing_fee_micro", 1.5),
        ("retail_micro", 79_999),
        ("lowest_micro", 1_000_001),
        ("validity_periods", 0),
        ("reputation_alpha_ppm", 1_000_001),
        ("working_capital_nano", 2**63),
    ],
)
def test_a_configuration_that_cannot_be_right_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError):
        replace(CONFIG, **{field: value})  # type: ignore[arg-type]


def test_a_uniform_price_in_one_book_needs_no_crossing_fee() -> None:
    with pytest.raises(ConfigError, match="crossing_fee_micro"):
        replace(CONFIG, price_rule="uniform", region_priority="tie")
    replace(CONFIG, price_rule="uniform", region_priority="tie", crossing_fee_micro=0)
