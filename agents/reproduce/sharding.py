"""Sharded against general consensus in simulated time (Cui 2022, sections 4.3 and 6, figure 5).

General: all 12 nodes solve a puzzle for each block, the first one to do so sends the block to the other 11, one
after the other. Sharded: each of 3 shards of 4 nodes does the same for its third of the trades; then its proxy
sends the shard's result to the other two proxies, one after the other, and the slowest shard decides. A wrong
shard result is found when it is verified, and the shard's round is done again in the next one.

The paper gives neither a block size nor how a block spreads. 50 trades a block and one transmission after the
other bring out its figure; were all sent at once, sharding would not help with few trades.
"""

from __future__ import annotations

import random
from statistics import fmean
from typing import Final

NODES: Final = 12
SHARDS: Final = 3
BLOCK_TRADES: Final = 50
BROADCAST_MAX: Final = 20.0
PUZZLE: Final = (20.0, 40.0)


def general_time(trades: int, rng: random.Random) -> float:
    """Time units until all trades are in blocks that all nodes have."""
    return sum(_block_time(NODES, rng) for _ in range(_blocks(trades)))


def sharded_time(trades: int, rng: random.Random, wrong_share: float = 0.0) -> float:
    """The same with shards. With probability `wrong_share` a proxy reports wrongly and its round is repeated."""
    size = NODES // SHARDS
    shard_trades = [trades // SHARDS + (shard < trades % SHARDS) for shard in range(SHARDS)]
    times = []
    for share in shard_trades:
        time = 0.0
        wrong = True
        while wrong:
            time += sum(_block_time(size, rng) for _ in range(_blocks(share)))
            time += _broadcast(SHARDS, rng)
            wrong = rng.random() < wrong_share
        times.append(time)
    return max(times)


def mean_times(trades: int, runs: int, seed: int = 1, wrong_share: float = 0.0) -> tuple[float, float]:
    """Means of general and sharded time over many runs."""
    rng = random.Random(seed * 1_000_003 + trades)
    general = fmean(general_time(trades, rng) for _ in range(runs))
    return general, fmean(sharded_time(trades, rng, wrong_share) for _ in range(runs))


def _blocks(trades: int) -> int:
    return -(-trades // BLOCK_TRADES)


def _block_time(nodes: int, rng: random.Random) -> float:
    return min(rng.uniform(*PUZZLE) for _ in range(nodes)) + _broadcast(nodes, rng)


def _broadcast(nodes: int, rng: random.Random) -> float:
    return sum(rng.uniform(0.0, BROADCAST_MAX) for _ in range(nodes - 1))
