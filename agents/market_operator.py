"""The market operator: says when a period closes, is delivered and is settled.

Every committee member runs one. The one whose turn it is (`operator_term` in the contract's state) sends
the phase transactions; the others watch whether it does, and vote it out when a phase that is due does
not come. What is due is one pure function of the agreed state, the clock and who is ready, so all members
judge alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from market.transactions import ClosePeriod, DeliverPeriod, ReplaceOperator, SettlePeriod

log = logging.getLogger(__name__)

Pace = Literal["lockstep", "scaled", "live"]

PhaseTransaction = ClosePeriod | DeliverPeriod | SettlePeriod

RESEND_MS: Final = 500
"""A phase transaction is sent again so often until a block has it; replays of one id do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceConfig:
    """When phases are due.

    `period_ms`: length of a trading period on the market's clock. `first_period_ms`: start of period 0 on the
    wall clock (live, scaled). `factor`: market seconds a wall second (scaled). `closure_ms`: gate closure
    before delivery starts (market clock).
    `phase_limit_ms`: in lockstep, how long a phase waits for hosts that are not ready. `reading_limit_ms`:
    how long settlement waits for missing readings. `patience_ms`: how long a due phase may stay away
    before members vote for another operator.
    """

    pace: Pace = "lockstep"
    periods: int
    period_ms: int
    first_period_ms: int = 0
    factor: float = 1.0
    closure_ms: int = 0
    phase_limit_ms: int = 60_000
    reading_limit_ms: int = 10_000
    patience_ms: int = 3_000

    def __post_init__(self) -> None:
        if self.period_ms <= 0 or self.periods <= 0:
            raise ValueError(f"period_ms and periods must be positive, were {self.period_ms}, {self.periods}")
        if self.factor <= 0:
            raise ValueError(f"factor must be positive, was {self.factor}")

    def start_ms(self, period: int) -> int:
        """When delivery of `period` begins, on the wall clock."""
        factor = self.factor if self.pace == "scaled" else 1.0
        return self.first_period_ms + round(period * self.period_ms / factor)

    def _wall_ms(self, market_ms: int) -> int:
        return round(market_ms / (self.factor if self.pace == "scaled" else 1.0))

    def closes_ms(self, period: int) -> int:
        """Gate closure of `period`, on the wall clock."""
        return self.start_ms(period) - self._wall_ms(self.closure_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketView:
    """What an operator needs of the contract's state."""

    open_period: int
    phases: tuple[tuple[int, str], ...]
    """(period, phase) of the periods that are closed or delivered and not yet settled."""
    missing_readings: Mapping[int, int]
    """For delivered periods, how many registered meters have not reported."""
    operator_term: int


@dataclass(frozen=True, slots=True)
class Due:
    """A phase change that should happen now."""

    period: int
    phase: str

    def transaction(self, time_ms: int) -> PhaseTransaction:
        """The operator's transaction for it."""
        match self.phase:
            case "open":
                return ClosePeriod(period=self.period, time_ms=time_ms)
            case "closed":
                return DeliverPeriod(period=self.period, time_ms=time_ms)
            case _:
                return SettlePeriod(period=self.period, time_ms=time_ms)


def due_phase(
    config: PaceConfig,
    view: MarketView,
    now_ms: int,
    since_ms: int,
    is_ready: Callable[[int, str], bool],
) -> Due | None:
    """The earliest phase that should end now, or None.

    `since_ms`: when this member saw the state last change its phases. `is_ready(period, phase)`: whether
    every expected host said in lockstep that it needs nothing more before that phase ends.
    """
    for period, phase in view.phases:
        if phase == "closed":
            if config.pace == "lockstep" or now_ms >= config.start_ms(period + 1):
                return Due(period, "closed")
        elif phase == "delivered":
            ended_ms = since_ms if config.pace == "lockstep" else config.start_ms(period + 1)
            if not view.missing_readings.get(period, 0) or now_ms >= ended_ms + config.reading_limit_ms:
                return Due(period, "delivered")
    if view.open_period >= config.periods:
        return None
    if config.pace == "lockstep":
        if view.phases:  # One period at a time: agents learn from the last before they order for the next.
            return None
        is_due = is_ready(view.open_period, "open") or now_ms >= since_ms + config.phase_limit_ms
    else:
        is_due = now_ms >= config.closes_ms(view.open_period)
    return Due(view.open_period, "open") if is_due else None


@dataclass(slots=True)
class MarketOperator:
    """One committee member's share in keeping the market's clock.

    `send` signs and publishes a transaction as this member; `members` is the committee's size.
    """

    config: PaceConfig
    member: int
    members: int
    send: Callable[[PhaseTransaction | ReplaceOperator], None]
    hosts: frozenset[str] = frozenset()
    ready: dict[str, tuple[int, str]] = field(default_factory=dict)
    _view: MarketView | None = None
    _since_ms: int = 0
    _due: Due | None = None
    _due_since_ms: int = 0
    _sent_ms: int | None = None

    def on_ready(self, host: str, period: int, phase: str) -> None:
        """Note a host's lockstep status. Strangers are ignored.

        So is an earlier period than it has named before: anybody can play an old status back, and a host
        that was started again has still sent its orders.
        """
        if host in self.hosts and period >= self.ready.get(host, (period, phase))[0]:
            self.ready[host] = (period, phase)

    def is_ready(self, period: int, phase: str) -> bool:
        """Whether every expected host has said so."""
        return all(
            said is not None and said[0] >= period and said[1] == phase for said in map(self.ready.get, self.hosts)
        )

    def on_tick(self, view: MarketView, now_ms: int) -> None:
        """Look once: send what is due when it is our turn, or judge the one whose turn it is."""
        if self._view is None or (view.phases, view.open_period) != (self._view.phases, self._view.open_period):
            self._since_ms = now_ms
        turn_is_ours = view.operator_term % self.members == self.member
        changed_hands = self._view is not None and view.operator_term != self._view.operator_term
        self._view = view
        due = due_phase(self.config, view, now_ms, self._since_ms, self.is_ready)
        if due != self._due or changed_hands:
            self._due, self._due_since_ms, self._sent_ms = due, now_ms, None
        if due is None:
            return
        if turn_is_ours:
            if self._sent_ms is None or now_ms >= self._sent_ms + RESEND_MS:
                self._sent_ms = now_ms
                # The time it became due, not now: sent again, it must be the same transaction.
                self.send(due.transaction(self._due_since_ms))
        elif now_ms >= self._due_since_ms + self.config.patience_ms:
            fields = {"period": due.period, "phase": due.phase, "operator_term": view.operator_term}
            log.warning("operator is late, voting for the next", extra={"fields": fields})
            self._due_since_ms = now_ms
            self.send(ReplaceOperator(term=view.operator_term + 1))
