"""The shortest run that still goes wrong: delta debugging over the script of a seed.

`ddmin` is the algorithm of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002),
bounded in the number of runs. What it cuts are the storm's length, faults, habits of liars and orders, in this
order and again until nothing more can go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from ledger.simulation.scene import Cut, Outcome, Scene, SceneConfig

RUNS_MAX: Final = 300

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimal:
    """The smallest run found. `config` plays it again with its seed; `outcome` has its journal.

    `faults_before` and `orders_before` are those of the whole run, `runs` how many runs the search took.
    """

    config: SceneConfig
    outcome: Outcome
    faults_before: int
    orders_before: int
    runs: int

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything that happened in it, in order."""
        return self.outcome.journal


class Shrinker:
    """Cuts one seed's script down while a violation of the same kind remains."""

    def __init__(self, whole: Outcome, config: SceneConfig, runs_max: int = RUNS_MAX) -> None:
        assert whole.violations, "a run without a violation has nothing to show"
        self.seed = whole.seed
        self.kind = _kind(whole.violations[0])
        self.runs = 0
        self._whole = whole
        self._runs_max = runs_max
        self._best = whole
        self._config = config

    def shrink(self) -> Minimal:
        """The search. It ends when no single fault, habit or order can go, or after `runs_max` runs."""
        self._try(self._config)
        while self.runs < self._runs_max:
            before = _size(self._best)
            self._shorten()
            self._cut_faults()
            self._cut_habits()
            self._cut_orders()
            if _size(self._best) == before:
                break
        outcome = Scene(self.seed, replace(self._config, journal=True)).play()
        return Minimal(
            config=self._config,
            outcome=outcome,
            faults_before=len(self._whole.faults),
            orders_before=len(self._whole.orders),
            runs=self.runs,
        )

    def _try(self, config: SceneConfig) -> bool:
        """Whether the violation remains; then this is the best run so far."""
        self.runs += 1
        outcome = Scene(self.seed, config).play()
        if not any(_kind(what) == self.kind for what in outcome.violations):
            return False
        self._best, self._config = outcome, config
        return True

    def _shorten(self) -> None:
        """Halve the storm while that is enough; a violation in the storm ends it."""
        if self._best.ended_ms < self._config.storm_ms:
            self._try(replace(self._config, storm_ms=self._best.ended_ms))
        while self.runs < self._runs_max and self._config.storm_ms > 500:
            if not self._try(replace(self._config, storm_ms=self._config.storm_ms // 2)):
                break

    def _with(self, cut: Cut) -> bool:
        return self._try(replace(self._config, cut=cut))

    def _cut_faults(self) -> None:
        def fails(kept: Sequence[int]) -> bool:
            return self._with(replace(self._config.cut, faults=frozenset(kept)))

        self._minimize(sorted(self._best.faults), fails)

    def _cut_habits(self) -> None:
        def fails(kept: Sequence[tuple[int, str]]) -> bool:
            return self._with(replace(self._config.cut, habits=frozenset(kept)))

        habits = [(index, habit) for index, habits in sorted(self._best.liars.items()) for habit in habits]
        self._minimize(habits, fails)

    def _cut_orders(self) -> None:
        def fails(kept: Sequence[int]) -> bool:
            return self._with(replace(self._config.cut, orders=frozenset(kept)))

        self._minimize(list(self._best.orders), fails)

    def _minimize(self, items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> None:
        ddmin(items, fails, lambda: self.runs < self._runs_max)


def ddmin(items: Sequence[T], fails: Callable[[Sequence[T]], bool], go_on: Callable[[], bool]) -> list[T]:
    """A subset that still fails and from which no single item can go, unless `go_on` ends the search before."""
    kept = list(items)
    if kept and go_on() and fails([]):
        return []
    parts = 2
    while len(kept) >= 2:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            if not go_on():
                return kept
            rest = kept[:start] + kept[start + size :]
            if rest and fails(rest):
                kept, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(kept))
    return kept


def _kind(violation: str) -> str:
    return violation.partition(":")[0]


def _size(outcome: Outcome) -> tuple[int, int, int, int]:
    habits = sum(len(habits) for habits in outcome.liars.values())
    return outcome.ended_ms, len(outcome.faults), habits, len(outcome.orders)
