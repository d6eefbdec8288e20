"""`gridbazaar run`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agents.commands.common import echo_json, json_option
from agents.run_options import RunOptions


@click.command(name="run")
@click.argument("scenario", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder to make.  [default: below runs/]"
)
@click.option("--broker", metavar="URL", help="Use this broker, mqtt://host:port, instead of the project's own.")
@click.option("--seed", type=int, help="Seed in place of the scenario's.")
@click.option("--periods", type=click.IntRange(min=1), help="Number of periods in place of the scenario's.")
@click.option("--progress/--no-progress", default=None, help="Progress bar.  [default: on a terminal]")
@click.option("--web/--no-web", default=None, help="Web page.  [default: on, but off with --json]")
@json_option
def command(
    scenario: Path,
    out: Path | None,
    broker: str | None,
    seed: int | None,
    periods: int | None,
    progress: bool | None,
    web: bool | None,
    as_json: bool,
) -> int:
    """Run a scenario: broker, ledger, agents, devices, report.

    Starts every part, prints a link to the market at work, and leaves a run folder with ledgers, logs, CSV
    files and report.html. Ctrl-C stops everything; the folder stays readable.

    \b
    Examples:
      gridbazaar run scenarios/neighbourhood.toml
      gridbazaar run scenarios/neighbourhood.toml --periods 8 --out runs/try --json
    """
    from agents.runner import run_scenario

    options = RunOptions(
        scenario_path=scenario,
        out=out,
        broker=broker,
        seed=seed,
        periods=periods,
        json=as_json,
        progress=sys.stderr.isatty() if progress is None else progress,
        web=not as_json if web is None else web,
    )
    result = run_scenario(options)
    if as_json:
        echo_json(result.to_json())
    else:
        from agents.summary import print_summary

        print_summary(result)
    for violation in result.violations:
        click.echo(f"Violation: {violation}", err=True)
    return 1 if result.violations or result.interrupted else 0
