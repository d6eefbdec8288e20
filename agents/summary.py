"""What a person reads when a run has ended: one screen."""

from __future__ import annotations

import json

import click

from agents.run_folder import RunFolder
from agents.run_options import RunResult

_LINES = (
    ("Energy", ("traded_wh", "mean_price_micro", "served_share")),
    ("Money", ("community_cost_nano", "reference_cost_nano", "saving_nano")),
    ("Sun", ("pv_absorption_local", "self_sufficiency", "peak_valley_gap_w")),
    ("Promises", ("imbalance_wh", "penalties_nano", "mean_reputation_ppm")),
    ("Ledger", ("transactions", "order_latency_p50_ms", "order_latency_p99_ms")),
)


def print_summary(result: RunResult) -> None:
    """Print the result and the main numbers of `kpis.json`, and where the report lies."""
    folder = RunFolder(result.folder)
    ended = "Stopped" if result.interrupted else "Done"
    click.echo(
        f"{ended} after {result.seconds:.1f} s:"
        f" {result.periods_settled} periods settled, {result.trades:,} trades."
    )
    click.echo()
    if lines := summary_lines(folder):
        for name, words in lines:
            click.echo(f"  {name:<9} {words}")
        click.echo()
    for node, state in result.nodes.items():
        click.echo(f"  {node:<16} height {state.height:>6}   state {state.state_root[:16]}")
    click.echo()
    if folder.report_html.exists():
        click.echo(f"Report: {folder.report_html}")
    else:
        click.echo(f"Report: not made yet; gridbazaar report {folder.path}")
    click.echo(f"Verify: gridbazaar audit {folder.path}")
    click.echo(f"Browse: gridbazaar web {folder.path}")


def summary_lines(folder: RunFolder) -> list[tuple[str, str]]:
    """Name and words of each line; numbers that the run does not have are left out."""
    from agents.kpis import Kpi, text_of

    try:
        document = json.loads(folder.kpis_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    kpis = document["kpis"]
    lines = []
    for name, keys in _LINES:
        words = []
        for key in keys:
            if key in kpis:
                entry = kpis[key]
                kpi = Kpi(
                    key=key,
                    group="",
                    label=entry["label"],
                    value=entry["value"],
                    unit=entry["unit"],
                    definition="",
                )
                words.append(f"{kpi.label.lower()} {text_of(kpi)}")
        if words:
            lines.append((name, "; ".join(words)))
    return lines
