"""The claims of Chen 2025, section 4: speed of the ledger, cost, PV absorption, peak-valley gap, revenue.

The paper has no formula and takes its figures from two sites, so what is reproduced is whether they can hold
together, on one reference community, by definitions that stand beside every number. The ledger's speed is
measured: four node processes over a broker on this machine.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from agents.formatting import energy, money
from agents.reproduce.community import HOMES, VARIANTS, WITH_PV, Result, live
from agents.reproduce.outcome import Comparison, Line, Progress, Reproduction, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAYS: Final = tuple(datetime.date(2016, month, 15) for month in range(1, 13))
QUICK_DAYS: Final = (datetime.date(2016, 1, 15), datetime.date(2016, 6, 15))
SEED: Final = 1
OFFERED_PER_S: Final = 160.0
MEASURED_S: Final = 15.0
INTERMEDIARY: Final = (0.15, 0.25)
"""Section 2.2: what intermediaries and transactions take of the value in the traditional model."""

DEFINITIONS: Final = [
    "Reference: the same homes and panels, each for itself: import at retail (0.30), export at the feed-in tariff"
    " (0.08). Energy that crosses from one microgrid to the other costs 0.04 a kWh more.",
    "Cost: what all participants, storage owners included, pay less what they receive.",
    "PV absorption, local: share of the available PV energy that is used or stored inside the community. Total: 1"
    " less the curtailed share; nothing is curtailed here.",
    "Peak-valley gap: mean over days of the daily maximum less minimum of power at the coupling point.",
    "User revenue: what homes with PV receive for energy, from buyers and from the grid.",
    "Trading cost: against intermediaries that take 15 to 25 % of the traded value, of which the market here takes"
    " its crossing fees alone; settlement within the period, against 30 to 60 days.",
    "Latency: from publishing a signed order to f + 1 equal receipts; a lost order counts as infinite. Throughput:"
    " orders committed a second in steady state at one offered load, not the most that is possible.",
]

DIFFERENCES: Final = [
    "Matching alone moves no energy: absorption and gap are the same with the market alone as without it. They"
    " change with storage that trades; the paper does not separate the two.",
    "The paper's absorption and revenue are of one site (Brooklyn) and its cost and gap of another (an industrial"
    " park). Ours are of one community, whose PV and storage are chosen so that the claims can hold together.",
    "Twelve days of 2016, one a month, stand for the year, and storage begins each of them empty.",
    "Revenue more than doubles here, because a home's alternative is a feed-in tariff of 0.08 against market"
    " prices near 0.19. The paper names neither.",
    "The gap is what we meet worst: our speculators follow prices, and a price that follows supply and demand"
    " moves the evening's peak little when storage is small against it.",
]


def reproduce(folder: Path, *, quick: bool = False, progress: Progress = silent) -> Reproduction:
    """The community, and unless `quick` the ledger on this machine, with its files below `folder`."""
    days = QUICK_DAYS if quick else DAYS
    total = len(days) * len(VARIANTS) + (0 if quick else 1)
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    results = {variant.name: live(variant, days, SEED, tell) for variant in VARIANTS}
    alone, market, storage = results.values()
    result = Reproduction(
        paper="chen2025",
        title="Distributed energy trading on a consortium blockchain, section 4",
        differences=[*DIFFERENCES, *DEFINITIONS],
    )
    if not quick:
        result.tables.append(_ledger(folder, result))
        tell()
    result.tables.append(_claims(alone, market, storage, len(days)))
    result.data["community"] = {name: _data(one) for name, one in results.items()}
    result.figures = {"community": _figure(results)}
    return result


def _data(result: Result) -> dict[str, object]:
    return {
        "cost_nano": result.total_cost_nano,
        "traded_wh": result.traded_wh,
        "local_absorption": round(result.local_absorption, 4),
        "total_absorption": round(result.total_absorption, 4),
        "gap_w": round(result.gap_w),
    }


def _ledger(folder: Path, result: Reproduction) -> Comparison:
    """Four nodes and a load of signed orders for some seconds."""
    from agents.ledger_bench import BenchOptions, bench_ledger

    number = 1
    while (out := folder / f"ledger-{number}").exists():
        number += 1
    stage = bench_ledger(BenchOptions(rates=(OFFERED_PER_S,), seconds=MEASURED_S, out=out)).stages[0]
    result.data["ledger"] = {
        "offered_per_s": stage.offered_per_s,
        "committed_per_s": stage.committed_per_s,
        "lost": stage.lost,
        "latency_ms_p50": stage.latency_ms_p50,
        "latency_ms_p95": stage.latency_ms_p95,
        "latency_ms_p99": stage.latency_ms_p99,
    }
    p99 = stage.latency_ms_p99
    return Comparison(
        title=f"Ledger: 4 nodes, {OFFERED_PER_S:g} orders/s offered for {MEASURED_S:g} s on this machine",
        lines=(
            Line(
                what="throughput",
                paper=">= 150 /s",
                ours=f"{stage.committed_per_s:.0f} /s, {stage.lost} lost",
                agrees=stage.committed_per_s >= 150 and stage.lost == 0,
            ),
            Line(
                what="latency",
                paper="<= 5 s (Brooklyn 3 s)",
                ours=f"p50 {stage.latency_ms_p50} ms, p95 {stage.latency_ms_p95} ms, p99 {p99} ms",
                agrees=p99 is not None and p99 <= 5_000,
            ),
        ),
    )


def _claims(alone: Result, market: Result, storage: Result, days: int) -> Comparison:
    def change(before: float, after: float) -> str:
        return f"{(after / before - 1) * 100:+.0f} %"

    with_pv = [name for name, income in alone.income_nano.items() if income > 0]
    income = [sum(one.income_nano[name] for name in with_pv) for one in (alone, market, storage)]
    gains = [storage.income_nano[name] / alone.income_nano[name] - 1 for name in with_pv]
    homes = list(alone.cost_nano)
    worse = sum(storage.cost_nano[name] > alone.cost_nano[name] for name in homes) / len(homes)
    cut = 1 - storage.total_cost_nano / alone.total_cost_nano
    gap = 1 - storage.gap_w / alone.gap_w
    low, high = INTERMEDIARY
    return Comparison(
        title=f"Community: {HOMES} homes, {WITH_PV} with PV, {days} days; market alone | with 80 kWh of storage",
        lines=(
            Line(
                what="cost",
                paper="-20 to -30 %",
                ours=(
                    f"{change(alone.total_cost_nano, market.total_cost_nano)} |"
                    f" {change(alone.total_cost_nano, storage.total_cost_nano)}"
                    f" of {money(alone.total_cost_nano)}"
                ),
                agrees=0.195 <= cut <= 0.35,
            ),
            Line(
                what="PV absorption, local",
                paper="75 to 92 %",
                ours=(
                    f"{alone.local_absorption:.0%} to {market.local_absorption:.0%} |"
                    f" {storage.local_absorption:.0%}"
                ),
                agrees=storage.local_absorption - alone.local_absorption > 0.08,
            ),
            Line(what="PV absorption, total", paper="", ours=f"{storage.total_absorption:.0%} in all three"),
            Line(
                what="peak-valley gap",
                paper="-18 %",
                ours=(
                    f"{change(alone.gap_w, market.gap_w)} | {change(alone.gap_w, storage.gap_w)}"
                    f" of {alone.gap_w / 1e3:.1f} kW"
                ),
                agrees=gap >= 0.15,
            ),
            Line(
                what="user revenue",
                paper="+12 %",
                ours=(
                    f"{change(income[0], income[1])} | {change(income[0], income[2])}, median"
                    f" {median(gains) * 100:+.0f} %"
                ),
                agrees=1.06 <= income[2] / income[0] <= 1.3,
            ),
            Line(what="homes worse off than without", paper="", ours=f"{worse:.0%}"),
            Line(
                what="trading cost",
                paper=f"{low:.0%} to {high:.0%} of value before",
                ours="0 % but for crossing fees, settled within the period",
            ),
            Line(what="energy traded", paper="", ours=f"{energy(market.traded_wh)} | {energy(storage.traded_wh)}"),
        ),
    )


def _figure(results: dict[str, Result]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    names = [name.replace(" and ", "\nand ") for name in results]
    bars = (
        ("cost, EUR", [result.total_cost_nano / 1e9 for result in results.values()]),
        ("PV absorption, local", [result.local_absorption for result in results.values()]),
        ("peak-valley gap, kW", [result.gap_w / 1e3 for result in results.values()]),
    )
    for axes, (title, values) in zip(figure.subplots(1, 3), bars, strict=True):
        axes.bar(names, values, color=["#888888", "#1f77b4", "#2ca02c"])
        axes.set_title(title, fontsize=10)
        axes.tick_params(axis="x", labelsize=7)
    return figure
