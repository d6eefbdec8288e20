"""What every page is given: the snapshot, the words, the period looked at, and the way to other pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.deployment import Deployment
from agents.web.facts import PeriodFacts, Snapshot
from agents.web.hub import Hub
from agents.web.words import Words


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One session's look at one snapshot.

    `chosen` is the period that a person picked, None for the latest. `place` is what stands in the address
    after the page's name.
    """

    hub: Hub
    snapshot: Snapshot
    words: Words
    chosen: int | None
    place: tuple[str, ...]
    choose: Callable[[int | None], None]
    go: Callable[[str], None]

    @property
    def deployment(self) -> Deployment:
        """Who takes part."""
        return self.hub.deployment

    @property
    def period(self) -> int | None:
        """The period looked at: the chosen one, or the last that was settled."""
        return self.snapshot.last_period if self.chosen is None else self.chosen

    def facts(self) -> PeriodFacts | None:
        """The period looked at, in full."""
        return None if self.period is None else self.hub.facts(self.period)

    def clock(self, period: int) -> str:
        """When a period begins, in UTC: the day only where there are several."""
        return clock_text(self.deployment, period)

    def table_words(self) -> dict[str, str]:
        """What tables say for themselves."""
        return {key: self.words(key) for key in ("filter", "more", "empty")}


def clock_text(deployment: Deployment, period: int) -> str:
    """`14:15`, or `05-18 14:15` in a run of more than a day."""
    start = datetime.fromtimestamp((deployment.first_period_ms + period * deployment.period_ms) / 1_000, tz=UTC)
    is_long = deployment.periods * deployment.period_ms > 86_400_000
    return start.strftime("%m-%d %H:%M" if is_long else "%H:%M")
