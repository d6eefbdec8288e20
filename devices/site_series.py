"""Load and generation of a site in each period: what its devices will do and its owner tries to foresee."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.hydro import hydro_power_w
from devices.profiles import QUARTER_MINUTES, QUARTERS, ProfileCalendar, ProfileLibrary, Watts
from devices.sites import PvConfig, SiteConfig
from devices.wind import wind_power_w

_BLOCK_PERIODS: Final = 96
"""Periods computed at a time: arrays of a day are as quick to make as arrays of one."""


class SiteSeries:
    """The true load and generation of one site, by period. A pure function of its arguments."""

    def __init__(self, site: SiteConfig, library: ProfileLibrary, calendar: ProfileCalendar) -> None:
        self.site = site
        self.calendar = calendar
        self._library = library
        self._block = -1
        self._load_wh: list[float] = []
        self._generation_wh: list[float] = []

    def load_w(self, start_period: int, periods: int) -> Watts:
        """Mean power the site draws in each period, before panels and battery."""
        if self.site.household is None:
            return np.zeros(periods)
        return self._library.household_load_w(self.site.household, self.calendar, start_period, periods)

    def generation_w(self, start_period: int, periods: int) -> Watts:
        """Mean power its panels and turbines can give in each period, before any curtailment."""
        total = np.zeros(periods)
        if self.site.pv is not None:
            total += pv_series_w(self.site.pv, self._library, self.calendar, start_period, periods)
        if self.site.wind is not None:
            total += wind_power_w(self.site.wind, self._library, self.calendar, start_period, periods)
        if self.site.hydro is not None:
            total += hydro_power_w(self.site.hydro, self._library, self.calendar, start_period, periods)
        return total

    def load_wh(self, period: int) -> float:
        """Energy drawn in one period, in Wh."""
        self._fill(period)
        return self._load_wh[period % _BLOCK_PERIODS]

    def generation_wh(self, period: int) -> float:
        """Energy available from panels and turbines in one period, in Wh."""
        self._fill(period)
        return self._generation_wh[period % _BLOCK_PERIODS]

    def _fill(self, period: int) -> None:
        block = period // _BLOCK_PERIODS
        if block == self._block:
            return
        start = block * _BLOCK_PERIODS
        self._load_wh = (self.load_w(start, _BLOCK_PERIODS) * self.calendar.hours).tolist()
        self._generation_wh = (self.generation_w(start, _BLOCK_PERIODS) * self.calendar.hours).tolist()
        self._block = block


def pv_series_w(
    pv: PvConfig, library: ProfileLibrary, calendar: ProfileCalendar, start_period: int, periods: int
) -> Watts:
    """Mean power of solar panels in each period, in W, from the source that `pv` names."""
    if pv.source == "pvlib":
        share = _modelled_share(pv, library, calendar, start_period, periods)
        return share * (1_000.0 * pv.kwp)
    share = library.mean_share(pv.shape, calendar, start_period, periods)
    if pv.annual_kwh_per_kwp:
        # Beyond the peak power there is none, whatever yield was asked for.
        share = np.minimum(share * (pv.annual_kwh_per_kwp / library.full_load_hours(pv.shape)), 1.0)
    return share * (1_000.0 * pv.kwp)


def _modelled_share(
    pv: PvConfig, library: ProfileLibrary, calendar: ProfileCalendar, start_period: int, periods: int
) -> NDArray[np.float64]:
    from devices.pv_model import KASSEL_LATITUDE_DEG, KASSEL_LONGITUDE_DEG, pv_power_w, times_of_quarters

    edges = calendar.edges(start_period, periods)
    first = int(np.floor(edges[0]))
    quarters = int(np.ceil(edges[-1])) - first
    rows = np.arange(first, first + quarters) % QUARTERS
    watts = pv_power_w(
        latitude_deg=KASSEL_LATITUDE_DEG,
        longitude_deg=KASSEL_LONGITUDE_DEG,
        tilt_deg=pv.tilt_deg,
        azimuth_deg=pv.azimuth_deg,
        kwp=1.0,
        times=times_of_quarters(first, quarters),
        clear_sky_index=library.clear_sky_index(pv.shape)[rows],
    )
    sums = np.concatenate(([0.0], np.cumsum(watts / 1_000.0)))
    at_edges = np.interp(edges - first, np.arange(quarters + 1, dtype=np.float64), sums)
    means: NDArray[np.float64] = np.diff(at_edges) / (calendar.period_minutes / QUARTER_MINUTES)
    return means
