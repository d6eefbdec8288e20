"""`gridbazaar web`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from agents.commands.common import json_option, run_argument
from agents.run_folder import RunFolder

NICENESS = 10
"""The page gives way to the market: it is looked at, and the market is waited for."""


@click.command(name="web")
@run_argument
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on.  [default: a free one from 8765 on]"
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for everybody."
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="Another name of this host in browsers. Repeatable."
)
@json_option
def command(run: Path, port: int | None, host: str, names: tuple[str, ...], as_json: bool) -> None:
    """Show a run in the browser, live or afterwards.

    Afterwards a slider goes through its time. An observer: it listens to the run's brokers (or reads its
    folder) and cannot publish. Works on any machine that reaches the brokers and has the run's
    deployment.json. Ctrl-C ends it and disturbs nothing.

    \b
    Examples:
      gridbazaar web runs/neighbourhood
      gridbazaar web runs/neighbourhood --port 9000 --host 0.0.0.0 --name market.example.org
    """
    from agents.logging_setup import configure_logging
    from agents.web import server

    folder = RunFolder.open(run)
    folder.read_deployment()  # Wrong usage is said before anything is started.
    server.check_libraries()
    options = server.Listening(host=host, port=port, names=names)
    listener = server.bind(options)
    url = server.url_of(listener, host)
    configure_logging("web", folder.log("web") if folder.logs.is_dir() else None)
    os.nice(NICENESS)
    click.echo(json.dumps({"url": url}) if as_json else f"{url}  (Ctrl-C ends it)")
    server.serve_run(folder, options, listener)
