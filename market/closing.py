"""Closing a period: the book is cleared, trades are booked, the event is made."""

from __future__ import annotations

from typing import Final

from market.clearing import Match, clear
from market.context import Context
from market.events import Clearing, Level, RegionPrice, Trade
from market.orders import NO_REGION, STANDING_ASK, Order, Side
from market.records import OpenTrade
from market.trading import drop_order

LEVELS_MAX: Final = 1000


def close_book(context: Context, period: int) -> Clearing:
    """Clear `period`, book its trades, and let filled and expired orders leave the book."""
    state = context.state
    book = [
        order.in_book(state.accounts[order.account].region)
        for order in state.orders.records()
        if order.stands_in(period)
    ]
    rules = context.config.clearing_rules(state.head.ask_limit_micro)
    result = clear(context.config.mechanism, book, rules)
    by_number = {order.number: order for order in book}
    matches = list(result.trades)
    trades = [_book_trade(context, period, match, by_number) for match in matches]
    hard = _serve_hard_demand(context, period)
    matches += hard
    trades += [_book_trade(context, period, match, by_number) for match in hard]
    _note_unfilled(context, period, book)
    for order in book:
        left = state.orders[order.number]
        if left.residual_wh == 0 or left.expiry_period <= period:
            drop_order(context, order.number)
    return _clearing_event(context, period, book, matches, trades)


def _book_trade(context: Context, period: int, match: Match, by_number: dict[int, Order]) -> Trade:
    """Turn a match into a trade: the buyer's lock shrinks to the trade's cost, the seller's energy is sold."""
    state = context.state
    seller, sell_region = context.config.grid_account, NO_REGION
    if match.sell != STANDING_ASK:
        ask = state.orders.edit(match.sell)
        ask.residual_wh -= match.energy_wh
        seller, sell_region = ask.account, by_number[match.sell].region
        assert ask.residual_wh >= 0
    bid = state.orders.edit(match.buy)
    lock_before_nano = bid.lock_nano
    bid.residual_wh -= match.energy_wh
    assert bid.residual_wh >= 0
    trade = OpenTrade(
        number=state.head.next_trade,
        period=period,
        buyer=bid.account,
        seller=seller,
        energy_wh=match.energy_wh,
        price_micro=match.price_micro,
        fee_micro=match.fee_micro,
    )
    state.head.next_trade += 1
    state.add_trade(trade)
    # The bid's price was locked; what the trade costs less than that is free again.
    context.bank.unlock(bid.account, lock_before_nano - bid.lock_nano - trade.lock_nano)
    state.edit_position(period, bid.account).bought_wh += match.energy_wh
    state.edit_position(period, seller).sold_wh += match.energy_wh
    return Trade(
        number=trade.number,
        buy_order=match.buy,
        sell_order=match.sell,
        buyer=bid.account,
        seller=seller,
        buy_region=by_number[match.buy].region,
        sell_region=sell_region,
        energy_wh=match.energy_wh,
        price_micro=match.price_micro,
        fee_micro=match.fee_micro,
    )


def _serve_hard_demand(context: Context, period: int) -> list[Match]:
    """Hard bids that expire unserved get the regulator's limit price, whatever they bid.

    Huang 2022, section 2.2 (4), read as a second tier beside the standing ask in the book. A bid whose lock
    does not reach a limit price that was raised later is not served: nobody pays what he did not lock.
    """
    limit_micro = context.state.head.ask_limit_micro
    if not limit_micro:
        return []
    return [
        Match(
            buy=order.number,
            sell=STANDING_ASK,
            energy_wh=order.residual_wh,
            price_micro=limit_micro,
            fee_micro=0,
            ask_micro=limit_micro,
        )
        for order in context.state.orders.records()
        if order.hard
        and order.stands_in(period)
        and order.expiry_period <= period
        and order.residual_wh
        and order.lock_price_micro >= limit_micro
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
    context: Context, period: int, book: list[Order], matches: list[Match], trades: list[Trade]
) -> Clearing:
    bids = [order for order in book if order.side is Side.BUY]
    asks = [order for order in book if order.side is Side.SELL]
    return Clearing(
        period=period,
        time_ms=context.state.head.time_ms,
        mechanism=context.config.mechanism,
        prices=tuple(_region_price(region, matches, trades) for region in sorted(context.config.regions)),
        trades=tuple(trades),
        bid_wh=sum(order.energy_wh for order in bids),
        offered_wh=sum(order.energy_wh for order in asks),
        traded_wh=sum(trade.energy_wh for trade in trades),
        ask_limit_micro=context.state.head.ask_limit_micro,
        demand=_curve(bids, falling=True),
        supply=_curve(asks, falling=False),
    )


def _region_price(region: str, matches: list[Match], trades: list[Trade]) -> RegionPrice:
    here = [
        (match, trade)
        for match, trade in zip(matches, trades, strict=True)
        if region in (trade.buy_region, trade.sell_region)
    ]
    volume_wh = sum(trade.energy_wh for _, trade in here)
    value_nano = sum(trade.energy_wh * trade.price_micro for _, trade in here)
    prices = [trade.price_micro for _, trade in here]
    return RegionPrice(
        region=region,
        lowest_micro=min(prices, default=0),
        highest_micro=max(prices, default=0),
        mean_micro=value_nano // volume_wh if volume_wh else 0,
        highest_ask_micro=max((match.ask_micro for match, _ in here), default=0),
        volume_wh=volume_wh,
    )


def _curve(orders: list[Order], *, falling: bool) -> tuple[Level, ...]:
    """One level a price, best first; beyond `LEVELS_MAX` neighbours merge at the worse price."""
    energy_at: dict[int, int] = {}
    for order in orders:
        energy_at[order.price_micro] = energy_at.get(order.price_micro, 0) + order.energy_wh
    levels = sorted(energy_at.items(), reverse=falling)
    step = -(-len(levels) // LEVELS_MAX) or 1
    runs = [levels[start : start + step] for start in range(0, len(levels), step)]
    return tuple((run[-1][0], sum(energy_wh for _, energy_wh in run)) for run in runs)
