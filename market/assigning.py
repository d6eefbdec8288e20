"""Submitted assignments of the matching mechanism: checked when they come, valued again when the period closes.

Whoever can solve the assignment problem may submit (Cui 2022, algorithm 1, with the search taken off the chain).
The contract believes nothing: it counts the value in integers and falls back on its own assignment.
"""

from __future__ import annotations

from collections.abc import Sequence

from market.assignment import own_assignment
from market.books import book_of, limit_micro
from market.clearing_types import ClearingResult, ClearingRules
from market.context import Context
from market.errors import FormError
from market.events import Status
from market.market_records import Proposal
from market.offer_transactions import SubmitAssignment
from market.orders import Order
from market.receipts import ReasonCode
from market.reputation_matching import assigned, problem_of


def submit_assignment(context: Context, submit: SubmitAssignment) -> ReasonCode:
    """Keep a feasible assignment for the close of the open period. A sender's later one replaces the earlier."""
    state, config = context.state, context.config
    if config.mechanism != "matching":
        return ReasonCode.MECHANISM_FORBIDS
    if not may_submit(context):
        return ReasonCode.NOT_APPROVED
    if submit.period != state.open_period:
        return ReasonCode.PERIOD_CLOSED
    if context.sender not in state.proposals and len(state.proposals) >= config.assignments_max:
        return ReasonCode.TOO_MANY_ASSIGNMENTS
    rules = config.clearing_rules(limit_micro(state, submit.period))
    problem = problem_of(book_of(state, submit.period), rules)
    try:
        worth = problem.worth(problem.choice(submit.pairs))
    except FormError:
        return ReasonCode.ASSIGNMENT_INFEASIBLE
    order = max((proposal.order for proposal in state.proposals.records()), default=0) + 1
    state.proposals.add(context.sender, Proposal(order=order, pairs=submit.pairs))
    context.detail = worth.degree_ppm
    return ReasonCode.OK


def may_submit(context: Context) -> bool:
    """Members of the committee, the regulator, and everybody who may trade."""
    account = context.state.accounts.get(context.sender)
    return (
        context.sender in context.config.committee
        or context.sender == context.config.regulator
        or (account is not None and account.status is Status.APPROVED)
    )


def best_assignment(
    context: Context, book: Sequence[Order], rules: ClearingRules
) -> tuple[ClearingResult, bytes, int, int]:
    """Clear a book by the best of the submitted assignments and the contract's own, and forget them all.

    Of a submitted one counts what is still possible: orders may have gone since. Among equals the contract's own
    comes first, then the earliest. Returns the result, who submitted (empty: nobody), the sum of matching degrees
    of the one used, and of the contract's own.
    """
    state = context.state
    problem = problem_of(book, rules)
    own = own_assignment(problem)
    best, solver, best_worth = own, b"", problem.worth(own)
    for key in sorted(state.proposals.keys(), key=lambda key: state.proposals[key].order):
        chosen = problem.still_possible(state.proposals[key].pairs)
        worth = problem.worth(chosen)
        if worth > best_worth:
            best, solver, best_worth = chosen, key, worth
        state.proposals.remove(key)
    result = assigned(book, rules, problem, best)
    return result, solver, best_worth.degree_ppm, problem.worth(own).degree_ppm
