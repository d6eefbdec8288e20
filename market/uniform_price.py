"""Buyer's and seller's market with one price (green, sections 5.1 and 5.2).

Supply at or above demand is a buyer's market: sellers quote, the cheapest are served until demand is met.
Supply below demand is a seller's market: buyers quote, the highest are served until supply is used up. The
price is the quotation of the last one served when that one keeps something unserved, else of the next one in
the ranking, or its own when there is none. Equal quotations go by issue time, then by number.

In the paper the side that does not quote takes any price. Here every order has a limit, so that nobody is
charged more than he bid or paid less than he asked:

* orders that no order of the other side could meet do not count when the two sums are compared;
* the side that does not quote is served in the order of its limits, as many whole orders as the price that
  results from them allows. More orders only make the price worse, so that number is found by bisection.

The regulator's ask takes no part in the quotations, or every market would be a buyer's. No bid counts for more
than its price, and bids at or above it that are left are served by it.

Regions: with `strict` each region has its market and then all residuals have one; with `tie` first one market
for all orders that may leave their region and then one for each region. Across regions every buyer's limit
must also bear the crossing fee, which is charged where a pair does cross; pairs of one region are made first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from market.clearing_types import ClearingResult, ClearingRules, Match, Residual
from market.orders import STANDING_ASK, Order, Side


class Quotations:
    """Quotations in their ranking, best first, each with the energy it stands for (above 0)."""

    def __init__(self, energies_wh: Sequence[int], prices_micro: Sequence[int]) -> None:
        self._ends = list(accumulate(energies_wh))
        self._prices = prices_micro

    def price_micro(self, wanted_wh: int) -> int:
        """The price when `wanted_wh`, above 0 and at most all there is, are served."""
        last = bisect_left(self._ends, wanted_wh)
        sold_out = self._ends[last] == wanted_wh
        return self._prices[min(last + sold_out, len(self._prices) - 1)]

    def served_wh(self, wanted_wh: int) -> list[int]:
        """What each is served, in the ranking."""
        starts = [0, *self._ends[:-1]]
        return [max(0, min(end, wanted_wh) - start) for start, end in zip(starts, self._ends, strict=True)]


@dataclass(frozen=True, slots=True)
class _Share:
    """What one order is served."""

    order: Order
    energy_wh: int


def uniform_price(book: Sequence[Order], rules: ClearingRules) -> ClearingResult:
    """Clear a book at uniform prices; see the head of this module."""
    clearing = _Clearing(book, rules)
    regions = sorted({order.region for order in book})
    fee_micro = rules.crossing_fee_micro
    if rules.region_priority == "tie":
        clearing.market(lambda order: not order.region_only, fee_micro)
    for region in regions:
        clearing.market(partial(_lives_in, region), 0)
    # One region alone has had its market, and its one price, already.
    if rules.region_priority == "strict" and len(regions) > 1:
        clearing.market(lambda order: not order.region_only, fee_micro)
    clearing.serve_from_the_regulator()
    return clearing.result()


class _Clearing:
    """One clearing: what every order has left, and the trades so far."""

    def __init__(self, book: Sequence[Order], rules: ClearingRules) -> None:
        self._book = book
        self._rules = rules
        self._left = {order.number: order.energy_wh for order in book}
        self._bids = sorted((order for order in book if order.side is Side.BUY), key=_rank)
        self._asks = sorted((order for order in book if order.side is Side.SELL), key=_rank)
        self._trades: list[Match] = []

    def result(self) -> ClearingResult:
        """Trades in the order in which they were made, and residuals in the book's."""
        unmatched = tuple(
            Residual(number=order.number, energy_wh=left_wh)
            for order in self._book
            if (left_wh := self._left[order.number]) > 0
        )
        return ClearingResult(trades=tuple(self._trades), unmatched=unmatched)

    def market(self, takes_part: Callable[[Order], bool], fee_micro: int) -> None:
        """One market at one price among the orders that take part and have energy left."""
        bids = [bid for bid in self._bids if self._left[bid.number] > 0 and takes_part(bid)]
        asks = [ask for ask in self._asks if self._left[ask.number] > 0 and takes_part(ask)]
        if not bids or not asks:
            return
        highest, lowest = self._limit(bids[0], fee_micro), asks[0].price_micro
        bids = [bid for bid in bids if self._limit(bid, fee_micro) >= lowest]
        asks = [ask for ask in asks if ask.price_micro <= highest]
        if not bids or not asks:
            return
        ask_prices = [ask.price_micro for ask in asks]
        bid_prices = [self._limit(bid, fee_micro) for bid in bids]
        if self._energy(asks) >= self._energy(bids):
            quotations = Quotations(self._energies(asks), ask_prices)
            count = _served_count(self._energies(bids), lambda wh, k: quotations.price_micro(wh) <= bid_prices[k])
            takers = bids[:count]
        else:
            quotations = Quotations(self._energies(bids), bid_prices)
            count = _served_count(self._energies(asks), lambda wh, k: quotations.price_micro(wh) >= ask_prices[k])
            takers = asks[:count]
        wanted_wh = self._energy(takers)
        if not wanted_wh:
            return
        quoting = asks if takers[0].side is Side.BUY else bids
        whole = [_Share(order, self._left[order.number]) for order in takers]
        served = [_Share(*pair) for pair in zip(quoting, quotations.served_wh(wanted_wh), strict=True)]
        buyers, sellers = (whole, served) if takers[0].side is Side.BUY else (served, whole)
        self._pair(buyers, sellers, quotations.price_micro(wanted_wh), fee_micro)

    def serve_from_the_regulator(self) -> None:
        """Bids that are left and reach the regulator's limit price get it."""
        limit_micro = self._rules.ask_limit_micro
        if not limit_micro:
            return
        for bid in self._bids:
            left_wh = self._left[bid.number]
            if left_wh > 0 and bid.price_micro >= limit_micro and not bid.region_only:
                self._trade(bid.number, STANDING_ASK, left_wh, limit_micro, 0, limit_micro)

    def _limit(self, bid: Order, fee_micro: int) -> int:
        limit_micro = self._rules.ask_limit_micro
        price_micro = min(bid.price_micro, limit_micro) if limit_micro else bid.price_micro
        return price_micro - fee_micro

    def _energies(self, orders: Sequence[Order]) -> list[int]:
        return [self._left[order.number] for order in orders]

    def _energy(self, orders: Sequence[Order]) -> int:
        return sum(self._energies(orders))

    def _pair(self, buyers: list[_Share], sellers: list[_Share], price_micro: int, fee_micro: int) -> None:
        """Make trades of what both sides are served: within a region first, so that few pay the fee."""
        buying = {share.order.number: share.energy_wh for share in buyers}
        selling = {share.order.number: share.energy_wh for share in sellers}
        # Pairs within a region are the minority of all pairs, so each region merges on its own lists.
        regions = sorted({share.order.region for share in buyers})
        groups = [
            (
                [share.order for share in buyers if share.order.region == region],
                [share.order for share in sellers if share.order.region == region],
            )
            for region in regions
        ]
        groups.append(([share.order for share in buyers], [share.order for share in sellers]))
        for bids, asks in groups:
            at = 0
            for bid in bids:
                while buying[bid.number] and at < len(asks):
                    ask = asks[at]
                    energy_wh = min(buying[bid.number], selling[ask.number])
                    if energy_wh:
                        fee = 0 if ask.region == bid.region else fee_micro
                        self._trade(bid.number, ask.number, energy_wh, price_micro, fee, ask.price_micro)
                        buying[bid.number] -= energy_wh
                        selling[ask.number] -= energy_wh
                    at += selling[ask.number] == 0
        assert not any(buying.values()) and not any(selling.values()), "one side was served more than the other"

    def _trade(
        self, buy: int, sell: int, energy_wh: int, price_micro: int, fee_micro: int, ask_micro: int
    ) -> None:
        self._left[buy] -= energy_wh
        if sell != STANDING_ASK:
            self._left[sell] -= energy_wh
        self._trades.append(
            Match(
                buy=buy,
                sell=sell,
                energy_wh=energy_wh,
                price_micro=price_micro,
                fee_micro=fee_micro,
                ask_micro=ask_micro,
            )
        )


def _lives_in(region: str, order: Order) -> bool:
    return order.region == region


def _rank(order: Order) -> tuple[int, int, int]:
    sign = -1 if order.side is Side.BUY else 1
    return (sign * order.price_micro, order.issued_ms, order.number)


def _served_count(energies_wh: list[int], may: Callable[[int, int], bool]) -> int:
    """How many of the side that does not quote are served: `may(sum, k)` holds up to some k and not beyond."""
    sums = list(accumulate(energies_wh))
    return bisect_right(range(len(sums)), False, key=lambda k: not may(sums[k], k))
