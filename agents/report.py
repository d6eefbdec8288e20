"""The report of a run, from its folder alone: `kpis.json` and `report.html`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from agents import formatting, report_plots
from agents.errors import ConfigurationError
from agents.kpis import Kpi, compute_kpis, text_of, write_kpis
from agents.no_market import Comparison, compare
from agents.report_page import Raw, bullets, page, picture, section, table, tiles
from agents.run_data import RunData
from agents.run_folder import RunFolder, write_atomically

log = logging.getLogger(__name__)

_HEADLINES = (
    "traded_wh",
    "mean_price_micro",
    "community_cost_nano",
    "saving_nano",
    "self_sufficiency",
    "pv_absorption_local",
    "order_latency_p50_ms",
    "transactions",
)


def write_report(folder: RunFolder) -> Path:
    """Evaluate a run and write `kpis.json` and `report.html`; returns the path of the latter.

    Works on a run that was cut short: what is missing is said, in the report and in `kpis.json`. Raises
    RunFolderError when the folder has no `deployment.json` or a file in it is garbled.
    """
    data = RunData.load(folder)
    comparison = _comparison(data)
    kpis = compute_kpis(data, comparison)
    write_kpis(data, kpis)
    write_atomically(folder.report_html, render(data, kpis, comparison))
    return folder.report_html


def _comparison(data: RunData) -> Comparison | None:
    if not data.periods:
        return None
    try:
        return compare(data)
    except ConfigurationError as error:
        first = str(error).splitlines()[0]
        data.missing.append(f"No comparison with a day without a market: {first}")
        return None


def render(data: RunData, kpis: Sequence[Kpi], comparison: Comparison | None) -> str:
    """The page's text."""
    deployment = data.deployment
    start = datetime.fromtimestamp(deployment.first_period_ms / 1_000, tz=UTC)
    minutes = deployment.period_ms / 60_000
    subtitle = (
        f"{start:%A, %d %B %Y, %H:%M} UTC · {len(data.periods)} of {deployment.periods} periods"
        f" of {minutes:g} minutes · "
        f"{len(deployment.participants)} participants in {', '.join(deployment.regions)} · "
        f"{len(deployment.committee)} ledger nodes · seed {deployment.seed}"
    )
    footer = (
        f"Chain {deployment.chain_id}, pace {deployment.pace}. Made from the CSV files, ledgers and scenario of "
        "the run folder alone; `gridbazaar report` makes it again. All figures are in periods.csv, trades.csv, "
        "settlements.csv and the tables beside them."
    )
    return page(f"Gridbazaar: {deployment.scenario}", subtitle, _parts(data, kpis, comparison), footer)


def _parts(data: RunData, kpis: Sequence[Kpi], comparison: Comparison | None) -> Iterator[Raw]:
    by_key = {kpi.key: kpi for kpi in kpis}
    headlines = [by_key[key] for key in _HEADLINES if key in by_key]
    yield tiles((*_value_and_unit(kpi), kpi.label) for kpi in headlines)
    if data.missing:
        yield section("What is missing", bullets(data.missing), kind="missing")
    yield from _pictures(data, comparison)
    yield _nodes(data)
    yield _participants(data)
    yield _definitions(kpis)


def _value_and_unit(kpi: Kpi) -> tuple[str, str]:
    value, _, unit = text_of(kpi).partition(" ")
    return value, unit


def _pictures(data: RunData, comparison: Comparison | None) -> Iterator[Raw]:
    drawing = report_plots.price_and_volume(data)
    if drawing:
        yield section(
            "Price and volume",
            picture(
                drawing,
                "Above, the price that sellers received: mean by energy, and the range of all trades. A price "
                "outside the two tariffs would be worse for one side than the grid. Below, energy traded, and "
                "what was bid and offered for it.",
            ),
        )
    busiest = report_plots.busiest_period(data)
    drawing = None if busiest is None else report_plots.supply_and_demand(data, busiest)
    if drawing:
        yield section(
            f"Supply and demand in period {busiest}",
            picture(
                drawing,
                "The order book of the period with the most energy traded. With region priority, neighbours trade "
                "first, so the energy traded can lie beyond the crossing of the curves. The step at the right end "
                "of supply is the regulator's unlimited ask.",
            ),
        )
    drawing = None if comparison is None else report_plots.coupling_point(data, comparison)
    if drawing:
        yield section(
            "Sun, load and the grid",
            picture(
                drawing,
                "Above, what the community could generate and what it consumed. Below, its power at the coupling "
                "point, negative when it feeds in: with the market, and each home for itself with the same panels "
                "and batteries. Trade alone moves no energy; the difference comes from batteries that follow it.",
            ),
        )
    for heading, drawing, caption in (
        (
            "Who earned and paid what",
            report_plots.who_paid(data),
            "Everybody's money over the settled periods, by what it was for. The dot is what remained.",
        ),
        (
            "Meter against contract",
            report_plots.meter_against_contract(data),
            "Left, each settlement as a point: on the line, the meter showed what was traded. Right, the energy "
            "off position, which the grid buys at the feed-in tariff or sells at the retail tariff.",
        ),
        (
            "Storage and reputation",
            report_plots.storage_and_reputation(data),
            "Left, energy in all batteries, as their inverters report it. Right, reputation after Cui 2022, "
            "eq. (2): median and middle 80 % of those who sold anything, since it judges delivery.",
        ),
        (
            "Ledger latency",
            report_plots.ledger_latency(data),
            "From the moment a transaction passes on the bus until f + 1 nodes have given the same receipt. Left, "
            "by kind of transaction; right, by trading period.",
        ),
    ):
        if drawing:
            yield section(heading, picture(drawing, caption))


def _nodes(data: RunData) -> Raw:
    rows = [
        (
            node.name,
            formatting.count(node.height),
            formatting.count(node.transactions),
            node.state_root or node.problem,
        )
        for node in data.nodes
    ]
    roots = {(node.height, node.state_root) for node in data.nodes if node.height is not None}
    if len(roots) == 1 and len(data.nodes) == sum(node.height is not None for node in data.nodes):
        words = "All nodes ended at the same block with the same state."
    else:
        words = (
            "Nodes at the same height must have the same state root; a lower node was stopped before the others."
        )
    kinds = ("", "number", "number", "code")
    return section("Ledger nodes", words, table(("node", "height", "transactions", "state root"), rows, kinds))


def _participants(data: RunData) -> Raw:
    sums = {
        name: data.sum_by_account(name)
        for name in ("bought_wh", "sold_wh", "import_wh", "export_wh", "net_nano", "penalty_nano")
    }
    last = dict(
        zip(data.settlements.texts("account"), data.settlements.numbers("reputation_ppm").tolist(), strict=True)
    )
    rows = [
        (
            entry.name,
            entry.role,
            entry.region,
            *(
                f"{sums[key].get(entry.name, 0) / 1e3:,.2f}"
                for key in ("bought_wh", "sold_wh", "import_wh", "export_wh")
            ),
            f"{sums['net_nano'].get(entry.name, 0) / 1e9:,.3f}",
            f"{sums['penalty_nano'].get(entry.name, 0) / 1e9:,.3f}",
            f"{last[entry.name] / 1e6:.3f}" if entry.name in last else formatting.MISSING,
        )
        for entry in data.deployment.participants
    ]
    headings = (
        "participant", "role", "region", "bought, kWh", "sold, kWh", "import, kWh", "export, kWh",
        f"remained, {formatting.CURRENCY}", f"penalties, {formatting.CURRENCY}", "reputation",
    )  # fmt: skip
    return section("Participants", table(headings, rows, ("", "", "", *["number"] * 7)))


def _definitions(kpis: Sequence[Kpi]) -> Raw:
    rows: list[tuple[str, ...]] = []
    for group, members in groupby(kpis, key=lambda kpi: kpi.group):
        rows.append((group,))
        rows.extend((kpi.label, text_of(kpi), kpi.definition) for kpi in members)
    return section(
        "All numbers, with their definitions", table(("", "value", "definition"), rows, ("", "number", ""))
    )
