"""A run-of-river plant: P = density x gravity x flow x head x efficiency.

The water through the turbine is the design flow times the share of the measured series; a plant without a
reservoir takes what the river brings, up to its design flow.
"""

from __future__ import annotations

from devices.profiles import ProfileCalendar, ProfileLibrary, Watts
from devices.sites import GRAVITY_M_S2, WATER_KG_M3, HydroConfig


def hydro_power_w(
    hydro: HydroConfig, library: ProfileLibrary, calendar: ProfileCalendar, start_period: int, periods: int
) -> Watts:
    """Mean power in each period, in W. Efficiency counts turbine and generator, and is held constant."""
    flow_m3_s = hydro.design_flow_m3_s * library.mean_share(hydro.shape, calendar, start_period, periods)
    return flow_m3_s * (WATER_KG_M3 * GRAVITY_M_S2 * hydro.head_m * hydro.efficiency)
