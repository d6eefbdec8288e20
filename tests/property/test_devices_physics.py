import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.battery import Battery
from devices.inverter import run_period
from devices.meter import SmartMeter
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.reference import run_community
from devices.sites import BatteryConfig, HouseholdConfig, PvConfig, SiteConfig
from mosquitto.keys import KeyPair

energies = st.floats(0, 20_000, allow_nan=False)
shares = st.floats(0, 1, allow_nan=False)


@st.composite
def batteries(draw: st.DrawFn) -> BatteryConfig:
    low = draw(st.floats(0, 0.4))
    high = draw(st.floats(0.5, 1))
    return BatteryConfig(
        capacity_wh=draw(st.integers(1, 100_000)),
        power_w=draw(st.integers(1, 50_000)),
        efficiency=draw(st.floats(0.3, 1)),
        soc_min=low,
        soc_max=high,
        soc_start=draw(st.floats(low, high)),
    )


@given(
    batteries(), st.lists(st.tuples(st.floats(-60_000, 60_000), st.sampled_from([0.05, 0.25, 1.0])), max_size=40)
)
def test_no_battery_makes_energy_or_leaves_its_limits(
    config: BatteryConfig, wishes: list[tuple[float, float]]
) -> None:
    battery = Battery.fresh(config)
    start_wh = battery.stored_wh
    tolerance = 1e-6 * (config.capacity_wh + 1)
    for power_w, hours in wishes:
        flowed_w = battery.dispatch(power_w, hours)
        # Watts to Wh and back may err in the last bit, which is no small share of a subnormal number.
        assert abs(flowed_w) <= min(abs(power_w), config.power_w) * (1 + 1e-12) + 1e-12
        assert flowed_w * power_w >= 0
        assert config.soc_min - 1e-9 <= battery.soc <= config.soc_max + 1e-9
    kept_wh = battery.stored_wh - start_wh + battery.losses_wh
    assert math.isclose(kept_wh, battery.charged_wh - battery.discharged_wh, abs_tol=tolerance)
    assert battery.losses_wh >= -tolerance


@given(
    energies, energies, st.none() | batteries(), st.integers(-20_000, 20_000), st.sampled_from([0, 1_000, 9_000])
)
def test_every_watt_hour_at_a_site_is_accounted_for(
    load_wh: float, available_wh: float, config: BatteryConfig | None, position_wh: int, export_limit_w: int
) -> None:
    battery = Battery.fresh(config) if config else None
    flows = run_period(
        load_wh=load_wh,
        available_wh=available_wh,
        battery=battery,
        position_wh=position_wh,
        hours=0.25,
        export_limit_w=export_limit_w,
    )
    balance = flows.generated_wh - flows.load_wh + flows.discharged_wh - flows.charged_wh
    assert flows.export_wh - flows.import_wh == pytest.approx(balance, abs=1e-6)
    assert flows.generated_wh + flows.curtailed_wh == pytest.approx(available_wh, abs=1e-6)
    assert min(flows.import_wh, flows.export_wh) == 0
    assert min(flows.charged_wh, flows.discharged_wh, flows.curtailed_wh) == 0
    assert flows.generated_wh >= 0
    if export_limit_w:
        assert flows.export_wh <= export_limit_w * 0.25 + 1e-6


@given(energies, energies, batteries(), st.integers(-20_000, 20_000))
def test_a_battery_never_moves_the_meter_away_from_what_was_traded(
    load_wh: float, available_wh: float, config: BatteryConfig, position_wh: int
) -> None:
    battery = Battery.fresh(config)
    flows = run_period(
        load_wh=load_wh, available_wh=available_wh, battery=battery, position_wh=position_wh, hours=0.25
    )
    without = abs(available_wh - load_wh - position_wh)
    assert abs(flows.export_wh - flows.import_wh - position_wh) <= without + 1e-6


@given(st.lists(st.tuples(st.floats(0, 5_000), st.floats(0, 5_000)), max_size=60))
def test_registers_never_go_back_and_stay_within_a_watt_hour_of_what_flowed(
    flows: list[tuple[float, float]],
) -> None:
    meter = SmartMeter(meter_id="m")
    for import_wh, export_wh in flows:
        before = (meter.import_wh, meter.export_wh)
        meter.count(import_wh, export_wh)
        assert meter.import_wh >= before[0]
        assert meter.export_wh >= before[1]
    assert 0 <= math.fsum(flow[0] for flow in flows) - meter.import_wh + 1e-4 < 1 + 2e-4


@given(st.lists(st.integers(-3_000, 3_000), min_size=30, max_size=30))
def test_storage_under_any_orders_gives_back_no_more_than_its_efficiency_allows(positions: list[int]) -> None:
    config = BatteryConfig(capacity_wh=4_000, power_w=8_000)
    site = SiteConfig.storage(name="store", region="east", battery=config)
    flows = run_community([site], ProfileLibrary.load(), ProfileCalendar(), 30, {"store": positions})
    start_wh = config.capacity_wh * (config.soc_start - config.soc_min)
    most = flows.import_wh.sum() * 0.95**2 + start_wh * 0.95
    assert flows.export_wh.sum() <= most + 1


def test_the_generators_reach_every_kind_of_outcome() -> None:
    # If sites never sold, curtailed or missed their position, the checks above would be green and empty.
    config = BatteryConfig(capacity_wh=2_000, power_w=1_000)
    site = SiteConfig.home(
        name="anna",
        region="east",
        household=HouseholdConfig(shape="H0-A", annual_kwh=4_000),
        pv=PvConfig(kwp=8),
        battery=config,
        export_limit_w=2_000,
    )
    positions = [KeyPair.derive(period, "draw").public[0] * 8 - 900 for period in range(96)]
    flows = run_community([site], ProfileLibrary.load(), ProfileCalendar(), 96, {"anna": positions})
    assert (flows.generated_wh < flows.available_wh - 1).any()
    assert (flows.import_wh > 0).any()
    assert (flows.export_wh > 0).any()
    assert (flows.charged_wh > 0).any()
    assert (flows.discharged_wh > 0).any()
