"""Transactions of the mechanisms beside placing an order: take an offer, request supply, submit an assignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.units import ENERGY_WH_MAX, INTEGER_MAX, PERIOD_MAX, PRICE_MICRO_MAX
from market.values import FieldReader, Value

PAIRS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOffer:
    """Take a listed order, whole or in part, at its price (Chen 2025: listing-based matching).

    `price_micro` is the price that the taker saw: an order's price never changes, so it only guards against a
    wrong number.
    """

    order: int
    energy_wh: int
    price_micro: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.order, self.energy_wh, self.price_micro)


def parse_take_offer(reader: FieldReader) -> TakeOffer:
    """Read the fields. Raises FormError."""
    return TakeOffer(
        order=reader.integer("order", 1, INTEGER_MAX),
        energy_wh=reader.integer("energy_wh", 1, ENERGY_WH_MAX),
        price_micro=reader.integer("price_micro", 0, PRICE_MICRO_MAX),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSupply:
    """Ask to be supplied in `period` by one provider (Cui 2022, section 3.2).

    `price_micro` is the most the user pays a kWh in all. A request that no provider serves is served at the
    regulator's limit price.
    """

    energy_wh: int
    price_micro: int
    period: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.energy_wh, self.price_micro, self.period)


def parse_request_supply(reader: FieldReader) -> RequestSupply:
    """Read the fields. Raises FormError."""
    return RequestSupply(
        energy_wh=reader.integer("energy_wh", 1, ENERGY_WH_MAX),
        price_micro=reader.integer("price_micro", 0, PRICE_MICRO_MAX),
        period=reader.integer("period", 0, PERIOD_MAX),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitAssignment:
    """Propose who serves whom in the open period: pairs of order numbers, request and offer (Cui 2022, eq. (5)).

    The contract checks it and counts its value itself; the best one of the period is used.
    """

    period: int
    pairs: tuple[tuple[int, int], ...]

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.period, self.pairs)


def parse_submit_assignment(reader: FieldReader) -> SubmitAssignment:
    """Read the fields. Raises FormError."""
    return SubmitAssignment(
        period=reader.integer("period", 0, PERIOD_MAX), pairs=parse_pairs(reader.array("pairs", PAIRS_MAX))
    )


def parse_pairs(values: tuple[Value, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs of order numbers. Raises FormError."""
    pairs = []
    for value in values:
        reader = FieldReader(value, "pair")
        pairs.append((reader.integer("request", 1, INTEGER_MAX), reader.integer("offer", 1, INTEGER_MAX)))
        reader.end()
    return tuple(pairs)
