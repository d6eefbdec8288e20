"""A wind turbine on the measured wind.

The series is a park's power as a share of its rating. Read backwards through a turbine's power curve it
tells the wind speed; times the site's `speed_ratio` (a lower mast, a sheltered place) and forwards through
the curve again it tells what this turbine makes. With a ratio of 1 the series comes out as it went in.

The curve is that of the Enercon E-48, 800 kW (manufacturer's data sheet), as a share of its 810 kW.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.profiles import ProfileCalendar, ProfileLibrary, Watts
from devices.sites import WindConfig

_CURVE_M_S: Final = np.array([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], dtype=np.float64)
_CURVE_KW: Final = np.array([0, 5, 25, 60, 110, 180, 275, 400, 555, 671, 750, 790, 810], dtype=np.float64)
_CURVE_SHARE: Final = _CURVE_KW / _CURVE_KW[-1]
CUT_OUT_M_S: Final = 25.0


def turbine_share(wind_m_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power as a share of the rating at each wind speed: 0 up to 2 m/s, 1 from 14 m/s, 0 above 25 m/s."""
    share = np.interp(wind_m_s, _CURVE_M_S, _CURVE_SHARE)
    return np.where(wind_m_s > CUT_OUT_M_S, 0.0, share)


def wind_speed_m_s(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The wind speed at which the turbine gives `share` of its rating.

    At standstill (2 m/s) and at full power (14 m/s) the power no longer tells the speed: the limit of the
    curve is taken, so a storm's surplus is unknown and a `speed_ratio` below 1 errs low there.
    """
    return np.interp(share, _CURVE_SHARE, _CURVE_M_S)


def wind_power_w(
    wind: WindConfig, library: ProfileLibrary, calendar: ProfileCalendar, start_period: int, periods: int
) -> Watts:
    """Mean power of the turbine in each period, in W."""
    share = library.mean_share(wind.shape, calendar, start_period, periods)
    # The curve is bent, so this reads the mean power of the period as that of a steady wind.
    return turbine_share(wind_speed_m_s(share) * wind.speed_ratio) * (1_000.0 * wind.rated_kw)
