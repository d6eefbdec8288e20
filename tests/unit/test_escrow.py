"""Settlement from escrow: Cui 2022, eqs. (6) and (7), held payments, disputes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market_world import OPERATOR, REGULATOR, World, key, row_of

from market.escrow import share_wh, split_of
from market.events import Settlement
from market.market_events import EscrowCase, HeldChange
from market.supervision_transactions import Dispute, ResolveDispute
from market.transactions import SettlePeriod

PRICE = 100_000
REWARD = PRICE * 50_000 // 1_000_000


@pytest.mark.parametrize(
    ("provided", "received", "case", "paid", "held", "refunded", "halves"),
    [
        (100, 100, EscrowCase.DELIVERED, 100, 0, 0, 2),
        (120, 110, EscrowCase.DELIVERED, 100, 0, 0, 2),
        (100, 95, EscrowCase.WITHIN_LOSS, 100, 0, 0, 1),
        (100, 90, EscrowCase.WITHIN_LOSS, 100, 0, 0, 1),
        (100, 89, EscrowCase.EXCESS_LOSS, 99, 1, 0, 0),
        (100, 0, EscrowCase.EXCESS_LOSS, 10, 90, 0, 0),
        (99, 99, EscrowCase.SHORT, 99, 0, 1, 0),
        (80, 75, EscrowCase.SHORT, 75, 0, 25, 0),
        (0, 0, EscrowCase.SHORT, 0, 0, 100, 0),
        (60, 80, EscrowCase.METERS_DISAGREE, 60, 20, 20, 0),
        (60, 300, EscrowCase.METERS_DISAGREE, 60, 40, 0, 0),
    ],
)
def test_the_cases_of_the_table(
    provided: int, received: int, case: EscrowCase, paid: int, held: int, refunded: int, halves: int
) -> None:
    """R = 100, tau = 10."""
    split = split_of(100, provided, received, 10)
    assert (split.case, split.paid_wh, split.held_wh, split.refunded_wh, split.reward_half_shares) == (
        case,
        paid,
        held,
        refunded,
        halves,
    )


@given(st.integers(1, 500), st.integers(0, 600), st.integers(0, 600), st.integers(0, 500))
def test_every_case_divides_all_of_the_agreed_energy(agreed: int, provided: int, received: int, loss: int) -> None:
    split = split_of(agreed, provided, received, min(loss, agreed))
    assert split.paid_wh + split.held_wh + split.refunded_wh == agreed
    assert min(split.paid_wh, split.held_wh, split.refunded_wh) >= 0
    # A reward is never earned by a delivery that is not paid in full.
    assert not split.reward_half_shares or split.paid_wh == agreed


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=6), st.integers(-100, 9_000))
def test_shares_of_one_meter_never_exceed_it(agreed: list[int], metered: int) -> None:
    shares = [share_wh(energy, metered, sum(agreed)) for energy in agreed]
    assert sum(shares) <= max(0, metered)
    assert all(share <= energy for share, energy in zip(shares, agreed, strict=True))


def traded(**changes: object) -> World:
    """Ann bought 1,000 Wh of bob at 0.10."""
    world = World(settlement="escrow", price_rule="ask", penalty_ppm=0, **changes)
    world.join("ann")
    world.join("bob")
    world.buy("ann", 1_000, 200_000)
    world.sell("bob", 1_000, PRICE)
    return world


def test_the_deposit_holds_the_bill_and_the_reward_before_delivery() -> None:
    world = traded(tokens_per_unit=3)
    assert world.account("ann").locked_nano == 1_000 * (200_000 + 10_000)
    world.close()
    assert world.account("ann").locked_nano == 1_000 * (PRICE + REWARD)
    world.deliver(0)
    world.measure("ann", 0, -1_000)
    world.measure("bob", 0, 1_000)
    line = world.settle(0).escrow[0]
    assert line.deposit_nano == 1_000 * (PRICE + REWARD)
    assert line.deposit_tokens_nano == 3 * line.deposit_nano


def settled(ann: int, bob: int, **changes: object) -> tuple[World, Settlement]:
    world = traded(**changes)
    _, settlement = world.run_period(ann=ann, bob=bob)
    return world, settlement


def test_full_delivery_earns_the_whole_reward() -> None:
    world, settlement = settled(-1_000, 1_000)
    assert settlement.escrow[0].case is EscrowCase.DELIVERED
    assert row_of(settlement, "bob").sold_nano == 1_000 * (PRICE + REWARD)
    assert world.account("ann").locked_nano == 0


def test_a_tolerable_loss_earns_half_of_it() -> None:
    _, settlement = settled(-960, 1_000)
    assert settlement.escrow[0].case is EscrowCase.WITHIN_LOSS
    assert settlement.escrow[0].reward_nano == 1_000 * REWARD // 2


def test_a_short_delivery_is_refunded_and_both_settle_the_rest_with_the_grid() -> None:
    world, settlement = settled(-1_000, 700)
    line = settlement.escrow[0]
    assert (line.case, line.bill_nano, line.reward_nano) == (EscrowCase.SHORT, 700 * PRICE, 0)
    # Ann used 1,000 Wh and 700 came from bob: the grid company sold her the rest. Bob owes nobody energy.
    assert row_of(settlement, "ann").imbalance_wh == -300
    assert row_of(settlement, "bob").imbalance_wh == 0
    assert world.account("ann").locked_nano == 0


def test_nothing_delivered_is_nothing_paid() -> None:
    _, settlement = settled(-1_000, 0)
    assert row_of(settlement, "bob").sold_nano == 0
    assert settlement.escrow[0].bill_nano == 0


def test_a_silent_meter_pays_as_agreed_without_a_reward() -> None:
    world = traded()
    _, settlement = world.run_period(ann=-1_000)
    assert settlement.escrow[0].case is EscrowCase.ESTIMATED
    assert row_of(settlement, "bob").sold_nano == 1_000 * PRICE


def test_energy_from_the_regulator_needs_no_escrow() -> None:
    world = World(settlement="escrow")
    world.join("ann")
    world.buy("ann", 500, 300_000)
    _, settlement = world.run_period(ann=-500)
    assert settlement.escrow == ()
    assert row_of(settlement, "ann").bought_nano == 500 * 300_000


def test_reputation_counts_what_arrived_when_too_much_was_lost() -> None:
    world, _ = settled(-500, 1_000)
    assert world.account("bob").reputation_ppm == 400_000 * 500 // 1_000


def held_world() -> World:
    """The user's meter shows 500 of 1,000 Wh provided: beyond the 50 Wh that may be lost, 450 are held."""
    world, settlement = settled(-500, 1_000, dispute_periods=2)
    assert settlement.escrow[0].case is EscrowCase.EXCESS_LOSS
    assert settlement.escrow[0].held_nano == 450 * PRICE
    assert world.account("ann").locked_nano == 450 * PRICE
    return world


def test_an_undisputed_payment_is_released_to_the_seller_in_time() -> None:
    world = held_world()
    before = world.account("bob").free_nano
    world.run_period(ann=0, bob=0)
    assert world.account("bob").free_nano == before
    world.run_period(ann=0, bob=0)
    assert world.account("bob").free_nano == before + 450 * PRICE
    assert len(world.state.held) == 0


def evidence_of(world: World) -> bytes:
    return world.state.held[1].evidence[0]


def test_a_dispute_stops_the_release_until_the_regulator_divides() -> None:
    world = held_world()
    world.done(key("ann"), Dispute(trade=1, evidence=(evidence_of(world),), reason="never arrived"))
    for _ in range(4):
        world.run_period(ann=0, bob=0)
    assert len(world.state.held) == 1
    free = world.account("ann").free_nano, world.account("bob").free_nano
    world.done(REGULATOR, ResolveDispute(trade=1, buyer_ppm=600_000, reason="cable"))
    changed = (world.account("ann").free_nano - free[0], world.account("bob").free_nano - free[1])
    assert changed == (270 * PRICE, 180 * PRICE)
    change = world.outcome.events[0]
    assert isinstance(change, HeldChange)
    assert (change.to_buyer_nano, change.to_seller_nano) == (270 * PRICE, 180 * PRICE)


def test_a_dispute_that_nobody_decides_is_halved_in_the_end() -> None:
    world, _ = settled(-500, 1_000, dispute_periods=1, decision_periods=2)
    world.done(key("ann"), Dispute(trade=1, evidence=(evidence_of(world),)))
    free = world.account("bob").free_nano
    for _ in range(2):
        world.run_period(ann=0, bob=0)
    assert len(world.state.held) == 1
    world.run_period(ann=0, bob=0)
    assert len(world.state.held) == 0
    assert world.account("bob").free_nano == free + 225 * PRICE
    assert world.account("ann").locked_nano == 0


def test_evidence_is_the_id_of_a_signed_reading_of_this_trade() -> None:
    world = traded()
    world.close()
    world.deliver(0)
    world.measure("ann", 0, -500)
    reading_of_ann = world.outcome.receipts[0].tx_id
    world.measure("bob", 0, 1_000)
    reading_of_bob = world.outcome.receipts[0].tx_id
    world.done(OPERATOR, SettlePeriod(period=0, time_ms=0))
    assert world.state.held[1].evidence == (reading_of_ann, reading_of_bob)


def test_a_provider_of_several_users_gives_each_the_same_part() -> None:
    world = World(settlement="escrow", price_rule="ask", mechanism="matching")
    for name in ("ann", "bob", "cat"):
        world.join(name)
    world.buy("ann", 600, 200_000)
    world.buy("bob", 400, 200_000)
    world.sell("cat", 1_000, PRICE)
    _, settlement = world.run_period(ann=-600, bob=-400, cat=500)
    assert [line.provided_wh for line in settlement.escrow] == [300, 200]
    assert row_of(settlement, "cat").sold_nano == 500 * PRICE
