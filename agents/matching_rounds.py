"""A period's assignment, solved and submitted (Cui 2022, algorithm 1, with the search off the chain).

Whoever knows the book may do this. In a run it is the supervising authority, on the orders that its host has
sent: where participants are spread over several hosts it solves for its own alone, and the contract fills in
nothing; it then uses its own assignment when that is worth more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agents.matching_solver import Solution, solve
from market.clearing_types import ClearingRules
from market.offer_transactions import PAIRS_MAX, RequestSupply, SubmitAssignment
from market.orders import Order, Side
from market.receipts import ReasonCode
from market.reputation_matching import problem_of
from market.transactions import PlaceOrder, Transaction

if TYPE_CHECKING:
    from agents.exchange_api import Exchange
    from agents.market_agents import MarketAgent
    from mosquitto.keys import KeyPair

log = logging.getLogger(__name__)

NODES_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An order that the ledger has taken, with its number."""

    agent: MarketAgent
    order: PlaceOrder
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedPeriod:
    """What the solver reached in a period, beside what nobody can exceed. `accepted`: the contract took it."""

    period: int
    requests: int
    served: int
    degree_ppm: int
    objective: float
    bound: float
    gap: float
    is_optimal: bool
    accepted: bool


def as_request(order: PlaceOrder) -> Transaction:
    """A buyer's order as a request for one provider; asks and soft bids stay orders."""
    if order.side is Side.BUY and order.hard and order.period == order.expiry_period:
        return RequestSupply(energy_wh=order.energy_wh, price_micro=order.price_micro, period=order.period)
    return order


def solve_period(
    exchange: Exchange, solver: KeyPair, rules: ClearingRules, period: int, accepted: Sequence[Accepted]
) -> SolvedPeriod | None:
    """Solve the book of the accepted orders and submit what was found. None when there is nothing to match."""
    book = [
        Order(
            number=entry.number,
            side=entry.order.side,
            energy_wh=entry.order.energy_wh,
            price_micro=entry.order.price_micro,
            region=entry.agent.region,
            region_only=entry.order.region_only,
            reputation_ppm=entry.agent.reputation_ppm,
        )
        for entry in accepted
    ]
    problem = problem_of(book, rules)
    if not problem.pairs:
        return None
    solution: Solution = solve(problem, NODES_MAX)
    submit = SubmitAssignment(period=period, pairs=solution.assignment[:PAIRS_MAX])
    receipt = exchange.submit([(solver, submit)])[0]
    solved = SolvedPeriod(
        period=period,
        requests=len(problem.requests),
        served=solution.worth.served,
        degree_ppm=solution.worth.degree_ppm,
        objective=solution.objective,
        bound=solution.bound,
        gap=solution.gap,
        is_optimal=solution.is_optimal,
        accepted=receipt is not None and receipt.code is ReasonCode.OK,
    )
    log.info(
        "assignment submitted",
        extra={
            "fields": {
                "period": period,
                "requests": solved.requests,
                "served": solved.served,
                "degree_ppm": solved.degree_ppm,
                "gap_ppm": round(solved.gap * 1e6),
                "optimal": solved.is_optimal,
                "accepted": solved.accepted,
            }
        },
    )
    return solved
