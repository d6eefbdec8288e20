"""A reference community lived through day by day: alone, with a market, and with a market and shared storage.

The contract, the agents and the devices are those of a run; only bus and ledger are left out. Days are lived
through one by one, storage begins each of them empty, so nothing is gained from energy that was there before.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.model import MarketModel
from agents.population import populate
from agents.scenario import Scenario
from devices import measures
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.reference import CommunityFlows, grid_cost_nano, run_community

HOMES: Final = 40
WITH_PV: Final = 10
HOURS: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a community lives: with a market or without, and with how much shared storage."""

    name: str
    market: bool
    storage_kwh: float = 0.0


VARIANTS: Final = (
    Variant(name="no market", market=False),
    Variant(name="market alone", market=True),
    Variant(name="market and shared storage", market=True, storage_kwh=80.0),
)


@dataclass(slots=True, kw_only=True)
class Result:
    """Sums and means over all days of a variant. Money in nano; shares of 1; the gap in W.

    `cost_nano` by participant: what each paid less what it received. `income_nano`: what it received for energy,
    from buyers or from the grid.
    """

    cost_nano: dict[str, int]
    income_nano: dict[str, int]
    traded_wh: int
    local_absorption: float
    total_absorption: float
    gap_w: float

    @property
    def total_cost_nano(self) -> int:
        """What all together paid; trade between them cancels out."""
        return sum(self.cost_nano.values())


def scenario_of(variant: Variant, day: datetime.date, seed: int) -> Scenario:
    """40 homes in two microgrids, a quarter of them with PV that brings 0.4 of the year's consumption.

    Shared storage, where there is any, belongs to two speculators: half of it in each microgrid.
    """
    half = HOMES // 2
    homes = [
        {
            "name": region,
            "region": region,
            "count": half,
            "with_pv": WITH_PV // 2,
            "annual_kwh": [1_500.0, 6_000.0],
            "pv_kwp": [5.3, 7.3],
        }
        for region in ("north", "south")
    ]
    values: dict[str, object] = {
        "scenario": {"name": "reference", "seed": seed},
        "market": {"periods": 96, "crossing_fee_micro": 40_000},
        "ledger": {"nodes": ["node"]},
        "profiles": {"day": day},
        "region": [{"name": "north"}, {"name": "south"}],
        "homes": homes,
    }
    if variant.storage_kwh:
        battery = {
            "capacity_kwh": variant.storage_kwh / 2,
            "power_kw": variant.storage_kwh / 4,
            "lowest_charge": 0.1,
            "first_charge": 0.1,
        }
        values["speculator"] = [
            {"name": f"storage-{region}", "region": region, "battery": battery} for region in ("north", "south")
        ]
    return Scenario.from_values(values, "reference community")


def live(variant: Variant, days: Sequence[datetime.date], seed: int, tell: Callable[[], None]) -> Result:
    """Live through all days; `tell` is called after each."""
    books = _Books(costs=defaultdict(int), incomes=defaultdict(int))
    flows: list[CommunityFlows] = []
    for day in days:
        scenario = scenario_of(variant, day, seed)
        positions: dict[str, list[int]] | None = None
        if variant.market:
            positions = _trade(scenario, books)
        lived = _physics(scenario, positions)
        flows.append(lived)
        if not variant.market:
            _alone(scenario, lived, books)
        tell()
    available = sum(float(lived.pv_available_wh.sum()) for lived in flows)
    curtailed = sum(float(lived.pv_curtailed_wh().sum()) for lived in flows)
    exported = sum(float(lived.pv_exported_wh().sum()) for lived in flows)
    return Result(
        cost_nano=dict(books.costs),
        income_nano=dict(books.incomes),
        traded_wh=books.traded_wh,
        local_absorption=measures.local_absorption(available, curtailed, exported),
        total_absorption=measures.total_absorption(available, curtailed),
        gap_w=float(np.mean([measures.peak_valley_gap_w(lived.net_import_wh(), HOURS) for lived in flows])),
    )


@dataclass(slots=True, kw_only=True)
class _Books:
    """What is added up over the days."""

    costs: dict[str, int]
    incomes: dict[str, int]
    traded_wh: int = 0


def _alone(scenario: Scenario, lived: CommunityFlows, books: _Books) -> None:
    """Every home for itself: import at retail, export at the feed-in tariff."""
    market = scenario.market
    costs = grid_cost_nano(lived.import_wh, lived.export_wh, market.retail_micro, market.feed_in_micro)
    incomes = lived.export_wh.sum(axis=1) * market.feed_in_micro
    for site, cost, income in zip(populate(scenario).sites, costs.tolist(), incomes.tolist(), strict=True):
        books.costs[site.name] += cost
        books.incomes[site.name] += income


def _trade(scenario: Scenario, books: _Books) -> dict[str, list[int]]:
    """A day's market. Returns the positions by name and period."""
    model = MarketModel(scenario, "direct")
    names = {agent.key.public: agent.name for agent in model.traders}
    positions = {name: [0] * scenario.market.periods for name in names.values()}
    while model.running:
        model.step()
        books.traded_wh += model.traded_wh
        for account, energy_wh in model.exchange.wait_clearing(model.period).positions_wh().items():
            if account in names:
                positions[names[account]][model.period] = energy_wh
        for row in model.exchange.wait_settlement(model.period).rows:
            received = row.sold_nano + max(0, row.imbalance_nano)
            paid = row.bought_nano + row.fee_nano + max(0, -row.imbalance_nano)
            books.costs[names[row.account]] += paid + row.penalty_nano - received - row.reward_nano
            books.incomes[names[row.account]] += received
    model.close()
    return positions


def _physics(scenario: Scenario, positions: dict[str, list[int]] | None) -> CommunityFlows:
    calendar = ProfileCalendar(scenario.profiles.day, scenario.market.period_minutes)
    return run_community(
        populate(scenario).sites, ProfileLibrary.load(), calendar, scenario.market.periods, positions
    )
