"""The best-response iteration ends where nobody gains by deviating, by a check that tries every tick."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.nash import Outcome, Quoter, QuotingMarket, best_response, iterate, outcome_of, utility_nano
from market.orders import Side

TICK = 10_000
HIGHEST = 400_000


@st.composite
def markets(draw: st.DrawFn) -> QuotingMarket:
    quoters = tuple(
        Quoter(
            name=f"q{index}",
            energy_wh=draw(st.integers(1, 9)) * 1_000,
            reserve_micro=draw(st.integers(5, 35)) * TICK,
        )
        for index in range(draw(st.integers(1, 6)))
    )
    total = sum(quoter.energy_wh for quoter in quoters) // 1_000
    return QuotingMarket(
        side=draw(st.sampled_from(Side)),
        quoters=quoters,
        wanted_wh=draw(st.integers(1, total)) * 1_000,
        tick_micro=TICK,
        highest_micro=HIGHEST,
    )


def best_by_all_ticks(market: QuotingMarket, outcome: Outcome, index: int) -> int:
    """The most that a participant can gain by any quotation at all."""
    quotes = outcome.quotes_micro
    return max(
        utility_nano(market, outcome_of(market, (*quotes[:index], quote, *quotes[index + 1 :])), index)
        for quote in range(0, HIGHEST + 1, TICK)
    )


@settings(max_examples=150, deadline=None)
@given(markets())
def test_nobody_gains_by_any_other_quotation(market: QuotingMarket) -> None:
    iteration = iterate(market)
    assert iteration.is_equilibrium
    for index in range(len(market.quoters)):
        gained = utility_nano(market, iteration.outcome, index)
        assert gained >= 0
        assert gained >= best_by_all_ticks(market, iteration.outcome, index)


@settings(max_examples=150, deadline=None)
@given(markets(), st.data())
def test_the_few_quotations_tried_miss_none_that_is_better(market: QuotingMarket, data: st.DataObject) -> None:
    ticks = data.draw(st.lists(st.integers(0, HIGHEST // TICK), min_size=6, max_size=6))
    quotes = [tick * TICK for tick in ticks[: len(market.quoters)]]
    outcome = outcome_of(market, quotes)
    for index in range(len(market.quoters)):
        answer = best_response(market, outcome, index, weak=False)
        changed = (*quotes[:index], answer, *quotes[index + 1 :])
        gained = utility_nano(market, outcome_of(market, changed), index)
        assert gained == max(utility_nano(market, outcome, index), best_by_all_ticks(market, outcome, index))


@settings(max_examples=100)
@given(markets())
def test_all_that_is_wanted_is_served_and_nobody_more_than_he_has(market: QuotingMarket) -> None:
    outcome = iterate(market).outcome
    assert sum(outcome.served_wh) == market.wanted_wh
    for quoter, served_wh in zip(market.quoters, outcome.served_wh, strict=True):
        assert 0 <= served_wh <= quoter.energy_wh


@settings(max_examples=60)
@given(markets())
def test_a_fixed_quoter_keeps_its_quotation(market: QuotingMarket) -> None:
    quoters = tuple(
        Quoter(name=q.name, energy_wh=q.energy_wh, reserve_micro=q.reserve_micro, fixed=index == 0)
        for index, q in enumerate(market.quoters)
    )
    fixed = QuotingMarket(
        side=market.side, quoters=quoters, wanted_wh=market.wanted_wh, tick_micro=TICK, highest_micro=HIGHEST
    )
    assert iterate(fixed).outcome.quotes_micro[0] == quoters[0].reserve_micro
