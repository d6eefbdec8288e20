"""A community's physics without bus or ledger: the reference without a market, and any run once more.

Without positions every site is in plain self-consumption: what the same homes, panels and batteries would
have cost without a market. With the positions of a market's clearings it gives exactly what the devices of
that run did, curtailment included, since all of it follows from the sites and the positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.simulated_site import SimulatedSite
from devices.site_series import pv_series_w
from devices.sites import SiteConfig

Energies = NDArray[np.float64]
"""Wh by site (row) and period (column)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunityFlows:
    """What flowed at every site in every period, in Wh.

    `available_wh` is what all generators could give, `pv_available_wh` the solar part of it, `generated_wh`
    what they gave. `import_wh` and `export_wh` are whole Wh, the differences of the meters' registers.
    """

    load_wh: Energies
    available_wh: Energies
    pv_available_wh: Energies
    generated_wh: Energies
    charged_wh: Energies
    discharged_wh: Energies
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]

    def net_import_wh(self) -> NDArray[np.int64]:
        """Energy that entered the community at its coupling point in each period; below 0 it left."""
        net: NDArray[np.int64] = (self.import_wh - self.export_wh).sum(axis=0)
        return net

    def pv_curtailed_wh(self) -> Energies:
        """Solar energy that was shed: curtailment hits a site's generators in proportion."""
        return self._solar_share() * (self.available_wh - self.generated_wh)

    def pv_exported_wh(self) -> Energies:
        """Solar part of what left the community in each period.

        What leaves is shared among all that fed the community in the period, batteries too, in proportion.
        """
        leaving = np.maximum(-self.net_import_wh(), 0).astype(np.float64)
        sources = (self.generated_wh + self.discharged_wh).sum(axis=0)
        solar = (self._solar_share() * self.generated_wh).sum(axis=0)
        share = np.zeros_like(sources)
        np.divide(solar, sources, out=share, where=sources > 0)
        exported: Energies = leaving * share
        return exported

    def _solar_share(self) -> Energies:
        share = np.zeros_like(self.available_wh)
        np.divide(self.pv_available_wh, self.available_wh, out=share, where=self.available_wh > 0)
        return share


def run_community(
    sites: Sequence[SiteConfig],
    library: ProfileLibrary,
    calendar: ProfileCalendar,
    periods: int,
    positions_wh: Mapping[str, Sequence[int]] | None = None,
) -> CommunityFlows:
    """Live through `periods` at all `sites`.

    `positions_wh`: for each site name, what its owner sold minus bought in each period; absent sites and
    None mean nothing traded.
    """
    has_market = positions_wh is not None
    positions_wh = positions_wh or {}
    idle = [0] * periods
    float_rows: list[list[tuple[float, float, float, float, float]]] = []
    meter_rows: list[list[tuple[int, int]]] = []
    for config in sites:
        site = SimulatedSite(config, library, calendar)
        flows_row = []
        meter_row = []
        for position_wh in positions_wh.get(config.name, idle)[:periods]:
            import_before, export_before = site.meter.import_wh, site.meter.export_wh
            flows = site.run(position_wh, may_delay=has_market)
            available_wh = flows.generated_wh + flows.curtailed_wh
            flows_row.append(
                (flows.load_wh, available_wh, flows.generated_wh, flows.charged_wh, flows.discharged_wh)
            )
            meter_row.append((site.meter.import_wh - import_before, site.meter.export_wh - export_before))
        float_rows.append(flows_row)
        meter_rows.append(meter_row)
    flowed = np.array(float_rows, dtype=np.float64).reshape(len(sites), periods, 5)
    metered = np.array(meter_rows, dtype=np.int64).reshape(len(sites), periods, 2)
    return CommunityFlows(
        load_wh=flowed[:, :, 0],
        available_wh=flowed[:, :, 1],
        pv_available_wh=_pv_available_wh(sites, library, calendar, periods),
        generated_wh=flowed[:, :, 2],
        charged_wh=flowed[:, :, 3],
        discharged_wh=flowed[:, :, 4],
        import_wh=metered[:, :, 0],
        export_wh=metered[:, :, 1],
    )


def _pv_available_wh(
    sites: Sequence[SiteConfig], library: ProfileLibrary, calendar: ProfileCalendar, periods: int
) -> Energies:
    available = np.zeros((len(sites), periods))
    for row, config in enumerate(sites):
        if config.pv is not None:
            available[row] = pv_series_w(config.pv, library, calendar, 0, periods) * calendar.hours
    return available


def grid_cost_nano(
    import_wh: NDArray[np.int64], export_wh: NDArray[np.int64], retail_micro: int, feed_in_micro: int
) -> NDArray[np.int64]:
    """What each site (row) pays without a market: retail for its import less feed-in for its export, exact."""
    cost: NDArray[np.int64] = import_wh.sum(axis=1) * retail_micro - export_wh.sum(axis=1) * feed_in_micro
    return cost
