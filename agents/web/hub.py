"""Where the feed puts snapshots and browser sessions take them.

One value, replaced as a whole, so that readers need no lock and no session can hold up the feed: a slow one
takes the newest when it comes and never sees those between. What is too large for a snapshot (periods gone
by, histories of agents) is asked for here.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from agents.deployment import Deployment
from agents.errors import RunFolderError
from agents.run_folder import RunFolder
from agents.web.capacities import battery_capacities
from agents.web.facts import OrderLine, PeriodFacts, Snapshot
from agents.web.folder_events import FolderEvents
from agents.web.mirror import HISTORY_COLUMNS, MirrorModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHistory:
    """One participant over time: for each column of the mirror's history a number a period, None if unknown."""

    periods: tuple[int, ...]
    columns: dict[str, list[float | None]]
    orders: tuple[OrderLine, ...]


class Hub:
    """The newest snapshot, and the way to everything else. Its methods may be called from any thread."""

    def __init__(self, folder: RunFolder, deployment: Deployment) -> None:
        self.folder = folder
        self.deployment = deployment
        self.mirror = MirrorModel(deployment)
        self.snapshot = Snapshot()
        self.capacities_wh = battery_capacities(folder)
        self._past = FolderEvents(folder, deployment)
        self._past_lock = threading.Lock()

    def publish(self, snapshot: Snapshot) -> None:
        """Make this the present."""
        self.snapshot = snapshot

    def facts(self, period: int) -> PeriodFacts | None:
        """A period's trades and settlement: from memory, or from the run folder when it is long gone."""
        found = self.mirror.facts(period)
        if found is not None:
            return found
        with self._past_lock:
            try:
                self._past.scan()
                return self._past.facts(period)
            except RunFolderError as error:
                log.warning("period cannot be read", extra={"fields": {"period": period, "reason": str(error)}})
                return None

    def column(self, period: int, column: str) -> list[float | None] | None:
        """One number of every participant in a period, in the deployment's order; None for a thinned period."""
        return self.mirror.history.at(period, column)

    def agent_history(self, account: bytes) -> AgentHistory | None:
        """A participant's history; None for somebody unknown."""
        participant = self.mirror.participants.get(account)
        if participant is None:
            return None
        periods, columns = self.mirror.history.read(HISTORY_COLUMNS, participant.line.index)
        return AgentHistory(periods=tuple(periods), columns=columns, orders=participant.orders)


_installed: list[Hub] = []


def install(hub: Hub) -> None:
    """Make this the hub of the process: pages have no other way to be handed one."""
    _installed[:] = [hub]


def installed() -> Hub:
    """The hub of the process."""
    assert _installed, "no hub was installed before pages were served"
    return _installed[0]
