"""`gridbazaar simulate`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from agents.commands.common import echo_json, json_option

if TYPE_CHECKING:
    from ledger.simulation.run import Report
    from ledger.simulation.scene import SceneConfig
    from ledger.simulation.shrink import Minimal

_SHRUNK: Final = 3
"""So many violating seeds are shrunk; one mistake shows in many, and each takes a while."""

_LINES_MAX: Final = 400


@click.command(name="simulate")
@click.option("--seeds", type=click.IntRange(min=1), default=100, show_default=True, help="How many seeds.")
@click.option("--first-seed", type=click.IntRange(min=0), default=0, show_default=True, help="The first of them.")
@click.option(
    "--n", type=click.Choice(["4", "7", "10"]), default=None, help="Replicas.  [default: 4 or 7, as the seed says]"
)
@click.option(
    "--storm-seconds",
    type=click.FloatRange(min=0.5),
    default=60.0,
    show_default=True,
    help="Simulated seconds of faults, before the calm.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Processes.  [default: one a core]", metavar="N"
)
@json_option
def command(
    seeds: int, first_seed: int, n: str | None, storm_seconds: float, jobs: int | None, as_json: bool
) -> int:
    """Play the consensus protocol in storms of faults.

    A seed decides each storm. The replica of the ledger nodes runs on a virtual network, virtual clocks and
    virtual disks: loss, duplication, reordering, delay, partitions (one-way and moving ones too), crashes also in
    the middle of a write, slow and lost disks, skewed clocks, up to f lying replicas, clients that tell replicas
    different things. All the time: one block a height, equal states, valid certificates, each transaction once,
    no honest replica contradicts itself. After the storm: everything that was sent is executed everywhere.

    A violation is printed with its seed and the shortest run in which it still shows. Exit code 1 then.

    \b
    Examples:
      gridbazaar simulate --seeds 1000
      gridbazaar simulate --seeds 1 --first-seed 4711 --n 7 --json
    """
    from rich.console import Console
    from rich.progress import Progress

    from ledger.simulation.run import simulate
    from ledger.simulation.scene import SceneConfig

    config = SceneConfig(n=int(n) if n else None, storm_ms=int(1000 * storm_seconds))
    workers = min(jobs or os.cpu_count() or 1, seeds)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json or not sys.stderr.isatty()) as bar:
        task = bar.add_task("Seeds", total=seeds)

        def show(report: Report) -> None:
            words = f"Seeds ({len(report.failed)} go wrong)" if report.failed else "Seeds"
            bar.update(task, completed=report.seeds, description=words)

        report = simulate(range(first_seed, first_seed + seeds), config, show, workers)
    shrunk = _shrink(report, config)
    if as_json:
        echo_json(_to_json(report, shrunk))
    else:
        _print(report, shrunk, storm_seconds)
    return 1 if report.failed else 0


def _shrink(report: Report, config: SceneConfig) -> dict[int, Minimal]:
    from ledger.simulation.shrink import Shrinker

    shrunk: dict[int, Minimal] = {}
    for outcome in report.failed[:_SHRUNK]:
        if sys.stderr.isatty():
            click.echo(f"Seed {outcome.seed} goes wrong; looking for the shortest run that does ...", err=True)
        shrunk[outcome.seed] = Shrinker(outcome, config).shrink()
    return shrunk


def _to_json(report: Report, shrunk: dict[int, Minimal]) -> dict[str, object]:
    violations: list[dict[str, object]] = []
    for outcome in report.failed:
        violation: dict[str, object] = {"seed": outcome.seed, "n": outcome.n, "what": outcome.violations}
        if (minimal := shrunk.get(outcome.seed)) is not None:
            cut = minimal.config.cut
            violation["minimal"] = {
                "storm_ms": minimal.config.storm_ms,
                "faults": sorted(minimal.outcome.faults),
                "orders": list(minimal.outcome.orders),
                "habits": sorted(cut.habits or ()),
                "runs": minimal.runs,
                "what": minimal.outcome.violations,
                "trace": list(minimal.lines),
            }
        violations.append(violation)
    return {
        "seeds": report.seeds,
        "events": report.events,
        "messages": report.counts["messages"],
        "view_changes": report.counts["view changes"],
        "crashes": report.counts["crashes"],
        "partitions": report.counts["partitions"],
        "byzantine_acts": report.counts["byzantine acts"],
        "violations": violations,
        "seconds": round(report.seconds, 3),
    }


def _print(report: Report, shrunk: dict[int, Minimal], storm_seconds: float) -> None:
    counts = report.counts
    click.echo(
        f"{report.seeds:,} seeds of {storm_seconds:g} s of storm: {report.events:,} events, "
        f"{counts['messages']:,} messages, {report.blocks:,} blocks in {report.seconds:.1f} s."
    )
    names = (
        "lost",
        "duplicated",
        "reordered",
        "blocked",
        "partitions",
        "crashes",
        "crashes at a write",
        "disks lost",
        "slow disks",
        "view changes",
        "snapshots installed",
        "byzantine acts",
        "evidence",
    )
    click.echo("Faults and answers: " + ", ".join(f"{counts[name]:,} {name}" for name in names) + ".")
    for outcome in report.failed:
        click.echo(f"\nVIOLATION: seed {outcome.seed}, {outcome.n} replicas: {outcome.violations[0]}")
        if (minimal := shrunk.get(outcome.seed)) is not None:
            _print_minimal(minimal)
    if not report.failed:
        click.echo("No violation.")


def _print_minimal(minimal: Minimal) -> None:
    outcome = minimal.outcome
    habits = [f"{index} ({', '.join(names)})" for index, names in outcome.liars.items() if names]
    click.echo(
        f"Shortest run found in {minimal.runs}: {outcome.ended_ms} ms, {len(outcome.faults)} of "
        f"{minimal.faults_before} faults, {len(outcome.orders)} of {minimal.orders_before} orders, "
        f"liars: {', '.join(habits) or 'none'}."
    )
    lines = minimal.lines
    left_out = max(0, len(lines) - _LINES_MAX)
    if left_out:
        click.echo(f"  ... {left_out} lines before; --json has all of them")
    for line in lines[left_out:]:
        click.echo(f"  {line}")
