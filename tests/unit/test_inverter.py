import pytest

from devices.battery import Battery
from devices.inverter import Flows, run_period
from devices.meter import SmartMeter
from devices.sites import BatteryConfig
from market.readings import Quality

CONFIG = BatteryConfig(capacity_wh=10_000, power_w=4_000, efficiency=0.9, soc_min=0.1, soc_start=0.5)


def run(
    load_wh: float,
    available_wh: float,
    position_wh: int = 0,
    *,
    battery: Battery | None = None,
    export_limit_w: int = 0,
) -> Flows:
    return run_period(
        load_wh=load_wh,
        available_wh=available_wh,
        battery=battery,
        position_wh=position_wh,
        hours=0.25,
        export_limit_w=export_limit_w,
    )


def test_without_a_battery_the_meter_shows_generation_less_load_whatever_was_traded() -> None:
    assert run(300, 500, 900).export_wh == 200
    assert run(500, 300, 900).import_wh == 200


def test_with_nothing_traded_surplus_charges_and_deficit_discharges() -> None:
    battery = Battery.fresh(CONFIG)
    surplus = run(200, 500, battery=battery)
    assert (surplus.charged_wh, surplus.import_wh, surplus.export_wh) == (300, 0, 0)
    assert battery.stored_wh == pytest.approx(5_000 + 300 * 0.9)
    deficit = run(500, 200, battery=battery)
    assert (deficit.discharged_wh, deficit.import_wh, deficit.export_wh) == (300, 0, 0)
    assert battery.stored_wh == pytest.approx(5_000 + 300 * 0.9 - 300 / 0.9)


def test_a_battery_makes_the_meter_show_what_was_sold_or_bought() -> None:
    sold = run(200, 500, 700, battery=Battery.fresh(CONFIG))
    assert (sold.export_wh, sold.discharged_wh) == (700, 400)
    bought = run(200, 0, -900, battery=Battery.fresh(CONFIG))
    assert (bought.import_wh, bought.charged_wh) == (900, 700)


def test_power_and_charge_limit_what_a_battery_can_keep_of_a_promise() -> None:
    assert run(0, 0, 5_000, battery=Battery.fresh(CONFIG)).export_wh == 1_000
    nearly_empty = Battery(config=CONFIG, stored_wh=1_090)
    assert run(0, 0, 500, battery=nearly_empty).export_wh == pytest.approx(81)
    assert nearly_empty.soc == pytest.approx(0.1)
    nearly_full = Battery(config=CONFIG, stored_wh=9_910)
    assert run(0, 0, -500, battery=nearly_full).import_wh == pytest.approx(100)
    assert nearly_full.soc == pytest.approx(1.0)


def test_a_limited_line_fills_the_battery_before_the_rest_is_curtailed() -> None:
    battery = Battery.fresh(CONFIG)
    flows = run(0, 2_500, 2_500, battery=battery, export_limit_w=4_000)
    assert (flows.export_wh, flows.charged_wh, flows.curtailed_wh, flows.generated_wh) == (
        1_000,
        1_000,
        500,
        2_000,
    )


def test_import_is_not_bounded_by_the_line_limit_of_export() -> None:
    flows = run(3_000, 0, export_limit_w=1_000)
    assert (flows.import_wh, flows.curtailed_wh) == (3_000, 0)


def test_registers_lose_no_fraction_of_a_watt_hour() -> None:
    meter = SmartMeter(meter_id="m")
    for _ in range(1_000):
        meter.count(1 / 3, 0.0)
        meter.count(0.0, 0.25)
    assert (meter.import_wh, meter.export_wh) == (333, 250)


def test_readings_count_up_and_say_when_periods_are_missing() -> None:
    meter = SmartMeter(meter_id="m")
    meter.count(12.5, 0)
    first = meter.read(0, 1_000)
    assert (first.import_wh, first.export_wh, first.counter, first.quality) == (12, 0, 1, Quality.GOOD)
    meter.count(0.5, 3)
    assert meter.read(1, 2_000).import_wh == 13
    late = meter.read(4, 3_000)
    assert (late.counter, late.quality) == (3, Quality.GAP)
