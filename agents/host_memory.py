"""What an agent host must not forget when its process dies.

Strategies begin anew in a host that was started again; money and orders must not. So two periods are on disk
before the messages that depend on them leave.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from agents.errors import RunFolderError
from agents.run_folder import write_atomically

NEVER: Final = -1


class HostMemory:
    """Two period numbers, kept in `path`; without a path, in memory alone.

    `enrolled_in`: the open period when this host first enrolled its participants; deposits are the same
    transactions as then, so that they are credited once. `ordered_in`: the last period that it has sent
    orders for; it sends no second ones. `NEVER` for neither.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.enrolled_in = NEVER
        self.ordered_in = NEVER
        if path is not None and path.exists():
            self._read(path)

    def enrols_in(self, open_period: int) -> int:
        """Note the period of the first enrolment, which is `open_period` if there was none; returns it."""
        if self.enrolled_in == NEVER:
            self.enrolled_in = open_period
            self._write()
        return self.enrolled_in

    def orders_in(self, period: int) -> bool:
        """Note that orders for `period` are about to leave. False when some may have left already."""
        if period <= self.ordered_in:
            return False
        self.ordered_in = period
        self._write()
        return True

    def _write(self) -> None:
        if self.path is not None:
            values = {"enrolled_in": self.enrolled_in, "ordered_in": self.ordered_in}
            write_atomically(self.path, json.dumps(values) + "\n")

    def _read(self, path: Path) -> None:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            self.enrolled_in, self.ordered_in = int(values["enrolled_in"]), int(values["ordered_in"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path}: not what an agent host wrote: {error!r}") from None
