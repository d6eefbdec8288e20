"""What a person sees while a run is under way: one line with a bar and live figures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agents import formatting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """The market at this moment, as f + 1 nodes tell it.

    `price_micro` is the last period's mean price, None while nothing was traded. `latency_ms` is the median
    of recent transactions, from the bus to f + 1 receipts.
    """

    periods_settled: int = 0
    open_period: int = 0
    price_micro: int | None = None
    energy_wh: int = 0
    trades: int = 0
    height: int = 0
    latency_ms: float | None = None
    transactions: int = 0

    def sentence(self) -> str:
        """All figures in a line that fits a narrow terminal beside a short bar."""
        return "  ".join(
            (
                formatting.price(self.price_micro),
                formatting.energy(self.energy_wh),
                f"block {self.height}",
                f"commit {formatting.milliseconds(self.latency_ms)}",
            )
        )


class ProgressDisplay:
    """A progress bar on standard error; when not `enabled` it shows nothing at all.

    Use as a context manager, so that the terminal is whole again whatever happens inside.
    """

    def __init__(self, periods: int, *, enabled: bool, console: Console | None = None) -> None:
        self.periods = periods
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if enabled:
            # rich takes 0.1 s to import, which a run without a bar need not pay.
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn
            from rich.table import Column

            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)),
                console=console or Console(stderr=True),
                expand=True,
                refresh_per_second=4,
            )

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
            self._task = self._progress.add_task("starting", total=self.periods, figures="")
        return self

    def stage(self, words: str) -> None:
        """Say in a word or two what is going on: `starting broker`, `catching up`."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=words)

    def say(self, line: str) -> None:
        """Print a line that stays, on standard error, above the bar where there is one."""
        if self._progress is not None:
            self._progress.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def show(self, figures: LiveFigures) -> None:
        """Show new figures."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=figures.periods_settled, figures=figures.sentence())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
