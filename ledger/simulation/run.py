"""Many seeds, one report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ledger.simulation.scene import Outcome, Scene, SceneConfig


@dataclass(slots=True)
class Report:
    """What all runs together did and found. `violations` name their seed; one seed gives one run again."""

    seeds: int = 0
    events: int = 0
    blocks: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, str | int]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.seeds += 1
        self.events += outcome.events
        self.blocks += outcome.height
        self.counts.update(outcome.counts)
        for what in outcome.violations:
            self.violations.append({"seed": outcome.seed, "n": outcome.n, "what": what})

    def as_dict(self) -> dict[str, object]:
        """The report for JSON."""
        return {
            "seeds": self.seeds,
            "events": self.events,
            "blocks": self.blocks,
            "messages": self.counts["messages"],
            "view_changes": self.counts["view changes"],
            "crashes": self.counts["crashes"],
            "partitions": self.counts["partitions"],
            "byzantine_acts": self.counts["byzantine acts"],
            "counts": dict(sorted(self.counts.items())),
            "violations": self.violations,
            "seconds": round(self.seconds, 3),
        }


def run_seed(seed: int, config: SceneConfig | None = None) -> Outcome:
    """Play one seed. The same seed and configuration give the same outcome, trace included, anywhere."""
    return Scene(seed, config or SceneConfig()).play()


def simulate(
    seeds: Iterable[int],
    config: SceneConfig | None = None,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Play all seeds and add up. `progress` is called after each."""
    report = Report()
    started_s = time.perf_counter()
    for seed in seeds:
        report.add(run_seed(seed, config))
        report.seconds = time.perf_counter() - started_s
        if progress is not None:
            progress(report)
    return report
