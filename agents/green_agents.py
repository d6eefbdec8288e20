"""Homes and plants that quote by best response in a buyer's or seller's market (green, sections 4 and 5).

A participant is buyer or seller in a period. What the market leaves goes to its own battery first and to the
grid then, which its inverter does by itself: it steers the meter to what was traded. So a home asks the market
for its whole deficit, and offers its whole surplus, whatever its battery could do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agents.green_case import LOWEST_SOC, buyer_reserve, seller_reserve
from agents.market_agents import MarketAgent, Tariffs
from agents.nash import Iteration, Quoter, QuotingMarket, iterate
from market.orders import Side
from market.transactions import PlaceOrder

if TYPE_CHECKING:
    from collections.abc import Iterable


class GreenAgent(MarketAgent):
    """Starts every period at its reserve; `quote_all` then moves the quotations of all."""

    def choose_orders(self, period: int) -> list[PlaceOrder]:
        """The whole expected surplus or deficit, at the reserve that the state of charge gives."""
        surplus_wh = self._outlook.surplus_wh(period)[0]
        self.forecast_wh = round(surplus_wh)
        side = Side.SELL if surplus_wh > 0 else Side.BUY
        price_micro = self.reserve_micro(side)
        if side is Side.SELL:
            return self.sell(surplus_wh, price_micro, period)
        return self.buy(-surplus_wh, price_micro, period, hard=False)

    def reserve_micro(self, side: Side) -> int:
        """The first-round quotation, in ticks. Without a battery the grid's tariff is the alternative."""
        tariffs, tick_micro = self.market.tariffs, self.market.scenario.strategy.tick_micro
        share = seller_reserve(self._soc(side)) if side is Side.SELL else buyer_reserve(self._soc(side))
        price_micro = tariffs.feed_in_micro + share * (tariffs.retail_micro - tariffs.feed_in_micro)
        if side is Side.SELL:
            price_micro = max(price_micro, self.participant.cost_micro)
        return round(price_micro / tick_micro) * tick_micro

    def _soc(self, side: Side) -> float:
        storage = self.storage()
        if storage is None:
            return 1.0 if side is Side.SELL else LOWEST_SOC
        return storage.charge_wh / storage.capacity_wh


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotingRules:
    """What bounds all quotations: the tick, and the tariffs that bracket every rational price."""

    tariffs: Tariffs
    tick_micro: int
    by_region: bool


def quote_all(agents: Sequence[MarketAgent], rules: QuotingRules) -> list[Iteration]:
    """Move the orders' prices to an equilibrium, one iteration a market. Returns the iterations.

    Where regions come first (`by_region`), each is a market. The side that quotes moves; the other takes any
    price between the tariffs, so its orders go to the limit that the grid sets it.
    """
    regions = sorted({agent.region for agent in agents}) if rules.by_region else [None]
    return [
        iteration
        for region in regions
        if (iteration := _quote([agent for agent in agents if region in (None, agent.region)], rules)) is not None
    ]


def _quote(agents: Sequence[MarketAgent], rules: QuotingRules) -> Iteration | None:
    places = [(agent, index) for agent in agents for index in range(len(agent.orders))]
    supply_wh = sum(agent.orders[i].energy_wh for agent, i in places if agent.orders[i].side is Side.SELL)
    demand_wh = sum(agent.orders[i].energy_wh for agent, i in places if agent.orders[i].side is Side.BUY)
    if not supply_wh or not demand_wh:
        return None
    side = Side.SELL if supply_wh >= demand_wh else Side.BUY
    quoting = [(agent, i) for agent, i in places if agent.orders[i].side is side]
    taking = [(agent, i) for agent, i in places if agent.orders[i].side is not side]
    tariffs = rules.tariffs
    market = QuotingMarket(
        side=side,
        quoters=tuple(_quoter(agent, agent.orders[i]) for agent, i in quoting),
        wanted_wh=demand_wh if side is Side.SELL else supply_wh,
        tick_micro=rules.tick_micro,
        lowest_micro=tariffs.feed_in_micro,
        highest_micro=min(tariffs.retail_micro, tariffs.limit_micro or tariffs.retail_micro),
    )
    iteration = iterate(market)
    _set_prices(quoting, iteration.outcome.quotes_micro)
    limit_micro = tariffs.retail_micro if side is Side.SELL else tariffs.feed_in_micro
    takers = [(agent, i) for agent, i in taking if isinstance(agent, GreenAgent)]
    costs = [0 if side is Side.SELL else agent.participant.cost_micro for agent, _ in takers]
    _set_prices(takers, [max(limit_micro, cost) for cost in costs])
    return iteration


def _quoter(agent: MarketAgent, order: PlaceOrder) -> Quoter:
    return Quoter(
        name=agent.name,
        energy_wh=order.energy_wh,
        reserve_micro=order.price_micro,
        fixed=not isinstance(agent, GreenAgent),
    )


def _set_prices(places: Sequence[tuple[MarketAgent, int]], prices_micro: Iterable[int]) -> None:
    for (agent, index), price_micro in zip(places, prices_micro, strict=True):
        agent.orders[index] = replace(agent.orders[index], price_micro=price_micro)
        agent.price_micro = agent.orders[0].price_micro
