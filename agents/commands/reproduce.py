"""`gridbazaar reproduce`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agents.commands.common import echo_json, echo_table, json_option

if TYPE_CHECKING:
    from agents.reproduce.outcome import Progress, Reproduction

PAPERS = ("huang2022", "cui2022", "green", "chen2025")


@click.command(name="reproduce")
@click.argument("paper", type=click.Choice(PAPERS))
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="[default: reproductions/PAPER]")
@click.option("--seeds", type=click.IntRange(1, 1_000), default=20, show_default=True, help="huang2022: runs.")
@click.option("--quick", is_flag=True, help="chen2025: two days instead of twelve, and no measured run.")
@json_option
def command(paper: str, out: Path | None, seeds: int, quick: bool, as_json: bool) -> None:
    """Run a paper's experiment and compare.

    Says in words where and why we differ. Writes reproduction.json and the figures. Takes some seconds
    (green, cui2022), half a minute (huang2022) or two minutes (chen2025, which also measures a ledger of four
    node processes).

    \b
    Example:
      gridbazaar reproduce green
    """
    folder = out or Path("reproductions") / paper
    with _progress(paper) as progress:
        result = _experiment(paper, folder, seeds, quick)(progress)
    written = result.write(folder)
    if as_json:
        echo_json(result.to_json())
        return
    _print(result)
    click.echo("Written: " + ", ".join(str(path) for path in written))


def _experiment(paper: str, folder: Path, seeds: int, quick: bool) -> Callable[[Progress], Reproduction]:
    match paper:
        case "huang2022":
            from agents.reproduce import huang2022

            return lambda progress: huang2022.reproduce(seeds, progress)
        case "cui2022":
            from agents.reproduce import cui2022

            return cui2022.reproduce
        case "green":
            from agents.reproduce import green

            return green.reproduce
        case _:
            from agents.reproduce import chen2025

            return lambda progress: chen2025.reproduce(folder, quick=quick, progress=progress)


@contextmanager
def _progress(words: str) -> Iterator[Progress]:
    """A bar on a terminal, nothing anywhere else."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(result: Reproduction) -> None:
    click.echo(click.style(result.title, bold=True))
    marks = {True: "yes", False: "no", None: ""}
    for table in result.tables:
        click.echo()
        click.echo(table.title)
        rows = [(line.what, line.paper, line.ours, marks[line.agrees]) for line in table.lines]
        echo_table(("", "paper", "here", "agrees"), rows)
    click.echo()
    click.echo("Where and why we differ:")
    for words in result.differences:
        click.echo(f"- {words}")
