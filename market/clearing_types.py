"""What goes into a clearing mechanism and what comes out of it, the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from market.errors import ConfigError
from market.matching_degree import REVENUE_VIEWS
from market.orders import Order
from market.units import PRICE_MICRO_MAX

PRICE_RULES: Final = ("midpoint", "bid", "ask", "uniform")
REGION_PRIORITIES: Final = ("strict", "tie")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingRules:
    """What the mechanisms may be told. Raises ConfigError for rules that contradict themselves.

    `price_rule`: `midpoint` of bid and ask (rounded down), `bid`, `ask`, or `uniform` (one price).
    `region_priority`: `strict` clears each region first and then across regions; `tie` keeps one book in which
    the region only breaks ties. `crossing_fee_micro` a kWh is paid by the buyer for energy from another region,
    on top of the price. `ask_limit_micro` is the regulator's unlimited ask S_r; 0 for none. `revenue_view`:
    whose revenue reputation matching counts, the `provider`'s or the `user`'s.
    """

    price_rule: str = "midpoint"
    region_priority: str = "strict"
    crossing_fee_micro: int = 0
    ask_limit_micro: int = 0
    revenue_view: str = "provider"

    def __post_init__(self) -> None:
        if self.price_rule not in PRICE_RULES:
            raise ConfigError(f"price_rule must be one of {', '.join(PRICE_RULES)}, was {self.price_rule!r}")
        if self.region_priority not in REGION_PRIORITIES:
            choices = ", ".join(REGION_PRIORITIES)
            raise ConfigError(f"region_priority must be one of {choices}, was {self.region_priority!r}")
        if self.revenue_view not in REVENUE_VIEWS:
            choices = ", ".join(REVENUE_VIEWS)
            raise ConfigError(f"revenue_view must be one of {choices}, was {self.revenue_view!r}")
        for name in ("crossing_fee_micro", "ask_limit_micro"):
            if not 0 <= getattr(self, name) <= PRICE_MICRO_MAX:
                raise ConfigError(f"{name} must be 0 to {PRICE_MICRO_MAX}, was {getattr(self, name)}")
        if self.price_rule == "uniform" and self.region_priority == "tie" and self.crossing_fee_micro:
            # Some would pay the fee on top of the one price and some not, above the bids of the first.
            raise ConfigError("price_rule uniform with region_priority tie needs crossing_fee_micro 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A bid and an ask that trade: `price_micro` to the seller, `price_micro + fee_micro` from the buyer."""

    buy: int
    sell: int
    energy_wh: int
    price_micro: int
    fee_micro: int
    ask_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """What an order has left after the clearing."""

    number: int
    energy_wh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearingResult:
    """Trades in matching order, and the residual of every order that still has one, in the book's order."""

    trades: tuple[Match, ...]
    unmatched: tuple[Residual, ...]


Mechanism = Callable[[Sequence[Order], ClearingRules], ClearingResult]
"""A clearing mechanism: a pure function of the book and the rules."""
