"""What several subcommands share: options, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

run_argument = click.argument("run", type=click.Path(path_type=Path, file_okay=False), metavar="RUN")
"""A run folder."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
"""For every command whose result is data."""


def echo_json(value: object) -> None:
    """Print one JSON value on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False))


def echo_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """Print a table in plain columns; those named in `right` are flush right, as numbers are."""
    lines = [[str(cell) for cell in row] for row in rows]
    flush_right = {index for index, heading in enumerate(headings) if heading in set(right)}
    widths = [max(len(line[index]) for line in [list(headings), *lines]) for index in range(len(headings))]

    def one(cells: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if index in flush_right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    click.echo(click.style(one(headings), bold=True))
    for line in lines:
        click.echo(one(line))
