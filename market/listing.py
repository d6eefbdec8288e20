"""Listing (Chen 2025, section 3): offers stand in a list, and whoever comes first takes them, whole or in part.

Nothing is matched by itself: an order is listed, `take_offer` trades at once at the listed price, and the ledger's
order says who came first. `listing_book.py` is the same for a book from a file.
"""

from __future__ import annotations

from typing import Final

from market.booking import book_trade, take_from_order
from market.context import Context
from market.events import Status
from market.market_events import ListedOffer, OfferList
from market.offer_transactions import TakeOffer
from market.orders import Side
from market.receipts import ReasonCode
from market.records import Account, OpenOrder, OpenTrade
from market.trading import committed_wh, drop_order, export_limit_wh, has_other_side

SHOWN_MAX: Final = 2_000
"""How many offers the published list has at most, the best of each side."""


def take_offer(context: Context, take: TakeOffer) -> ReasonCode:
    """Take a listed order for the open period: the trade is made at once, at the listed price."""
    state = context.state
    account = state.accounts.get(context.sender)
    if account is None:
        return ReasonCode.UNKNOWN_ACCOUNT
    offer = state.orders.get(take.order)
    code = _taker_refusal(context, account, offer, take)
    if code:
        return code
    assert offer is not None
    trade = _trade(context, account, offer, take.energy_wh)
    if trade.price_micro < 0:
        return ReasonCode.PRICE_OUTSIDE_LIMITS
    if account.key == trade.buyer and trade.lock_nano > account.free_nano:
        return ReasonCode.NOT_ENOUGH_MONEY
    if account.key == trade.seller:
        promised_wh = committed_wh(state, account.key, state.open_period) + take.energy_wh
        if promised_wh > export_limit_wh(state, account):
            return ReasonCode.NOT_ENOUGH_ENERGY
    state.head.next_order += 1
    backing_nano = take_from_order(context, offer.number, take.energy_wh)
    book_trade(context, trade, backing_nano if trade.buyer == offer.account else 0)
    if not state.orders[offer.number].residual_wh:
        drop_order(context, offer.number)
    context.detail = trade.number
    return ReasonCode.OK


def _taker_refusal(
    context: Context, account: Account, offer: OpenOrder | None, take: TakeOffer
) -> ReasonCode | None:
    state, config = context.state, context.config
    if config.mechanism != "listing":
        return ReasonCode.MECHANISM_FORBIDS
    if account.status is not Status.APPROVED:
        return ReasonCode.NOT_APPROVED
    if account.estimated_periods > config.estimated_periods_max:
        return ReasonCode.READINGS_MISSING
    if offer is None or not offer.stands_in(state.open_period):
        return ReasonCode.UNKNOWN_ORDER
    if offer.account == account.key:
        return ReasonCode.OWN_OFFER
    side = offer.side.other
    if not account.role.may_trade(side):
        return ReasonCode.ROLE_FORBIDS_SIDE
    if offer.region_only and state.accounts[offer.account].region != account.region:
        return ReasonCode.REGION_FORBIDS
    if take.price_micro != offer.price_micro:
        return ReasonCode.OFFER_DIFFERS
    cap_micro = state.head.cap_in(state.open_period)
    if cap_micro is not None and offer.price_micro > cap_micro:
        return ReasonCode.PRICE_OUTSIDE_LIMITS
    if take.energy_wh > offer.residual_wh:
        return ReasonCode.OFFER_TOO_SMALL
    if has_other_side(state, account.key, side, state.open_period, state.open_period):
        return ReasonCode.OTHER_SIDE_OPEN
    return None


def _trade(context: Context, taker: Account, offer: OpenOrder, energy_wh: int) -> OpenTrade:
    """The trade that taking an offer makes. The taker gets an order number of his own, though no order."""
    state, config = context.state, context.config
    crosses = state.accounts[offer.account].region != taker.region
    fee_micro = config.crossing_fee_micro if crosses else 0
    takes_ask = offer.side is Side.SELL
    number = state.head.next_order
    # A bid's price is all its owner pays, so that the fee comes out of it.
    price_micro = offer.price_micro if takes_ask else offer.price_micro - fee_micro
    return OpenTrade(
        number=state.head.next_trade,
        period=state.open_period,
        buyer=taker.key if takes_ask else offer.account,
        seller=offer.account if takes_ask else taker.key,
        energy_wh=energy_wh,
        price_micro=price_micro,
        fee_micro=fee_micro,
        buy_order=number if takes_ask else offer.number,
        sell_order=offer.number if takes_ask else number,
        reward_micro=config.reward_micro(max(0, price_micro)),
    )


def offer_list(context: Context, height: int) -> OfferList:
    """What may be taken in the open period, for everybody to browse."""
    state = context.state
    standing = [order for order in state.orders.records() if order.stands_in(state.open_period)]
    asks = sorted(
        (order for order in standing if order.side is Side.SELL),
        key=lambda order: (order.price_micro, order.number),
    )
    bids = sorted(
        (order for order in standing if order.side is Side.BUY),
        key=lambda order: (-order.price_micro, order.number),
    )
    offers = tuple(
        ListedOffer(
            number=order.number,
            side=order.side,
            energy_wh=order.residual_wh,
            price_micro=order.price_micro,
            region=state.accounts[order.account].region,
            region_only=order.region_only,
        )
        for order in (*asks[:SHOWN_MAX], *bids[:SHOWN_MAX])
    )
    return OfferList(height=height, period=state.open_period, offers=offers)
