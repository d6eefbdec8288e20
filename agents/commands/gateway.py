"""`gridbazaar gateway`."""

from __future__ import annotations

from pathlib import Path

import click

from agents.commands.common import json_option
from agents.errors import ConfigurationError
from agents.run_folder import RunFolder


@click.command(name="gateway")
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN|SCENARIO")
@click.option("--run", "run", type=click.Path(path_type=Path, file_okay=False), help="The market to join.")
@click.option("--watch", is_flag=True, help="Only read the meters and show what they say; no market is needed.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="With --watch: end after so long.")
@json_option
def command(path: Path, run: Path | None, watch: bool, seconds: float | None, as_json: bool) -> None:
    """Read real meters, sign, publish.

    Takes a run folder, as `gridbazaar run` makes one, or a scenario file: then it joins the newest run of that
    scenario below runs/, or the one that --run names. It goes on until it is told to stop.

    \b
    Examples:
      gridbazaar gateway scenarios/my-home.toml --watch
      gridbazaar gateway runs/my-home-20260302T080000
      gridbazaar gateway scenarios/my-home.toml --run runs/my-home-20260302T080000
    """
    from agents import gateway_process
    from agents.scenario import Scenario

    if path.is_dir() and not watch:
        gateway_process.main(RunFolder.open(path))
        return
    scenario = Scenario.load(path / "scenario.toml" if path.is_dir() else path)
    if not scenario.meters:
        raise ConfigurationError(f"{path}: no [[meter]]; expected at least one for a gateway to read")
    if watch:
        gateway_process.watch(scenario.meters, seconds=seconds, as_json=as_json)
        return
    folder = RunFolder.open(run) if run is not None else gateway_process.run_folder_of(scenario)
    if folder is None:
        raise ConfigurationError(
            f"runs: no run of {scenario.scenario.name!r} there;"
            f" expected a market that runs (gridbazaar run {path}), --run RUN, or --watch"
        )
    gateway_process.main(folder)
