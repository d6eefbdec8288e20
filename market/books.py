"""The order book of a period, and what an emergency price cap makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from market.orders import Order, Side
from market.state import MarketState


def book_of(state: MarketState, period: int) -> list[Order]:
    """The orders of a period as mechanisms see them, under the emergency price cap when there is one."""
    book = []
    for order in state.orders.records():
        if order.stands_in(period):
            account = state.accounts[order.account]
            book.append(order.in_book(account.region, account.reputation_ppm))
    cap_micro = state.head.cap_in(period)
    return book if cap_micro is None else capped(book, cap_micro)


def capped(book: Sequence[Order], cap_micro: int) -> list[Order]:
    """A book in which nothing can cost more than a price: dearer asks stay out, higher bids count as the cap."""
    return [
        order if order.price_micro <= cap_micro else replace(order, price_micro=cap_micro)
        for order in book
        if order.side is Side.BUY or order.price_micro <= cap_micro
    ]


def limit_micro(state: MarketState, period: int) -> int:
    """The regulator's limit price in a period's clearing: S_r, or the emergency cap when that is lower."""
    limit, cap_micro = state.head.ask_limit_micro, state.head.cap_in(period)
    return limit if cap_micro is None else min(limit, cap_micro)
