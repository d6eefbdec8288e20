"""`gridbazaar node`."""

from __future__ import annotations

from pathlib import Path

import click

from agents.commands.common import run_argument
from agents.run_folder import RunFolder


@click.command(name="node")
@run_argument
@click.argument("name")
def command(run: Path, name: str) -> None:
    """Run one ledger node of a run folder.

    It runs until it is told to stop. NAME is a committee member in RUN/deployment.json; its key is
    RUN/keys/NAME.key.

    \b
    Example:
      gridbazaar node runs/neighbourhood trading-center
    """
    from agents.node_process import main

    folder = RunFolder.open(run)
    members = [member.name for member in folder.read_deployment().committee]
    if name not in members:
        raise click.BadParameter(f"{name!r} is not in {folder.deployment}; expected one of {', '.join(members)}")
    main(folder, name)
