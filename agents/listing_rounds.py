"""A period of listing (Chen 2025): sellers post, buyers browse and take, first come first served.

Buyers decide on the same list without knowing of each other, so some come too late; they browse again, a few
times. What is still missing then is posted as a bid, which the regulator serves when nobody takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from market.market_events import ListedOffer, OfferList
from market.offer_transactions import TakeOffer
from market.orders import Side
from market.receipts import ReasonCode, Receipt
from market.transactions import PlaceOrder

if TYPE_CHECKING:
    from agents.exchange_api import Exchange
    from agents.market_agents import MarketAgent

ROUNDS: Final = 4
"""How often buyers look at the list."""


@dataclass(slots=True, kw_only=True)
class Wish:
    """What a buyer still wants, and the most it pays in all."""

    agent: MarketAgent
    order: PlaceOrder
    missing_wh: int

    def choose(self, offers: OfferList, crossing_fee_micro: int) -> list[TakeOffer]:
        """The cheapest offers delivered here that are within the limit, until nothing is missing."""
        takes: list[TakeOffer] = []
        missing_wh = self.missing_wh
        fitting = [
            (all_in_micro, offer)
            for offer in offers.offers
            if (all_in_micro := self._all_in_micro(offer, crossing_fee_micro)) is not None
        ]
        for _, offer in sorted(fitting, key=lambda pair: (pair[0], pair[1].number)):
            if missing_wh <= 0:
                break
            energy_wh = min(missing_wh, offer.energy_wh)
            takes.append(TakeOffer(order=offer.number, energy_wh=energy_wh, price_micro=offer.price_micro))
            missing_wh -= energy_wh
        return takes

    def _all_in_micro(self, offer: ListedOffer, crossing_fee_micro: int) -> int | None:
        if offer.side is not Side.SELL:
            return None
        crosses = offer.region != self.agent.region
        if crosses and (offer.region_only or self.order.region_only):
            return None
        all_in_micro = offer.price_micro + (crossing_fee_micro if crosses else 0)
        return all_in_micro if all_in_micro <= self.order.price_micro else None


def trade_from_list(
    exchange: Exchange, agents: Sequence[MarketAgent], crossing_fee_micro: int
) -> list[Receipt | None]:
    """One period's listing for the orders that agents have decided on. Returns all receipts.

    An agent keeps the orders that reached the market: its offers, and its wishes where it took something or posted
    the rest as a bid.
    """
    receipts = _post(exchange, [(agent, order) for agent in agents for order in agent.orders if _sells(order)])
    wishes = [
        Wish(agent=agent, order=order, missing_wh=order.energy_wh)
        for agent in agents
        for order in agent.orders
        if not _sells(order)
    ]
    for _ in range(ROUNDS):
        wanting = [wish for wish in wishes if wish.missing_wh]
        if not wanting:
            break
        offers = exchange.offers()
        taking = [(wish, take) for wish in wanting for take in wish.choose(offers, crossing_fee_micro)]
        if not taking:
            break
        answers = exchange.submit([(wish.agent.key, take) for wish, take in taking])
        receipts += answers
        for (wish, take), receipt in zip(taking, answers, strict=True):
            if receipt is not None and receipt.code is ReasonCode.OK:
                wish.missing_wh -= take.energy_wh
    rest = [(wish.agent, replace(wish.order, energy_wh=wish.missing_wh)) for wish in wishes if wish.missing_wh]
    return receipts + _post(exchange, rest)


def _sells(order: PlaceOrder) -> bool:
    return order.side is Side.SELL


def _post(exchange: Exchange, orders: list[tuple[MarketAgent, PlaceOrder]]) -> list[Receipt | None]:
    return exchange.submit([(agent.key, order) for agent, order in orders]) if orders else []
