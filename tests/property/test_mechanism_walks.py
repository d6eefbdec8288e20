"""Random walks under every mechanism and both ways of settlement: closed after every block, and worth walking."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from market_walk import Walk

from market.state import MarketState

MECHANISMS = ("hlm", "uniform", "matching", "listing")
SETTLEMENTS = ("imbalance", "escrow")
SEEDS = range(4)
BLOCKS = 150


@cache
def walked(mechanism: str, settlement: str, seed: int) -> Walk:
    walk = Walk(seed, mechanism=mechanism, settlement=settlement)
    walk.run(BLOCKS)  # `World.block` checks the invariants after each.
    return walk


@pytest.mark.parametrize("settlement", SETTLEMENTS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_invariants_hold_and_the_walk_trades(mechanism: str, settlement: str) -> None:
    total: Counter[str] = Counter()
    for seed in SEEDS:
        total += walked(mechanism, settlement, seed).counts
    assert total["trades"] > 40
    assert total["settlements"] > 30
    # Who comes first takes what is left, and somebody comes too late.
    assert (total["OFFER_TOO_SMALL"] > 0) == (mechanism == "listing")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_walks_with_escrow_reach_every_case_but_one(mechanism: str) -> None:
    total: Counter[str] = Counter()
    for seed in SEEDS:
        total += walked(mechanism, "escrow", seed).counts
    for case in ("DELIVERED", "SHORT", "EXCESS_LOSS", "ESTIMATED"):
        assert total[f"escrow {case}"] > 2, case
    assert total["held"] > 2


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_snapshot_brings_the_same_state_back(mechanism: str) -> None:
    walk = walked(mechanism, "escrow", 0)
    values = walk.world.state.to_values()
    restored = MarketState.from_values(values)
    assert restored.state_root() == walk.roots[-1]
    assert restored.to_values() == values


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_restored_state_goes_on_exactly_like_the_original(mechanism: str) -> None:
    original = Walk(7, mechanism=mechanism, settlement="escrow")
    restored = Walk(7, mechanism=mechanism, settlement="escrow")
    for _ in range(10):
        original.run(8)
        restored.run(8)
        restored.world.state = MarketState.from_values(restored.world.state.to_values())
    assert restored.roots == original.roots
