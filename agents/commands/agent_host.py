"""`gridbazaar agents`."""

from __future__ import annotations

from pathlib import Path

import click

from agents.commands.common import run_argument
from agents.run_folder import RunFolder


@click.command(name="agents")
@run_argument
def command(run: Path) -> int:
    """Run the market's agents of a run folder.

    They end when the last period is settled. Told to stop before, the exit code is 1.

    \b
    Example:
      gridbazaar agents runs/neighbourhood
    """
    from agents.agents_process import main

    return 0 if main(RunFolder.open(run)) else 1
