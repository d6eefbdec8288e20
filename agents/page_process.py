"""The web page of a run as its runner sees it: a process that the market can do without.

It is started when the market is already open, gives way to every other process, and whatever becomes of it
is no failure of the run.
"""

from __future__ import annotations

import json
import logging
from importlib.util import find_spec

from agents.run_folder import RunFolder
from agents.supervisor import ChildGaveUpError, ChildSpec, Supervisor, python_command

log = logging.getLogger(__name__)

NAME = "web"


class PageProcess:
    """`gridbazaar web` as a child. Without the page's libraries, or when not `wanted`, it does nothing."""

    def __init__(self, folder: RunFolder, *, wanted: bool) -> None:
        self.folder = folder
        self.wanted = wanted and find_spec("solara") is not None
        self._supervisor = Supervisor()
        self._told = False

    def start(self) -> None:
        """Start it, without waiting."""
        if not self.wanted:
            return
        command = python_command("web", str(self.folder.path), "--json")
        try:
            self._supervisor.start(ChildSpec(name=NAME, command=command, output=self.folder.output(NAME)))
        except OSError as error:
            self._give_up(str(error))

    def look(self) -> str | None:
        """Keep it alive. Returns its address, once: as soon as it listens."""
        if not self.wanted:
            return None
        try:
            self._supervisor.check()
        except ChildGaveUpError as error:
            self._give_up(str(error))
            return None
        return None if self._told else self._address()

    def stop(self) -> None:
        """End it."""
        self._supervisor.stop()

    def _give_up(self, reason: str) -> None:
        log.warning("the web page is given up", extra={"fields": {"reason": reason}})
        self.wanted = False

    def _address(self) -> str | None:
        try:
            first, _, _ = self.folder.output(NAME).read_text(encoding="utf-8").partition("\n")
            url = json.loads(first)["url"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # It has not said it yet.
        self._told = True
        return str(url)
