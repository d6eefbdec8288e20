"""What must hold for every book under reputation matching and listing."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from test_clearing_properties import books, traded_wh

from market.assignment import Problem, Worth, greedy, own_assignment
from market.clearing import clear
from market.clearing_types import ClearingRules
from market.orders import STANDING_ASK, Order, Side


@st.composite
def rated_books(draw: st.DrawFn) -> list[Order]:
    return [replace(order, reputation_ppm=draw(st.integers(0, 4)) * 300_000) for order in draw(books())]


@st.composite
def rule_sets(draw: st.DrawFn) -> ClearingRules:
    return ClearingRules(
        crossing_fee_micro=draw(st.integers(0, 4)),
        ask_limit_micro=draw(st.integers(0, 12)),
        revenue_view=draw(st.sampled_from(("provider", "user"))),
    )


@settings(max_examples=200)
@given(rated_books(), rule_sets(), st.sampled_from(("matching", "listing")))
def test_every_order_is_traded_or_left_and_nobody_loses(
    book: list[Order], rules: ClearingRules, mechanism: str
) -> None:
    result = clear(mechanism, book, rules)
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
            assert trade.price_micro == rules.ask_limit_micro
            continue
        seller = orders[trade.sell]
        assert trade.price_micro >= seller.price_micro
        crosses = buyer.region != seller.region
        assert trade.fee_micro == (rules.crossing_fee_micro if crosses else 0)
        assert not crosses or not (buyer.region_only or seller.region_only)


@given(rated_books(), rule_sets(), st.sampled_from(("matching", "listing")), st.randoms(use_true_random=False))
def test_the_order_in_which_a_book_is_listed_does_not_matter(
    book: list[Order], rules: ClearingRules, mechanism: str, rng: random.Random
) -> None:
    shuffled = list(book)
    rng.shuffle(shuffled)
    assert clear(mechanism, shuffled, rules).trades == clear(mechanism, book, rules).trades


@settings(max_examples=200)
@given(rated_books(), rule_sets())
def test_a_request_has_one_provider_and_no_provider_more_than_it_can(
    book: list[Order], rules: ClearingRules
) -> None:
    result = clear("matching", book, rules)
    buyers = [trade.buy for trade in result.trades]
    assert len(buyers) == len(set(buyers))
    orders = {order.number: order for order in book}
    assert all(trade.energy_wh == orders[trade.buy].energy_wh for trade in result.trades)


def best_of_all(problem: Problem) -> Worth:
    """Every assignment there is, for a few requests."""
    choices = [[None, *(j for i, j in problem.pairs if i == n)] for n in range(len(problem.requests))]
    best = Worth(0, 0, 0)
    for picked in product(*choices):
        chosen = {i: j for i, j in enumerate(picked) if j is not None}
        if problem.still_possible(problem.numbers(chosen)) == chosen:
            best = max(best, problem.worth(chosen))
    return best


small = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), min_size=1, max_size=4)


@settings(max_examples=80, deadline=None)
@given(small, st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=3))
def test_the_solver_finds_the_best_assignment_there_is(
    requests: list[tuple[int, int]], offers: list[tuple[int, int, int]]
) -> None:
    from agents.matching_solver import solve

    book = [
        Order(number=n, side=Side.BUY, energy_wh=energy, price_micro=price)
        for n, (energy, price) in enumerate(requests, start=1)
    ]
    book += [
        Order(number=n, side=Side.SELL, energy_wh=energy, price_micro=price, reputation_ppm=reputation * 300_000)
        for n, (energy, price, reputation) in enumerate(offers, start=10)
    ]
    problem = Problem.of(book, 0, "provider")
    best, found = best_of_all(problem), solve(problem)
    assert (found.worth.served, found.worth.degree_ppm) == (best.served, best.degree_ppm)
    assert found.objective <= found.bound + 1e-6
    own = problem.worth(own_assignment(problem))
    assert problem.worth(greedy(problem)) <= own <= best


@settings(max_examples=200)
@given(books(restricted=False), st.integers(0, 3))
def test_in_a_list_nobody_takes_what_came_later_or_cost_more(book: list[Order], fee_micro: int) -> None:
    """A comer has looked at everything before him: what he left was dearer, or gone."""
    result = clear("listing", book, ClearingRules(crossing_fee_micro=fee_micro))
    orders = {order.number: order for order in book}
    left = {residual.number for residual in result.unmatched}
    for trade in result.trades:
        bid, ask = orders[trade.buy], orders[trade.sell]
        earlier = min((bid, ask), key=lambda order: (order.issued_ms, order.number))
        fee = fee_micro if bid.region != ask.region else 0
        assert trade.price_micro == (earlier.price_micro if earlier is ask else earlier.price_micro - fee)
    for bid in (orders[number] for number in left if orders[number].side is Side.BUY):
        for ask in (orders[number] for number in left if orders[number].side is Side.SELL):
            assert bid.price_micro < ask.price_micro + (fee_micro if bid.region != ask.region else 0)
