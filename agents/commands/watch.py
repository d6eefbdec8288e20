"""`gridbazaar watch`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="watch")
@click.argument("scenario", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--port", type=click.IntRange(0, 65_535), help="Port.  [default: the first free one from 8765 on]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
def command(scenario: Path, port: int | None, host: str) -> None:
    """Step through a scenario in the browser, with Mesa's controls.

    The model alone, with the contract applied directly: play, pause, step, reset, and sliders for the seed,
    the number of periods and the strategies. Each browser tab has a market of its own.

    \b
    Example:
      gridbazaar watch scenarios/neighbourhood.toml
    """
    from agents.logging_setup import configure_logging
    from agents.scenario import Scenario
    from agents.web import server

    Scenario.load(scenario)  # Wrong usage is said before anything is started.
    server.check_libraries()
    options = server.Listening(host=host, port=port)
    listener = server.bind(options)
    configure_logging("watch")
    click.echo(f"{server.url_of(listener, host)}  (Ctrl-C ends it)")
    server.serve_watch(scenario.resolve(), options, listener)
