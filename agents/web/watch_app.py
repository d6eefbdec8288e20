"""`gridbazaar watch`: Mesa's own SolaraViz around a `MarketModel`, with the page's map and charts.

Each browser session has a model of its own, so that nobody's Play runs somebody else's market.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import mesa.visualization as mesa_web
import solara
from mesa.visualization.utils import update_counter

from agents import formatting
from agents.market_agents import MarketAgent
from agents.model import MarketModel
from agents.scenario import Scenario
from agents.scenario_sections import Preset
from agents.web import charts
from agents.web.facts import PeriodLine
from agents.web.pages.common import tile
from agents.web.pages.market import FLOWS_MAX
from agents.web.widgets import Chart, Heading, MarketMap, Tiles
from agents.web.words import Words
from market.events import Clearing

PERIODS_MAX = 960
_ROLES = ("producer", "consumer", "prosumer", "speculator")
_scenario: list[Path] = []
_words = Words("en")


def install(scenario: Path) -> None:
    """Say which scenario the page watches."""
    _scenario[:] = [scenario]


@solara.component
def Page() -> None:
    """Controls of Mesa: play, pause, step, reset, and sliders for what the next reset builds."""
    path = _scenario[0]
    scenario = solara.use_memo(lambda: Scenario.load(path), [])
    # A new model, held by this session alone.
    model = solara.use_memo(lambda: MarketModel(scenario, exchange="direct"), [])
    mesa_web.SolaraViz(
        model,
        components=[(Map, 0), (Prices, 0), (Curves, 0), (Volumes, 0)],
        model_params=model_parameters(path, scenario),
        name=f"Gridbazaar: {scenario.scenario.name}",
        play_interval=200,
    )


def model_parameters(path: Path, scenario: Scenario) -> dict[str, Any]:
    """What Reset builds a model from, and the sliders for it. `Any`: the form is Mesa's."""
    market = scenario.market
    return {
        "scenario": path,
        "exchange": "direct",
        "rng": {
            "type": "SliderInt",
            "value": min(scenario.scenario.seed, 100),
            "label": "Seed",
            "min": 0,
            "max": 100,
            "step": 1,
        },
        "periods": {
            "type": "SliderInt",
            "value": min(market.periods, PERIODS_MAX),
            "label": f"Periods of {market.period_minutes} minutes",
            "min": 1,
            "max": PERIODS_MAX,
            "step": 1,
        },
        "preset": {
            "type": "Select",
            "value": scenario.strategy.preset,
            "label": "Strategies (Huang 2022)",
            "values": list(get_args(Preset)),
        },
    }


@solara.component
def Map(model: MarketModel) -> None:
    """Who traded with whom in the last step."""
    update_counter.get()  # How Mesa tells that the model has changed.
    _map(model, _clearing(model))


@solara.component
def Prices(model: MarketModel) -> None:
    """Price over the steps so far."""
    update_counter.get()
    lines = period_lines(model)
    tariffs = (model.tariffs.retail_micro / 1e6, model.tariffs.feed_in_micro / 1e6)
    Heading(text=_words("price_over_time"))
    Chart(
        option=charts.price_chart(lines, _labels(model, lines), tariffs, None, _words), label="Price", height=340
    )


@solara.component
def Volumes(model: MarketModel) -> None:
    """Figures of the last step, and energy over the steps so far."""
    update_counter.get()
    lines = period_lines(model)
    Tiles(
        tiles=[
            tile("Price", formatting.price(model.price_micro)),
            tile("Energy traded", formatting.energy(model.traded_wh)),
            tile("Trades", formatting.count(model.trades)),
        ]
    )
    Heading(text=_words("volumes"))
    Chart(option=charts.volume_chart(lines, _labels(model, lines), _words), label="Volumes", height=220)


@solara.component
def Curves(model: MarketModel) -> None:
    """Supply and demand of the last step."""
    update_counter.get()
    clearing = _clearing(model)
    Heading(text=_words("curves"))
    option = charts.curve_chart(clearing, _words) if clearing else {}
    Chart(option=option, label="Supply and demand", height=340)


def _clearing(model: MarketModel) -> Clearing | None:
    return model.exchange.wait_clearing(model.period) if model.steps else None


def _labels(model: MarketModel, lines: Sequence[PeriodLine]) -> list[str]:
    minutes = model.scenario.market.period_minutes
    return [f"{line.period * minutes // 60 % 24:02d}:{line.period * minutes % 60:02d}" for line in lines]


def period_lines(model: MarketModel) -> list[PeriodLine]:
    """The model's collected figures as points of the charts."""
    figures = model.datacollector.model_vars
    return [
        PeriodLine(
            period=period,
            price_micro=figures["price_micro"][place],
            lowest_micro=figures["lowest_micro"][place],
            highest_micro=figures["highest_micro"][place],
            trades=figures["trades"][place],
            traded_wh=figures["traded_wh"][place],
            bid_wh=figures["bid_wh"][place],
            offered_wh=figures["offered_wh"][place],
            import_wh=figures["import_wh"][place],
            export_wh=figures["export_wh"][place],
            imbalance_wh=0,
        )
        for place, period in enumerate(figures["period"])
    ]


def _map(model: MarketModel, clearing: Clearing | None) -> None:
    index = {agent.key.public: place for place, agent in enumerate(model.traders)}
    pairs: Counter[tuple[int, int]] = Counter()
    for trade in clearing.trades if clearing else ():
        pairs[index.get(trade.seller, -1), index.get(trade.buyer, -1)] += trade.energy_wh
    MarketMap(
        agents=[[agent.name, agent.role, agent.region, agent.role] for agent in model.traders],
        regions=[{"name": name, "note": ""} for name in model.scenario.region_names],
        flows=[[seller, buyer, energy] for (seller, buyer), energy in pairs.most_common(FLOWS_MAX)],
        values=[[agent.traded_wh, _charge(agent), formatting.energy(agent.traded_wh)] for agent in model.traders],
        legend=[{"role": role, "label": _words(role)} for role in _ROLES],
        words={"grid": _words("grid"), "flow": _words("energy_flow"), "charge": _words("charge")},
        label=_words("who_with_whom"),
        side_by_side=True,
    )


def _charge(agent: MarketAgent) -> float | None:
    battery = agent.participant.site.battery
    return round(agent.charge_wh / battery.capacity_wh, 3) if battery else None
