"""The same community without a market, and once more with what it traded: for comparison in a report.

Both follow from the scenario alone (profiles, sites, seed) and, for the second, the positions in
`trades.csv`. Without a market every home uses its own panels and battery for itself, buys the rest at the
retail tariff and sells what is left at the feed-in tariff.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.errors import ConfigurationError
from agents.run_data import RunData

if TYPE_CHECKING:
    from devices.reference import CommunityFlows


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Physical flows with the market and without, by site in the order of `names`."""

    names: tuple[str, ...]
    market: CommunityFlows
    alone: CommunityFlows


def compare(data: RunData) -> Comparison:
    """Live through the settled periods twice. Raises ConfigurationError when the scenario cannot be read."""
    from agents.population import populate
    from agents.scenario import Scenario
    from devices.errors import DeviceError
    from devices.profiles import ProfileCalendar, ProfileLibrary
    from devices.reference import run_community

    scenario = Scenario.load(data.folder.scenario)
    try:
        sites = populate(scenario).sites
        library = ProfileLibrary.load()
        calendar = ProfileCalendar(scenario.profiles.day, scenario.market.period_minutes)
        periods = len(data.periods)
        positions = positions_wh(data, periods)
        return Comparison(
            names=tuple(site.name for site in sites),
            market=run_community(sites, library, calendar, periods, positions),
            alone=run_community(sites, library, calendar, periods),
        )
    except DeviceError as error:
        raise ConfigurationError(str(error)) from None


def positions_wh(data: RunData, periods: int) -> Mapping[str, list[int]]:
    """What each participant sold minus bought in the periods 0 to `periods - 1`."""
    positions: dict[str, list[int]] = {}
    trades = data.trades
    for period, buyer, seller, energy_wh in zip(
        trades.integers("period"),
        trades.texts("buyer"),
        trades.texts("seller"),
        trades.integers("energy_wh"),
        strict=True,
    ):
        if period < periods:
            positions.setdefault(seller, [0] * periods)[period] += int(energy_wh)
            positions.setdefault(buyer, [0] * periods)[period] -= int(energy_wh)
    return positions
