"""Listing: first come, first served, by the ledger's order."""

from __future__ import annotations

import pytest
from market_world import World, key, row_of

from market.clearing import ClearingRules, clear
from market.events import Clearing
from market.market_events import OfferList
from market.offer_transactions import TakeOffer
from market.orders import Order, Role, Side
from market.receipts import ReasonCode


def listed(**changes: object) -> World:
    """Ann of the east offers 1,000 Wh at 0.10; bob (east) and cat (west) may take."""
    world = World(mechanism="listing", **changes)
    for name, region in (("ann", "east"), ("bob", "east"), ("cat", "west")):
        world.join(name, region=region)
    world.sell("ann", 1_000, 100_000)
    return world


def take(energy_wh: int, price_micro: int = 100_000, order: int = 1) -> TakeOffer:
    return TakeOffer(order=order, energy_wh=energy_wh, price_micro=price_micro)


def test_an_offer_is_taken_in_parts_until_nothing_is_left() -> None:
    world = listed()
    assert world.code(key("bob"), take(600)) is ReasonCode.OK
    assert world.code(key("cat"), take(600)) is ReasonCode.OFFER_TOO_SMALL
    assert world.code(key("cat"), take(400)) is ReasonCode.OK
    assert world.code(key("bob"), take(1)) is ReasonCode.UNKNOWN_ORDER


def test_in_one_block_the_first_in_the_ledger_gets_it() -> None:
    world = listed()
    first, second = world.call(key("cat"), take(1_000)), world.call(key("bob"), take(1_000))
    codes = [receipt.code for receipt in world.block(first, second).receipts]
    assert codes == [ReasonCode.OK, ReasonCode.UNKNOWN_ORDER]


def test_the_taker_locks_price_and_crossing_fee_at_once() -> None:
    world = listed(crossing_fee_micro=40_000)
    world.done(key("bob"), take(500))
    world.done(key("cat"), take(500))
    assert world.account("bob").locked_nano == 500 * 100_000
    assert world.account("cat").locked_nano == 500 * 140_000


def test_a_taken_offer_is_delivered_and_paid_like_any_trade() -> None:
    world = listed(crossing_fee_micro=40_000)
    world.done(key("cat"), take(1_000))
    clearing, settlement = world.run_period(ann=1_000, bob=0, cat=-1_000)
    assert [(trade.energy_wh, trade.price_micro, trade.fee_micro) for trade in clearing.trades] == [
        (1_000, 100_000, 40_000)
    ]
    assert row_of(settlement, "ann").sold_nano == 1_000 * 100_000
    assert row_of(settlement, "cat").bought_nano == 1_000 * 100_000
    assert row_of(settlement, "cat").fee_nano == 1_000 * 40_000


def test_a_listed_bid_can_be_taken_by_a_seller_who_bears_the_fee_out_of_its_price() -> None:
    world = listed(crossing_fee_micro=40_000)
    number = world.buy("bob", 300, 200_000)
    world.done(key("cat"), take(300, 200_000, number))
    clearing = world.close()
    assert (clearing.trades[0].price_micro, clearing.trades[0].fee_micro) == (160_000, 40_000)
    assert world.account("bob").locked_nano == 300 * 200_000


def test_crossing_orders_are_not_matched_by_themselves() -> None:
    world = listed()
    world.buy("bob", 500, 300_000)
    assert world.close().trades == ()


def test_whoever_bought_from_the_list_cannot_offer_in_the_same_period() -> None:
    world = listed()
    world.done(key("bob"), take(100))
    from market.transactions import PlaceOrder

    order = PlaceOrder(side=Side.SELL, energy_wh=1, price_micro=1, period=0, expiry_period=0)
    assert world.code(key("bob"), order) is ReasonCode.OTHER_SIDE_OPEN


def test_whoever_sold_from_the_list_cannot_offer_the_same_export_again() -> None:
    world = World(mechanism="listing")
    world.join("ann", limit_wh=1_000)
    world.join("bob")
    world.sell("ann", 1_000, 100_000)
    world.done(key("bob"), take(800))
    from market.transactions import PlaceOrder

    order = PlaceOrder(side=Side.SELL, energy_wh=1, price_micro=1, period=0, expiry_period=0)
    assert world.code(key("ann"), order) is ReasonCode.NOT_ENOUGH_ENERGY


def test_a_producer_cannot_take_an_offer() -> None:
    world = listed()
    world.join("mill", Role.PRODUCER)
    assert world.code(key("mill"), take(1)) is ReasonCode.ROLE_FORBIDS_SIDE


def test_what_was_taken_stays_traded_when_the_rest_is_cancelled() -> None:
    world = listed()
    world.done(key("bob"), take(400))
    world.cancel("ann", 1)
    clearing = world.close()
    assert isinstance(clearing, Clearing)
    assert [trade.energy_wh for trade in clearing.trades] == [400]
    assert clearing.offered_wh == clearing.bid_wh == 400


def test_the_list_is_announced_best_first_after_every_block() -> None:
    world = listed()
    world.sell("cat", 200, 90_000)
    offers = world.outcome.events[-1]
    assert isinstance(offers, OfferList)
    assert [(offer.number, offer.region, offer.price_micro) for offer in offers.offers] == [
        (2, "west", 90_000),
        (1, "east", 100_000),
    ]
    world.done(key("bob"), take(1_000))
    offers = world.outcome.events[-1]
    assert isinstance(offers, OfferList)
    assert [offer.number for offer in offers.offers] == [2]


def order(number: int, side: Side, energy_wh: int, price_micro: int, region: str = "east") -> Order:
    return Order(
        number=number, side=side, energy_wh=energy_wh, price_micro=price_micro, issued_ms=number, region=region
    )


def test_in_a_file_later_orders_take_earlier_ones_at_the_listed_price() -> None:
    book = [order(1, Side.SELL, 10, 8), order(2, Side.SELL, 10, 5), order(3, Side.BUY, 15, 9)]
    result = clear("listing", book, ClearingRules())
    assert [(t.buy, t.sell, t.energy_wh, t.price_micro) for t in result.trades] == [(3, 2, 10, 5), (3, 1, 5, 8)]


@pytest.mark.parametrize(("fee_micro", "seller"), [(0, 2), (4, 1)])
def test_in_a_file_a_buyer_counts_the_crossing_fee(fee_micro: int, seller: int) -> None:
    book = [order(1, Side.SELL, 10, 8), order(2, Side.SELL, 10, 5, "west"), order(3, Side.BUY, 5, 20)]
    result = clear("listing", book, ClearingRules(crossing_fee_micro=fee_micro))
    assert [trade.sell for trade in result.trades] == [seller]
