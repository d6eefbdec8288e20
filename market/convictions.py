"""Proofs that a ledger node said two things: one a place, a bounded number a member."""

from __future__ import annotations

from market.context import Context
from market.market_events import Equivocation
from market.market_records import CONVICTIONS_MAX, Conviction, MemberRecord
from market.receipts import ReasonCode
from market.state import MarketState
from market.supervision_transactions import ReportEquivocation


def report_equivocation(context: Context, report: ReportEquivocation) -> ReasonCode:
    """Take a member's proof against another. What follows from it is for the regulator to decide."""
    if context.sender not in context.config.committee and context.sender != context.config.regulator:
        return ReasonCode.NOT_COMMITTEE
    if report.accused not in context.config.committee:
        return ReasonCode.UNKNOWN_MEMBER
    code = objection_to(context.state, report)
    if code:
        return code
    if report.accused not in context.state.members:
        context.state.members.add(report.accused, MemberRecord())
    record = context.state.members.edit(report.accused)
    record.convictions += (
        Conviction(kind=report.kind, view=report.view, sequence=report.sequence, tx_id=context.tx_id),
    )
    context.events.append(
        Equivocation(
            accused=report.accused,
            reporter=context.sender,
            kind=report.kind,
            view=report.view,
            sequence=report.sequence,
            count=len(record.convictions),
            tx_id=context.tx_id,
        )
    )
    return ReasonCode.OK


def objection_to(state: MarketState, report: ReportEquivocation) -> ReasonCode | None:
    """Why the ledger needs this proof no more; None when it does."""
    record = state.members.get(report.accused)
    if record is None:
        return None
    if any(item.place == (report.kind, report.view, report.sequence) for item in record.convictions):
        return ReasonCode.ALREADY_CONVICTED
    return ReasonCode.TOO_MANY_CONVICTIONS if len(record.convictions) >= CONVICTIONS_MAX else None
