"""Registration, review, money in and out, and the operator's terms."""

from __future__ import annotations

from dataclasses import replace

import pytest
from market_world import CASHIER, COMMITTEE, GRID, OPERATOR, REGULATOR, World, key

from market.contract import SignedCall, admit, encode_call
from market.events import AccountChange, OperatorChange, Status
from market.receipts import ReasonCode
from market.transactions import (
    ClosePeriod,
    Decision,
    Deposit,
    MeterRegistration,
    Register,
    ReplaceOperator,
    Review,
    Withdraw,
)
from market.units import NANO


def review(name: str, decision: Decision) -> Review:
    return Review(account=key(name), decision=decision)


def test_an_account_is_pending_until_the_regulator_approves_it() -> None:
    world = World()
    world.done(key("ann"), world.registration("ann"))
    assert world.outcome.events == (AccountChange(account=key("ann"), status=Status.PENDING, reason=""),)
    assert world.account("ann").meters == ()
    world.done(REGULATOR, review("ann", Decision.APPROVE))
    assert world.account("ann").status is Status.APPROVED
    assert world.account("ann").meters == ("meter-ann",)


def test_a_refused_applicant_leaves_the_state_and_may_apply_again() -> None:
    world = World()
    world.done(key("ann"), world.registration("ann"))
    world.done(REGULATOR, Review(account=key("ann"), decision=Decision.REFUSE, reason="unknown"))
    assert world.outcome.events == (AccountChange(account=key("ann"), status=Status.REFUSED, reason="unknown"),)
    assert key("ann") not in world.state.accounts
    world.done(key("ann"), world.registration("ann"))


def test_an_applicant_cannot_squat_on_anothers_meter() -> None:
    world = World()
    world.done(key("eve"), replace(world.registration("eve"), meters=world.registration("ann").meters))
    world.join("ann")
    assert world.code(REGULATOR, review("eve", Decision.APPROVE)) is ReasonCode.METER_TAKEN


def test_a_freeze_is_lifted_by_approval_and_delisting_is_final() -> None:
    world = World()
    world.join("ann")
    world.done(REGULATOR, review("ann", Decision.FREEZE))
    assert world.withdraw("ann", 1) is ReasonCode.NOT_APPROVED
    world.done(REGULATOR, review("ann", Decision.APPROVE))
    world.done(REGULATOR, review("ann", Decision.DELIST))
    assert world.code(REGULATOR, review("ann", Decision.APPROVE)) is ReasonCode.WRONG_STATUS
    assert world.code(key("ann"), world.registration("ann")) is ReasonCode.ALREADY_REGISTERED
    assert world.withdraw("ann", 100 * NANO) is ReasonCode.OK


def test_the_grid_companys_account_cannot_be_reviewed() -> None:
    assert World().code(REGULATOR, Review(account=GRID, decision=Decision.FREEZE)) is ReasonCode.UNKNOWN_ACCOUNT


def test_authorities_cannot_register() -> None:
    world = World()
    for authority in (REGULATOR, CASHIER, GRID, *COMMITTEE):
        assert world.code(authority, world.registration("x")) is ReasonCode.RESERVED_KEY


def test_deposits_and_withdrawals_are_all_the_money_that_moves_in_and_out() -> None:
    world = World()
    world.join("ann", money=5)
    assert world.withdraw("ann", 2 * NANO) is ReasonCode.OK
    head = world.state.head
    assert head.deposits_nano == world.config.working_capital_nano + 5 * NANO
    assert head.withdrawals_nano == 2 * NANO
    assert world.account("ann").free_nano == 3 * NANO


@pytest.mark.parametrize("status", ["pending", "unknown"])
def test_only_reviewed_accounts_get_deposits(status: str) -> None:
    world = World()
    if status == "pending":
        world.done(key("ann"), world.registration("ann"))
    expected = ReasonCode.NOT_APPROVED if status == "pending" else ReasonCode.UNKNOWN_ACCOUNT
    assert world.code(CASHIER, Deposit(account=key("ann"), amount_nano=1)) is expected


def test_locked_money_cannot_be_withdrawn() -> None:
    world = World()
    world.join("ann", money=1)
    world.buy("ann", 4000, 200_000)
    assert world.withdraw("ann", NANO) is ReasonCode.NOT_ENOUGH_MONEY
    assert world.withdraw("ann", NANO - 4000 * 200_000) is ReasonCode.OK


def test_f_plus_one_members_replace_the_operator() -> None:
    world = World()
    world.done(COMMITTEE[2], ReplaceOperator(term=1))
    assert world.outcome.events == ()
    world.done(COMMITTEE[3], ReplaceOperator(term=1))
    assert world.outcome.events == (OperatorChange(term=1, member=1),)
    close = ClosePeriod(period=0, time_ms=0)
    assert world.code(OPERATOR, close) is ReasonCode.NOT_OPERATOR
    assert world.code(COMMITTEE[1], close) is ReasonCode.OK


def test_terms_go_round_the_committee() -> None:
    world = World()
    for term in range(1, 6):
        world.done(COMMITTEE[0], ReplaceOperator(term=term))
        world.done(COMMITTEE[1], ReplaceOperator(term=term))
    assert world.state.operator_term == 5
    assert world.code(COMMITTEE[1], ClosePeriod(period=0, time_ms=0)) is ReasonCode.OK


def test_votes_for_a_term_do_not_count_for_the_next() -> None:
    world = World()
    for member in COMMITTEE[:2]:
        world.done(member, ReplaceOperator(term=1))
    assert world.code(COMMITTEE[2], ReplaceOperator(term=1)) is ReasonCode.WRONG_TERM
    assert world.state.operator_term == 1
    assert world.state.head.operator_votes == ()


def admitted(world: World, call: SignedCall) -> ReasonCode:
    before = world.state.to_values()
    code = admit(world.config, world.state, call)
    assert world.state.to_values() == before
    return code


def test_the_pool_admits_what_could_execute_and_keeps_rubbish_out() -> None:
    world = World()
    world.join("ann")
    world.done(key("bob"), world.registration("bob"))
    close = ClosePeriod(period=0, time_ms=0)
    cases = [
        (key("ann"), Withdraw(amount_nano=1), ReasonCode.OK),
        (key("bob"), Withdraw(amount_nano=1), ReasonCode.NOT_APPROVED),
        (key("eve"), Withdraw(amount_nano=1), ReasonCode.UNKNOWN_ACCOUNT),
        (key("eve"), world.registration("eve"), ReasonCode.OK),
        (key("ann"), world.registration("ann"), ReasonCode.ALREADY_REGISTERED),
        (COMMITTEE[3], close, ReasonCode.OK),
        (key("ann"), close, ReasonCode.NOT_OPERATOR),
        (COMMITTEE[3], ReplaceOperator(term=1), ReasonCode.OK),
        (key("ann"), ReplaceOperator(term=1), ReasonCode.NOT_COMMITTEE),
        (REGULATOR, review("bob", Decision.APPROVE), ReasonCode.OK),
        (key("ann"), review("bob", Decision.APPROVE), ReasonCode.NOT_REGULATOR),
        (CASHIER, Deposit(account=key("ann"), amount_nano=1), ReasonCode.OK),
        (key("ann"), Deposit(account=key("ann"), amount_nano=1), ReasonCode.NOT_CASHIER),
        (key("meter-ann"), world.reading("ann", 0, 0, 0), ReasonCode.OK),
        (key("ann"), world.reading("ann", 0, 0, 0), ReasonCode.NOT_METER_KEY),
        (key("meter-ann"), world.reading("bob", 0, 0, 0), ReasonCode.UNKNOWN_METER),
    ]
    for sender, transaction, expected in cases:
        assert admitted(world, world.call(sender, transaction)) is expected, (sender, transaction)
    late = world.call(key("ann"), Withdraw(amount_nano=1), valid_until=9)
    assert admitted(world, late) is ReasonCode.VALID_TOO_LONG
    rubbish = SignedCall(tx_id=bytes(32), sender=key("ann"), fields=(4, 0, 0, "much"))
    assert admitted(world, rubbish) is ReasonCode.MALFORMED


def test_registers_at_registration_are_where_booking_begins() -> None:
    world = World()
    meter = MeterRegistration(
        meter_id="old", key=key("old"), max_import_wh=100, max_export_wh=0, import_wh=5_000_000, export_wh=7
    )
    plain = world.registration("ann")
    world.done(key("ann"), replace(plain, meters=(meter,)))
    world.done(REGULATOR, review("ann", Decision.APPROVE))
    world.close()
    world.deliver(0)
    reading = world.reading("ann", 0, 5_000_060, 7).reading
    fields = replace(reading, meter_id="old").call_fields(world.state.open_period, 1)
    world.block(SignedCall(tx_id=bytes([9]) * 32, sender=key("old"), fields=fields))
    assert world.outcome.receipts[0].code is ReasonCode.OK
    assert world.settle(0).rows[0].import_wh == 60


def test_a_reading_may_hold_the_energy_of_every_period_since_the_last() -> None:
    world = World()
    world.join("ann", limit_wh=100)
    for _ in range(2):
        world.run_period()
    world.close()
    world.deliver(2)
    too_much = world.reading("ann", 2, 301, 0)
    assert world.code(key("meter-ann"), too_much) is ReasonCode.READING_IMPLAUSIBLE
    world.done(key("meter-ann"), world.reading("ann", 2, 300, 0))


def test_a_registration_names_each_meter_once() -> None:
    world = World()
    plain = world.registration("ann")
    twice = Register(
        name_hash=bytes(32), role=plain.role, region="east", settlement_account="", meters=plain.meters * 2
    )
    call = SignedCall(tx_id=bytes([5]) * 32, sender=key("ann"), fields=encode_call(twice, 0, 0))
    assert world.block(call).receipts[0].code is ReasonCode.MALFORMED
