"""`gridbazaar devices`."""

from __future__ import annotations

from pathlib import Path

import click

from agents.commands.common import run_argument
from agents.run_folder import RunFolder


@click.command(name="devices")
@run_argument
@click.argument("region")
def command(run: Path, region: str) -> None:
    """Run the meters and inverters of one region.

    They run until they are told to stop.

    \b
    Example:
      gridbazaar devices runs/neighbourhood east
    """
    from agents.devices_process import main

    folder = RunFolder.open(run)
    regions = folder.read_deployment().regions
    if region not in regions:
        raise click.BadParameter(f"{region!r} is not in {folder.deployment}; expected one of {', '.join(regions)}")
    main(folder, region)
