"""Placing and cancelling orders, and what an order locks.

A bid locks its residual times its price: a bid's price is all-in, so no trade of it can cost more. An ask
locks energy: in no period may an account's open asks and sales exceed what its meters may export.

A participant is on one side in any period (green, section 5.1), so nobody can trade with himself.
"""

from __future__ import annotations

from market.context import Context
from market.events import Status
from market.offer_transactions import RequestSupply
from market.orders import Side
from market.receipts import ReasonCode
from market.records import Account, OpenOrder
from market.state import MarketState
from market.transactions import CancelOrder, PlaceOrder


def place_order(context: Context, order: PlaceOrder) -> ReasonCode:
    """Check everything an order must satisfy, then lock what it promises."""
    state = context.state
    account = state.accounts.get(context.sender)
    if account is None:
        return ReasonCode.UNKNOWN_ACCOUNT
    code = _owner_refusal(context, account, order) or _order_refusal(context, order)
    if code:
        return code
    if order.side is Side.SELL and not _has_energy(state, account, order):
        return ReasonCode.NOT_ENOUGH_ENERGY
    lock_price_micro = _lock_price_micro(context, order)
    if order.energy_wh * lock_price_micro > account.free_nano:
        return ReasonCode.NOT_ENOUGH_MONEY
    head = state.head
    placed = OpenOrder(
        number=head.next_order,
        account=context.sender,
        side=order.side,
        energy_wh=order.energy_wh,
        residual_wh=order.energy_wh,
        price_micro=order.price_micro,
        lock_price_micro=lock_price_micro,
        issued_ms=head.time_ms,
        period=order.period,
        expiry_period=order.expiry_period,
        region_only=order.region_only,
        hard=order.hard,
    )
    head.next_order += 1
    context.bank.lock(context.sender, placed.lock_nano)
    state.add_order(placed)
    context.detail = placed.number
    return ReasonCode.OK


def _owner_refusal(context: Context, account: Account, order: PlaceOrder) -> ReasonCode | None:
    if account.status is not Status.APPROVED:
        return ReasonCode.NOT_APPROVED
    if not account.role.may_trade(order.side):
        return ReasonCode.ROLE_FORBIDS_SIDE
    if account.estimated_periods > context.config.estimated_periods_max:
        return ReasonCode.READINGS_MISSING
    if len(context.state.orders_of.get(context.sender, ())) >= context.config.open_orders_max:
        return ReasonCode.TOO_MANY_ORDERS
    if has_other_side(context.state, context.sender, order.side, order.period, order.expiry_period):
        return ReasonCode.OTHER_SIDE_OPEN
    return None


def has_other_side(state: MarketState, key: bytes, side: Side, first: int, last: int) -> bool:
    """Whether an account trades on the other side in one of these periods: by an open order, or an offer taken."""
    if first <= state.open_period <= last:
        position = state.position(state.open_period, key)
        if position.bought_wh if side is Side.SELL else position.sold_wh:
            return True
    return any(
        other.side is not side and other.period <= last and first <= other.expiry_period
        for other in state.open_orders(key)
    )


def _order_refusal(context: Context, order: PlaceOrder) -> ReasonCode | None:
    head = context.state.head
    if order.period < head.open_period:
        return ReasonCode.PERIOD_CLOSED
    if order.expiry_period < order.period:
        return ReasonCode.EXPIRY_BEFORE_PERIOD
    if order.expiry_period > head.open_period + context.config.horizon_periods:
        return ReasonCode.PERIOD_TOO_FAR
    if not head.lowest_micro <= order.price_micro <= head.highest_micro:
        return ReasonCode.PRICE_OUTSIDE_LIMITS
    return None


def _lock_price_micro(context: Context, order: PlaceOrder) -> int:
    """What a bid locks a kWh. With escrow the reward of full delivery is part of the deposit."""
    if order.side is Side.SELL:
        return 0
    lock_micro = order.price_micro + context.config.reward_micro(order.price_micro)
    # A hard bid may end up being served at the regulator's limit price, above its own.
    return max(lock_micro, context.state.head.ask_limit_micro) if order.hard else lock_micro


def request_supply(context: Context, request: RequestSupply) -> ReasonCode:
    """A request for one provider is a hard bid that the matching serves whole (Cui 2022, section 3.2)."""
    if context.config.mechanism != "matching":
        return ReasonCode.MECHANISM_FORBIDS
    return place_order(context, bid_of(request))


def bid_of(request: RequestSupply) -> PlaceOrder:
    """The bid that a request is."""
    return PlaceOrder(
        side=Side.BUY,
        energy_wh=request.energy_wh,
        price_micro=request.price_micro,
        period=request.period,
        expiry_period=request.period,
        hard=True,
    )


def export_limit_wh(state: MarketState, account: Account) -> int:
    """The most an account may sell for one period: what its meters are registered to export."""
    return sum(state.meters[meter_id].max_export_wh for meter_id in account.meters)


def _has_energy(state: MarketState, account: Account, order: PlaceOrder) -> bool:
    """Whether the order fits beside what the account offers and has sold in every period it stands in.

    The busiest period begins where one of the asks begins.
    """
    starts = {order.period} | {
        other.period
        for other in state.open_orders(account.key)
        if other.side is Side.SELL and order.period <= other.period <= order.expiry_period
    }
    busiest_wh = max(committed_wh(state, account.key, start) for start in starts)
    return busiest_wh + order.energy_wh <= export_limit_wh(state, account)


def committed_wh(state: MarketState, key: bytes, period: int) -> int:
    """What an account offers in a period that is still to be cleared, and what was taken of its offers."""
    offered_wh = sum(
        order.residual_wh
        for order in state.open_orders(key)
        if order.side is Side.SELL and order.stands_in(period)
    )
    return offered_wh + (state.position(period, key).sold_wh if period == state.open_period else 0)


def cancel_order(context: Context, cancel: CancelOrder) -> ReasonCode:
    """Take back what is left of an order; what it locked is free again."""
    order = context.state.orders.get(cancel.order)
    if order is None:
        return ReasonCode.UNKNOWN_ORDER
    if order.account != context.sender:
        return ReasonCode.NOT_OWNER
    drop_order(context, order.number)
    return ReasonCode.OK


def cancel_all_orders(context: Context, account: bytes) -> None:
    """Take all of an account's orders out of the book."""
    for order in context.state.open_orders(account):
        drop_order(context, order.number)


def drop_order(context: Context, number: int) -> None:
    """Take an order out of the book and free what it locked."""
    order = context.state.remove_order(number)
    context.bank.unlock(order.account, order.lock_nano)
