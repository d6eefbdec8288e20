"""How producers and consumers learn their prices: Huang 2022, eqs. (1) to (5).

Pure functions on small frozen states: they know neither ledger nor clock, and chance comes in as a
generator. Prices here are floats in micro per kWh, profits floats in nano (micro per kWh times Wh);
what is ordered is rounded to integers by whoever places the order.

Where the paper is silent or contradicts itself, a `Preset` says which reading is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from agents.scenario_sections import StrategySection


class Generator(Protocol):
    """Where chance comes from: `numpy.random.Generator` and `random.Random` both fit."""

    def random(self) -> float:
        """A number drawn uniformly from [0, 1)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One reading of Huang 2022, eqs. (1) to (5).

    `reset_ppm`: how far an unsold producer's ask goes back to cost (eq. (3), last line, says all the way).
    `gains_only`: the two sums of eq. (3) collect positive profits alone; as printed they collect every
    profit, which lets the probability leave [0, 1].
    `profit_at_trade_price`: profit is what the trade paid; eq. (1) as printed multiplies with the own ask.
    `unserved_bids_value`: an unserved consumer bids its value next and never more; as printed, eq. (5)
    resets only after a loss, which an unserved consumer (profit 0) does not have.
    `quantity_floor`: whether the quantity stays above the floor of the rules; eq. (2) has 0 for it.
    """

    name: str
    reset_ppm: int = 500_000
    gains_only: bool = True
    profit_at_trade_price: bool = False
    unserved_bids_value: bool = True
    quantity_floor: bool = True


PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset
    for preset in (
        Preset(name="paper"),
        Preset(name="full-reset", reset_ppm=1_000_000),
        Preset(
            name="literal",
            reset_ppm=1_000_000,
            gains_only=False,
            unserved_bids_value=False,
            quantity_floor=False,
        ),
        Preset(name="true-surplus", profit_at_trade_price=True),
    )
}
"""`paper` brings the case study's figures out best, `true-surplus` is the economically sane one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyRules:
    """The constants of eqs. (1) to (5).

    `price_step_micro` is the paper's delta p, `profit_tolerance_nano` its xi, `idle_loss_nano` its sigma.
    `quantity_step` (delta q) and `quantity_floor` are shares of the largest quantity.
    """

    preset: Preset
    price_step_micro: float
    profit_tolerance_nano: float
    idle_loss_nano: float
    quantity_step: float = 0.02
    quantity_floor: float = 0.7

    @classmethod
    def of(cls, section: StrategySection) -> StrategyRules:
        """The rules that a scenario asks for."""
        return cls(
            preset=PRESETS[section.preset],
            price_step_micro=float(section.price_step_micro),
            profit_tolerance_nano=float(section.profit_tolerance_nano),
            idle_loss_nano=float(section.idle_loss_nano),
            quantity_step=section.quantity_step_ppm / 1e6,
            quantity_floor=section.quantity_floor_ppm / 1e6,
        )

    @property
    def lowest_share(self) -> float:
        """The least that a producer offers, as a share of what it could."""
        return self.quantity_floor if self.preset.quantity_floor else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a period brought: the energy traded and the mean price of it (micro per kWh; 0 when none)."""

    energy_wh: float
    price_micro: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Profits after upward and after downward moves: epsilon_s and epsilon_d of eq. (3), in nano."""

    up_nano: float = 0.0
    down_nano: float = 0.0

    @property
    def chance_up(self) -> float:
        """pol_s of eq. (3): epsilon_s / (epsilon_s + epsilon_d), and 1/2 when nothing was collected."""
        total = self.up_nano + self.down_nano
        return self.up_nano / total if total else 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerState:
    """A producer between two periods. `share` is the offered part of its largest quantity."""

    ask_micro: float
    share: float = 1.0
    profit_nano: float | None = None
    price_sums: Sums = Sums()
    quantity_sums: Sums = Sums()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerState:
    """A consumer between two periods."""

    bid_micro: float
    profit_nano: float | None = None


def producer_profit_nano(state: ProducerState, outcome: Outcome, cost_micro: float, rules: StrategyRules) -> float:
    """Profit of one period: Huang 2022, eq. (1). Minus sigma when nothing was sold."""
    if outcome.energy_wh <= 0:
        return -rules.idle_loss_nano
    price_micro = outcome.price_micro if rules.preset.profit_at_trade_price else state.ask_micro
    return outcome.energy_wh * (price_micro - cost_micro)


def next_producer(
    state: ProducerState, outcome: Outcome, cost_micro: float, rules: StrategyRules, rng: Generator
) -> ProducerState:
    """The producer after one period: Huang 2022, eq. (3), price and quantity.

    The price moves even when it will be reset, so that the sums and the draws of the generator do not
    depend on the reset.
    """
    profit_nano = producer_profit_nano(state, outcome, cost_micro, rules)
    change_nano = _change(profit_nano, state.profit_nano)
    price_move, price_sums = _move(profit_nano, change_nano, state.price_sums, rules, rng)
    quantity_move, quantity_sums = _move(profit_nano, change_nano, state.quantity_sums, rules, rng)
    ask_micro = state.ask_micro + price_move * rules.price_step_micro
    if outcome.energy_wh <= 0 or profit_nano < 0:
        back = rules.preset.reset_ppm / 1e6
        ask_micro = cost_micro + (state.ask_micro - cost_micro) * (1 - back)
    share = state.share + quantity_move * rules.quantity_step
    return replace(
        state,
        ask_micro=max(cost_micro, ask_micro),
        share=min(1.0, max(rules.lowest_share, share)),
        profit_nano=profit_nano,
        price_sums=price_sums,
        quantity_sums=quantity_sums,
    )


def consumer_profit_nano(outcome: Outcome, value_micro: float) -> float:
    """Surplus of one period: Huang 2022, eq. (4), whose line stands misprinted at the head of eq. (5)."""
    return outcome.energy_wh * (value_micro - outcome.price_micro)


def next_consumer(
    state: ConsumerState, outcome: Outcome, value_micro: float, rules: StrategyRules, rng: Generator
) -> ConsumerState:
    """The consumer after one period: Huang 2022, eq. (5). `value_micro` is the paper's c.

    The random move's sign is a fair coin, its length uniform.
    """
    profit_nano = consumer_profit_nano(outcome, value_micro)
    change_nano = _change(profit_nano, state.profit_nano)
    length, coin = rng.random(), rng.random()
    if change_nano > rules.profit_tolerance_nano:
        move = 1.0
    elif change_nano < -rules.profit_tolerance_nano:
        move = -1.0
    else:
        move = length if coin < 0.5 else -length
    bid_micro = state.bid_micro + move * rules.price_step_micro
    if rules.preset.unserved_bids_value:
        bid_micro = value_micro if outcome.energy_wh <= 0 else min(value_micro, bid_micro)
    elif profit_nano < 0:
        bid_micro = value_micro
    return replace(state, bid_micro=max(0.0, bid_micro), profit_nano=profit_nano)


def _change(profit_nano: float, before_nano: float | None) -> float:
    """Profit against the period before; 0 in the first, which has none before it."""
    return 0.0 if before_nano is None else profit_nano - before_nano


def _move(
    profit_nano: float, change_nano: float, sums: Sums, rules: StrategyRules, rng: Generator
) -> tuple[float, Sums]:
    """One move in [-1, 1] steps by eq. (3), and the sums after it.

    One number is drawn whether it is used or not: a run then does not fall apart into other draws because
    one participant's profit changed a little.
    """
    draw = rng.random()
    collected = profit_nano if not rules.preset.gains_only else max(0.0, profit_nano)
    if change_nano > rules.profit_tolerance_nano:
        return 1.0, replace(sums, up_nano=sums.up_nano + collected)
    if change_nano < -rules.profit_tolerance_nano:
        return -1.0, replace(sums, down_nano=sums.down_nano + collected)
    return (draw if draw < sums.chance_up else -draw), sums
