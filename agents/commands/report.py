"""`gridbazaar report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from agents.commands.common import echo_json, json_option, run_argument
from agents.run_folder import RunFolder


@click.command(name="report")
@run_argument
@json_option
def command(run: Path, as_json: bool) -> None:
    """Evaluate a run folder again: writes kpis.json and report.html.

    Needs the folder alone, also one of a run that was cut short; the report says what is missing. With
    --json prints what stands in kpis.json.

    \b
    Example:
      gridbazaar report runs/neighbourhood
    """
    from agents.report import write_report

    folder = RunFolder.open(run)
    path = write_report(folder)
    if as_json:
        echo_json(json.loads(folder.kpis_json.read_text(encoding="utf-8")))
    else:
        click.echo(path)
