"""What the owner of a site expects: the truth, times an error that persists for hours.

Weather and habits err for hours, not for quarter hours, so the error is a first-order autoregressive
process; it is relative (nobody forecasts sun at night) and log-normal with mean 1, so that forecasts are
unbiased: forecast(p) = truth(p) exp(e(p) - s^2 / 2), e(p) = r e(p - 1) + s sqrt(1 - r^2) w(p), w standard
normal. Every site has its own generator, which follows from the seed and its name: a forecast is the same
whoever asks, in whatever order, in any process.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.errors import ProfileError
from devices.site_series import SiteSeries

_BLOCK: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastConfig:
    """How good forecasts are.

    `load_error` and `generation_error` are the standard deviations of the logarithm of the error: 0.1 is off
    by a tenth as a rule. `correlation` is that of neighbouring periods, 0 to below 1.
    """

    load_error: float = 0.10
    generation_error: float = 0.08
    correlation: float = 0.8

    def __post_init__(self) -> None:
        for key in ("load_error", "generation_error"):
            if not 0 <= getattr(self, key) <= 2:
                raise ProfileError(f"forecast.{key} = {getattr(self, key)}: expected 0 to 2")
        if not 0 <= self.correlation < 1:
            raise ProfileError(f"forecast.correlation = {self.correlation}: expected 0 to below 1")


class ErrorSeries:
    """One autocorrelated series of factors with mean 1, grown as far as anyone asks."""

    def __init__(self, *, seed: int, name: str, deviation: float, correlation: float) -> None:
        """`correlation` is that of neighbouring periods. `name` tells the series of one seed apart."""
        digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16, person=b"gridbaz-forecast")
        self._random = np.random.default_rng(int.from_bytes(digest.digest(), "big"))
        self._deviation = deviation
        self._correlation = correlation
        # The first value comes from the stationary distribution: period 0 is foreseen no better than others.
        self._errors = [deviation * float(self._random.standard_normal())]

    def factor(self, period: int) -> float:
        """What the truth of `period` is multiplied with."""
        while len(self._errors) <= period:
            fresh = self._deviation * math.sqrt(1 - self._correlation**2)
            for shock in self._random.standard_normal(_BLOCK).tolist():
                self._errors.append(self._correlation * self._errors[-1] + fresh * shock)
        return math.exp(self._errors[period] - self._deviation**2 / 2)


class SiteForecast:
    """What the owner of a site expects of it in each period."""

    def __init__(self, series: SiteSeries, config: ForecastConfig, seed: int) -> None:
        name = series.site.name
        self._series = series
        self._load = ErrorSeries(
            seed=seed, name=f"load/{name}", deviation=config.load_error, correlation=config.correlation
        )
        self._generation = ErrorSeries(
            seed=seed, name=f"generation/{name}", deviation=config.generation_error, correlation=config.correlation
        )

    def load_wh(self, period: int) -> float:
        """Expected consumption in `period`, in Wh."""
        return self._series.load_wh(period) * self._load.factor(period)

    def generation_wh(self, period: int) -> float:
        """Expected generation in `period`, in Wh, never more than the generators' peak power gives."""
        most = self._series.site.generation_peak_w() * self._series.calendar.hours
        return min(self._series.generation_wh(period) * self._generation.factor(period), most)

    def surplus_wh(self, period: int) -> float:
        """Expected generation less consumption, in Wh: above 0 there is something to sell. No battery in it."""
        return self.generation_wh(period) - self.load_wh(period)
