"""The case study of Huang 2022, section 3: seven generators, seven purchasers, two days.

The market is the contract's own clearing with the regulator's standing ask; the participants are the strategies of
`agents/strategies.py`. Quantities are those of a step of five minutes, 576 steps in all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import correlation, fmean, pstdev
from typing import TYPE_CHECKING, Final

from agents.reproduce.outcome import Comparison, Line, Progress, Reproduction, silent
from agents.strategies import (
    PRESETS,
    ConsumerState,
    Outcome,
    ProducerState,
    StrategyRules,
    next_consumer,
    next_producer,
)
from market.clearing import clear
from market.clearing_types import ClearingRules, Match
from market.orders import STANDING_ASK, Order, Side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRODUCERS: Final = (
    (1_600, 16_000, 17_000),
    (400, 17_000, 18_000),
    (600, 18_000, 19_000),
    (400, 24_000, 25_000),
    (1_000, 28_000, 29_000),
    (3_000, 21_000, 22_000),
    (200, 23_000, 24_000),
)
"""Table 2: supply in Wh a step, cost and first price in micro."""

CONSUMERS: Final = (
    (0.10, 48_000, 47_000),
    (0.16, 52_000, 51_000),
    (0.30, 56_000, 55_000),
    (0.08, 53_000, 52_000),
    (0.06, 46_000, 45_000),
    (0.20, 51_000, 50_000),
    (0.12, 52_000, 51_000),
)
"""Table 3: share of the demand, value and first price in micro. The shares sum to 1.02 and are divided by it."""

DEMAND_KWH: Final = ((0, 5.7), (4, 5.42), (12, 7.4), (16, 6.29), (19, 7.03), (24, 5.7))
"""Figure 7 is missing from the paper: its turning points by the text, a cosine between them, two equal days."""

LIMIT_MICRO: Final = 48_000
PRICE_STEP_MICRO: Final = 1_500
TOLERANCE_NANO: Final = 1_000
IDLE_LOSS_NANO: Final = 1e6
STEPS: Final = 576
STEPS_AN_HOUR: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of one run. Prices in micro per kWh, energies in Wh.

    `price_micro` is the highest matched ask of a generator, which is what figure 9 must show: only that begins at
    0.024. `midpoint_micro` is the mean price paid.
    """

    demand_wh: int
    volume_wh: int
    price_micro: float
    midpoint_micro: float
    mean_ask_micro: float
    mean_bid_micro: float
    mean_share: float


Run = tuple[Step, ...]


def demand_wh(hour: float) -> float:
    """Total demand of a step at an hour of either day."""
    hour %= 24
    for (start, low), (end, high) in pairwise(DEMAND_KWH):
        if start <= hour <= end:
            part = (1 - math.cos(math.pi * (hour - start) / (end - start))) / 2
            return 1_000 * (low + (high - low) * part)
    raise AssertionError(hour)


def run(seed: int, preset: str, steps: int = STEPS) -> Run:
    """One run of the case study."""
    rng = random.Random(seed)
    rules = StrategyRules(
        preset=PRESETS[preset],
        price_step_micro=PRICE_STEP_MICRO,
        profit_tolerance_nano=TOLERANCE_NANO,
        idle_loss_nano=IDLE_LOSS_NANO,
    )
    sellers = [ProducerState(ask_micro=price) for _, _, price in PRODUCERS]
    buyers = [ConsumerState(bid_micro=price) for _, _, price in CONSUMERS]
    total_share = sum(share for share, _, _ in CONSUMERS)
    results = []
    for step in range(steps):
        demand = demand_wh(step / STEPS_AN_HOUR)
        supplies = [PRODUCERS[i][0] * state.share for i, state in enumerate(sellers)]
        demands = [demand * CONSUMERS[j][0] / total_share for j in range(len(buyers))]
        book = _book(sellers, supplies, buyers, demands, rng)
        trades = clear("hlm", book, ClearingRules(ask_limit_micro=LIMIT_MICRO)).trades
        results.append(_step(round(demand), trades, sellers, buyers))
        sellers = [
            next_producer(state, _outcome(trades, i + 1, "sell"), PRODUCERS[i][1], rules, rng)
            for i, state in enumerate(sellers)
        ]
        buyers = [
            next_consumer(state, _outcome(trades, len(sellers) + j + 1, "buy"), CONSUMERS[j][1], rules, rng)
            for j, state in enumerate(buyers)
        ]
    return tuple(results)


def _book(
    sellers: Sequence[ProducerState],
    supplies_wh: Sequence[float],
    buyers: Sequence[ConsumerState],
    demands_wh: Sequence[float],
    rng: random.Random,
) -> list[Order]:
    """Orders of one step; the order of issue, which decides between equal prices, is drawn anew."""
    places = list(range(len(sellers) + len(buyers)))
    rng.shuffle(places)
    asks = [
        Order(
            number=i + 1,
            side=Side.SELL,
            energy_wh=round(supplies_wh[i]),
            price_micro=round(state.ask_micro),
            issued_ms=places[i],
        )
        for i, state in enumerate(sellers)
    ]
    first = len(sellers)
    bids = [
        Order(
            number=first + j + 1,
            side=Side.BUY,
            energy_wh=round(demands_wh[j]),
            price_micro=round(state.bid_micro),
            issued_ms=places[first + j],
        )
        for j, state in enumerate(buyers)
    ]
    return asks + bids


def _outcome(trades: Sequence[Match], number: int, side: str) -> Outcome:
    own = [trade for trade in trades if (trade.sell if side == "sell" else trade.buy) == number]
    energy_wh = sum(trade.energy_wh for trade in own)
    if not energy_wh:
        return Outcome(energy_wh=0)
    value = sum(trade.energy_wh * trade.price_micro for trade in own)
    return Outcome(energy_wh=energy_wh, price_micro=value / energy_wh)


def _step(
    demand: int, trades: Sequence[Match], sellers: Sequence[ProducerState], buyers: Sequence[ConsumerState]
) -> Step:
    local = [trade for trade in trades if trade.sell != STANDING_ASK]
    volume_wh = sum(trade.energy_wh for trade in local)
    value = sum(trade.energy_wh * trade.price_micro for trade in local)
    return Step(
        demand_wh=demand,
        volume_wh=volume_wh,
        price_micro=max((trade.ask_micro for trade in local), default=0),
        midpoint_micro=value / volume_wh if volume_wh else 0.0,
        mean_ask_micro=fmean(state.ask_micro for state in sellers),
        mean_bid_micro=fmean(state.bid_micro for state in buyers),
        mean_share=fmean(state.share for state in sellers),
    )


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

DIFFERENCES: Final = [
    "Figure 7 (demand) is missing from the paper. Ours passes through the turning points that its text names.",
    "The shares of table 3 sum to 1.02 and are divided by it.",
    "\"12:00 a.m.\" of the text is read as noon: figure 9's height and figure 7's peak stand there.",
    "The paper's trading price is read as the highest matched ask: only that is 0.024 in the first step. Money is"
    " settled at the midpoint of bid and ask, which the paper leaves open; both are drawn.",
    "Preset `paper` departs from eq. (3) in one place: an unsold generator goes half way back to its cost. All the"
    " way (`full-reset`) gives saw-teeth that figure 9 does not have. `literal` follows every printed line, among"
    " them sums that collect losses, so that the probability leaves [0, 1]. `true-surplus` counts what a trade"
    " paid instead of the own ask: economically sane, but the figures do not come out.",
]


def reproduce(seeds: int = 20, progress: Progress = silent) -> Reproduction:
    """All four presets over `seeds` runs each; the figures and the first table are the preset `paper`."""
    runs: dict[str, list[Run]] = {}
    total = seeds * len(PRESETS)
    for preset in PRESETS:
        runs[preset] = []
        for seed in range(seeds):
            runs[preset].append(run(seed, preset))
            progress(sum(len(done) for done in runs.values()), total)
    ours = runs["paper"]
    result = Reproduction(
        paper="huang2022",
        title="A framework for decentralized energy trading based on blockchain technology, section 3",
        differences=DIFFERENCES,
    )
    result.tables.append(
        Comparison(
            title=f"Section 3.2, means over {seeds} seeds, preset paper ($/kWh)",
            lines=tuple(
                Line(
                    what=sentence.words,
                    paper=sentence.paper,
                    ours=sentence.ours(ours),
                    agrees=sum(map(sentence.holds, ours)) * 2 > len(ours),
                )
                for sentence in SENTENCES
            ),
        )
    )
    result.tables.append(
        Comparison(
            title=f"Sentences borne out a run, of {len(SENTENCES)}, mean over {seeds} seeds",
            lines=tuple(
                Line(what=preset, paper="", ours=f"{fmean(map(_score, of_preset)):.1f}")
                for preset, of_preset in runs.items()
            ),
        )
    )
    result.tables.append(_inputs())
    result.data = _data(runs)
    result.figures = {"figures-8-and-9": _figure(ours)}
    return result


def _score(run_: Run) -> int:
    return sum(sentence.holds(run_) for sentence in SENTENCES)


def _inputs() -> Comparison:
    """Tables 2 and 3 as they are used."""
    generators = [
        Line(
            what=f"generator {i}",
            paper=f"{supply / 1e3:.1f} kWh, cost {cost / 1e6:.3f}, first {price / 1e6:.3f}",
            ours="as printed",
        )
        for i, (supply, cost, price) in enumerate(PRODUCERS, start=1)
    ]
    purchasers = [
        Line(
            what=f"purchaser {i}",
            paper=f"{share:.2f} of demand, cost {value / 1e6:.3f}, first {price / 1e6:.3f}",
            ours=f"{share / sum(entry[0] for entry in CONSUMERS):.4f} of demand",
        )
        for i, (share, value, price) in enumerate(CONSUMERS, start=1)
    ]
    return Comparison(title="Tables 2 and 3: the input", lines=(*generators, *purchasers))


def _data(runs: dict[str, list[Run]]) -> dict[str, object]:
    hours = [step / STEPS_AN_HOUR for step in range(STEPS)]
    return {
        "seeds": len(runs["paper"]),
        "hours": hours,
        "demand_wh": [step.demand_wh for step in runs["paper"][0]],
        "mean": {
            preset: {
                "price_micro": [round(fmean(r[i].price_micro for r in of_preset), 1) for i in range(STEPS)],
                "midpoint_micro": [round(fmean(r[i].midpoint_micro for r in of_preset), 1) for i in range(STEPS)],
                "volume_wh": [round(fmean(r[i].volume_wh for r in of_preset), 1) for i in range(STEPS)],
            }
            for preset, of_preset in runs.items()
        },
    }


def _figure(runs: Sequence[Run]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    hours = [step / STEPS_AN_HOUR for step in range(STEPS)]
    above.plot(hours, [step.demand_wh / 1e3 for step in runs[0]], color="#888888", label="demand")
    _band(above, hours, [[step.volume_wh / 1e3 for step in run_] for run_ in runs], "#1f77b4", "traded")
    above.set_ylabel("kWh a step")
    above.set_title(f"Figure 8: total trading quantity (mean and band of {len(runs)} runs)", fontsize=10)
    _band(below, hours, [[s.price_micro / 1e6 for s in r] for r in runs], "#d62728", "trading price: highest ask")
    _band(below, hours, [[s.midpoint_micro / 1e6 for s in r] for r in runs], "#2ca02c", "mean price paid")
    below.axhline(LIMIT_MICRO / 1e6, color="#888888", lw=1, ls="--", label="regulator's limit")
    below.set_ylabel("$ per kWh")
    below.set_xlabel("hour")
    below.set_title("Figure 9: trading price", fontsize=10)
    for axes in (above, below):
        axes.legend(fontsize=8, loc="lower right")
        axes.set_xticks(range(0, 49, 6))
        axes.grid(alpha=0.2)
    return figure


def _band(axes: object, x: Sequence[float], rows: Sequence[Sequence[float]], colour: str, label: str) -> None:
    """Mean and one standard deviation to each side."""
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    columns = list(zip(*rows, strict=True))
    means = [fmean(column) for column in columns]
    spreads = [pstdev(column) for column in columns]
    axes.plot(x, means, color=colour, label=label)
    axes.fill_between(
        x,
        [mean - spread for mean, spread in zip(means, spreads, strict=True)],
        [mean + spread for mean, spread in zip(means, spreads, strict=True)],
        color=colour,
        alpha=0.2,
        lw=0,
    )
