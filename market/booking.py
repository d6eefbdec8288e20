"""Booking a trade: money stays locked for it, energy is promised, positions move."""

from __future__ import annotations

from market.context import Context
from market.events import Trade
from market.orders import NO_REGION, STANDING_ASK
from market.records import OpenTrade


def take_from_order(context: Context, number: int, energy_wh: int) -> int:
    """Take energy out of an order. Returns the money in nano that it no longer needs to lock; it stays locked."""
    order = context.state.orders.edit(number)
    lock_before_nano = order.lock_nano
    order.residual_wh -= energy_wh
    assert order.residual_wh >= 0
    return lock_before_nano - order.lock_nano


def book_trade(context: Context, trade: OpenTrade, backing_nano: int) -> Trade:
    """Add a trade to the state, locked for from `backing_nano` of the buyer's locked money.

    What the trade costs less than that is free again; what it costs more, for a buyer without an order all of it,
    is locked from free money, which must be there.
    """
    state = context.state
    assert trade.number == state.head.next_trade
    state.head.next_trade += 1
    if backing_nano >= trade.lock_nano:
        # Only the difference: what is unlocked pays arrears first, and could not be locked again.
        context.bank.unlock(trade.buyer, backing_nano - trade.lock_nano)
    else:
        context.bank.lock(trade.buyer, trade.lock_nano - backing_nano)
    state.add_trade(trade)
    state.edit_position(trade.period, trade.buyer).bought_wh += trade.energy_wh
    state.edit_position(trade.period, trade.seller).sold_wh += trade.energy_wh
    return announced(context, trade)


def announced(context: Context, trade: OpenTrade) -> Trade:
    """The trade as a clearing announces it."""
    accounts = context.state.accounts
    return Trade(
        number=trade.number,
        buy_order=trade.buy_order,
        sell_order=trade.sell_order,
        buyer=trade.buyer,
        seller=trade.seller,
        buy_region=accounts[trade.buyer].region,
        sell_region=NO_REGION if trade.sell_order == STANDING_ASK else accounts[trade.seller].region,
        energy_wh=trade.energy_wh,
        price_micro=trade.price_micro,
        fee_micro=trade.fee_micro,
    )
