"""Histories that do not grow: the recent past period by period, the distant past thinned."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

RECENT_PART: Final = 4
"""One part in so many of the history is never thinned: the newest."""


def thinned(count: int) -> list[int]:
    """Which of `count` rows, oldest first, stay when a history is full: all recent ones, every other before."""
    recent = count - count // RECENT_PART
    return [*range(0, recent, 2), *range(recent, count)]


class ThinnedRows(Generic[T]):
    """Rows in the order they came, at most `capacity`: when full, every other of the older ones goes."""

    def __init__(self, capacity: int) -> None:
        if capacity < 2 * RECENT_PART:
            raise ValueError(f"capacity must be at least {2 * RECENT_PART}, was {capacity}")
        self.capacity = capacity
        self._rows: tuple[T, ...] = ()

    def append(self, row: T) -> None:
        """Add the newest row."""
        rows = (*self._rows, row)
        self._rows = tuple(rows[index] for index in thinned(len(rows))) if len(rows) > self.capacity else rows

    @property
    def rows(self) -> tuple[T, ...]:
        """All rows that are kept, oldest first. The tuple never changes."""
        return self._rows


class ThinnedTable:
    """One row a period, and in it for each column a number for each agent. Bounded like `ThinnedRows`.

    Numbers are float64, so that money in billionths keeps fifteen digits; NaN stands for "not known". One
    thread writes, any may read.
    """

    def __init__(self, columns: Sequence[str], width: int, capacity: int) -> None:
        self.columns = tuple(columns)
        self.capacity = capacity
        self._lock = threading.Lock()
        self._periods: list[int] = []
        self._values: dict[str, NDArray[np.float64]] = {
            column: np.full((capacity + 1, width), np.nan) for column in columns
        }

    def append(self, period: int, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Add a period's row; columns that are not given are not known."""
        with self._lock:
            place = len(self._periods)
            for column, table in self._values.items():
                table[place] = values.get(column, np.nan)
            self._periods.append(period)
            if len(self._periods) > self.capacity:
                self._thin()

    def put(self, period: int, column: str, agent: int, value: float) -> None:
        """Fill in one number of a period that has a row; of another it is forgotten."""
        with self._lock:
            # Late facts are about the newest periods, so the search from the end is short.
            for place in range(len(self._periods) - 1, -1, -1):
                if self._periods[place] <= period:
                    if self._periods[place] == period:
                        self._values[column][place, agent] = value
                    return

    def read(self, columns: Sequence[str], agent: int) -> tuple[list[int], dict[str, list[float | None]]]:
        """The periods, and one agent's numbers in the same order; None where not known."""
        with self._lock:
            count = len(self._periods)
            values = {column: self._values[column][:count, agent].tolist() for column in columns}
            periods = list(self._periods)
        known = {column: [None if math.isnan(value) else value for value in row] for column, row in values.items()}
        return periods, known

    def at(self, period: int, column: str) -> list[float | None] | None:
        """All agents' numbers of one period; None when it has no row."""
        with self._lock:
            if period not in self._periods:
                return None
            values = self._values[column][self._periods.index(period)].tolist()
        return [None if math.isnan(value) else value for value in values]

    def _thin(self) -> None:
        kept = thinned(len(self._periods))
        self._periods = [self._periods[place] for place in kept]
        for table in self._values.values():
            table[: len(kept)] = table[kept]
            table[len(kept) :] = np.nan
