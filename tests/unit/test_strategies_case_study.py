"""The case study of Huang 2022, section 3: the figures of its text come out of the strategies."""

from __future__ import annotations

from statistics import mean

import pytest

from agents.reproduce.case_study import STEPS_AN_HOUR, Run, run

SEEDS = range(6)


@pytest.fixture(scope="module")
def paper_runs() -> list[Run]:
    return [run(seed, "paper") for seed in SEEDS]


def price_at(runs: list[Run], hour: int) -> float:
    """Mean over the runs of the highest matched ask, in $ per kWh."""
    return mean(steps[hour * STEPS_AN_HOUR].price_micro for steps in runs) / 1e6


def served(runs: list[Run], hours: slice) -> float:
    """Traded volume over demand, mean over runs and steps."""
    steps = slice(*(None if hour is None else hour * STEPS_AN_HOUR for hour in (hours.start, hours.stop)))
    return mean(mean(step.volume_wh / step.demand_wh for step in run_[steps]) for run_ in runs)


def test_the_trading_price_begins_at_0_024(paper_runs: list[Run]) -> None:
    assert price_at(paper_runs, 0) == pytest.approx(0.024, abs=1e-9)


def test_the_price_climbs_through_the_night_and_reaches_0_046_at_noon(paper_runs: list[Run]) -> None:
    assert price_at(paper_runs, 4) == pytest.approx(0.034, abs=0.003)
    assert price_at(paper_runs, 12) == pytest.approx(0.046, abs=0.002)


def test_the_price_falls_after_noon_with_demand(paper_runs: list[Run]) -> None:
    assert price_at(paper_runs, 16) < price_at(paper_runs, 12)


def test_at_first_all_demand_is_served_and_then_less(paper_runs: list[Run]) -> None:
    assert served(paper_runs, slice(None, 4)) > 0.98
    assert 0.85 < served(paper_runs, slice(10, None)) < 0.96


def test_with_the_true_surplus_sellers_have_less_reason_to_climb(paper_runs: list[Run]) -> None:
    true_runs = [run(seed, "true-surplus") for seed in SEEDS]
    assert price_at(true_runs, 12) < price_at(paper_runs, 12) - 0.003
