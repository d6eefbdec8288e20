"""When phases are due, who says so, and what happens when the one whose turn it is does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.market_operator import Due, MarketOperator, MarketView, PaceConfig, due_phase
from market.transactions import ClosePeriod, DeliverPeriod, ReplaceOperator, SettlePeriod

LOCKSTEP = PaceConfig(
    periods=3, period_ms=900_000, phase_limit_ms=5_000, reading_limit_ms=2_000, patience_ms=1_000
)
LIVE = PaceConfig(
    pace="live", periods=10, period_ms=60_000, first_period_ms=600_000, closure_ms=10_000, reading_limit_ms=2_000
)


def view(open_period: int = 0, *phases: tuple[int, str], missing: int = 0, term: int = 0) -> MarketView:
    return MarketView(
        open_period=open_period,
        phases=phases,
        missing_readings={period: missing for period, phase in phases if phase == "delivered"},
        operator_term=term,
    )


def due(
    config: PaceConfig, market: MarketView, now_ms: int, *, since_ms: int = 0, ready: bool = False
) -> Due | None:
    return due_phase(config, market, now_ms, since_ms, lambda period, phase: ready)


def test_lockstep_closes_when_all_hosts_are_ready() -> None:
    assert due(LOCKSTEP, view(), 1) is None
    assert due(LOCKSTEP, view(), 1, ready=True) == Due(0, "open")


def test_lockstep_closes_without_a_dead_host_after_the_limit() -> None:
    assert due(LOCKSTEP, view(), 4_999) is None
    assert due(LOCKSTEP, view(), 5_000) == Due(0, "open")


def test_lockstep_runs_one_period_at_a_time() -> None:
    assert due(LOCKSTEP, view(1, (0, "closed")), 1, ready=True) == Due(0, "closed")
    assert due(LOCKSTEP, view(1, (0, "delivered"), missing=2), 1, ready=True) is None
    assert due(LOCKSTEP, view(1, (0, "delivered")), 1, ready=True) == Due(0, "delivered")


def test_settlement_stops_waiting_for_silent_meters() -> None:
    assert due(LOCKSTEP, view(1, (0, "delivered"), missing=1), 2_100, since_ms=100) == Due(0, "delivered")


def test_nothing_is_due_after_the_last_period() -> None:
    assert due(LOCKSTEP, view(3), 10**9, ready=True) is None


def test_live_periods_follow_the_wall_clock_and_overlap() -> None:
    assert due(LIVE, view(0), 589_999, ready=True) is None
    assert due(LIVE, view(0), 590_000) == Due(0, "open")
    assert due(LIVE, view(1, (0, "closed")), 649_999) is None
    # Period 1 closes while period 0 is still being delivered, and period 0 ends while 2 trades.
    assert due(LIVE, view(1, (0, "closed")), 650_000) == Due(1, "open")
    assert due(LIVE, view(2, (0, "closed"), (1, "closed")), 660_000) == Due(0, "closed")
    assert due(LIVE, view(2, (0, "delivered"), (1, "closed"), missing=1), 661_000) is None
    assert due(LIVE, view(2, (0, "delivered"), (1, "closed"), missing=1), 662_000) == Due(0, "delivered")


def test_scaled_time_runs_faster_by_the_factor() -> None:
    scaled = replace(LIVE, pace="scaled", factor=60.0)
    assert scaled.start_ms(1) == 601_000
    assert due(scaled, view(0), 599_834) == Due(0, "open")


class Members:
    """Four operators over one view; what they send is kept."""

    def __init__(self, config: PaceConfig = LOCKSTEP) -> None:
        self.sent: list[tuple[int, object]] = []
        self.operators = [
            MarketOperator(config, member, 4, self._sender(member), frozenset({"agents"})) for member in range(4)
        ]

    def _sender(self, member: int):  # type: ignore[no-untyped-def]
        return lambda transaction: self.sent.append((member, transaction))

    def tick(self, market: MarketView, now_ms: int) -> list[tuple[int, object]]:
        self.sent.clear()
        for operator in self.operators:
            operator.on_tick(market, now_ms)
        return list(self.sent)

    def ready(self, period: int) -> None:
        for operator in self.operators:
            operator.on_ready("agents", period, "open")


def test_only_the_member_whose_turn_it_is_sends() -> None:
    members = Members()
    assert members.tick(view(), 10) == []
    members.ready(0)
    assert members.tick(view(term=2), 20) == [(2, ClosePeriod(period=0, time_ms=20))]


def test_a_phase_transaction_is_sent_again_unchanged() -> None:
    members = Members()
    members.ready(0)
    first = members.tick(view(), 20)
    assert members.tick(view(), 100) == []
    assert members.tick(view(), 520) == first


def test_phases_follow_each_other_to_settlement() -> None:
    members = Members()
    members.ready(0)
    kinds = []
    for now_ms, market in enumerate((view(), view(1, (0, "closed")), view(1, (0, "delivered")))):
        kinds += [type(transaction) for _, transaction in members.tick(market, now_ms)]
    assert kinds == [ClosePeriod, DeliverPeriod, SettlePeriod]


def test_a_silent_operator_is_voted_out_and_the_next_goes_on() -> None:
    members = Members()
    members.ready(0)
    members.tick(view(), 0)
    silent_since = members.tick(view(), 999)
    assert all(member == 0 for member, _ in silent_since)
    votes = [entry for entry in members.tick(view(), 1_000) if entry[0] != 0]
    assert votes == [(member, ReplaceOperator(term=1)) for member in (1, 2, 3)]
    assert (1, ClosePeriod(period=0, time_ms=1_100)) in members.tick(view(term=1), 1_100)


def test_nobody_votes_while_nothing_is_due() -> None:
    members = Members()
    for now_ms in range(0, 4_900, 100):
        assert members.tick(view(), now_ms) == []


@pytest.mark.parametrize(("period", "phase"), [(0, "open"), (1, "closed")])
def test_a_stranger_or_an_old_word_does_not_count_as_ready(period: int, phase: str) -> None:
    operator = Members().operators[0]
    operator.on_ready("stranger", 1, "open")
    assert not operator.is_ready(1, "open")
    operator.on_ready("agents", period, phase)
    assert not operator.is_ready(1, "open")
