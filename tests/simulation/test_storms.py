"""Whole committees in storms of faults, one seed each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ledger.simulation.run import run_seed, simulate
from ledger.simulation.scene import SceneConfig

FOUND_BUGS = (
    34,  # Waited for a snapshot that nobody had.
    76,
    155,
    212,  # The same, with the storms of that day.
    2259,  # Took a body lost in a restart for a divergence of state, with the storms of that day.
)


@pytest.mark.parametrize("seed", FOUND_BUGS)
def test_seeds_that_found_a_bug_stay_sound(seed: int) -> None:
    assert run_seed(seed).violations == []


@pytest.mark.parametrize("seed", range(20))
def test_four_or_seven_replicas_stay_safe_and_become_live(seed: int) -> None:
    outcome = run_seed(seed, SceneConfig(storm_ms=20_000))
    assert outcome.violations == []


@pytest.mark.parametrize("seed", range(3))
def test_ten_replicas_with_three_liars_stay_safe_and_become_live(seed: int) -> None:
    outcome = run_seed(seed, SceneConfig(n=10, liar_count=3, storm_ms=10_000, transactions_per_s=4))
    assert outcome.violations == []


def test_the_storms_really_blow() -> None:
    report = simulate(range(8), SceneConfig(storm_ms=20_000))
    counts = report.counts
    for what in (
        "lost",
        "duplicated",
        "reordered",
        "blocked",
        "crashes",
        "crashes at a write",
        "disks lost",
        "slow disks",
        "byzantine acts",
        "view changes",
        "blocks fetched",
        "evidence",
    ):
        assert counts[what] > 0, what
    assert report.blocks > 100


def test_a_seed_gives_the_same_trace_whatever_the_hash_seed() -> None:
    code = (
        "from ledger.simulation.run import run_seed; from ledger.simulation.scene import SceneConfig;"
        "o = run_seed(5, SceneConfig(storm_ms=8_000)); print(o.trace, o.events, o.height)"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "4711")
    }
    assert len(traces) == 1
    assert len(traces.pop().split()) == 3


def test_different_seeds_give_different_runs() -> None:
    config = SceneConfig(storm_ms=5_000)
    assert run_seed(1, config).trace != run_seed(2, config).trace
