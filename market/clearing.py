"""Clearing an order book: the table of mechanisms, and the one function that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from market.clearing_types import ClearingResult, ClearingRules, Match, Mechanism, Residual
from market.errors import ConfigError, FormError
from market.high_low_matching import high_low_matching
from market.listing_book import listing
from market.orders import STANDING_ASK, Order
from market.reputation_matching import reputation_matching
from market.uniform_price import uniform_price

__all__ = ["MECHANISMS", "ClearingResult", "ClearingRules", "Match", "Residual", "clear"]

MECHANISMS: Final[dict[str, Mechanism]] = {
    "hlm": high_low_matching,
    "uniform": uniform_price,
    "matching": reputation_matching,
    "listing": listing,
}
"""All mechanisms by the name that scenarios use."""


def clear(mechanism: str, book: Sequence[Order], rules: ClearingRules) -> ClearingResult:
    """Clear `book`: orders in any order, each with its own number above 0.

    Orders without energy are ignored. Raises ConfigError for an unknown mechanism and FormError for a number
    that is used twice: one of the two would be lost.
    """
    if mechanism not in MECHANISMS:
        raise ConfigError(f"mechanism must be one of {', '.join(MECHANISMS)}, was {mechanism!r}")
    numbers = {order.number for order in book}
    if len(numbers) != len(book) or STANDING_ASK in numbers:
        raise FormError("every order of a book needs its own number above 0")
    return MECHANISMS[mechanism](book, rules)
