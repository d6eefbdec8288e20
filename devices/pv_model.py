"""Solar power from panel and sun geometry (pvlib), under the sky of the measured year.

The way: clear-sky irradiance (Ineichen and Perez 2002) times the clear-sky index of the measured series
gives global irradiance; Erbs et al. (1982) splits it into beam and diffuse; Hay and Davies (1980) turns it
to the panel; the PVWatts model (Dobos 2014) makes power of it, less 14 % losses. What this adds to the
measured series is any tilt and orientation, so that east and west roofs sell at other hours than south
roofs. pvlib and pandas are imported on first use only: they take a second.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.profiles import QUARTER_MINUTES, QUARTERS, YEAR, Watts

KASSEL_LATITUDE_DEG: Final = 51.3
KASSEL_LONGITUDE_DEG: Final = 9.5

_LINKE_TURBIDITY: Final = 3.0
"""Turbidity of the air over the year: 2 is very clear, 5 hazy; 3 is the rural mean of Central Europe."""
_TEMPERATURE_PER_K: Final = -0.004


def times_of_quarters(first_quarter: int, quarters: int) -> NDArray[np.datetime64]:
    """The middle of each quarter hour, UTC. The measured sun stands highest near row 11:00 all year: UTC."""
    start = np.datetime64(f"{YEAR}-01-01T00:00", "s") + np.timedelta64(QUARTER_MINUTES * 30, "s")
    rows = np.arange(first_quarter, first_quarter + quarters) % QUARTERS
    return start + rows * np.timedelta64(QUARTER_MINUTES * 60, "s")


def pv_power_w(
    *,
    latitude_deg: float,
    longitude_deg: float,
    tilt_deg: float,
    azimuth_deg: float,
    kwp: float,
    times: NDArray[np.datetime64],
    clear_sky_index: NDArray[np.float64],
    air_temperature_c: float = 15.0,
) -> Watts:
    """AC power of a plant at each of `times` (UTC), in W, never above its peak power.

    `azimuth_deg`: 180 is south, 90 east. `clear_sky_index`: one value a time, 0 to 1 (`ProfileLibrary`).
    `air_temperature_c` is held constant; 10 K more cost 4 % of the yield.
    """
    import pandas as pd
    import pvlib

    index = pd.DatetimeIndex(times, tz="UTC")
    place = pvlib.location.Location(latitude_deg, longitude_deg, tz="UTC")
    sun = place.get_solarposition(index)
    clear = place.get_clearsky(index, model="ineichen", solar_position=sun, linke_turbidity=_LINKE_TURBIDITY)
    ghi = clear["ghi"] * clear_sky_index
    split = pvlib.irradiance.erbs(ghi, sun["zenith"], index)
    on_panel = pvlib.irradiance.get_total_irradiance(
        tilt_deg,
        azimuth_deg,
        sun["apparent_zenith"],
        sun["azimuth"],
        dni=split["dni"],
        ghi=ghi,
        dhi=split["dhi"],
        dni_extra=pvlib.irradiance.get_extra_radiation(index),
        model="haydavies",
    )["poa_global"].fillna(0.0)
    mounting = pvlib.temperature.TEMPERATURE_MODEL_PARAMETERS["sapm"]["open_rack_glass_polymer"]
    cell = pvlib.temperature.sapm_cell(on_panel, air_temperature_c, 2.0, **mounting)
    direct_w = pvlib.pvsystem.pvwatts_dc(on_panel, cell, 1_000.0 * kwp, _TEMPERATURE_PER_K)
    losses = pvlib.pvsystem.pvwatts_losses() / 100
    alternating_w = pvlib.inverter.pvwatts(direct_w * (1 - losses), 1_000.0 * kwp)
    result: Watts = np.clip(np.asarray(alternating_w, dtype=np.float64), 0.0, 1_000.0 * kwp)
    return result
