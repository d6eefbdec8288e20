"""High-low matching of big books in NumPy: trade for trade what `high_low_matching` gives.

Two sorted lists that meet head by head are a merge of their cumulative energies: every place where one of
the two sums ends is the end of a trade. So a whole book costs a few sorts and no loop over orders. All
arithmetic is in 64-bit integers; `suits` says for which books that is exact and the order of trades is the
same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.clearing_types import ClearingResult, ClearingRules, Match, Residual
from market.orders import STANDING_ASK, Order, Side

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_ENERGY_WH_MAX: Final = 2**61
_NUMBER_MAX: Final = 2**62
_LAST_MS: Final = 2**63 - 1
_NOWHERE: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class BookColumns:
    """An order book as one array a field, row by row. `region` counts the regions in sorted order."""

    number: Integers
    buys: Flags
    energy_wh: Integers
    price_micro: Integers
    issued_ms: Integers
    region: Integers
    region_only: Flags

    @classmethod
    def of(cls, book: Sequence[Order]) -> BookColumns:
        """The columns of a book."""
        regions = {name: index for index, name in enumerate(sorted({order.region for order in book}))}
        count = len(book)
        return cls(
            number=np.fromiter((order.number for order in book), np.int64, count),
            buys=np.fromiter((order.side is Side.BUY for order in book), np.bool_, count),
            energy_wh=np.fromiter((max(0, order.energy_wh) for order in book), np.int64, count),
            price_micro=np.fromiter((order.price_micro for order in book), np.int64, count),
            issued_ms=np.fromiter((order.issued_ms for order in book), np.int64, count),
            region=np.fromiter((regions[order.region] for order in book), np.int64, count),
            region_only=np.fromiter((order.region_only for order in book), np.bool_, count),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeColumns:
    """Trades in matching order, one array a field as in `Match`."""

    buy: Integers
    sell: Integers
    energy_wh: Integers
    price_micro: Integers
    fee_micro: Integers
    ask_micro: Integers

    def matches(self) -> Iterator[Match]:
        """The trades one by one."""
        columns = (self.buy, self.sell, self.energy_wh, self.price_micro, self.fee_micro, self.ask_micro)
        for buy, sell, energy_wh, price_micro, fee_micro, ask_micro in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            yield Match(
                buy=buy,
                sell=sell,
                energy_wh=energy_wh,
                price_micro=price_micro,
                fee_micro=fee_micro,
                ask_micro=ask_micro,
            )


def suits(book: Sequence[Order], rules: ClearingRules) -> bool:
    """Whether the array path gives the same trades for this book.

    Not where one book spans several regions: there each bid looks for what is cheapest delivered to it, which is
    no merge of two lists.
    """
    if rules.region_priority != "strict":
        here = book[0].region if book else ""
        if any(order.region_only or order.region != here for order in book):
            return False
    return (
        sum(order.energy_wh for order in book) < _ENERGY_WH_MAX
        and max((order.number for order in book), default=0) < _NUMBER_MAX
    )


def array_matching(book: Sequence[Order], rules: ClearingRules) -> ClearingResult:
    """Match a book that `suits`."""
    columns = BookColumns.of(book)
    trades, left_wh = match_columns(columns, rules)
    rows = np.flatnonzero(left_wh)
    unmatched = tuple(
        Residual(number=number, energy_wh=energy_wh)
        for number, energy_wh in zip(columns.number[rows].tolist(), left_wh[rows].tolist(), strict=True)
    )
    return ClearingResult(trades=tuple(trades.matches()), unmatched=unmatched)


def match_columns(book: BookColumns, rules: ClearingRules) -> tuple[TradeColumns, Integers]:
    """The same on columns: the trades, and what every row has left in Wh."""
    matching = _Matching(book, rules)
    if rules.region_priority == "strict":
        matching.by_region()
    else:
        matching.one_region()
    return matching.trades(), matching.left_wh[:-1]


class _Matching:
    """One clearing. The standing ask is one row more, behind the book's own."""

    def __init__(self, book: BookColumns, rules: ClearingRules) -> None:
        self._rules = rules
        self._standing = len(book.number)
        bids_wh = int(book.energy_wh[book.buys].sum())
        # All that is asked for and one more: the standing ask never runs out.
        standing_wh = bids_wh + 1 if rules.ask_limit_micro else 0
        self.left_wh = np.append(book.energy_wh, standing_wh)
        self._number = np.append(book.number, STANDING_ASK)
        self._price = np.append(book.price_micro, rules.ask_limit_micro)
        self._issued = np.append(book.issued_ms, _LAST_MS)
        self._region = np.append(book.region, _NOWHERE)
        self._region_only = np.append(book.region_only, False)
        filled = book.energy_wh > 0
        self._bids = self._ranked(np.flatnonzero(book.buys & filled), -self._price)
        self._asks = self._ranked(np.flatnonzero(~book.buys & filled), self._price)
        self._parts: list[TradeColumns] = []

    def _ranked(self, rows: Integers, key: Integers) -> Integers:
        order = np.lexsort((self._number[rows], self._issued[rows], key[rows]))
        return rows[order]

    def trades(self) -> TradeColumns:
        """All parts in order."""
        empty = np.empty(0, np.int64)

        def column(name: str) -> Integers:
            return np.concatenate([empty, *(getattr(part, name) for part in self._parts)])

        return TradeColumns(
            buy=column("buy"),
            sell=column("sell"),
            energy_wh=column("energy_wh"),
            price_micro=column("price_micro"),
            fee_micro=column("fee_micro"),
            ask_micro=column("ask_micro"),
        )

    def one_region(self) -> None:
        """One book without regions; the standing ask is last among equals."""
        asks = np.append(self._asks, self._standing) if self._rules.ask_limit_micro else self._asks
        self._merge(self._bids, self._ranked(asks, self._price), 0)

    def by_region(self) -> None:
        """Each region within itself, then the residuals across regions."""
        bids_of, asks_of = self._split(self._bids), self._split(self._asks)
        for region in sorted(bids_of.keys() & asks_of.keys()):
            self._within(bids_of[region], asks_of[region])
        fee_micro = self._rules.crossing_fee_micro
        wide = (self.left_wh > 0) & ~self._region_only
        asks = self._asks[wide[self._asks]]
        if self._rules.ask_limit_micro:
            asks = np.append(asks, self._standing)
        self._merge(self._bids[wide[self._bids]], self._ranked(asks, self._delivered(fee_micro)), fee_micro)

    def _split(self, rows: Integers) -> dict[int, Integers]:
        """Ranked rows by region, still ranked."""
        order = np.argsort(self._region[rows], kind="stable")
        rows = rows[order]
        regions, starts = np.unique(self._region[rows], return_index=True)
        return dict(zip(regions.tolist(), np.split(rows, starts[1:]), strict=True)) if len(rows) else {}

    def _delivered(self, fee_micro: int) -> Integers:
        delivered = self._price + fee_micro
        delivered[self._standing] = self._rules.ask_limit_micro
        return delivered

    def _within(self, bids: Integers, asks: Integers) -> None:
        """One region. Asks above the regulator's limit stand behind its ask, but for bids that cannot leave."""
        limit_micro = self._rules.ask_limit_micro
        if not limit_micro:
            self._merge(bids, asks, 0)
            return
        place = int(np.searchsorted(self._price[asks], limit_micro, side="right"))
        self._merge(bids, asks[:place], 0, limit_micro)
        staying = bids[(self.left_wh[bids] > 0) & self._region_only[bids]]
        self._merge(staying, asks[place:], 0)

    def _merge(
        self, bids: Integers, asks: Integers, crossing_fee_micro: int, price_limit_micro: int | None = None
    ) -> None:
        """Match two ranked lists head by head."""
        if not len(bids) or not len(asks):
            return
        fee = np.full(len(asks), crossing_fee_micro, np.int64)
        fee[asks == self._standing] = 0
        delivered = self._price[asks] + fee
        bids_end, asks_end = np.cumsum(self.left_wh[bids]), np.cumsum(self.left_wh[asks])
        ends = np.union1d(bids_end, asks_end)
        ends = ends[ends <= min(bids_end[-1], asks_end[-1])]
        starts = np.append(0, ends[:-1])
        bid_at = np.searchsorted(bids_end, starts, side="right")
        ask_at = np.searchsorted(asks_end, starts, side="right")
        # Bids fall and asks rise, so the pairs that trade come first.
        count = int(np.count_nonzero(self._price[bids][bid_at] >= delivered[ask_at]))
        if not count:
            return
        bid_at, ask_at = bid_at[:count], ask_at[:count]
        traded_wh = int(ends[count - 1])
        self.left_wh[bids] = np.minimum(self.left_wh[bids], np.maximum(0, bids_end - traded_wh))
        self.left_wh[asks] = np.minimum(self.left_wh[asks], np.maximum(0, asks_end - traded_wh))
        bid_micro, ask_micro, fee_micro = self._price[bids][bid_at], self._price[asks][ask_at], fee[ask_at]
        if self._rules.price_rule == "uniform":
            edges = [_first_left(self._price[bids], bids_end, traded_wh), price_limit_micro]
            ceilings = [_first_left(delivered, asks_end, traded_wh), price_limit_micro]
            common = _uniform_price(bid_micro, delivered[ask_at], edges, ceilings)
            price = common - fee_micro
        else:
            price = _pair_prices(self._rules.price_rule, bid_micro, ask_micro, fee_micro)
        self._parts.append(
            TradeColumns(
                buy=self._number[bids][bid_at],
                sell=self._number[asks][ask_at],
                energy_wh=(ends - starts)[:count],
                price_micro=price,
                fee_micro=fee_micro,
                ask_micro=ask_micro,
            )
        )


def _first_left(prices: Integers, ends: Integers, traded_wh: int) -> int | None:
    """The price of the first order that still has energy."""
    place = int(np.searchsorted(ends, traded_wh, side="right"))
    return int(prices[place]) if place < len(prices) else None


def _uniform_price(
    bid_micro: Integers, delivered_micro: Integers, bid_left: list[int | None], ask_left: list[int | None]
) -> int:
    """The middle of the interval in which supply meets demand, as the path order by order has it.

    Each list holds the first order left and the regulator's limit: the limit caps the bid that is left, and
    is an ask that is left.
    """
    low, high = int(delivered_micro.max()), int(bid_micro.min())
    if bid_left[0] is not None:
        low = max(low, min(price for price in bid_left if price is not None))
    return (low + min([high, *(price for price in ask_left if price is not None)])) // 2


def _pair_prices(rule: str, bid_micro: Integers, ask_micro: Integers, fee_micro: Integers) -> Integers:
    if rule == "bid":
        return bid_micro - fee_micro
    if rule == "ask":
        return ask_micro
    return (bid_micro - fee_micro + ask_micro) // 2
