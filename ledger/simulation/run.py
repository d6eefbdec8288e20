"""Many seeds, one report, on as many processes as asked for."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from ledger.simulation.scene import Outcome, Scene, SceneConfig

_SEEDS_A_TASK = 4


@dataclass(slots=True)
class Report:
    """What all runs together did and found. `failed` are the runs with violations, in the order of seeds."""

    seeds: int = 0
    events: int = 0
    blocks: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def violations(self) -> list[dict[str, str | int]]:
        """What went wrong, each with its seed; a seed and a configuration give one run again."""
        return [
            {"seed": outcome.seed, "n": outcome.n, "what": what}
            for outcome in self.failed
            for what in outcome.violations
        ]

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.seeds += 1
        self.events += outcome.events
        self.blocks += outcome.height
        self.counts.update(outcome.counts)
        if outcome.violations:
            self.failed.append(outcome)
            self.failed.sort(key=lambda item: item.seed)


def run_seed(seed: int, config: SceneConfig | None = None) -> Outcome:
    """Play one seed. The same seed and configuration give the same outcome, trace included, anywhere."""
    return Scene(seed, config or SceneConfig()).play()


def simulate(
    seeds: Iterable[int],
    config: SceneConfig | None = None,
    progress: Callable[[Report], None] | None = None,
    jobs: int = 1,
) -> Report:
    """Play all seeds and add up. `progress` is called now and then; `jobs` processes share the work."""
    report = Report()
    started_s = time.perf_counter()
    outcomes = _one_by_one(seeds, config) if jobs < 2 else _in_processes(seeds, config, jobs)
    for outcome in outcomes:
        report.add(outcome)
        report.seconds = time.perf_counter() - started_s
        if progress is not None:
            progress(report)
    return report


def _one_by_one(seeds: Iterable[int], config: SceneConfig | None) -> Iterator[Outcome]:
    return (run_seed(seed, config) for seed in seeds)


def _in_processes(seeds: Iterable[int], config: SceneConfig | None, jobs: int) -> Iterator[Outcome]:
    """Outcomes as they come. Only a few tasks wait at a time, so a million seeds need no memory."""
    source = iter(seeds)
    tasks = iter(lambda: tuple(islice(source, _SEEDS_A_TASK)), ())
    # Not forked: a fork copies whatever threads and locks the caller has, in the middle of what they do.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=jobs, mp_context=context) as pool:
        pending: set[Future[list[Outcome]]] = set()
        try:
            for task in islice(tasks, 2 * jobs):
                pending.add(pool.submit(_run_seeds, task, config))
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for task in islice(tasks, len(done)):
                    pending.add(pool.submit(_run_seeds, task, config))
                for future in done:
                    yield from future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _run_seeds(seeds: Sequence[int], config: SceneConfig | None) -> list[Outcome]:
    return [run_seed(seed, config) for seed in seeds]
