"""Listing for a book from a file (Chen 2025, section 3).

Orders come one after the other. Each first takes the best offers of the other side that were listed before it,
whole or in part and at their prices, and is listed itself with what it has left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from market.clearing_types import ClearingResult, ClearingRules, Match, Residual
from market.orders import Order, Side


def listing(book: Sequence[Order], rules: ClearingRules) -> ClearingResult:
    """Let the orders of a book come one after the other, by issue time, then number."""
    left = {order.number: order.energy_wh for order in book}
    listed: dict[Side, list[Order]] = {Side.BUY: [], Side.SELL: []}
    trades: list[Match] = []
    for comer in sorted(book, key=lambda order: (order.issued_ms, order.number)):
        takes = [
            match
            for offer in listed[comer.side.other]
            if (match := _match(comer, offer, rules.crossing_fee_micro)) is not None
        ]
        for match in sorted(takes, key=_worst_last(comer.side)):
            energy_wh = min(left[match.buy], left[match.sell])
            if energy_wh > 0:
                trades.append(replace(match, energy_wh=energy_wh))
                left[match.buy] -= energy_wh
                left[match.sell] -= energy_wh
        listed[comer.side].append(comer)
    unmatched = tuple(
        Residual(number=order.number, energy_wh=left[order.number]) for order in book if left[order.number] > 0
    )
    return ClearingResult(trades=tuple(trades), unmatched=unmatched)


def _match(comer: Order, offer: Order, crossing_fee_micro: int) -> Match | None:
    """The trade of a comer with a listed offer at the offer's price, or None when the comer would not take it."""
    bid, ask = (comer, offer) if comer.side is Side.BUY else (offer, comer)
    crosses = bid.region != ask.region
    fee_micro = crossing_fee_micro if crosses else 0
    if bid.price_micro < ask.price_micro + fee_micro or (crosses and (bid.region_only or ask.region_only)):
        return None
    price_micro = offer.price_micro if offer is ask else offer.price_micro - fee_micro
    return Match(
        buy=bid.number,
        sell=ask.number,
        energy_wh=0,
        price_micro=price_micro,
        fee_micro=fee_micro,
        ask_micro=ask.price_micro,
    )


def _worst_last(side: Side) -> Callable[[Match], tuple[int, int]]:
    """A buyer takes what costs him least in all first, a seller what brings most; then the earliest."""
    if side is Side.BUY:
        return lambda match: (match.price_micro + match.fee_micro, match.sell)
    return lambda match: (-match.price_micro, match.buy)
