import json
from dataclasses import replace

import pytest

from devices.errors import SiteError
from devices.sites import (
    BatteryConfig,
    HouseholdConfig,
    HydroConfig,
    PvConfig,
    SiteConfig,
    WindConfig,
    hydro_rated_w,
)

HOME = SiteConfig.home(
    name="anna",
    region="east",
    household=HouseholdConfig(shape="H0-A", annual_kwh=3_500, week_shift=2),
    pv=PvConfig(kwp=5),
    battery=BatteryConfig(capacity_wh=7_000, power_w=3_500),
)


def test_a_site_survives_json() -> None:
    assert SiteConfig.from_json(json.loads(json.dumps(HOME.to_json()))) == HOME


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("colour", "red", "site.colour: unknown key"),
        ("region", 7, "site.region = 7: expected str"),
        ("meter_id", "a/#", "meter_id: not usable as one topic level"),
        ("export_limit_w", True, "site.export_limit_w = True: expected int"),
        ("pv", {"kwp": -1.0}, "pv.kwp = -1.0: expected above 0"),
        ("pv", {"kwp": 5, "shape": "PV9"}, "pv.shape = 'PV9': expected one of PV1"),
        ("pv", {}, "site.pv: .*kwp"),
        ("household", [], r"site.household = \[\]: expected a table"),
        (
            "battery",
            {"capacity_wh": 10, "power_w": 5, "soc_min": 1.0},
            "battery.soc_min = 1.0: expected below soc_max",
        ),
    ],
)
def test_a_wrong_description_is_refused_by_the_name_of_its_key(key: str, value: object, named: str) -> None:
    with pytest.raises(SiteError, match=named):
        SiteConfig.from_json(HOME.to_json() | {key: value})  # type: ignore[dict-item]


def test_ratings_bound_what_the_meter_can_show() -> None:
    assert HOME.max_export_w() == 8_500
    assert replace(HOME, export_limit_w=4_000).max_export_w() == 4_000
    assert HOME.max_import_w() == 43_000 + 3_500
    wind = SiteConfig.wind_plant(name="hill", region="east", wind=WindConfig(rated_kw=20))
    assert (wind.max_export_w(), wind.max_import_w()) == (20_000, 0)


def test_a_hydro_plant_gives_density_times_gravity_times_flow_times_head_times_efficiency() -> None:
    assert hydro_rated_w(HydroConfig(head_m=3, design_flow_m3_s=0.5, efficiency=0.8)) == pytest.approx(11_772)


def test_only_generators_and_batteries_have_an_inverter() -> None:
    consumer = SiteConfig.home(
        name="bob", region="east", household=HouseholdConfig(shape="H0-B", annual_kwh=2_000)
    )
    assert not consumer.has_inverter
    assert HOME.has_inverter
