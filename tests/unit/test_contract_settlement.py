"""Settlement by pencil: meters decide who is paid, the grid balances, whoever deviated is charged."""

from __future__ import annotations

from dataclasses import replace

from market_world import REGULATOR, World, key, row_of

from market.orders import Role, Side
from market.readings import Quality
from market.receipts import ReasonCode
from market.transactions import Decision, Deposit, PlaceOrder, Review
from market.units import NANO

RETAIL = 300_000
FEED_IN = 80_000


def pair(**changes: object) -> World:
    """Ann bought 1,000 Wh from bob at 150,000; period 0 is open and no penalty is charged unless asked for."""
    world = World(**({"penalty_ppm": 0, "ask_limit_micro": 0} | changes))
    world.join("ann")
    world.join("bob")
    world.buy("ann", 1000, 200_000)
    world.sell("bob", 1000, 100_000)
    return world


def test_traded_energy_is_paid_at_the_trade_price() -> None:
    world = pair()
    _, settlement = world.run_period(ann=-1000, bob=1000)
    ann, bob = row_of(settlement, "ann"), row_of(settlement, "bob")
    assert (ann.bought_nano, bob.sold_nano) == (150_000_000, 150_000_000)
    assert (ann.imbalance_wh, bob.imbalance_wh) == (0, 0)
    assert world.account("ann").free_nano == 100 * NANO - 150_000_000
    assert world.account("bob").free_nano == 100 * NANO + 150_000_000


def test_what_a_seller_does_not_deliver_it_buys_from_the_grid_at_retail() -> None:
    world = pair()
    grid_before = world.grid_nano()
    _, settlement = world.run_period(ann=-1000, bob=900)
    bob = row_of(settlement, "bob")
    assert (bob.metered_wh, bob.imbalance_wh, bob.imbalance_nano) == (900, -100, -100 * RETAIL)
    assert world.grid_nano() - grid_before == 100 * RETAIL


def test_what_is_left_over_the_grid_buys_at_the_feed_in_tariff() -> None:
    world = pair()
    _, settlement = world.run_period(ann=-800, bob=1300)
    assert row_of(settlement, "ann").imbalance_nano == 200 * FEED_IN
    assert row_of(settlement, "bob").imbalance_nano == 300 * FEED_IN


def test_a_participant_without_trades_is_the_grids_customer() -> None:
    world = World()
    world.join("ann")
    _, settlement = world.run_period(ann=-500)
    ann = row_of(settlement, "ann")
    assert (ann.imbalance_nano, ann.penalty_nano) == (-500 * RETAIL, 0)


def test_the_crossing_fee_goes_to_the_grid_company() -> None:
    world = World(crossing_fee_micro=40_000, ask_limit_micro=0)
    world.join("ann", region="east")
    world.join("bob", region="west")
    world.buy("ann", 1000, 200_000)
    world.sell("bob", 1000, 100_000)
    grid_before = world.grid_nano()
    _, settlement = world.run_period(ann=-1000, bob=1000)
    assert row_of(settlement, "ann").fee_nano == 40_000_000
    assert row_of(settlement, "ann").bought_nano == row_of(settlement, "bob").sold_nano == 130_000_000
    assert world.grid_nano() - grid_before == 40_000_000


def test_trading_alone_saves_retail_less_feed_in_less_fee_for_each_traded_kilowatt_hour() -> None:
    def total_nano(world: World) -> int:
        return sum(world.account(name).free_nano for name in ("ann", "bob"))

    results = []
    for trades in (False, True):
        world = World(crossing_fee_micro=40_000, ask_limit_micro=0)
        world.join("ann", region="east")
        world.join("bob", region="west")
        if trades:
            world.buy("ann", 1000, 200_000)
            world.sell("bob", 1000, 100_000)
        world.run_period(ann=-1000, bob=1000)
        results.append(total_nano(world))
    assert results[1] - results[0] == 1000 * (RETAIL - FEED_IN - 40_000)


# Penalty and reward.


def test_a_deviation_within_the_tolerance_costs_no_penalty() -> None:
    world = pair(penalty_ppm=100_000, tolerance_ppm=50_000)
    _, settlement = world.run_period(ann=-1000, bob=950)
    assert row_of(settlement, "bob").penalty_nano == 0


def test_beyond_the_tolerance_a_share_of_the_value_goes_to_those_who_kept_within_it() -> None:
    world = pair(penalty_ppm=100_000, tolerance_ppm=50_000)
    _, settlement = world.run_period(ann=-1000, bob=850)
    # 150 Wh short, 50 Wh tolerated: a tenth of the retail value of 100 Wh.
    assert row_of(settlement, "bob").penalty_nano == 100 * RETAIL // 10
    assert row_of(settlement, "ann").reward_nano == 100 * RETAIL // 10
    assert settlement.pot_nano == 0


def test_a_surplus_beyond_the_tolerance_is_penalised_at_the_feed_in_tariff() -> None:
    world = pair(penalty_ppm=100_000, tolerance_ppm=0, tolerance_wh=0)
    _, settlement = world.run_period(ann=-1000, bob=1100)
    assert row_of(settlement, "bob").penalty_nano == 100 * FEED_IN // 10


def test_the_tolerance_is_never_below_its_floor() -> None:
    world = pair(penalty_ppm=100_000, tolerance_ppm=0, tolerance_wh=150)
    _, settlement = world.run_period(ann=-1000, bob=850)
    assert row_of(settlement, "bob").penalty_nano == 0


def test_the_pot_is_shared_by_traded_energy_and_the_rest_is_carried_over() -> None:
    world = World(penalty_ppm=1_000_000, tolerance_ppm=0, tolerance_wh=0, ask_limit_micro=0)
    for name in ("ann", "bob", "cat"):
        world.join(name)
    world.sell("bob", 3, 100_000)
    world.buy("ann", 1, 200_000)
    world.buy("cat", 2, 200_000)
    _, settlement = world.run_period(ann=-1, cat=-2, bob=2)
    assert row_of(settlement, "bob").penalty_nano == RETAIL
    assert (row_of(settlement, "ann").reward_nano, row_of(settlement, "cat").reward_nano) == (100_000, 200_000)
    world.buy("ann", 7, 200_000)
    world.sell("bob", 7, 100_000)
    _, settlement = world.run_period(ann=-7, cat=0, bob=6)
    assert row_of(settlement, "ann").reward_nano == RETAIL
    world.buy("ann", 7, 200_000)
    world.sell("bob", 7, 100_000)
    _, settlement = world.run_period(ann=-6, cat=0, bob=6)
    # Nobody kept within tolerance: a Wh short at retail and a Wh over at feed-in stay in the pot.
    assert settlement.pot_nano == RETAIL + FEED_IN


def test_delivering_what_was_offered_but_not_sold_is_no_deviation() -> None:
    world = World(penalty_ppm=100_000, tolerance_ppm=0, tolerance_wh=0, ask_limit_micro=0)
    world.join("ann")
    world.join("bob")
    world.buy("ann", 200, 200_000)
    world.sell("bob", 1000, 100_000)
    _, settlement = world.run_period(ann=-200, bob=1000)
    bob = row_of(settlement, "bob")
    assert (bob.imbalance_wh, bob.imbalance_nano, bob.penalty_nano) == (800, 800 * FEED_IN, 0)


def test_taking_from_the_grid_what_was_bid_for_in_vain_is_no_deviation() -> None:
    world = World(penalty_ppm=100_000, tolerance_ppm=0, tolerance_wh=0, ask_limit_micro=0)
    world.join("ann")
    world.join("bob")
    world.buy("ann", 1000, 200_000)
    world.sell("bob", 200, 100_000)
    _, settlement = world.run_period(ann=-1050, bob=200)
    assert row_of(settlement, "ann").penalty_nano == 50 * RETAIL // 10


def test_an_order_nobody_would_take_buys_no_freedom_from_penalties() -> None:
    world = World(penalty_ppm=100_000, tolerance_ppm=0, tolerance_wh=0, ask_limit_micro=0)
    world.join("ann")
    world.join("bob")
    world.buy("ann", 100, 200_000)
    world.buy("ann", 9000, FEED_IN - 1)
    world.sell("bob", 100, 100_000)
    _, settlement = world.run_period(ann=-200, bob=100)
    assert row_of(settlement, "ann").penalty_nano == 100 * RETAIL // 10


# Debts.


def test_what_a_participant_cannot_pay_is_arrears_and_paid_first_from_later_money() -> None:
    world = World()
    world.join("ann", money=0)
    _, settlement = world.run_period(ann=-1000)
    assert row_of(settlement, "ann").arrears_nano == 1000 * RETAIL
    assert world.account("ann").free_nano == 0
    grid_before = world.grid_nano()
    world.run_period(ann=2000)
    assert world.account("ann").arrears_nano == 1000 * RETAIL - 2000 * FEED_IN
    assert world.grid_nano() == grid_before
    world.done(key("cashier"), _deposit("ann", NANO))
    assert world.account("ann").arrears_nano == 0
    assert world.account("ann").free_nano == NANO - (1000 * RETAIL - 2000 * FEED_IN)


def _deposit(name: str, amount_nano: int) -> Deposit:
    return Deposit(account=key(name), amount_nano=amount_nano)


def test_locked_money_that_becomes_free_pays_arrears_first() -> None:
    world = World()
    world.join("ann", money=1)
    number = world.buy("ann", 5000, 200_000, last=5)
    world.run_period(ann=-1000)
    assert world.account("ann").arrears_nano == 1000 * RETAIL
    world.cancel("ann", number)
    assert world.account("ann").arrears_nano == 0
    assert world.account("ann").free_nano == NANO - 1000 * RETAIL


def test_what_the_grid_company_cannot_pay_it_owes_and_pays_from_what_comes_in() -> None:
    world = World(working_capital_nano=0)
    world.join("ann", money=0)
    world.join("bob", money=1)
    _, settlement = world.run_period(ann=1000, bob=0)
    assert row_of(settlement, "ann").owed_nano == 1000 * FEED_IN
    _, settlement = world.run_period(ann=0, bob=-200)
    assert row_of(settlement, "ann").owed_nano == 1000 * FEED_IN - 200 * RETAIL
    assert row_of(settlement, "ann").balance_nano == 200 * RETAIL


def test_arrears_of_a_participant_are_set_off_against_what_the_grid_owes_it() -> None:
    world = World(working_capital_nano=0)
    world.join("ann", money=0)
    world.run_period(ann=1000)
    _, settlement = world.run_period(ann=-100)
    row = row_of(settlement, "ann")
    assert (row.owed_nano, row.arrears_nano) == (1000 * FEED_IN - 100 * RETAIL, 0)


# Missing readings.


def test_without_a_reading_the_position_counts_as_met() -> None:
    world = pair()
    _, settlement = world.run_period(ann=-1000)
    bob = row_of(settlement, "bob")
    assert (bob.estimated, bob.metered_wh, bob.imbalance_wh) == (True, 1000, 0)
    assert bob.sold_nano == 150_000_000


def test_the_next_reading_corrects_what_was_estimated() -> None:
    world = pair()
    world.count("bob", 900)
    world.run_period(ann=-1000)
    _, settlement = world.run_period(ann=0, bob=50)
    bob = row_of(settlement, "bob")
    # 950 Wh on the register since it was last booked, 1,000 Wh of them settled already.
    assert (bob.estimated, bob.metered_wh, bob.imbalance_wh, bob.imbalance_nano) == (False, 950, -50, -50 * RETAIL)


def test_the_sum_of_imbalances_is_the_same_whether_or_not_a_reading_was_missing() -> None:
    def imbalance_wh(told: bool) -> int:
        world = pair()
        total = 0
        if told:
            _, first = world.run_period(ann=-1000, bob=900)
        else:
            world.count("bob", 900)
            _, first = world.run_period(ann=-1000)
        total += row_of(first, "bob").imbalance_wh
        world.buy("ann", 500, 200_000)
        world.sell("bob", 500, 100_000)
        _, second = world.run_period(ann=-500, bob=530)
        return total + row_of(second, "bob").imbalance_wh

    assert imbalance_wh(told=True) == imbalance_wh(told=False) == -70


def test_the_tolerance_of_a_correction_counts_the_energy_of_both_periods() -> None:
    world = pair(penalty_ppm=100_000, tolerance_ppm=50_000, tolerance_wh=0)
    world.count("bob", 960)
    world.run_period(ann=-1000)
    _, settlement = world.run_period(ann=0, bob=0)
    assert row_of(settlement, "bob").penalty_nano == 0


def test_a_silent_meter_stops_trading_and_withdrawals_until_it_is_read() -> None:
    world = World(estimated_periods_max=1)
    world.join("ann")
    world.run_period()
    assert world.withdraw("ann", 1) is ReasonCode.READINGS_MISSING
    world.buy("ann", 1, 1)
    world.run_period()
    order = world.call(key("ann"), _bid(world))
    assert world.block(order).receipts[0].code is ReasonCode.READINGS_MISSING
    world.run_period(ann=-1)
    assert world.withdraw("ann", 1) is ReasonCode.OK
    world.buy("ann", 1, 1)


def _bid(world: World) -> PlaceOrder:
    period = world.state.open_period
    return PlaceOrder(side=Side.BUY, energy_wh=1, price_micro=1, period=period, expiry_period=period)


def test_a_reset_takes_a_new_baseline_and_books_nothing() -> None:
    world = World()
    world.join("ann")
    world.close()
    world.deliver(0)
    world.done(key("meter-ann"), world.reading("ann", 0, 777_000, 0, Quality.RESET))
    settlement = world.settle(0)
    row = row_of(settlement, "ann")
    assert (row.estimated, row.import_wh, row.imbalance_wh) == (True, 0, 0)
    world.registers["ann"] = (777_000, 0)
    _, settlement = world.run_period(ann=-20)
    assert (row_of(settlement, "ann").import_wh, row_of(settlement, "ann").imbalance_wh) == (20, -20)


def test_import_and_export_of_one_period_are_told_apart() -> None:
    world = World()
    world.join("ann")
    world.count("ann", -300)
    _, settlement = world.run_period(ann=500)
    row = row_of(settlement, "ann")
    assert (row.import_wh, row.export_wh, row.metered_wh) == (300, 500, 200)


# Who takes part.


def test_a_meter_takes_part_from_the_period_in_which_it_was_approved() -> None:
    world = World()
    world.join("ann")
    world.close()
    world.join("bob")
    world.deliver(0)
    world.measure("ann", 0, -5)
    late = world.reading("bob", 0, 0, 0)
    assert world.code(key("meter-bob"), late) is ReasonCode.READING_TOO_LATE
    settlement = world.settle(0)
    assert [row.account for row in settlement.rows] == [key("ann")]
    _, settlement = world.run_period(ann=-5, bob=-6)
    assert row_of(settlement, "bob").imbalance_wh == -6


def test_trades_of_a_frozen_participant_are_settled() -> None:
    world = pair()
    world.close()
    world.done(REGULATOR, Review(account=key("bob"), decision=Decision.FREEZE))
    world.deliver(0)
    world.measure("ann", 0, -1000)
    world.measure("bob", 0, 1000)
    assert row_of(world.settle(0), "bob").sold_nano == 150_000_000
    assert world.withdraw("bob", 1) is ReasonCode.NOT_APPROVED


def test_the_meters_of_a_delisted_participant_are_free_once_its_trades_are_settled() -> None:
    world = pair()
    world.close()
    world.done(REGULATOR, Review(account=key("bob"), decision=Decision.DELIST))
    assert "meter-bob" in world.state.meters
    world.deliver(0)
    world.measure("ann", 0, -1000)
    world.measure("bob", 0, 1000)
    world.settle(0)
    assert "meter-bob" not in world.state.meters
    assert world.withdraw("bob", 100 * NANO + 150_000_000) is ReasonCode.OK


def test_an_unmetered_trader_answers_for_its_whole_position() -> None:
    world = World(ask_limit_micro=200_000)
    from_nowhere = world.registration("ann", Role.CONSUMER)
    world.done(key("ann"), replace(from_nowhere, meters=()))
    world.done(REGULATOR, Review(account=key("ann"), decision=Decision.APPROVE))
    world.done(key("cashier"), _deposit("ann", NANO))
    world.buy("ann", 1000, 200_000)
    _, settlement = world.run_period()
    row = row_of(settlement, "ann")
    assert (row.estimated, row.imbalance_wh, row.imbalance_nano) == (False, 1000, 1000 * FEED_IN)


def test_settled_periods_leave_the_state() -> None:
    world = World()
    for name in ("ann", "bob"):
        world.join(name)
    sizes = []
    for _ in range(12):
        world.buy("ann", 100, 200_000)
        world.sell("bob", 100, 100_000)
        world.run_period(ann=-100, bob=100)
        state = world.state
        sizes.append((len(state.orders), len(state.trades), len(state.positions), len(state.periods)))
        assert len(state.seen) <= 8
    assert set(sizes) == {(0, 0, 0, 0)}
