"""The case study of Huang 2022, section 3, with the bare strategies: the text's figures come out."""

import math
import random
from itertools import pairwise
from statistics import mean

import pytest

from agents.strategies import (
    PRESETS,
    ConsumerState,
    Outcome,
    ProducerState,
    StrategyRules,
    next_consumer,
    next_producer,
)

# Tables 2 and 3: supply in Wh a step, cost and first price in micro; share, value, first price.
PRODUCERS = (
    (1_600, 16_000, 17_000),
    (400, 17_000, 18_000),
    (600, 18_000, 19_000),
    (400, 24_000, 25_000),
    (1_000, 28_000, 29_000),
    (3_000, 21_000, 22_000),
    (200, 23_000, 24_000),
)
CONSUMERS = (
    (0.10, 48_000, 47_000),
    (0.16, 52_000, 51_000),
    (0.30, 56_000, 55_000),
    (0.08, 53_000, 52_000),
    (0.06, 46_000, 45_000),
    (0.20, 51_000, 50_000),
    (0.12, 52_000, 51_000),
)
DEMAND_KWH = ((0, 5.7), (4, 5.42), (12, 7.4), (16, 6.29), (19, 7.03), (24, 5.7))
LIMIT_MICRO = 48_000
SEEDS = range(6)


def demand_wh(hour: float) -> float:
    hour %= 24
    for (start, low), (end, high) in pairwise(DEMAND_KWH):
        if start <= hour <= end:
            part = (1 - math.cos(math.pi * (hour - start) / (end - start))) / 2
            return 1_000 * (low + (high - low) * part)
    raise AssertionError(hour)


def match(
    bids: list[tuple[float, int, float]], asks: list[tuple[float, int, float]]
) -> list[tuple[int, int, float, float, float]]:
    """High-low matching at the midpoint: (buyer, seller, energy, price, ask) of each trade."""
    bids, asks = sorted(bids, key=lambda bid: -bid[0]), sorted(asks, key=lambda ask: ask[0])
    trades, i, j = [], 0, 0
    left_bid, left_ask = bids[0][2], asks[0][2]
    while bids[i][0] >= asks[j][0]:
        energy = min(left_bid, left_ask)
        trades.append((bids[i][1], asks[j][1], energy, (bids[i][0] + asks[j][0]) / 2, asks[j][0]))
        left_bid, left_ask = left_bid - energy, left_ask - energy
        if left_bid <= 1e-9:
            i += 1
            if i == len(bids):
                break
            left_bid = bids[i][2]
        if left_ask <= 1e-9:
            j += 1
            left_ask = asks[j][2]
    return trades


def outcome(trades: list[tuple[int, int, float, float, float]], place: int, who: int) -> Outcome:
    own = [trade for trade in trades if trade[place] == who]
    energy = sum(trade[2] for trade in own)
    return Outcome(energy_wh=energy, price_micro=sum(t[2] * t[3] for t in own) / energy if own else 0.0)


def run(seed: int, preset: str) -> tuple[list[float], list[float]]:
    """Highest matched ask of a producer, and volume over demand, in each of 576 steps of 5 minutes."""
    rng = random.Random(seed)
    rules = StrategyRules(
        preset=PRESETS[preset], price_step_micro=1_500, profit_tolerance_nano=1_000, idle_loss_nano=1e6
    )
    sellers = [ProducerState(ask_micro=price) for _, _, price in PRODUCERS]
    buyers = [ConsumerState(bid_micro=price) for _, _, price in CONSUMERS]
    prices, volumes = [], []
    for step in range(576):
        demand = demand_wh(step / 12)
        asks = [(state.ask_micro, i, PRODUCERS[i][0] * state.share) for i, state in enumerate(sellers)]
        bids = [(state.bid_micro, j, demand * CONSUMERS[j][0] / 1.02) for j, state in enumerate(buyers)]
        rng.shuffle(asks)
        rng.shuffle(bids)
        trades = match(bids, [*asks, (LIMIT_MICRO, -1, math.inf)])
        local = [trade for trade in trades if trade[1] >= 0]
        prices.append(max((trade[4] for trade in local), default=0.0))
        volumes.append(sum(trade[2] for trade in local) / demand)
        sellers = [
            next_producer(state, outcome(trades, 1, i), PRODUCERS[i][1], rules, rng)
            for i, state in enumerate(sellers)
        ]
        buyers = [
            next_consumer(state, outcome(trades, 0, j), CONSUMERS[j][1], rules, rng)
            for j, state in enumerate(buyers)
        ]
    return prices, volumes


@pytest.fixture(scope="module")
def paper_runs() -> list[tuple[list[float], list[float]]]:
    return [run(seed, "paper") for seed in SEEDS]


def at(runs: list[tuple[list[float], list[float]]], hour: float) -> float:
    return mean(prices[round(hour * 12)] for prices, _ in runs) / 1e6


def test_the_trading_price_begins_at_0_024(paper_runs: list[tuple[list[float], list[float]]]) -> None:
    assert at(paper_runs, 0) == pytest.approx(0.024, abs=1e-9)


def test_the_price_climbs_through_the_night_and_reaches_0_046_at_noon(
    paper_runs: list[tuple[list[float], list[float]]],
) -> None:
    assert at(paper_runs, 4) == pytest.approx(0.034, abs=0.003)
    assert at(paper_runs, 12) == pytest.approx(0.046, abs=0.002)


def test_the_price_falls_after_noon_with_demand(paper_runs: list[tuple[list[float], list[float]]]) -> None:
    assert at(paper_runs, 16) < at(paper_runs, 12)


def test_at_first_all_demand_is_served_and_then_less(paper_runs: list[tuple[list[float], list[float]]]) -> None:
    early = mean(mean(volumes[:48]) for _, volumes in paper_runs)
    late = mean(mean(volumes[120:]) for _, volumes in paper_runs)
    assert early > 0.98
    assert 0.85 < late < 0.96


def test_with_the_true_surplus_sellers_have_less_reason_to_climb(
    paper_runs: list[tuple[list[float], list[float]]],
) -> None:
    true_runs = [run(seed, "true-surplus") for seed in SEEDS]
    assert at(true_runs, 12) < at(paper_runs, 12) - 0.003
