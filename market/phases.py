"""The operator's transactions: close, deliver, settle; and the committee's votes to replace it.

Exactly one period is open. Closed periods are delivered and settled one after the other, each on its own,
so that a period can be delivered while the next one trades.
"""

from __future__ import annotations

from market.closing import close_book
from market.context import Context
from market.events import OperatorChange, Phase, PhaseChange
from market.receipts import ReasonCode
from market.records import UnsettledPeriod
from market.settlement import settle_period
from market.transactions import ClosePeriod, DeliverPeriod, ReplaceOperator, SettlePeriod


def close_period(context: Context, close: ClosePeriod) -> ReasonCode:
    """End trading for the open period, clear it and open the next."""
    state = context.state
    code = _operator_refusal(context, close.time_ms)
    if code:
        return code
    if close.period != state.open_period:
        return ReasonCode.WRONG_PHASE
    if len(state.periods) >= context.config.unsettled_periods_max:
        return ReasonCode.TOO_MANY_UNSETTLED
    period = close.period
    state.periods.add(period, UnsettledPeriod(phase=Phase.CLOSED, closed_ms=state.head.time_ms))
    clearing = close_book(context, period)
    state.head.open_period = period + 1
    state.forget_calls_until(period)
    context.events.append(clearing)
    _announce(context, period, Phase.CLOSED)
    _announce(context, period + 1, Phase.OPEN)
    return ReasonCode.OK


def deliver_period(context: Context, deliver: DeliverPeriod) -> ReasonCode:
    """The period's time is over: its meters may report."""
    state = context.state
    code = _operator_refusal(context, deliver.time_ms)
    if code:
        return code
    before = state.phase_of(deliver.period - 1) if deliver.period else Phase.SETTLED
    if state.phase_of(deliver.period) is not Phase.CLOSED or before not in (Phase.DELIVERED, Phase.SETTLED):
        return ReasonCode.WRONG_PHASE
    state.periods.edit(deliver.period).phase = Phase.DELIVERED
    _announce(context, deliver.period, Phase.DELIVERED)
    return ReasonCode.OK


def settle(context: Context, settle: SettlePeriod) -> ReasonCode:
    """Settle the earliest delivered period. In order, because registers are cumulative."""
    state = context.state
    code = _operator_refusal(context, settle.time_ms)
    if code:
        return code
    before = state.phase_of(settle.period - 1) if settle.period else Phase.SETTLED
    if state.phase_of(settle.period) is not Phase.DELIVERED or before is not Phase.SETTLED:
        return ReasonCode.WRONG_PHASE
    # Before what it brought about: certificates issued, held payments released.
    place = len(context.events)
    context.events.insert(place, settle_period(context, settle.period))
    _announce(context, settle.period, Phase.SETTLED)
    return ReasonCode.OK


def replace_operator(context: Context, vote: ReplaceOperator) -> ReasonCode:
    """Count a member's vote for the next term; f + 1 votes contain an honest one and begin it."""
    committee, head = context.config.committee, context.state.head
    if context.sender not in committee:
        return ReasonCode.NOT_COMMITTEE
    if vote.term != head.operator_term + 1:
        return ReasonCode.WRONG_TERM
    member = committee.index(context.sender)
    if member in head.operator_votes:
        return ReasonCode.ALREADY_VOTED
    head.operator_votes += (member,)
    if len(head.operator_votes) > context.config.faulty_max:
        head.operator_term += 1
        head.operator_votes = ()
        context.events.append(OperatorChange(term=head.operator_term, member=head.operator_term % len(committee)))
    return ReasonCode.OK


def _operator_refusal(context: Context, time_ms: int) -> ReasonCode | None:
    if context.sender != context.operator():
        return ReasonCode.NOT_OPERATOR
    skew_ms = context.config.operator_skew_ms
    if skew_ms and abs(time_ms - context.state.head.time_ms) > skew_ms:
        return ReasonCode.WRONG_TIME
    return None


def _announce(context: Context, period: int, phase: Phase) -> None:
    time_ms = context.state.head.time_ms
    context.events.append(PhaseChange(period=period, phase=phase, time_ms=time_ms))
