"""`gridbazaar bench`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agents.commands.common import echo_json, echo_table, json_option


@click.group(name="bench")
def command() -> None:
    """Measure on this machine, with real processes.

    \b
    Example:
      gridbazaar bench ledger
    """


@command.command(name="ledger")
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(min=1),
    multiple=True,
    help="Offered orders a second; may be repeated.",
)
@click.option("--seconds", type=click.FloatRange(min=2), default=20.0, show_default=True, help="For each load.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder to make.  [default: below runs/]"
)
@json_option
def ledger(rates: tuple[float, ...], seconds: float, out: Path | None, as_json: bool) -> int:
    """Orders a second and latency of four ledger nodes over mosquitto, at several loads.

    Latency is from publishing a signed order to f+1 equal receipts. Sustained is the largest offered load
    that is committed as fast as it comes, with p99 at most 5 s and nothing lost.

    \b
    Example:
      gridbazaar bench ledger --rate 150 --rate 300 --seconds 30
    """
    from agents.ledger_bench import RATES, BenchOptions, bench_ledger

    def tell(words: str) -> None:
        if sys.stderr.isatty():
            click.echo(words, err=True)

    result = bench_ledger(BenchOptions(rates=rates or RATES, seconds=seconds, out=out), tell)
    if as_json:
        echo_json(result.to_json())
        return 0
    rows = [
        (
            f"{stage.offered_per_s:g}",
            stage.committed_per_s,
            stage.lost,
            stage.latency_ms_p50,
            stage.latency_ms_p95,
            stage.latency_ms_p99,
            stage.latency_ms_max,
            stage.blocks_per_s,
            f"{stage.cpu_node:.2f}",
            f"{stage.cpu_broker:.2f}",
            f"{stage.cpu_load:.2f}",
            "yes" if stage.sustained else "no",
        )
        for stage in result.stages
    ]
    headings = (
        *("offered/s", "committed/s", "lost", "p50 ms", "p95 ms", "p99 ms", "max ms", "blocks/s"),
        *("CPU a node", "CPU broker", "CPU load", "sustained"),
    )
    echo_table(headings, rows, right=headings[:-1])
    click.echo(f"Sustained: {result.sustained_per_s:g} orders/s on {result.nodes} nodes. CPU in cores.")
    return 0
