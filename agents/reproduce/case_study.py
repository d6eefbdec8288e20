"""The market of Huang 2022, section 3: seven generators and seven purchasers over two days.

The market is the contract's own clearing with the regulator's standing ask; the participants are the strategies of
`agents/strategies.py`. Quantities are those of a step of five minutes, 576 steps in all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Final

from agents.strategies import (
    PRESETS,
    ConsumerState,
    Outcome,
    ProducerState,
    StrategyRules,
    next_consumer,
    next_producer,
)
from market.clearing import clear
from market.clearing_types import ClearingRules, Match
from market.orders import STANDING_ASK, Order, Side

PRODUCERS: Final = (
    (1_600, 16_000, 17_000),
    (400, 17_000, 18_000),
    (600, 18_000, 19_000),
    (400, 24_000, 25_000),
    (1_000, 28_000, 29_000),
    (3_000, 21_000, 22_000),
    (200, 23_000, 24_000),
)
"""Table 2: supply in Wh a step, cost and first price in micro."""

CONSUMERS: Final = (
    (0.10, 48_000, 47_000),
    (0.16, 52_000, 51_000),
    (0.30, 56_000, 55_000),
    (0.08, 53_000, 52_000),
    (0.06, 46_000, 45_000),
    (0.20, 51_000, 50_000),
    (0.12, 52_000, 51_000),
)
"""Table 3: share of the demand, value and first price in micro. The shares sum to 1.02 and are divided by it."""

DEMAND_KWH: Final = ((0, 5.7), (4, 5.42), (12, 7.4), (16, 6.29), (19, 7.03), (24, 5.7))
"""Figure 7 is missing from the paper: its turning points by the text, a cosine between them, two equal days."""

LIMIT_MICRO: Final = 48_000
PRICE_STEP_MICRO: Final = 1_500
TOLERANCE_NANO: Final = 1_000
IDLE_LOSS_NANO: Final = 1e6
STEPS: Final = 576
STEPS_AN_HOUR: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of one run. Prices in micro per kWh, energies in Wh.

    `price_micro` is the highest matched ask of a generator, which is what figure 9 must show: only that begins at
    0.024. `midpoint_micro` is the mean price paid.
    """

    demand_wh: int
    volume_wh: int
    price_micro: float
    midpoint_micro: float
    mean_ask_micro: float
    mean_bid_micro: float
    mean_share: float


Run = tuple[Step, ...]


def demand_wh(hour: float) -> float:
    """Total demand of a step at an hour of either day."""
    hour %= 24
    for (start, low), (end, high) in pairwise(DEMAND_KWH):
        if start <= hour <= end:
            part = (1 - math.cos(math.pi * (hour - start) / (end - start))) / 2
            return 1_000 * (low + (high - low) * part)
    raise AssertionError(hour)


def run(seed: int, preset: str, steps: int = STEPS) -> Run:
    """One run of the case study."""
    rng = random.Random(seed)
    rules = StrategyRules(
        preset=PRESETS[preset],
        price_step_micro=PRICE_STEP_MICRO,
        profit_tolerance_nano=TOLERANCE_NANO,
        idle_loss_nano=IDLE_LOSS_NANO,
    )
    sellers = [ProducerState(ask_micro=price) for _, _, price in PRODUCERS]
    buyers = [ConsumerState(bid_micro=price) for _, _, price in CONSUMERS]
    total_share = sum(share for share, _, _ in CONSUMERS)
    results = []
    for step in range(steps):
        demand = demand_wh(step / STEPS_AN_HOUR)
        supplies = [PRODUCERS[i][0] * state.share for i, state in enumerate(sellers)]
        demands = [demand * CONSUMERS[j][0] / total_share for j in range(len(buyers))]
        book = _book(sellers, supplies, buyers, demands, rng)
        trades = clear("hlm", book, ClearingRules(ask_limit_micro=LIMIT_MICRO)).trades
        results.append(_step(round(demand), trades, sellers, buyers))
        sellers = [
            next_producer(state, _outcome(trades, i + 1, "sell"), PRODUCERS[i][1], rules, rng)
            for i, state in enumerate(sellers)
        ]
        buyers = [
            next_consumer(state, _outcome(trades, len(sellers) + j + 1, "buy"), CONSUMERS[j][1], rules, rng)
            for j, state in enumerate(buyers)
        ]
    return tuple(results)


def _book(
    sellers: Sequence[ProducerState],
    supplies_wh: Sequence[float],
    buyers: Sequence[ConsumerState],
    demands_wh: Sequence[float],
    rng: random.Random,
) -> list[Order]:
    """Orders of one step; the order of issue, which decides between equal prices, is drawn anew."""
    places = list(range(len(sellers) + len(buyers)))
    rng.shuffle(places)
    asks = [
        Order(
            number=i + 1,
            side=Side.SELL,
            energy_wh=round(supplies_wh[i]),
            price_micro=round(state.ask_micro),
            issued_ms=places[i],
        )
        for i, state in enumerate(sellers)
    ]
    first = len(sellers)
    bids = [
        Order(
            number=first + j + 1,
            side=Side.BUY,
            energy_wh=round(demands_wh[j]),
            price_micro=round(state.bid_micro),
            issued_ms=places[first + j],
        )
        for j, state in enumerate(buyers)
    ]
    return asks + bids


def _outcome(trades: Sequence[Match], number: int, side: str) -> Outcome:
    own = [trade for trade in trades if (trade.sell if side == "sell" else trade.buy) == number]
    energy_wh = sum(trade.energy_wh for trade in own)
    if not energy_wh:
        return Outcome(energy_wh=0)
    value = sum(trade.energy_wh * trade.price_micro for trade in own)
    return Outcome(energy_wh=energy_wh, price_micro=value / energy_wh)


def _step(
    demand: int, trades: Sequence[Match], sellers: Sequence[ProducerState], buyers: Sequence[ConsumerState]
) -> Step:
    local = [trade for trade in trades if trade.sell != STANDING_ASK]
    volume_wh = sum(trade.energy_wh for trade in local)
    value = sum(trade.energy_wh * trade.price_micro for trade in local)
    return Step(
        demand_wh=demand,
        volume_wh=volume_wh,
        price_micro=max((trade.ask_micro for trade in local), default=0),
        midpoint_micro=value / volume_wh if volume_wh else 0.0,
        mean_ask_micro=fmean(state.ask_micro for state in sellers),
        mean_bid_micro=fmean(state.bid_micro for state in buyers),
        mean_share=fmean(state.share for state in sellers),
    )
