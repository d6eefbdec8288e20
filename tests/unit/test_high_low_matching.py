"""High-low matching: each sentence of Huang 2022, section 2.2 (5) and (6), and of the region rules, by pencil."""

from __future__ import annotations

import random

import pytest

from market.clearing import ClearingResult, ClearingRules, clear
from market.errors import ConfigError, FormError
from market.orders import STANDING_ASK, Order, Side


def bid(number: int, energy_wh: int, price_micro: int, issued_ms: int = 0, **more: object) -> Order:
    return Order(
        number=number,
        side=Side.BUY,
        energy_wh=energy_wh,
        price_micro=price_micro,
        issued_ms=issued_ms,
        **more,  # type: ignore[arg-type]
    )


def ask(number: int, energy_wh: int, price_micro: int, issued_ms: int = 0, **more: object) -> Order:
    return Order(
        number=number,
        side=Side.SELL,
        energy_wh=energy_wh,
        price_micro=price_micro,
        issued_ms=issued_ms,
        **more,  # type: ignore[arg-type]
    )


def hlm(*book: Order, **rules: object) -> ClearingResult:
    return clear("hlm", book, ClearingRules(**rules))  # type: ignore[arg-type]


def pairs(result: ClearingResult) -> list[tuple[int, int, int]]:
    return [(trade.buy, trade.sell, trade.energy_wh) for trade in result.trades]


def prices(result: ClearingResult) -> list[int]:
    return [trade.price_micro for trade in result.trades]


def left(result: ClearingResult) -> dict[int, int]:
    return {residual.number: residual.energy_wh for residual in result.unmatched}


def test_the_highest_bid_meets_the_lowest_ask_first() -> None:
    result = hlm(bid(1, 10, 200), bid(2, 10, 300), ask(3, 10, 150), ask(4, 10, 100))
    assert pairs(result) == [(2, 4, 10), (1, 3, 10)]


def test_equal_prices_go_to_the_earlier_order() -> None:
    result = hlm(bid(1, 10, 200, issued_ms=9), bid(2, 10, 200, issued_ms=5), ask(3, 10, 100))
    assert pairs(result) == [(2, 3, 10)]


def test_equal_prices_and_times_go_to_the_lower_number() -> None:
    result = hlm(ask(5, 10, 100), ask(4, 10, 100), bid(1, 10, 100))
    assert pairs(result) == [(1, 4, 10)]


def test_the_smaller_order_is_filled_and_the_larger_stays_at_the_head_with_its_residual() -> None:
    result = hlm(bid(1, 100, 300), bid(2, 100, 250), ask(3, 30, 100), ask(4, 100, 120))
    assert pairs(result) == [(1, 3, 30), (1, 4, 70), (2, 4, 30)]
    assert left(result) == {2: 70}


def test_orders_of_the_same_residual_are_both_filled() -> None:
    assert left(hlm(bid(1, 40, 300), ask(2, 40, 100))) == {}


def test_a_bid_that_equals_the_ask_trades() -> None:
    assert pairs(hlm(bid(1, 10, 100), ask(2, 10, 100))) == [(1, 2, 10)]


def test_a_bid_below_the_ask_does_not_trade() -> None:
    result = hlm(bid(1, 10, 99), ask(2, 10, 100))
    assert result.trades == ()
    assert left(result) == {1: 10, 2: 10}


@pytest.mark.parametrize(("rule", "price"), [("midpoint", 150), ("bid", 201), ("ask", 100)])
def test_the_price_of_a_pair_follows_the_rule_and_the_midpoint_rounds_down(rule: str, price: int) -> None:
    assert prices(hlm(bid(1, 10, 201), ask(2, 10, 100), price_rule=rule)) == [price]


def test_the_uniform_price_lies_where_supply_meets_demand() -> None:
    # Last matched pair 200 and 140; the next ask 160 and the next bid 120 narrow it to 140 to 160.
    book = (bid(1, 10, 300), bid(2, 10, 200), bid(3, 10, 120), ask(4, 10, 100), ask(5, 10, 140), ask(6, 10, 160))
    assert prices(hlm(*book, price_rule="uniform")) == [150, 150]


def test_no_excluded_seller_envies_the_uniform_price() -> None:
    # The midpoint of the last pair would be 200: the seller at 110 would gladly have sold at that.
    result = hlm(bid(1, 10, 300), ask(2, 10, 100), ask(3, 10, 110), price_rule="uniform")
    assert prices(result) == [105]


def test_a_bid_that_is_partly_filled_sets_the_uniform_price() -> None:
    assert prices(hlm(bid(1, 20, 300), ask(2, 10, 100), price_rule="uniform")) == [300]


def test_the_regulators_ask_never_runs_out() -> None:
    result = hlm(bid(1, 10**9, 300), bid(2, 10**9, 310), ask_limit_micro=300)
    assert pairs(result) == [(2, STANDING_ASK, 10**9), (1, STANDING_ASK, 10**9)]
    assert result.unmatched == ()


def test_the_regulators_ask_is_last_among_equals() -> None:
    result = hlm(bid(1, 30, 300), ask(2, 10, 300, issued_ms=10**6), ask(3, 10, 290), ask_limit_micro=300)
    assert pairs(result) == [(1, 3, 10), (1, 2, 10), (1, STANDING_ASK, 10)]


def test_a_bid_below_the_regulators_limit_is_not_served_by_it() -> None:
    assert left(hlm(bid(1, 10, 299), ask_limit_micro=300)) == {1: 10}


def test_asks_above_the_regulators_limit_do_not_sell() -> None:
    result = hlm(bid(1, 10, 400), ask(2, 10, 301), ask_limit_micro=300)
    assert pairs(result) == [(1, STANDING_ASK, 10)]
    assert left(result) == {2: 10}


# Regions (Chen 2025): strict priority.


def test_a_region_trades_within_itself_before_a_cheaper_neighbour() -> None:
    result = hlm(bid(1, 10, 200, region="a"), ask(2, 10, 150, region="a"), ask(3, 10, 50, region="b"))
    assert pairs(result) == [(1, 2, 10)]


def test_regions_are_matched_in_sorted_order_then_across() -> None:
    result = hlm(
        bid(1, 20, 200, region="b"),
        bid(2, 20, 300, region="a"),
        ask(3, 10, 100, region="b"),
        ask(4, 10, 100, region="a"),
        ask(5, 10, 120, region="c"),
    )
    assert pairs(result) == [(2, 4, 10), (1, 3, 10), (2, 5, 10)]
    assert left(result) == {1: 10}


def test_a_pair_across_regions_needs_the_bid_to_reach_ask_plus_fee() -> None:
    book = (bid(1, 10, 140, region="a"), ask(2, 10, 101, region="b"))
    assert pairs(hlm(*book, crossing_fee_micro=40)) == []
    assert pairs(hlm(*book, crossing_fee_micro=39)) == [(1, 2, 10)]


def test_across_regions_the_price_is_between_bid_less_fee_and_ask_and_the_buyer_pays_the_fee_on_top() -> None:
    trade = hlm(bid(1, 10, 200, region="a"), ask(2, 10, 100, region="b"), crossing_fee_micro=40).trades[0]
    assert (trade.price_micro, trade.fee_micro) == (130, 40)
    assert trade.price_micro + trade.fee_micro <= 200


def test_within_a_region_nobody_pays_the_fee() -> None:
    trade = hlm(bid(1, 10, 200, region="a"), ask(2, 10, 100, region="a"), crossing_fee_micro=40).trades[0]
    assert (trade.price_micro, trade.fee_micro) == (150, 0)


def test_the_regulator_comes_after_a_neighbour_that_is_cheaper_with_the_fee() -> None:
    book = (bid(1, 10, 300, region="a"), ask(2, 10, 100, region="b"))
    assert pairs(hlm(*book, crossing_fee_micro=40, ask_limit_micro=300)) == [(1, 2, 10)]
    assert pairs(hlm(*book, crossing_fee_micro=40, ask_limit_micro=139)) == [(1, STANDING_ASK, 10)]


def test_the_regulator_delivers_everywhere_without_a_fee() -> None:
    trade = hlm(bid(1, 10, 300, region="a"), crossing_fee_micro=40, ask_limit_micro=300).trades[0]
    assert (trade.price_micro, trade.fee_micro) == (300, 0)


@pytest.mark.parametrize("priority", ["strict", "tie"])
def test_region_only_orders_never_cross(priority: str) -> None:
    buyer_stays = (bid(1, 10, 300, region="a", region_only=True), ask(2, 10, 100, region="b"))
    seller_stays = (bid(1, 10, 300, region="a"), ask(2, 10, 100, region="b", region_only=True))
    for book in (buyer_stays, seller_stays):
        assert pairs(hlm(*book, region_priority=priority)) == []
    at_home = (bid(1, 10, 300, region="a", region_only=True), ask(2, 10, 100, region="a", region_only=True))
    assert pairs(hlm(*at_home, region_priority=priority)) == [(1, 2, 10)]


# Regions: one book.


def test_with_tie_the_own_region_goes_first_among_equal_prices_only() -> None:
    book = (bid(1, 10, 200, region="a"), ask(2, 10, 100, 0, region="b"), ask(3, 10, 100, 9, region="a"))
    assert pairs(hlm(*book, region_priority="tie")) == [(1, 3, 10)]
    cheaper = (bid(1, 10, 200, region="a"), ask(2, 10, 99, region="b"), ask(3, 10, 100, region="a"))
    assert pairs(hlm(*cheaper, region_priority="tie")) == [(1, 2, 10)]


def test_with_tie_a_bid_takes_what_is_cheapest_delivered() -> None:
    book = (bid(1, 20, 200, region="a"), ask(2, 10, 80, region="b"), ask(3, 10, 110, region="a"))
    result = hlm(*book, region_priority="tie", crossing_fee_micro=40)
    assert pairs(result) == [(1, 3, 10), (1, 2, 10)]
    assert [trade.fee_micro for trade in result.trades] == [0, 40]


def test_with_tie_a_bid_that_no_ask_reaches_does_not_stop_the_others() -> None:
    book = (bid(1, 10, 130, region="a"), bid(2, 10, 120, region="b"), ask(3, 10, 100, region="b"))
    assert pairs(hlm(*book, region_priority="tie", crossing_fee_micro=40)) == [(2, 3, 10)]


def test_strict_priority_trades_more_energy_for_less_surplus_than_one_book() -> None:
    generator = random.Random(7)
    volume = {"strict": 0, "tie": 0}
    surplus = {"strict": 0, "tie": 0}
    for _ in range(300):
        book = [
            Order(
                number=number,
                side=generator.choice((Side.BUY, Side.SELL)),
                energy_wh=generator.randint(1, 1000),
                price_micro=generator.randint(80_000, 300_000),
                region=generator.choice("abc"),
            )
            for number in range(1, 25)
        ]
        by_number = {order.number: order for order in book}
        for priority in volume:
            for trade in hlm(*book, region_priority=priority).trades:
                gain_micro = by_number[trade.buy].price_micro - by_number[trade.sell].price_micro
                volume[priority] += trade.energy_wh
                surplus[priority] += trade.energy_wh * gain_micro
    assert volume["strict"] > volume["tie"]
    assert surplus["strict"] < surplus["tie"]


# Mistakes that other markets made.


def test_an_offer_is_sold_once() -> None:
    result = hlm(bid(1, 10, 300), bid(2, 10, 300), bid(3, 10, 300), ask(4, 10, 100))
    assert sum(trade.energy_wh for trade in result.trades if trade.sell == 4) == 10


def test_of_two_identical_orders_none_is_lost() -> None:
    result = hlm(bid(1, 10, 300), bid(2, 10, 300), ask(3, 20, 100))
    assert pairs(result) == [(1, 3, 10), (2, 3, 10)]


def test_every_order_is_traded_or_left_or_both() -> None:
    result = hlm(bid(1, 10, 300), bid(2, 15, 50), ask(3, 5, 100), ask(4, 5, 400))
    traded = {number for trade in result.trades for number in (trade.buy, trade.sell)}
    assert traded | set(left(result)) == {1, 2, 3, 4}


def test_two_orders_with_one_number_are_refused() -> None:
    with pytest.raises(FormError, match="own number"):
        hlm(bid(1, 10, 300), ask(1, 10, 100))


def test_an_unknown_mechanism_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="one of hlm"):
        clear("lottery", [], ClearingRules())


def test_one_price_cannot_carry_a_fee_in_one_book() -> None:
    with pytest.raises(ConfigError, match="crossing_fee_micro 0"):
        ClearingRules(price_rule="uniform", region_priority="tie", crossing_fee_micro=1)


def test_an_empty_book_clears_to_nothing() -> None:
    assert hlm(ask_limit_micro=300) == ClearingResult(trades=(), unmatched=())
