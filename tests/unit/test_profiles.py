import hashlib
from datetime import date

import numpy as np
import pytest

from devices.errors import ProfileError
from devices.hydro import hydro_power_w
from devices.profiles import QUARTERS, SPRING_DAY, ProfileCalendar, ProfileLibrary, distinct_households
from devices.site_series import SiteSeries, pv_series_w
from devices.sites import (
    HOUSEHOLD_SHAPES,
    HYDRO_SHAPES,
    PV_SHAPES,
    WIND_SHAPES,
    HouseholdConfig,
    HydroConfig,
    PvConfig,
    SiteConfig,
    WindConfig,
)
from devices.wind import turbine_share, wind_power_w, wind_speed_m_s

LIBRARY = ProfileLibrary.load()
NEW_YEAR = ProfileCalendar(date(2016, 1, 1))


def test_the_extract_holds_every_shape_that_a_site_may_name() -> None:
    assert set(LIBRARY.shares) == {*HOUSEHOLD_SHAPES, *PV_SHAPES, *WIND_SHAPES, *HYDRO_SHAPES}


def test_the_extract_is_the_one_its_builder_makes_of_simbench_1_6_1() -> None:
    digest = hashlib.sha256()
    for name in sorted(LIBRARY.shares):
        digest.update(name.encode() + np.round(LIBRARY.share(name) * 32_767).astype("<i2").tobytes())
    assert digest.hexdigest() == "e3097f849a9d4838131c162c88a4a1a5d57f0ee797e12e622eaf35b276551b38"


def test_a_home_uses_its_annual_energy_in_a_year_whatever_its_shift() -> None:
    for week_shift, quarter_shift in ((0, 0), (-7, 3), (26, -40)):
        home = HouseholdConfig(shape="H0-C", annual_kwh=3_210, week_shift=week_shift, quarter_shift=quarter_shift)
        year_w = LIBRARY.household_load_w(home, NEW_YEAR, 0, QUARTERS)
        assert year_w.sum() / 4_000 == pytest.approx(3_210)


def test_a_whole_week_of_shift_moves_the_same_weekday_in() -> None:
    here = HouseholdConfig(shape="H0-A", annual_kwh=3_000)
    moved = HouseholdConfig(shape="H0-A", annual_kwh=3_000, week_shift=1)
    week = 7 * 96
    np.testing.assert_allclose(
        LIBRARY.household_load_w(moved, NEW_YEAR, 0, 96), LIBRARY.household_load_w(here, NEW_YEAR, week, 96)
    )


def test_no_two_of_a_thousand_homes_live_the_same_day() -> None:
    calendar = ProfileCalendar()
    days = set()
    for shape, week_shift, quarter_shift in distinct_households(1_000):
        home = HouseholdConfig(shape=shape, annual_kwh=3_000, week_shift=week_shift, quarter_shift=quarter_shift)
        days.add(np.round(LIBRARY.household_load_w(home, calendar, 0, 96), 3).tobytes())
    assert len(days) == 1_000


def test_homes_run_out_with_an_error_and_not_with_a_repetition() -> None:
    assert len(set(distinct_households(24_960))) == 24_960
    with pytest.raises(ProfileError, match="only 24960 different"):
        distinct_households(24_961)


@pytest.mark.parametrize("minutes", [5, 15, 20, 60])
def test_a_period_of_any_length_holds_the_energy_of_its_time(minutes: int) -> None:
    calendar = ProfileCalendar(SPRING_DAY, minutes)
    periods = 24 * 60 // minutes
    day_wh = LIBRARY.mean_share("PV4", calendar, 0, periods).sum() * minutes
    assert day_wh == pytest.approx(LIBRARY.mean_share("PV4", ProfileCalendar(SPRING_DAY), 0, 96).sum() * 15)


def test_the_year_begins_again_after_its_last_day() -> None:
    last_day = ProfileCalendar(date(2016, 12, 31))
    np.testing.assert_allclose(
        LIBRARY.mean_share("H0-A", last_day, 96, 96), LIBRARY.mean_share("H0-A", NEW_YEAR, 0, 96)
    )


def test_the_spring_day_has_sun_that_clouds_cross() -> None:
    day = np.mean([LIBRARY.mean_share(shape, ProfileCalendar(), 0, 96) for shape in PV_SHAPES], axis=0)
    assert 3.0 < day.sum() / 4 < 3.5
    index = LIBRARY.clear_sky_index("PV1").reshape(366, 96)[138, 28:64]
    assert index.min() < 0.5
    assert index.max() > 0.9


@pytest.mark.parametrize(("day", "named"), [("2015-05-18", "hold the year 2016"), ("18.5.", "expected a date")])
def test_a_day_that_the_data_do_not_hold_is_refused(day: str, named: str) -> None:
    with pytest.raises(ProfileError, match=named):
        ProfileCalendar.from_text(day)


def test_a_yield_scales_the_year_of_panels() -> None:
    year_w = pv_series_w(PvConfig(kwp=4, annual_kwh_per_kwp=900), LIBRARY, NEW_YEAR, 0, QUARTERS)
    assert year_w.sum() / 4_000 == pytest.approx(3_600, rel=0.001)
    assert year_w.max() <= 4_000


def test_an_east_roof_makes_its_energy_earlier_than_a_west_roof_and_nothing_at_night() -> None:
    def roof(azimuth_deg: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        pv = PvConfig(kwp=5, source="pvlib", azimuth_deg=azimuth_deg)
        return pv_series_w(pv, LIBRARY, ProfileCalendar(), 0, 96)

    hours = np.arange(96) / 4
    east, west = roof(90), roof(270)
    assert np.average(hours, weights=east) + 1 < np.average(hours, weights=west)
    assert east[:12].max() == west[:12].max() == 0
    assert 0 < east.max() <= 5_000


def test_modelled_panels_are_the_same_in_blocks_and_at_once() -> None:
    pv = PvConfig(kwp=5, source="pvlib")
    whole = pv_series_w(pv, LIBRARY, ProfileCalendar(SPRING_DAY, 10), 0, 144)
    np.testing.assert_allclose(pv_series_w(pv, LIBRARY, ProfileCalendar(SPRING_DAY, 10), 61, 20), whole[61:81])


def test_the_turbine_stands_still_runs_full_and_cuts_out_by_its_curve() -> None:
    share = turbine_share(np.array([0.0, 2.0, 8.0, 14.0, 25.0, 25.1]))
    np.testing.assert_allclose(share, [0, 0, 275 / 810, 1, 1, 0])
    speeds = np.linspace(2, 14, 50)
    np.testing.assert_allclose(wind_speed_m_s(turbine_share(speeds)), speeds)


def test_wind_at_the_series_own_place_comes_out_as_it_went_in_and_less_behind_trees() -> None:
    open_w = wind_power_w(WindConfig(rated_kw=20), LIBRARY, ProfileCalendar(), 0, 96)
    np.testing.assert_allclose(open_w, 20_000 * LIBRARY.mean_share("WP4", ProfileCalendar(), 0, 96), atol=1e-6)
    assert wind_power_w(WindConfig(rated_kw=20, speed_ratio=0.8), LIBRARY, ProfileCalendar(), 0, 96).sum() < (
        0.7 * open_w.sum()
    )


def test_a_river_plant_follows_its_water() -> None:
    hydro = HydroConfig(head_m=3, design_flow_m3_s=0.5)
    power_w = hydro_power_w(hydro, LIBRARY, ProfileCalendar(), 0, 96)
    np.testing.assert_allclose(power_w, 11_772 * LIBRARY.mean_share("Hydro1", ProfileCalendar(), 0, 96))


def test_a_site_gives_the_same_energy_for_a_period_in_any_order_of_asking() -> None:
    site = SiteConfig.home(
        name="anna", region="east", household=HouseholdConfig(shape="H0-L", annual_kwh=2_000), pv=PvConfig(kwp=3)
    )
    forwards = SiteSeries(site, LIBRARY, ProfileCalendar())
    asked = {period: (forwards.load_wh(period), forwards.generation_wh(period)) for period in range(200)}
    backwards = SiteSeries(site, LIBRARY, ProfileCalendar())
    assert all(
        (backwards.load_wh(period), backwards.generation_wh(period)) == asked[period]
        for period in range(199, -1, -7)
    )
