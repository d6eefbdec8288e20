"""What must hold for every book in a buyer's or seller's market."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from test_clearing_properties import books, traded_wh

from market.clearing import clear
from market.clearing_types import ClearingRules
from market.orders import STANDING_ASK, Order, Side


@st.composite
def rule_sets(draw: st.DrawFn) -> ClearingRules:
    return ClearingRules(
        region_priority=draw(st.sampled_from(("strict", "tie"))),
        crossing_fee_micro=draw(st.integers(0, 4)),
        ask_limit_micro=draw(st.integers(0, 12)),
    )


@settings(max_examples=300)
@given(books(), rule_sets())
def test_every_order_is_traded_or_left_and_nobody_loses(book: list[Order], rules: ClearingRules) -> None:
    result = clear("uniform", book, rules)
    orders = {order.number: order for order in book}
    traded = traded_wh(result)
    left = {residual.number: residual.energy_wh for residual in result.unmatched}
    for order in book:
        assert traded[order.number] + left.get(order.number, 0) == order.energy_wh
    for trade in result.trades:
        buyer = orders[trade.buy]
        assert trade.energy_wh > 0
        assert trade.price_micro + trade.fee_micro <= buyer.price_micro
        if trade.sell == STANDING_ASK:
            assert (trade.price_micro, trade.fee_micro) == (rules.ask_limit_micro, 0)
            continue
        seller = orders[trade.sell]
        assert trade.price_micro >= seller.price_micro
        crosses = buyer.region != seller.region
        assert trade.fee_micro == (rules.crossing_fee_micro if crosses else 0)
        assert not crosses or not (buyer.region_only or seller.region_only)


@given(books(), rule_sets(), st.randoms(use_true_random=False))
def test_the_order_in_which_a_book_is_listed_does_not_matter(
    book: list[Order], rules: ClearingRules, rng: random.Random
) -> None:
    shuffled = list(book)
    rng.shuffle(shuffled)
    assert clear("uniform", shuffled, rules).trades == clear("uniform", book, rules).trades


@settings(max_examples=300)
@given(books(), rule_sets())
def test_price_then_time_within_a_region_and_side(book: list[Order], rules: ClearingRules) -> None:
    result = clear("uniform", book, rules)
    traded = traded_wh(result)
    left = {residual.number for residual in result.unmatched}
    for worse in (order for order in book if traded[order.number]):
        for better in book:
            same = (better.side, better.region, better.region_only) == (
                worse.side,
                worse.region,
                worse.region_only,
            )
            sign = -1 if better.side is Side.BUY else 1
            rank = (sign * better.price_micro, better.issued_ms, better.number)
            if same and rank < (sign * worse.price_micro, worse.issued_ms, worse.number):
                assert better.number not in left


@settings(max_examples=300)
@given(books(regions="a", restricted=False))
def test_one_region_has_one_price_and_it_is_somebodys_quotation(book: list[Order]) -> None:
    result = clear("uniform", book, ClearingRules())
    prices = {trade.price_micro for trade in result.trades}
    assert len(prices) <= 1
    assert prices <= {order.price_micro for order in book}
