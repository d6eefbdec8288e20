"""The sentences of Huang 2022, section 3.2, as checks on a run of its case study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import correlation, fmean, pstdev
from typing import Final

from agents.reproduce.case_study import STEPS, STEPS_AN_HOUR, Run, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence of section 3.2 and whether a run bears it out."""

    words: str
    paper: str
    holds: Callable[[Run], bool]
    ours: Callable[[Sequence[Run]], str]


def price_at(runs: Sequence[Run], hour: float) -> float:
    """Mean over runs of the trading price around an hour (a quarter to each side), in $ per kWh."""
    place = round(hour * STEPS_AN_HOUR)
    steps = range(max(0, place - 3), min(STEPS, place + 4)) if place else range(1)
    return fmean(run[step].price_micro for run in runs for step in steps) / 1e6


def served(run_: Run, first_hour: float, last_hour: float) -> float:
    """Traded share of the demand between two hours."""
    part = run_[round(first_hour * STEPS_AN_HOUR) : round(last_hour * STEPS_AN_HOUR)]
    return sum(step.volume_wh for step in part) / sum(step.demand_wh for step in part)


def _spread(run_: Run, hour: float) -> float:
    step = run_[min(STEPS - 1, round(hour * STEPS_AN_HOUR))]
    return (step.mean_bid_micro - step.mean_ask_micro) / 1e6


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's; a series that never moves follows nothing."""
    return correlation(one, other) if pstdev(one) > 0 and pstdev(other) > 0 else 0.0


def _volume_follows(run_: Run) -> float:
    """Of the average quantity, as the text has it: means over an hour, after 9:00 of the first day."""
    part = run_[9 * STEPS_AN_HOUR :]
    return _correlation(_hourly(part, lambda step: step.volume_wh), _hourly(part, lambda step: step.demand_wh))


def _price_follows(run_: Run) -> float:
    """Means over an hour of the second day: single steps are noise."""
    part = run_[24 * STEPS_AN_HOUR :]
    return _correlation(_hourly(part, lambda step: step.price_micro), _hourly(part, lambda step: step.demand_wh))


def _hourly(part: Run, value: Callable[[Step], float]) -> list[float]:
    hours = range(0, len(part), STEPS_AN_HOUR)
    return [fmean(value(step) for step in part[hour : hour + STEPS_AN_HOUR]) for hour in hours]


def _peak(runs: Sequence[Run], first_hour: int, last_hour: int) -> float:
    means = [
        fmean(run_[step].price_micro for run_ in runs) / 1e6
        for step in range(first_hour * STEPS_AN_HOUR, last_hour * STEPS_AN_HOUR)
    ]
    return max(means)


def _mean(runs: Sequence[Run], measure: Callable[[Run], float], form: str = ".3f") -> str:
    return format(fmean(measure(run_) for run_ in runs), form)


SENTENCES: Final = (
    Sentence(
        words="initial trading price",
        paper="0.024",
        holds=lambda run_: abs(run_[0].price_micro / 1e6 - 0.024) < 5e-4,
        ours=lambda runs: f"{price_at(runs, 0):.4f}",
    ),
    Sentence(
        words="the price increases dramatically before 4:00",
        paper="rises",
        holds=lambda run_: price_at([run_], 4) > price_at([run_], 0) + 0.006,
        ours=lambda runs: f"{price_at(runs, 0):.4f} to {price_at(runs, 4):.4f}",
    ),
    Sentence(
        words="in the first 4 h the quantity equals the demand",
        paper="1",
        holds=lambda run_: served(run_, 0, 4) > 0.98,
        ours=lambda runs: _mean(runs, lambda run_: served(run_, 0, 4)),
    ),
    Sentence(
        words="then the total quantity starts to decrease below it",
        paper="< 1",
        holds=lambda run_: served(run_, 5, 9) < served(run_, 0, 4) - 0.01,
        ours=lambda runs: _mean(runs, lambda run_: served(run_, 5, 9)),
    ),
    Sentence(
        words="the gap between bids and asks narrows",
        paper="narrows",
        holds=lambda run_: _spread(run_, 6) < 0.6 * _spread(run_, 0),
        ours=lambda runs: (
            f"{_mean(runs, lambda run_: _spread(run_, 0), '.4f')} to"
            f" {_mean(runs, lambda run_: _spread(run_, 6), '.4f')}"
        ),
    ),
    Sentence(
        words="generators withhold quantity",
        paper="withhold",
        holds=lambda run_: fmean(step.mean_share for step in run_[48:108]) < 0.98,
        ours=lambda runs: _mean(runs, lambda run_: fmean(step.mean_share for step in run_[48:108])) + " of supply",
    ),
    Sentence(
        words="the price reaches its height at noon",
        paper="0.046",
        holds=lambda run_: abs(price_at([run_], 12) - 0.046) < 0.0015,
        ours=lambda runs: f"{price_at(runs, 12):.4f} (highest mean {_peak(runs, 9, 15):.4f})",
    ),
    Sentence(
        words="it falls when demand decreases after noon",
        paper="falls",
        holds=lambda run_: price_at([run_], 16) < price_at([run_], 12),
        ours=lambda runs: f"{price_at(runs, 12):.4f} to {price_at(runs, 16):.4f}",
    ),
    Sentence(
        words="it rises when demand increases again",
        paper="rises",
        holds=lambda run_: price_at([run_], 19) > price_at([run_], 16),
        ours=lambda runs: f"{price_at(runs, 16):.4f} to {price_at(runs, 19):.4f}",
    ),
    Sentence(
        words="after 9:00 the average quantity follows the demand",
        paper="follows",
        holds=lambda run_: _volume_follows(run_) > 0.7,
        ours=lambda runs: "correlation " + _mean(runs, _volume_follows, ".2f"),
    ),
    Sentence(
        words="in the end the prices follow the demand",
        paper="follows",
        holds=lambda run_: _price_follows(run_) > 0.5,
        ours=lambda runs: "correlation " + _mean(runs, _price_follows, ".2f"),
    ),
    Sentence(
        words="a stationary equilibrium: noon of day 2 like noon of day 1",
        paper="equal",
        holds=lambda run_: abs(price_at([run_], 36) - price_at([run_], 12)) < 0.002,
        ours=lambda runs: f"{price_at(runs, 36):.4f}",
    ),
)
