import numpy as np
import pytest

from devices.errors import ProfileError
from devices.forecast import ErrorSeries, ForecastConfig, SiteForecast
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.site_series import SiteSeries
from devices.sites import HouseholdConfig, PvConfig, SiteConfig


def forecast(name: str, seed: int = 1, config: ForecastConfig | None = None) -> SiteForecast:
    site = SiteConfig.home(
        name=name, region="east", household=HouseholdConfig(shape="H0-A", annual_kwh=3_000), pv=PvConfig(kwp=5)
    )
    series = SiteSeries(site, ProfileLibrary.load(), ProfileCalendar())
    return SiteForecast(series, config or ForecastConfig(), seed)


def test_a_forecast_is_the_same_whoever_asks_in_whatever_order() -> None:
    there, here = forecast("anna"), forecast("anna")
    asked = [there.surplus_wh(period) for period in range(600)]
    assert [here.surplus_wh(period) for period in range(599, -1, -1)] == asked[::-1]


def test_seeds_and_names_have_forecasts_of_their_own() -> None:
    load = {(name, seed): forecast(name, seed).load_wh(40) for name in ("anna", "bob") for seed in (1, 2)}
    assert len(set(load.values())) == 4


def test_without_error_the_forecast_is_the_truth() -> None:
    sure = forecast("anna", config=ForecastConfig(load_error=0, generation_error=0))
    series = SiteSeries(sure._series.site, ProfileLibrary.load(), ProfileCalendar())
    assert sure.load_wh(50) == series.load_wh(50)
    assert sure.generation_wh(50) == series.generation_wh(50)


def test_errors_are_unbiased_as_wide_as_said_and_persist_from_period_to_period() -> None:
    series = [
        ErrorSeries(seed=seed, name="load/anna", deviation=0.2, correlation=0.8).factor for seed in range(40)
    ]
    factors = np.array([[factor(period) for period in range(2_000)] for factor in series])
    assert factors.mean() == pytest.approx(1, abs=0.01)
    logs = np.log(factors)
    assert logs.std() == pytest.approx(0.2, rel=0.03)
    assert np.corrcoef(logs[:, :-1].ravel(), logs[:, 1:].ravel())[0, 1] == pytest.approx(0.8, abs=0.02)
    assert logs[:, 0].std() == pytest.approx(0.2, rel=0.4)


def test_nobody_forecasts_sun_at_night_or_more_than_the_panels_give() -> None:
    wild = forecast("anna", config=ForecastConfig(generation_error=2, load_error=0))
    assert wild.generation_wh(4) == 0
    assert max(wild.generation_wh(period) for period in range(96)) <= 5_000 / 4


def test_errors_outside_their_bounds_are_refused() -> None:
    with pytest.raises(ProfileError, match=r"forecast.correlation = 1: expected 0 to below 1"):
        ForecastConfig(correlation=1)
