"""`gridbazaar chaos`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agents.commands.common import echo_json, echo_table, json_option

if TYPE_CHECKING:
    from agents.chaos import ChaosResult


@click.command(name="chaos")
@click.argument("scenario", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder to make.  [default: below runs/]"
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="At least so long; rounds of faults are finished.",
)
@click.option("--rate", type=click.FloatRange(min=1), default=50.0, show_default=True, help="Orders a second.")
@click.option("--quick", is_flag=True, help="One round of short faults, in about two minutes.")
@json_option
def command(
    scenario: Path | None, out: Path | None, minutes: float, rate: float, quick: bool, as_json: bool
) -> int:
    """Shoot at a real committee under load.

    Four ledger nodes and a broker of its own serve a steady load of signed orders, and are held to their promises.
    In turn: kill -9 of each node, SIGSTOP of the primary, the broker killed, a disk full, a ledger file cut
    short, all nodes killed at once. At the end every order with f+1 equal receipts must be in every chain
    exactly once, no node may have contradicted itself, and all chains must verify from genesis. Exit code 1
    when a promise is broken.

    SCENARIO gives participants and committee; the pace of its market is set by this command.

    \b
    Examples:
      gridbazaar chaos
      gridbazaar chaos scenarios/neighbourhood.toml --minutes 10 --rate 100
    """
    from agents.chaos import ChaosOptions, run_chaos
    from agents.chaos_faults import QUICK, Durations

    options = ChaosOptions(
        scenario=scenario,
        out=out,
        minutes=0 if quick else minutes,
        rate_per_s=rate,
        durations=QUICK if quick else Durations(),
    )

    def tell(words: str) -> None:
        if sys.stderr.isatty():
            click.echo(words, err=True)

    result = run_chaos(options, tell)
    if as_json:
        echo_json(result.to_json())
    else:
        _print(result)
    return 1 if result.broken or result.interrupted else 0


def _print(result: ChaosResult) -> None:
    rows = [
        (
            report.kind,
            ", ".join(report.nodes) if len(report.nodes) < 3 else "every node",
            f"{(report.healed_ms - report.struck_ms) / 1000:.1f}",
            f"{report.outage_ms / 1000:.1f}",
            f"{report.recovery_ms / 1000:.1f}" if report.recovery_ms is not None else "never",
        )
        for report in result.faults
    ]
    headings = ("fault", "of", "lasted s", "no commit s", "back after s")
    echo_table(headings, rows, right=headings[2:])
    click.echo()
    load = result.load
    click.echo(
        f"Orders: {load['sent']:,} sent, {load['receipted']:,} with f+1 equal receipts,"
        f" {load['in_blocks']:,} in blocks; latency p50 {load['latency_ms_p50']} ms,"
        f" p99 {load['latency_ms_p99']} ms, max {load['latency_ms_max']} ms."
    )
    click.echo(
        f"Availability: {100 * result.availability:.1f} % of {result.seconds_of_load} s had commits;"
        f" {len(result.faults)} faults in {result.seconds:.0f} s."
    )
    heights = ", ".join(f"{name} {height}" for name, height in result.heights.items())
    skipped = {name: count for name, count in result.blocks_skipped.items() if count}
    note = "; skipped by snapshot: " + ", ".join(f"{n} {c}" for n, c in skipped.items()) if skipped else ""
    click.echo(f"Heights: {heights}{note}.")
    click.echo(f"Folder: {result.folder}")
    for sentence in result.broken:
        click.echo(f"BROKEN: {sentence}")
    if not result.broken:
        click.echo("Every promise held: receipts, equal chains, no contradiction, every node back by itself.")
    if result.interrupted:
        click.echo("Stopped early: what was done until then was checked.")
