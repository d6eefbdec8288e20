"""Every reason code is reached by a transaction that deserves it, and a refused one changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from market_world import CASHIER, COMMITTEE, GRID, OPERATOR, REGULATOR, World, key

from market.contract import SignedCall, encode_call
from market.market_events import OfferList
from market.market_records import CONVICTIONS_MAX, Certificate, HeldPayment
from market.offer_transactions import SubmitAssignment, TakeOffer
from market.orders import Role, Side
from market.readings import Quality
from market.receipts import ReasonCode
from market.supervision_transactions import (
    Accredit,
    Dispute,
    ReportEquivocation,
    ResolveDispute,
    RetireCertificates,
    SetPriceCap,
)
from market.transactions import (
    CancelOrder,
    ClosePeriod,
    Decision,
    DeliverPeriod,
    Deposit,
    PlaceOrder,
    ReplaceOperator,
    Review,
    SetLimits,
    Withdraw,
)
from market.units import NANO


def order(**changes: object) -> PlaceOrder:
    plain = PlaceOrder(side=Side.BUY, energy_wh=100, price_micro=200_000, period=0, expiry_period=0)
    return replace(plain, **changes)  # type: ignore[arg-type]


def market(**changes: object) -> World:
    """Ann may do anything, bob is pending, period 0 is open."""
    world = World(**changes)
    world.join("ann")
    world.done(key("bob"), world.registration("bob"))
    return world


def raw(world: World, fields: object) -> SignedCall:
    return SignedCall(tx_id=bytes([7]) * 32, sender=key("ann"), fields=fields)  # type: ignore[arg-type]


def delivered(**changes: object) -> World:
    """Period 0 waits for readings."""
    world = market(**changes)
    world.close()
    world.deliver(0)
    return world


def malformed() -> tuple[World, SignedCall]:
    world = market()
    return world, raw(world, (5, 0, 1, int(Side.BUY), -100, 200_000, 0, 0, 0))


def undecodable() -> tuple[World, SignedCall]:
    world = market()
    return world, raw(world, None)


def unknown_type() -> tuple[World, SignedCall]:
    world = market()
    return world, raw(world, (99, 0, 1))


def replayed() -> tuple[World, SignedCall]:
    world = market()
    call = world.call(key("ann"), order())
    world.block(call)
    return world, call


def expired() -> tuple[World, SignedCall]:
    world = market()
    call = world.call(key("ann"), order(period=1, expiry_period=1))
    world.close()
    return world, call


def valid_too_long() -> tuple[World, SignedCall]:
    world = market()
    return world, world.call(key("ann"), order(), valid_until=world.config.validity_periods + 1)


def call_of(sender: bytes, transaction: object, **changes: object) -> tuple[World, SignedCall]:
    world = market(**changes)
    return world, world.call(sender, transaction)  # type: ignore[arg-type]


def registering(name: str, **changes: object) -> tuple[World, SignedCall]:
    world = market()
    return world, world.call(key(name), replace(world.registration(name), **changes))  # type: ignore[arg-type]


def meter_taken() -> tuple[World, SignedCall]:
    world = market()
    wanted = replace(world.registration("eve"), meters=world.registration("ann").meters)
    world.done(key("eve"), wanted)
    return world, world.call(REGULATOR, Review(account=key("eve"), decision=Decision.APPROVE))


def registry_full() -> tuple[World, SignedCall]:
    world = market(pending_max=1)
    return world, world.call(key("eve"), world.registration("eve"))


def reserved_key() -> tuple[World, SignedCall]:
    world = market()
    return world, world.call(GRID, world.registration("eve"))


def too_much_money() -> tuple[World, SignedCall]:
    world = market(working_capital_nano=10**18)
    most = Deposit(account=key("ann"), amount_nano=10**17)
    for _ in range(29):
        world.done(CASHIER, most)
    return world, world.call(CASHIER, most)


def readings_missing() -> tuple[World, SignedCall]:
    world = market()
    world.run_period()
    return world, world.call(key("ann"), Withdraw(amount_nano=1))


def role_forbids_side() -> tuple[World, SignedCall]:
    world = market()
    world.join("mill", Role.PRODUCER)
    return world, world.call(key("mill"), order())


def period_closed() -> tuple[World, SignedCall]:
    world = market()
    world.close()
    return world, world.call(key("ann"), order())


def too_many_orders() -> tuple[World, SignedCall]:
    world = market(open_orders_max=1)
    world.buy("ann", 1, 1000)
    return world, world.call(key("ann"), order())


def other_side_open() -> tuple[World, SignedCall]:
    world = market()
    world.sell("ann", 1, 1000, last=2)
    return world, world.call(key("ann"), order(period=2, expiry_period=3))


def not_enough_energy() -> tuple[World, SignedCall]:
    world = market()
    world.sell("ann", 9_000, 1000)
    return world, world.call(key("ann"), order(side=Side.SELL, energy_wh=1_001))


def not_owner() -> tuple[World, SignedCall]:
    world = market()
    number = world.buy("ann", 1, 1000)
    return world, world.call(key("bob"), CancelOrder(order=number))


def too_many_unsettled() -> tuple[World, SignedCall]:
    world = market(unsettled_periods_max=1)
    world.close()
    return world, world.call(OPERATOR, ClosePeriod(period=1, time_ms=0))


def reading(
    sender: str = "meter-ann", name: str = "ann", before: bool = False, **fields: int
) -> tuple[World, SignedCall]:
    world = delivered()
    if before:
        world.done(key("meter-ann"), world.reading("ann", 0, 500, 500))
        if fields.get("period"):
            world.close()
            world.deliver(1)
    plain = {"period": 0, "import_wh": 600, "export_wh": 600} | fields
    return world, world.call(key(sender), world.reading(name, **plain))


def old_counter() -> tuple[World, SignedCall]:
    world, call = reading(before=True, period=1)
    assert call.fields is not None
    return world, replace(call, fields=(*call.fields[:-1], 1))


def reading_too_late() -> tuple[World, SignedCall]:
    world = market()
    world.run_period()
    return world, world.call(key("meter-ann"), world.reading("ann", 0, 0, 0))


def reset_too_soon() -> tuple[World, SignedCall]:
    world = market()
    world.close()
    world.deliver(0)
    world.done(key("meter-ann"), world.reading("ann", 0, 0, 0, Quality.RESET))
    world.close()
    world.deliver(1)
    return world, world.call(key("meter-ann"), world.reading("ann", 1, 0, 0, Quality.RESET))


def already_voted() -> tuple[World, SignedCall]:
    world = market()
    world.done(COMMITTEE[1], ReplaceOperator(term=1))
    return world, world.call(COMMITTEE[1], ReplaceOperator(term=1))


def unsupported() -> tuple[World, SignedCall]:
    return call_of(key("ann"), order(side=Side.SELL, hard=True))


def offered(**conditions: bool) -> World:
    """Bob of the east lists 500 Wh, cat of the west looks on."""
    world = market(mechanism="listing")
    world.done(REGULATOR, Review(account=key("bob"), decision=Decision.APPROVE))
    world.registers["bob"] = (0, 0)
    world.sell("bob", 500, 150_000, **conditions)
    world.join("cat", region="west")
    return world


def taking(
    name: str, energy_wh: int = 500, price_micro: int = 150_000, **conditions: bool
) -> tuple[World, SignedCall]:
    world = offered(**conditions)
    take = TakeOffer(order=1, energy_wh=energy_wh, price_micro=price_micro)
    return world, world.call(key(name), take)


def assigning(*pairs: tuple[int, int], **changes: object) -> tuple[World, SignedCall]:
    world = market(**({"mechanism": "matching"} | changes))
    return world, world.call(key("ann"), SubmitAssignment(period=0, pairs=pairs))


def too_many_assignments() -> tuple[World, SignedCall]:
    world, call = assigning(assignments_max=1)
    world.done(REGULATOR, SubmitAssignment(period=0, pairs=()))
    return world, call


def held(sender: bytes, transaction: object, disputed_by: bytes = b"") -> tuple[World, SignedCall]:
    """A payment of ann to dan is held; its money is locked for it as a settlement would have left it."""
    world = market()
    world.join("dan")
    account = world.state.accounts.edit(key("ann"))
    account.free_nano, account.locked_nano = account.free_nano - 7, account.locked_nano + 7
    payment = HeldPayment(
        period=0,
        buyer=key("ann"),
        seller=key("dan"),
        amount_nano=7,
        agreed_wh=7,
        provided_wh=7,
        received_wh=0,
        release_period=9,
        evidence=(bytes(32),),
        disputed_by=disputed_by,
    )
    world.state.held.add(1, payment)
    world.block()
    return world, world.call(sender, transaction)  # type: ignore[arg-type]


def not_a_generator() -> tuple[World, SignedCall]:
    world = market()
    world.join("dan", Role.CONSUMER)
    return world, world.call(REGULATOR, Accredit(account=key("dan"), renewable=True))


def certified(sender: str, serial: int = 1) -> tuple[World, SignedCall]:
    world = market()
    world.join("dan")
    world.state.certificates.add(1, Certificate(owner=key("dan"), origin=key("dan"), period=0))
    world.state.accounts.edit(key("dan")).certificates = 1
    world.state.head.next_certificate = 2
    world.block()
    return world, world.call(key(sender), RetireCertificates(serials=(serial,)))


def equivocation(**changes: object) -> ReportEquivocation:
    plain = ReportEquivocation(accused=COMMITTEE[3], kind=2, view=1, sequence=0, proof=b"")
    return replace(plain, **changes)  # type: ignore[arg-type]


def convicted(times: int, **changes: object) -> tuple[World, SignedCall]:
    world = market()
    for sequence in range(times):
        world.done(COMMITTEE[sequence % 3], equivocation(sequence=sequence))
    return world, world.call(COMMITTEE[0], equivocation(**changes))


CASES: dict[ReasonCode, Callable[[], tuple[World, SignedCall]]] = {
    ReasonCode.MALFORMED: malformed,
    ReasonCode.UNKNOWN_TYPE: unknown_type,
    ReasonCode.REPLAYED: replayed,
    ReasonCode.EXPIRED: expired,
    ReasonCode.VALID_TOO_LONG: valid_too_long,
    ReasonCode.UNKNOWN_ACCOUNT: lambda: call_of(key("nobody"), order()),
    ReasonCode.NOT_APPROVED: lambda: call_of(key("bob"), order()),
    ReasonCode.ALREADY_REGISTERED: lambda: registering("ann"),
    ReasonCode.UNKNOWN_REGION: lambda: registering("eve", region="moon"),
    ReasonCode.METER_TAKEN: meter_taken,
    ReasonCode.REGISTRY_FULL: registry_full,
    ReasonCode.RESERVED_KEY: reserved_key,
    ReasonCode.NOT_REGULATOR: lambda: call_of(CASHIER, Review(account=key("bob"), decision=Decision.APPROVE)),
    ReasonCode.WRONG_STATUS: lambda: call_of(REGULATOR, Review(account=key("ann"), decision=Decision.REFUSE)),
    ReasonCode.NOT_CASHIER: lambda: call_of(key("ann"), Deposit(account=key("ann"), amount_nano=1)),
    ReasonCode.TOO_MUCH_MONEY: too_much_money,
    ReasonCode.NOT_ENOUGH_MONEY: lambda: call_of(key("ann"), Withdraw(amount_nano=100 * NANO + 1)),
    ReasonCode.READINGS_MISSING: readings_missing,
    ReasonCode.ROLE_FORBIDS_SIDE: role_forbids_side,
    ReasonCode.PRICE_OUTSIDE_LIMITS: lambda: call_of(key("ann"), order(price_micro=1_000_001)),
    ReasonCode.PERIOD_CLOSED: period_closed,
    ReasonCode.PERIOD_TOO_FAR: lambda: call_of(key("ann"), order(expiry_period=97)),
    ReasonCode.EXPIRY_BEFORE_PERIOD: lambda: call_of(key("ann"), order(period=2, expiry_period=1)),
    ReasonCode.TOO_MANY_ORDERS: too_many_orders,
    ReasonCode.OTHER_SIDE_OPEN: other_side_open,
    ReasonCode.NOT_ENOUGH_ENERGY: not_enough_energy,
    ReasonCode.UNKNOWN_ORDER: lambda: call_of(key("ann"), CancelOrder(order=1)),
    ReasonCode.NOT_OWNER: not_owner,
    ReasonCode.NOT_OPERATOR: lambda: call_of(COMMITTEE[1], ClosePeriod(period=0, time_ms=0)),
    ReasonCode.WRONG_PHASE: lambda: call_of(OPERATOR, DeliverPeriod(period=0, time_ms=0)),
    ReasonCode.TOO_MANY_UNSETTLED: too_many_unsettled,
    ReasonCode.WRONG_TIME: lambda: call_of(OPERATOR, ClosePeriod(period=0, time_ms=10**6), operator_skew_ms=100),
    ReasonCode.UNKNOWN_METER: lambda: reading(name="nobody"),
    ReasonCode.NOT_METER_KEY: lambda: reading(sender="ann"),
    ReasonCode.COUNTER_NOT_INCREASING: old_counter,
    ReasonCode.REGISTER_DECREASED: lambda: reading(before=True, period=1, import_wh=499),
    ReasonCode.READING_IMPLAUSIBLE: lambda: reading(import_wh=10_001),
    ReasonCode.READING_DUPLICATE: lambda: reading(before=True),
    ReasonCode.READING_TOO_EARLY: lambda: reading(period=1),
    ReasonCode.READING_TOO_LATE: reading_too_late,
    ReasonCode.RESET_TOO_SOON: reset_too_soon,
    ReasonCode.LIMITS_CONTRADICT: lambda: call_of(
        REGULATOR, SetLimits(ask_limit_micro=0, lowest_micro=2, highest_micro=1)
    ),
    ReasonCode.NOT_COMMITTEE: lambda: call_of(key("ann"), ReplaceOperator(term=1)),
    ReasonCode.WRONG_TERM: lambda: call_of(COMMITTEE[1], ReplaceOperator(term=2)),
    ReasonCode.ALREADY_VOTED: already_voted,
    ReasonCode.CONDITION_UNSUPPORTED: unsupported,
    ReasonCode.MECHANISM_FORBIDS: lambda: call_of(key("ann"), TakeOffer(order=1, energy_wh=1, price_micro=1)),
    ReasonCode.ASSIGNMENT_INFEASIBLE: lambda: assigning((1, 2)),
    ReasonCode.TOO_MANY_ASSIGNMENTS: too_many_assignments,
    ReasonCode.OFFER_TOO_SMALL: lambda: taking("ann", 501),
    ReasonCode.OFFER_DIFFERS: lambda: taking("ann", price_micro=150_001),
    ReasonCode.OWN_OFFER: lambda: taking("bob"),
    ReasonCode.REGION_FORBIDS: lambda: taking("cat", region_only=True),
    ReasonCode.NOTHING_HELD: lambda: held(key("ann"), Dispute(trade=2, evidence=(bytes(32),))),
    ReasonCode.EVIDENCE_UNKNOWN: lambda: held(key("ann"), Dispute(trade=1, evidence=(bytes([9]) * 32,))),
    ReasonCode.NOT_PARTY: lambda: held(GRID, Dispute(trade=1, evidence=(bytes(32),))),
    ReasonCode.ALREADY_DISPUTED: lambda: held(
        key("dan"), Dispute(trade=1, evidence=(bytes(32),)), disputed_by=key("ann")
    ),
    ReasonCode.NOT_DISPUTED: lambda: held(REGULATOR, ResolveDispute(trade=1, buyer_ppm=0)),
    ReasonCode.WRONG_WINDOW: lambda: call_of(REGULATOR, SetPriceCap(cap_micro=1, first_period=5, last_period=4)),
    ReasonCode.UNKNOWN_CERTIFICATE: lambda: certified("dan", 2),
    ReasonCode.NOT_CERTIFICATE_OWNER: lambda: certified("ann"),
    ReasonCode.NOT_A_GENERATOR: not_a_generator,
    ReasonCode.UNKNOWN_MEMBER: lambda: call_of(COMMITTEE[0], equivocation(accused=key("ann"))),
    ReasonCode.ALREADY_CONVICTED: lambda: convicted(1),
    ReasonCode.TOO_MANY_CONVICTIONS: lambda: convicted(CONVICTIONS_MAX, sequence=CONVICTIONS_MAX),
}


@pytest.mark.parametrize(
    "code", [code for code in ReasonCode if code is not ReasonCode.OK], ids=lambda code: code.name
)
def test_each_reason_is_given_and_nothing_else_changes(code: ReasonCode) -> None:
    world, call = CASES[code]()
    before = world.state.to_values()
    receipt = world.block(call).receipts[0]
    assert (receipt.code, receipt.detail) == (code, 0)
    assert receipt.code.sentence
    after = world.state.to_values()
    assert [event for event in world.outcome.events if not isinstance(event, OfferList)] == []
    # The time in the head moves on, and the id of a call within its validity is remembered.
    assert after[2:-1] == before[2:-1]
    assert _without_time(after[1]) == _without_time(before[1])


def _without_time(head: object) -> object:
    assert isinstance(head, tuple)
    return head[:1] + head[2:]


def test_a_body_that_cannot_be_decoded_is_malformed() -> None:
    world, call = undecodable()
    assert world.block(call).receipts[0].code is ReasonCode.MALFORMED


def test_a_refused_call_does_not_come_alive_when_it_is_played_again() -> None:
    world = market()
    call = world.call(key("ann"), order(energy_wh=10**6, price_micro=200_000))
    assert world.block(call).receipts[0].code is ReasonCode.NOT_ENOUGH_MONEY
    world.done(CASHIER, Deposit(account=key("ann"), amount_nano=1000 * NANO))
    assert world.block(call).receipts[0].code is ReasonCode.REPLAYED


def test_the_same_call_twice_in_one_block_executes_once() -> None:
    world = market()
    call = world.call(key("ann"), order())
    codes = [receipt.code for receipt in world.block(call, call).receipts]
    assert codes == [ReasonCode.OK, ReasonCode.REPLAYED]


def test_ids_are_forgotten_only_when_they_can_no_longer_be_valid() -> None:
    world = market()
    call = world.call(key("ann"), order(), valid_until=1)
    world.block(call)
    world.close()
    assert world.state.knows(call.tx_id)
    world.close()
    assert not world.state.knows(call.tx_id)
    assert world.block(call).receipts[0].code is ReasonCode.EXPIRED


def test_two_orders_that_differ_in_the_nonce_alone_are_two_orders() -> None:
    world = market()
    codes = [world.code(key("ann"), order()) for _ in range(2)]
    assert codes == [ReasonCode.OK, ReasonCode.OK]
    assert len(world.state.orders) == 2


def test_fields_are_those_of_the_call_that_was_encoded() -> None:
    assert encode_call(order(), 3, 9) == (5, 3, 9, 1, 100, 200_000, 0, 0, 0)
