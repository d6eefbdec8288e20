"""The case study of Huang 2022, section 3: its sentences beside ours, figures 8 and 9."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Final

from agents.reproduce.case_study import CONSUMERS, LIMIT_MICRO, PRODUCERS, STEPS, STEPS_AN_HOUR, Run, run
from agents.reproduce.case_study_sentences import SENTENCES
from agents.reproduce.outcome import Comparison, Line, Progress, Reproduction, silent
from agents.strategies import PRESETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
