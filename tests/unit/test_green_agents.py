"""Homes that quote by best response, on the contract's uniform price."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.green_agents import GreenAgent
from agents.model import MarketModel
from agents.scenario import Scenario
from market.orders import STANDING_ASK, Side
from market.receipts import ReasonCode

SCENARIO = Path(__file__).parents[2] / "scenarios" / "uniform.toml"


@pytest.fixture(scope="module")
def day() -> tuple[MarketModel, list[dict[str, float]]]:
    """A whole day; of every period what the assertions need."""
    model = MarketModel(Scenario.load(SCENARIO), "direct")
    periods = []
    while model.running:
        before = {agent.name: agent.charge_wh for agent in model.traders}
        model.step()
        clearing = model.exchange.wait_clearing(model.period)
        prices = {
            trade.price_micro
            for trade in clearing.trades
            if trade.sell_order != STANDING_ASK and trade.buy_region == trade.sell_region == "north"
        }
        periods.append(
            {
                "equilibria": sum(iteration.is_equilibrium for iteration in model.iterations),
                "iterations": len(model.iterations),
                "moves": sum(len(iteration.path) - 1 for iteration in model.iterations),
                "prices": len(prices),
                "trades": model.trades,
                "battery_moves": sum(before[agent.name] != agent.charge_wh for agent in model.traders),
            }
        )
    return model, periods


def test_every_market_of_the_day_ends_in_an_equilibrium(day: tuple[MarketModel, list[dict[str, float]]]) -> None:
    _, periods = day
    assert sum(period["iterations"] for period in periods) >= 30
    assert all(period["equilibria"] == period["iterations"] for period in periods)
    assert sum(period["moves"] for period in periods) > 20


def test_the_day_trades_and_nothing_is_refused(day: tuple[MarketModel, list[dict[str, float]]]) -> None:
    model, periods = day
    assert model.refusals[ReasonCode.OK.name] == 0 == sum(model.refusals.values())
    assert sum(period["trades"] > 0 for period in periods) >= 20


def test_batteries_work_behind_the_market(day: tuple[MarketModel, list[dict[str, float]]]) -> None:
    _, periods = day
    assert sum(period["battery_moves"] for period in periods) > 40


def test_the_reserve_falls_with_a_fuller_battery_on_both_sides() -> None:
    model = MarketModel(Scenario.load(SCENARIO), "direct")
    owner = next(agent for agent in model.traders if agent.participant.site.battery)
    assert isinstance(owner, GreenAgent)
    storage = owner.storage()
    assert storage is not None
    for side in Side:
        owner.charge_wh = storage.capacity_wh * 0.4
        empty = owner.reserve_micro(side)
        owner.charge_wh = storage.capacity_wh * 0.9
        assert owner.reserve_micro(side) < empty
        assert empty % model.scenario.strategy.tick_micro == 0


def test_the_quotations_sent_are_those_of_the_equilibrium() -> None:
    model = MarketModel(Scenario.load(SCENARIO), "direct")
    model.step()
    for iteration in model.iterations:
        sent = [
            agent.price_micro
            for agent in model.traders
            for order in agent.orders
            if agent.price_micro in iteration.outcome.quotes_micro and order.energy_wh
        ]
        assert set(iteration.outcome.quotes_micro) <= set(sent)
