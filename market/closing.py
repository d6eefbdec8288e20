"""Closing a period: the book is cleared, trades are booked, the event is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from market.assigning import best_assignment
from market.booking import announced, book_trade, take_from_order
from market.books import book_of, limit_micro
from market.clearing import ClearingResult, Match, clear
from market.context import Context
from market.events import Clearing, Level, RegionPrice, Trade
from market.orders import STANDING_ASK, Order, Side
from market.records import OpenTrade
from market.trading import drop_order

LEVELS_MAX: Final = 1000


def close_book(context: Context, period: int) -> Clearing:
    """Clear `period`, book its trades, and let filled and expired orders leave the book."""
    state = context.state
    book = book_of(state, period)
    listed = [announced(context, state.trades[number]) for number in state.trades_of.get(period, [])]
    cleared = _clear(context, period, book)
    hard = _serve_hard_demand(context, period, cleared.result.trades)
    booked = [_book(context, period, match) for match in (*cleared.result.trades, *hard)]
    _note_unfilled(context, period, book)
    for order in [order for order in state.orders.records() if order.stands_in(period)]:
        if order.residual_wh == 0 or order.expiry_period <= period:
            drop_order(context, order.number)
    return _clearing_event(context, period, book, [*listed, *booked], cleared)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cleared:
    """What the mechanism made of the book; see `Clearing` for the last three."""

    result: ClearingResult
    solver: bytes = b""
    degree_ppm: int = 0
    own_degree_ppm: int = 0


def _clear(context: Context, period: int, book: list[Order]) -> _Cleared:
    config = context.config
    rules = config.clearing_rules(limit_micro(context.state, period))
    if config.mechanism == "listing":
        # Whoever wanted an offer has taken it: nothing is matched by itself.
        return _Cleared(result=ClearingResult(trades=(), unmatched=()))
    if config.mechanism == "matching":
        result, solver, degree_ppm, own_degree_ppm = best_assignment(context, book, rules)
        return _Cleared(result=result, solver=solver, degree_ppm=degree_ppm, own_degree_ppm=own_degree_ppm)
    return _Cleared(result=clear(config.mechanism, book, rules))


def _book(context: Context, period: int, match: Match) -> Trade:
    """Turn a match into a trade: the buyer's lock shrinks to the trade's cost, the seller's energy is sold."""
    state = context.state
    seller = context.config.grid_account
    reward_micro = 0
    if match.sell != STANDING_ASK:
        seller = state.orders[match.sell].account
        take_from_order(context, match.sell, match.energy_wh)
        reward_micro = context.config.reward_micro(match.price_micro)
    backing_nano = take_from_order(context, match.buy, match.energy_wh)
    trade = OpenTrade(
        number=state.head.next_trade,
        period=period,
        buyer=state.orders[match.buy].account,
        seller=seller,
        energy_wh=match.energy_wh,
        price_micro=match.price_micro,
        fee_micro=match.fee_micro,
        buy_order=match.buy,
        sell_order=match.sell,
        reward_micro=reward_micro,
    )
    return book_trade(context, trade, backing_nano)


def _serve_hard_demand(context: Context, period: int, trades: Sequence[Match]) -> list[Match]:
    """Hard bids that expire unserved get the regulator's limit price, whatever they bid.

    Huang 2022, section 2.2 (4), read as a second tier beside the standing ask in the book. A bid whose lock
    does not reach a limit price that was raised later is not served: nobody pays what he did not lock.
    """
    price_micro = limit_micro(context.state, period)
    if not price_micro:
        return []
    served: dict[int, int] = {}
    for match in trades:
        served[match.buy] = served.get(match.buy, 0) + match.energy_wh
    return [
        Match(
            buy=order.number,
            sell=STANDING_ASK,
            energy_wh=order.residual_wh - served.get(order.number, 0),
            price_micro=price_micro,
            fee_micro=0,
            ask_micro=price_micro,
        )
        for order in context.state.orders.records()
        if order.hard
        and order.stands_in(period)
        and order.expiry_period <= period
        and order.residual_wh > served.get(order.number, 0)
        and order.lock_price_micro >= price_micro
    ]


def _note_unfilled(context: Context, period: int, book: list[Order]) -> None:
    """Remember what serious orders were left with: delivering it anyway is no deviation.

    Serious: a bid not below the feed-in tariff, an ask not above the retail tariff. Others do not want to
    trade, and could else buy freedom from penalties with orders that nobody will ever take.
    """
    config, state = context.config, context.state
    for order in book:
        residual_wh = state.orders[order.number].residual_wh
        if not residual_wh:
            continue
        if order.side is Side.BUY and order.price_micro >= config.feed_in_micro:
            state.edit_position(period, order.account).unbought_wh += residual_wh
        elif order.side is Side.SELL and order.price_micro <= config.retail_micro:
            state.edit_position(period, order.account).unsold_wh += residual_wh


def _clearing_event(
    context: Context, period: int, book: list[Order], trades: list[Trade], cleared: _Cleared
) -> Clearing:
    asked = {match.sell: match.ask_micro for match in cleared.result.trades}
    # What was taken from the list is no order of the book any more, and was both bid for and offered.
    in_book = {order.number for order in book}
    taken = [trade for trade in trades if trade.buy_order not in in_book or trade.sell_order not in in_book]
    taken = [trade for trade in taken if trade.sell_order != STANDING_ASK]
    bids = [(order.price_micro, order.energy_wh) for order in book if order.side is Side.BUY]
    asks = [(order.price_micro, order.energy_wh) for order in book if order.side is Side.SELL]
    bids += [(trade.price_micro + trade.fee_micro, trade.energy_wh) for trade in taken]
    asks += [(trade.price_micro, trade.energy_wh) for trade in taken]
    return Clearing(
        period=period,
        time_ms=context.state.head.time_ms,
        mechanism=context.config.mechanism,
        prices=tuple(_region_price(region, trades, asked) for region in sorted(context.config.regions)),
        trades=tuple(trades),
        bid_wh=sum(energy_wh for _, energy_wh in bids),
        offered_wh=sum(energy_wh for _, energy_wh in asks),
        traded_wh=sum(trade.energy_wh for trade in trades),
        ask_limit_micro=limit_micro(context.state, period),
        demand=_curve(bids, falling=True),
        supply=_curve(asks, falling=False),
        solver=cleared.solver,
        degree_ppm=cleared.degree_ppm,
        own_degree_ppm=cleared.own_degree_ppm,
    )


def _region_price(region: str, trades: list[Trade], asked: dict[int, int]) -> RegionPrice:
    """`asked` has the price of matched asks; an offer that was taken asked for what it got."""
    here = [trade for trade in trades if region in (trade.buy_region, trade.sell_region)]
    volume_wh = sum(trade.energy_wh for trade in here)
    value_nano = sum(trade.energy_wh * trade.price_micro for trade in here)
    prices = [trade.price_micro for trade in here]
    return RegionPrice(
        region=region,
        lowest_micro=min(prices, default=0),
        highest_micro=max(prices, default=0),
        mean_micro=value_nano // volume_wh if volume_wh else 0,
        highest_ask_micro=max((asked.get(trade.sell_order, trade.price_micro) for trade in here), default=0),
        volume_wh=volume_wh,
    )


def _curve(steps: list[tuple[int, int]], *, falling: bool) -> tuple[Level, ...]:
    """One level a price, best first; beyond `LEVELS_MAX` neighbours merge at the worse price."""
    energy_at: dict[int, int] = {}
    for price_micro, energy_wh in steps:
        energy_at[price_micro] = energy_at.get(price_micro, 0) + energy_wh
    levels = sorted(energy_at.items(), reverse=falling)
    step = -(-len(levels) // LEVELS_MAX) or 1
    runs = [levels[start : start + step] for start in range(0, len(levels), step)]
    return tuple((run[-1][0], sum(energy_wh for _, energy_wh in run)) for run in runs)
