"""Reputation matching (Cui 2022, section 5.1): one provider a request, by revenue and reputation.

Bids are requests and are served whole by one provider or not at all; asks are providers with a price and a
capacity. The price is the provider's; the crossing fee comes on top for the user. Requests that no provider
serves get the regulator's limit price where they accept it.
"""

from __future__ import annotations

from collections.abc import Sequence

from market.assignment import Problem, own_assignment
from market.clearing_types import ClearingResult, ClearingRules, Match, Residual
from market.orders import STANDING_ASK, Order, Side


def problem_of(book: Sequence[Order], rules: ClearingRules) -> Problem:
    """The assignment problem of a book.

    Offers above the regulator's limit stand behind its ask, which never runs out, so they take no part.
    """
    limit_micro = rules.ask_limit_micro
    within = [
        order
        for order in book
        if not limit_micro or order.side is Side.BUY or order.price_micro <= limit_micro or order.region_only
    ]
    return Problem.of(within, rules.crossing_fee_micro, rules.revenue_view)


def reputation_matching(book: Sequence[Order], rules: ClearingRules) -> ClearingResult:
    """Clear a book by the contract's own assignment."""
    problem = problem_of(book, rules)
    return assigned(book, rules, problem, own_assignment(problem))


def assigned(
    book: Sequence[Order], rules: ClearingRules, problem: Problem, chosen: dict[int, int]
) -> ClearingResult:
    """The clearing that an assignment gives: its trades by request, then the regulator's."""
    left = {order.number: order.energy_wh for order in book}
    trades: list[Match] = []
    for i, j in sorted(chosen.items()):
        request, offer = problem.requests[i], problem.offers[j]
        trades.append(
            Match(
                buy=request.number,
                sell=offer.number,
                energy_wh=request.energy_wh,
                price_micro=offer.price_micro,
                fee_micro=rules.crossing_fee_micro if request.region != offer.region else 0,
                ask_micro=offer.price_micro,
            )
        )
        left[request.number] -= request.energy_wh
        left[offer.number] -= request.energy_wh
    limit_micro = rules.ask_limit_micro
    for request in problem.requests:
        if limit_micro and left[request.number] and not request.region_only and request.price_micro >= limit_micro:
            trades.append(
                Match(
                    buy=request.number,
                    sell=STANDING_ASK,
                    energy_wh=request.energy_wh,
                    price_micro=limit_micro,
                    fee_micro=0,
                    ask_micro=limit_micro,
                )
            )
            left[request.number] = 0
    unmatched = tuple(
        Residual(number=order.number, energy_wh=left[order.number]) for order in book if left[order.number] > 0
    )
    return ClearingResult(trades=tuple(trades), unmatched=unmatched)
