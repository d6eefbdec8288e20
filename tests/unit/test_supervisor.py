"""Parts of a run are started again: soon, then patiently, and given up only when that is hopeless."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.supervisor import (
    FAILURES_MAX,
    PATIENCE_S,
    STEADY_S,
    WAIT_LAST_S,
    Child,
    ChildGaveUpError,
    ChildSpec,
    Supervisor,
)

FAILS = (sys.executable, "-c", "raise SystemExit(3)")
LIVES = (sys.executable, "-c", "import time; time.sleep(600)")


class Bench:
    """A supervisor whose clock stands still until it is moved."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 100.0
        self.folder = folder
        self.supervisor = Supervisor(clock_s=lambda: self.now_s)

    def start(self, command: tuple[str, ...], *, finite: bool = False) -> Child:
        spec = ChildSpec(name="part", command=command, output=self.folder / "part.out", finite=finite)
        return self.supervisor.start(spec)

    def fail(self, child: Child) -> float:
        """Let it end, and move the clock until it is started again. Returns how long that took."""
        child.process.kill()
        child.process.wait()
        began_s = self.now_s
        while not self.supervisor.check():
            assert child.retry_s is not None
            self.now_s = max(self.now_s, child.retry_s)
        return self.now_s - began_s


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.supervisor.stop(patience_s=0.1)


def test_the_first_end_is_mended_at_once_and_further_ones_after_waits_that_double(bench: Bench) -> None:
    child = bench.start(LIVES)
    bench.now_s += STEADY_S
    assert bench.supervisor.check() == []
    waits = [bench.fail(child) for _ in range(9)]
    assert waits == [0, 0.25, 0.5, 1, 2, 4, 8, WAIT_LAST_S, WAIT_LAST_S]
    assert child.restarts == 9


def test_a_part_that_has_run_steadily_begins_with_a_first_end_again(bench: Bench) -> None:
    child = bench.start(LIVES)
    for _ in range(3 * FAILURES_MAX):
        bench.now_s += STEADY_S
        bench.supervisor.check()
        assert bench.fail(child) == 0


def test_a_part_that_never_ran_is_given_up_soon_with_the_place_of_its_last_words(bench: Bench) -> None:
    child = bench.start(FAILS)
    with pytest.raises(ChildGaveUpError, match=r"6 times in a row, last with code 3.*part\.out"):
        for _ in range(100):
            child.process.wait()
            bench.supervisor.check()
            bench.now_s += WAIT_LAST_S
    assert child.restarts == FAILURES_MAX


def test_a_part_that_has_run_is_given_up_only_after_long_trouble(bench: Bench) -> None:
    child = bench.start(LIVES)
    bench.now_s += STEADY_S
    bench.supervisor.check()
    began_s = bench.now_s
    with pytest.raises(ChildGaveUpError):
        for _ in range(1_000):
            bench.fail(child)
    assert PATIENCE_S <= bench.now_s - began_s <= PATIENCE_S + 2 * WAIT_LAST_S


def test_a_held_part_stays_down_until_it_is_released_and_that_counts_for_nothing(bench: Bench) -> None:
    child = bench.start(LIVES)
    bench.supervisor.hold("part")
    child.process.kill()
    child.process.wait()
    bench.now_s += 60
    assert bench.supervisor.check() == []
    bench.supervisor.release("part")
    assert bench.supervisor.check() == ["part"]
    assert child.failures == 0
    assert child.process.poll() is None


def test_a_finite_part_that_ends_well_is_not_started_again(bench: Bench) -> None:
    child = bench.start((sys.executable, "-c", ""), finite=True)
    child.process.wait()
    assert bench.supervisor.check() == []
    assert bench.supervisor.has_ended("part")
    assert child.restarts == 0
