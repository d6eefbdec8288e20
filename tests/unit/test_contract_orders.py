"""Orders in the contract: what they lock, how they roll, expire and clear."""

from __future__ import annotations

import pytest
from market_world import GRID, REGULATOR, World, key

from market.events import Phase, PhaseChange
from market.orders import STANDING_ASK, Role, Side
from market.receipts import ReasonCode
from market.transactions import Decision, Deposit, PlaceOrder, Review, SetLimits
from market.units import NANO


def test_a_bid_locks_its_energy_times_its_price() -> None:
    world = World()
    world.join("ann")
    world.buy("ann", 1000, 200_000)
    assert world.account("ann").locked_nano == 1000 * 200_000
    assert world.account("ann").free_nano == 100 * NANO - 200_000_000


def test_the_lock_covers_the_crossing_fee_because_a_bid_is_all_in() -> None:
    world = World(price_rule="bid", crossing_fee_micro=40_000)
    world.join("ann", region="east", money=0)
    world.join("bob", region="west")
    world.sell("bob", 1000, 100_000)
    world.done(key("cashier"), _deposit("ann", 200_000_000))
    world.buy("ann", 1000, 200_000)
    clearing, _ = world.run_period(ann=-1000, bob=1000)
    assert (clearing.trades[0].price_micro, clearing.trades[0].fee_micro) == (160_000, 40_000)
    assert world.account("ann").free_nano == 0
    assert world.account("ann").arrears_nano == 0


def _deposit(name: str, amount_nano: int) -> Deposit:
    return Deposit(account=key(name), amount_nano=amount_nano)


def test_money_that_the_price_did_not_need_is_free_after_clearing() -> None:
    world = World()
    world.join("ann")
    world.join("bob")
    world.buy("ann", 1000, 200_000)
    world.sell("bob", 1000, 100_000)
    world.close()
    assert world.account("ann").locked_nano == 1000 * 150_000


def test_cancelling_frees_what_the_residual_locked() -> None:
    world = World()
    world.join("ann")
    world.join("bob")
    number = world.buy("ann", 1000, 200_000, last=3)
    world.sell("bob", 400, 200_000)
    world.close()
    assert world.account("ann").locked_nano == 1000 * 200_000
    assert world.cancel("ann", number) is ReasonCode.OK
    assert world.account("ann").locked_nano == 400 * 200_000
    assert number not in world.state.orders


def test_a_residual_rolls_to_the_next_period_until_its_expiry() -> None:
    world = World()
    world.join("ann")
    world.join("bob")
    number = world.buy("ann", 1000, 200_000, last=1)
    world.sell("bob", 400, 200_000)
    world.run_period(ann=-400, bob=400)
    assert world.state.orders[number].residual_wh == 600
    world.sell("bob", 100, 200_000)
    clearing, settlement = world.run_period(ann=-100, bob=100)
    assert [trade.energy_wh for trade in clearing.trades] == [100]
    assert number not in world.state.orders
    assert world.account("ann").locked_nano == 0
    row = settlement.row(key("ann"))
    assert row is not None
    assert (row.bought_wh, row.imbalance_wh) == (100, 0)


def test_an_order_for_a_later_period_waits_for_it() -> None:
    world = World()
    world.join("ann")
    world.join("bob")
    later = PlaceOrder(side=Side.BUY, energy_wh=100, price_micro=200_000, period=1, expiry_period=1)
    world.done(key("ann"), later)
    world.sell("bob", 100, 100_000, last=1)
    assert world.close().trades == ()
    assert [trade.energy_wh for trade in world.close().trades] == [100]


def test_a_seller_may_promise_its_export_limit_in_each_period_but_not_more() -> None:
    world = World()
    world.join("ann", limit_wh=1000)
    for period in (0, 1):
        order = PlaceOrder(side=Side.SELL, energy_wh=1000, price_micro=1, period=period, expiry_period=period)
        assert world.code(key("ann"), order) is ReasonCode.OK
    wide = PlaceOrder(side=Side.SELL, energy_wh=1, price_micro=1, period=0, expiry_period=2)
    assert world.code(key("ann"), wide) is ReasonCode.NOT_ENOUGH_ENERGY
    beside = PlaceOrder(side=Side.SELL, energy_wh=1000, price_micro=1, period=2, expiry_period=2)
    assert world.code(key("ann"), beside) is ReasonCode.OK


def test_nobody_can_trade_with_himself() -> None:
    world = World()
    world.join("ann")
    world.sell("ann", 100, 100_000, last=1)
    bid = PlaceOrder(side=Side.BUY, energy_wh=100, price_micro=200_000, period=1, expiry_period=1)
    assert world.code(key("ann"), bid) is ReasonCode.OTHER_SIDE_OPEN


def test_equal_orders_of_one_block_clear_in_ledger_order() -> None:
    world = World()
    for name in ("ann", "bob", "cat"):
        world.join(name)
    order = PlaceOrder(side=Side.SELL, energy_wh=100, price_micro=100_000, period=0, expiry_period=0)
    first, second = (world.call(key(name), order) for name in ("bob", "ann"))
    world.block(first, second)
    world.buy("cat", 100, 100_000)
    assert [trade.seller for trade in world.close().trades] == [key("bob")]


def test_the_regulator_sells_without_limit_at_its_limit_price_for_the_grid_company() -> None:
    world = World(ask_limit_micro=250_000)
    world.join("ann")
    world.buy("ann", 10_000, 250_000)
    grid_before = world.grid_nano()
    clearing, _ = world.run_period(ann=-10_000)
    trade = clearing.trades[0]
    assert (trade.sell_order, trade.seller, trade.price_micro) == (STANDING_ASK, GRID, 250_000)
    assert world.grid_nano() - grid_before == 10_000 * 250_000


def test_hard_demand_that_expires_unserved_is_served_at_the_limit_price() -> None:
    world = World(ask_limit_micro=250_000)
    world.join("ann")
    number = world.buy("ann", 1000, 100_000, last=1, hard=True)
    assert world.account("ann").locked_nano == 1000 * 250_000
    assert world.close().trades == ()
    trades = world.close().trades
    assert [(trade.buy_order, trade.sell_order, trade.price_micro) for trade in trades] == [(number, 0, 250_000)]


def test_hard_demand_never_pays_more_than_it_locked() -> None:
    world = World(ask_limit_micro=250_000)
    world.join("ann")
    world.buy("ann", 1000, 100_000, hard=True)
    world.done(REGULATOR, SetLimits(ask_limit_micro=260_000, lowest_micro=0, highest_micro=10**6))
    assert world.close().trades == ()
    assert world.account("ann").locked_nano == 0


def test_limits_hold_for_orders_from_then_on() -> None:
    world = World()
    world.join("ann")
    world.done(REGULATOR, SetLimits(ask_limit_micro=0, lowest_micro=100, highest_micro=200))
    order = PlaceOrder(side=Side.BUY, energy_wh=1, price_micro=99, period=0, expiry_period=0)
    assert world.code(key("ann"), order) is ReasonCode.PRICE_OUTSIDE_LIMITS
    world.buy("ann", 1, 200)
    assert world.close().ask_limit_micro == 0


@pytest.mark.parametrize("decision", [Decision.FREEZE, Decision.DELIST])
def test_freezing_and_delisting_take_orders_out_and_free_their_locks(decision: Decision) -> None:
    world = World()
    world.join("ann")
    world.buy("ann", 1000, 200_000)
    world.done(REGULATOR, Review(account=key("ann"), decision=decision, reason="meter tampered"))
    assert len(world.state.orders) == 0
    assert (world.account("ann").free_nano, world.account("ann").locked_nano) == (100 * NANO, 0)


@pytest.mark.parametrize(
    ("role", "buys", "sells"),
    [
        (Role.PRODUCER, False, True),
        (Role.CONSUMER, True, False),
        (Role.PROSUMER, True, True),
        (Role.SPECULATOR, True, True),
        (Role.REGULATOR, False, False),
    ],
)
def test_roles_trade_on_their_sides(role: Role, buys: bool, sells: bool) -> None:
    world = World()
    for side, allowed in ((Side.BUY, buys), (Side.SELL, sells)):
        name = f"{role.name.lower()}-{side.name.lower()}"
        world.join(name, role)
        order = PlaceOrder(side=side, energy_wh=1, price_micro=1, period=0, expiry_period=0)
        expected = ReasonCode.OK if allowed else ReasonCode.ROLE_FORBIDS_SIDE
        assert world.code(key(name), order) is expected


def test_closing_a_period_opens_the_next_at_once() -> None:
    world = World()
    clearing = world.close()
    assert clearing.period == 0
    assert world.outcome.events[1:] == (
        PhaseChange(period=0, phase=Phase.CLOSED, time_ms=2000),
        PhaseChange(period=1, phase=Phase.OPEN, time_ms=2000),
    )


def test_a_period_is_delivered_while_the_next_one_trades() -> None:
    world = World()
    world.join("ann")
    world.close()
    world.deliver(0)
    world.buy("ann", 1, 1)
    assert [world.state.phase_of(period) for period in range(3)] == [Phase.DELIVERED, Phase.OPEN, None]
    world.settle(0)
    assert world.state.phase_of(0) is Phase.SETTLED


def test_the_clearing_tells_prices_by_region_and_both_curves() -> None:
    world = World(crossing_fee_micro=40_000, ask_limit_micro=0)
    world.join("ann", region="east")
    world.join("bob", region="east")
    world.join("cat", region="west")
    world.buy("ann", 600, 200_000)
    world.buy("cat", 600, 200_000)
    world.sell("bob", 1000, 100_000)
    clearing = world.close()
    east, west = clearing.prices
    assert (east.region, east.lowest_micro, east.highest_micro, east.mean_micro, east.volume_wh) == (
        "east",
        130_000,
        150_000,
        142_000,
        1000,
    )
    assert (west.region, west.lowest_micro, west.highest_micro, west.volume_wh) == ("west", 130_000, 130_000, 400)
    assert east.highest_ask_micro == 100_000
    assert clearing.demand == ((200_000, 1200),)
    assert clearing.supply == ((100_000, 1000),)
    assert (clearing.bid_wh, clearing.offered_wh, clearing.traded_wh) == (1200, 1000, 1000)
    assert clearing.position_wh(key("bob")) == 1000
    assert clearing.positions_wh()[key("cat")] == -400
