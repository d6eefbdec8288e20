"""Sides, roles and the order as the clearing mechanisms see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Side(IntEnum):
    """Which way the energy of an order flows."""

    BUY = 1
    SELL = 2

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Role(IntEnum):
    """What a participant is on the market (Huang 2022, section 2.2). Append only."""

    PRODUCER = 1
    CONSUMER = 2
    PROSUMER = 3
    SPECULATOR = 4
    REGULATOR = 5
    GRID = 6

    def may_trade(self, side: Side) -> bool:
        """Whether a participant of this role may place orders on `side`."""
        if self is Role.PRODUCER:
            return side is Side.SELL
        if self is Role.CONSUMER:
            return side is Side.BUY
        return self in (Role.PROSUMER, Role.SPECULATOR)


STANDING_ASK: Final = 0
"""The order number of the regulator's unlimited ask. Participants' orders are numbered from 1."""

NO_REGION: Final = ""
"""The region of the grid company, which delivers everywhere without a crossing fee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order as a mechanism sees it: what is left of it, at what price, and its place among equals.

    `price_micro` of a bid is the most its owner pays in all, a crossing fee included; of an ask the least
    its owner takes. `region_only` orders trade inside their own region alone. `reputation_ppm` is its owner's.
    """

    number: int
    side: Side
    energy_wh: int
    price_micro: int
    issued_ms: int = 0
    region: str = NO_REGION
    account: bytes = b""
    region_only: bool = False
    reputation_ppm: int = 0
