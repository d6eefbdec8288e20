"""Random walks through the contract: total, deterministic, closed; snapshots and roots agree at every step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import market_walk
import pytest
from market_walk import Walk

from market.state import MarketState

SEEDS = range(12)
BLOCKS = 400


@cache
def walked(seed: int) -> Walk:
    walk = Walk(seed)
    walk.run(BLOCKS)  # `World.block` checks after each block.
    return walk


@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_hold_after_every_block_of_a_random_walk(seed: int) -> None:
    walk = walked(seed)
    assert walk.counts["OK"] > BLOCKS / 4
    assert walk.counts["trades"] > 10
    assert walk.counts["settlements"] > 10


def test_the_walks_reach_what_they_are_meant_to_reach() -> None:
    total: Counter[str] = Counter()
    for seed in SEEDS:
        total += walked(seed).counts
    for outcome in ("crossings", "standing", "rewards", "arrears", "owed", "estimated"):
        assert total[outcome] > 10, outcome
    for refusal in ("REPLAYED", "MALFORMED", "EXPIRED", "VALID_TOO_LONG", "NOT_ENOUGH_MONEY", "OTHER_SIDE_OPEN"):
        assert total[refusal] > 5, refusal


@pytest.mark.parametrize("seed", range(4))
def test_the_incremental_root_is_the_root_of_the_snapshot_at_every_block(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(120):
        walk.run(1)
        values = walk.world.state.to_values()
        restored = MarketState.from_values(values)
        assert restored.state_root() == walk.roots[-1]
        assert restored.to_values() == values


@pytest.mark.parametrize("seed", range(3))
def test_a_restored_state_goes_on_exactly_like_the_original(seed: int) -> None:
    original, restored = Walk(seed), Walk(seed)
    for _ in range(30):
        original.run(10)
        restored.run(10)
        restored.world.state = MarketState.from_values(restored.world.state.to_values())
    assert restored.roots == original.roots


def test_replicas_with_other_hash_seeds_agree() -> None:
    script = Path(market_walk.__file__)
    outputs = set()
    for hash_seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, str(script), "5", "200"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        outputs.add(result.stdout.strip())
    assert outputs == {market_walk.digest_of_walk(5, 200)}


def test_other_parameters_give_another_root_from_the_first_block() -> None:
    assert (
        Walk(1, retail_micro=300_000).world.outcome.state_root
        != Walk(1, retail_micro=300_001).world.outcome.state_root
    )
