"""High-low matching (Huang 2022, section 2.2 (6)), with the regions of Chen 2025.

Bids by price descending, asks by price ascending, equal prices by issue time, then by number. While the
first bid reaches the first ask they trade the smaller residual; the larger order stays at the head with
what it has left. The regulator's unlimited ask stands in the list, last among equals.

With region priority `strict` each region is matched within itself first, and what is left across regions,
where a bid must reach ask plus crossing fee. The regulator's ask stands in that second book alone: in the
first it would be served before a neighbour region's cheaper energy. Asks above its price stand behind it
all the same. With `tie` there is one book, and each bid takes the ask that is cheapest delivered, its own
region's among equals. Strict gives more volume and less surplus than one book: a local pair may trade
energy that a dearer bid elsewhere would have taken.

A bid's price is the most the buyer pays, fee included. Sorting dominates: O(n log n). Big books go through
`array_matching.py`, whose trades are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from market.clearing_types import ClearingResult, ClearingRules, Match, Residual
from market.orders import NO_REGION, STANDING_ASK, Order, Side

ARRAYS_FROM: Final = 1_000
"""From how many orders on a book is matched in arrays: below, setting them up costs more than it saves."""

_LAST_MS: Final = 2**63

_Pair = tuple[Order, Order, int, int]
"""Bid, ask, energy_wh, fee_micro."""


def high_low_matching(book: Sequence[Order], rules: ClearingRules) -> ClearingResult:
    """Match a book by price, then time; see the head of this module."""
    if len(book) >= ARRAYS_FROM:
        # Imported here: a node or a command that never sees a big book starts without NumPy.
        from market import array_matching

        if array_matching.suits(book, rules):
            return array_matching.array_matching(book, rules)
    return order_by_order(book, rules)


def order_by_order(book: Sequence[Order], rules: ClearingRules) -> ClearingResult:
    """The simple path: two sorted lists, head against head. What every other path must agree with."""
    left = {order.number: order.energy_wh for order in book}
    bids = sorted((order for order in book if order.side is Side.BUY and order.energy_wh > 0), key=_bid_rank)
    asks = sorted((order for order in book if order.side is Side.SELL and order.energy_wh > 0), key=_ask_rank)
    if rules.ask_limit_micro:
        # All that is asked for and one more: it never runs out.
        left[STANDING_ASK] = 1 + sum(bid.energy_wh for bid in bids)
    matching = _strict if rules.region_priority == "strict" else _one_book
    trades = matching(bids, asks, left, rules)
    unmatched = tuple(
        Residual(number=order.number, energy_wh=left[order.number]) for order in book if left[order.number] > 0
    )
    return ClearingResult(trades=tuple(trades), unmatched=unmatched)


def _bid_rank(order: Order) -> tuple[int, int, int]:
    return (-order.price_micro, order.issued_ms, order.number)


def _ask_rank(order: Order) -> tuple[int, int, int]:
    return (order.price_micro, order.issued_ms, order.number)


def _standing_asks(left: dict[int, int], rules: ClearingRules) -> list[Order]:
    if not rules.ask_limit_micro:
        return []
    standing = Order(
        number=STANDING_ASK,
        side=Side.SELL,
        energy_wh=left[STANDING_ASK],
        price_micro=rules.ask_limit_micro,
        issued_ms=_LAST_MS,
        region=NO_REGION,
    )
    return [standing]


def _strict(bids: list[Order], asks: list[Order], left: dict[int, int], rules: ClearingRules) -> list[Match]:
    """Each region within itself, in the regions' sorted order, then the residuals across regions."""
    bids_of: dict[str, list[Order]] = defaultdict(list)
    asks_of: dict[str, list[Order]] = defaultdict(list)
    for bid in bids:
        bids_of[bid.region].append(bid)
    for ask in asks:
        asks_of[ask.region].append(ask)
    trades: list[Match] = []
    for region in sorted(bids_of.keys() & asks_of.keys()):
        trades += _within(bids_of[region], asks_of[region], left, rules)
    # What a region has left no longer crosses within it, or only beyond the standing ask, which never runs
    # out: so only pairs of two regions can match here.
    wide_bids = [bid for bid in bids if left[bid.number] and not bid.region_only]
    wide_asks = [ask for ask in asks if left[ask.number] and not ask.region_only]
    fee_micro = rules.crossing_fee_micro
    wide_asks += _standing_asks(left, rules)
    wide_asks.sort(key=lambda ask: (_delivered(ask, fee_micro), ask.issued_ms, ask.number))
    return trades + _merge(wide_bids, wide_asks, left, fee_micro, rules.price_rule)


def _within(bids: list[Order], asks: list[Order], left: dict[int, int], rules: ClearingRules) -> list[Match]:
    """Match one region. Asks above the regulator's limit stand behind its ask, but for bids that cannot leave."""
    limit_micro = rules.ask_limit_micro
    if not limit_micro:
        return _merge(bids, asks, left, 0, rules.price_rule)
    place = sum(1 for ask in asks if ask.price_micro <= limit_micro)
    trades = _merge(bids, asks[:place], left, 0, rules.price_rule, limit_micro)
    staying = [bid for bid in bids if left[bid.number] and bid.region_only]
    return trades + _merge(staying, asks[place:], left, 0, rules.price_rule)


def _fee(ask: Order, crossing_fee_micro: int) -> int:
    # The grid company delivers everywhere: its limit price is the whole price.
    return 0 if ask.number == STANDING_ASK else crossing_fee_micro


def _delivered(ask: Order, crossing_fee_micro: int) -> int:
    return ask.price_micro + _fee(ask, crossing_fee_micro)


def _merge(
    bids: list[Order],
    asks: list[Order],
    left: dict[int, int],
    crossing_fee_micro: int,
    price_rule: str,
    price_limit_micro: int | None = None,
) -> list[Match]:
    """Match two sorted lists head by head; every pair here pays the same fee (but for the standing ask).

    A uniform price stays at or below `price_limit_micro`: at that price the regulator serves whoever is left.
    """
    pairs: list[_Pair] = []
    bid_index = ask_index = 0
    while bid_index < len(bids) and ask_index < len(asks):
        bid, ask = bids[bid_index], asks[ask_index]
        fee_micro = _fee(ask, crossing_fee_micro)
        if bid.price_micro < ask.price_micro + fee_micro:
            break
        energy_wh = min(left[bid.number], left[ask.number])
        pairs.append((bid, ask, energy_wh, fee_micro))
        left[bid.number] -= energy_wh
        left[ask.number] -= energy_wh
        bid_index += left[bid.number] == 0
        ask_index += left[ask.number] == 0
    if price_rule != "uniform" or not pairs:
        return [_match(pair, _pair_price(pair, price_rule)) for pair in pairs]
    highest_left = bids[bid_index].price_micro if bid_index < len(bids) else None
    lowest_left = _delivered(asks[ask_index], crossing_fee_micro) if ask_index < len(asks) else None
    if price_limit_micro is not None:
        # The standing ask is part of this supply, though it sells in another book.
        highest_left = None if highest_left is None else min(highest_left, price_limit_micro)
        lowest_left = price_limit_micro if lowest_left is None else min(lowest_left, price_limit_micro)
    price_micro = _uniform_price(pairs, highest_left, lowest_left)
    return [_match(pair, price_micro - pair[3]) for pair in pairs]


def _one_book(bids: list[Order], asks: list[Order], left: dict[int, int], rules: ClearingRules) -> list[Match]:
    """Every bid in turn takes the ask that is cheapest delivered, its own region's among equals."""
    # One queue a region for asks open to all, one for those that stay inside; the best ask stands last.
    queues: dict[tuple[str, bool], list[Order]] = defaultdict(list)
    for ask in reversed(asks):
        queues[ask.region, ask.region_only].append(ask)
    standing = _standing_asks(left, rules)
    pairs: list[_Pair] = []
    for bid in bids:
        reachable = [
            queue
            for (region, inside), queue in queues.items()
            if region == bid.region or not (inside or bid.region_only)
        ]
        if not bid.region_only:
            reachable.append(standing)
        while left[bid.number] and (queue := _cheapest(reachable, bid, rules.crossing_fee_micro)):
            ask = queue[-1]
            fee_micro = 0 if ask.region == bid.region else _fee(ask, rules.crossing_fee_micro)
            if bid.price_micro < ask.price_micro + fee_micro:
                break
            energy_wh = min(left[bid.number], left[ask.number])
            pairs.append((bid, ask, energy_wh, fee_micro))
            left[bid.number] -= energy_wh
            left[ask.number] -= energy_wh
            if left[ask.number] == 0:
                queue.pop()
    if rules.price_rule != "uniform":
        return [_match(pair, _pair_price(pair, rules.price_rule)) for pair in pairs]
    return _one_book_uniform(pairs, bids, asks, left, rules)


def _cheapest(queues: list[list[Order]], bid: Order, crossing_fee_micro: int) -> list[Order]:
    """The queue whose head is cheapest delivered to `bid`, or an empty one."""
    best: list[Order] = []
    best_rank: tuple[int, bool, bool, int, int] | None = None
    for queue in queues:
        if not queue:
            continue
        ask = queue[-1]
        other_region = ask.region != bid.region
        delivered = _delivered(ask, crossing_fee_micro) if other_region else ask.price_micro
        rank = (delivered, ask.number == STANDING_ASK, other_region, ask.issued_ms, ask.number)
        if best_rank is None or rank < best_rank:
            best, best_rank = queue, rank
    return best


def _one_book_uniform(
    pairs: list[_Pair], bids: list[Order], asks: list[Order], left: dict[int, int], rules: ClearingRules
) -> list[Match]:
    """One price for all pairs that any order could have been in; pairs kept inside a region keep their midpoint.

    A region-only bid may have to take an ask above another region's bids: no one price suits both.
    """
    common = [pair for pair in pairs if not _inside(pair)]
    price_micro = 0
    if common:
        bids_left = [bid.price_micro for bid in bids if left[bid.number] and not bid.region_only]
        asks_left = [ask.price_micro for ask in asks if left[ask.number] and not ask.region_only]
        if rules.ask_limit_micro:
            asks_left.append(rules.ask_limit_micro)
        price_micro = _uniform_price(common, max(bids_left, default=None), min(asks_left, default=None))
    return [_match(pair, _pair_price(pair, "midpoint") if _inside(pair) else price_micro) for pair in pairs]


def _inside(pair: _Pair) -> bool:
    return pair[0].region_only or pair[1].region_only


def _uniform_price(pairs: list[_Pair], highest_left: int | None, lowest_left: int | None) -> int:
    """The midpoint of the delivered prices at which supply meets demand.

    Not of the last matched pair: a seller left out below that midpoint would envy those who sold.
    """
    low = max(ask.price_micro + fee for _, ask, _, fee in pairs)
    high = min(bid.price_micro for bid, _, _, _ in pairs)
    if highest_left is not None:
        low = max(low, highest_left)
    if lowest_left is not None:
        high = min(high, lowest_left)
    assert low <= high, "the matching left a pair that should have traded"
    return (low + high) // 2


def _pair_price(pair: _Pair, price_rule: str) -> int:
    """The seller's price of one pair: what the buyer bids for the energy alone is the bid less the fee."""
    bid, ask, _, fee_micro = pair
    if price_rule == "bid":
        return bid.price_micro - fee_micro
    if price_rule == "ask":
        return ask.price_micro
    return (bid.price_micro - fee_micro + ask.price_micro) // 2


def _match(pair: _Pair, price_micro: int) -> Match:
    bid, ask, energy_wh, fee_micro = pair
    return Match(
        buy=bid.number,
        sell=ask.number,
        energy_wh=energy_wh,
        price_micro=price_micro,
        fee_micro=fee_micro,
        ask_micro=ask.price_micro,
    )
