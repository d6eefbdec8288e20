"""A real meter from its messages to its registers at a moment."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from devices.errors import MeterConfigError, StateError
from devices.home_assistant import announced_sensors, read_template
from devices.home_meter import HomeMeter, HomeMeterConfig
from devices.meter_families import FamilyBook, settings_of
from devices.registers import Outcome, RegisterLimits

BOOK = FamilyBook.load()
LIMITS = RegisterLimits(max_power_w=10_000, stale_after_ms=300_000)
NOW = 1_772_438_400_000
MINUTE = 60_000
WH = 1_000_000


def meter(family: str, **settings: object) -> HomeMeter:
    tables = BOOK.members(family)
    group = tables[0].group
    siblings = BOOK.members(group) if group else []
    return HomeMeter(
        HomeMeterConfig(
            meter_id="meter-ann",
            families=tuple(tables),
            settings=settings_of(settings),
            limits=LIMITS,
            siblings=tuple(siblings),
        )
    )


def hear(home: HomeMeter, topic: str, payload: object, minute: float = 0, retained: bool = False) -> None:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    home.hear(topic, text.encode(), retained, NOW + round(minute * MINUTE))


def plug(total_kwh: float, time: str = "2026-03-02T08:00:00", **more: object) -> Mapping[str, object]:
    return {"Time": time, "ENERGY": {"Total": total_kwh, "Power": 100, **more}}


def test_values_on_three_topics_become_one_register() -> None:
    home = meter("shelly-gen1-em", prefix="em3")
    for minute in (0, 4):
        for phase, kind, value in [(p, k, 10 * minute) for p in (0, 1, 2) for k in ("total", "total_returned")]:
            if (minute, phase, kind) != (4, 2, "total"):
                hear(home, f"shellies/em3/emeter/{phase}/{kind}", str(1_000 + value), minute + phase / 60)
    assert not home.is_known_after(NOW + 3 * MINUTE)  # One phase has not spoken again.
    hear(home, "shellies/em3/emeter/2/total", "1040", 4.5)
    assert home.is_known_after(NOW + 3 * MINUTE)
    level = home.level_at(NOW + 4 * MINUTE + 40_000)
    assert level is not None
    assert level.import_uwh == pytest.approx(120 * WH, rel=0.3)
    assert level.estimated or level.interpolated


def test_a_meter_that_lacks_a_phase_has_no_register_and_says_which() -> None:
    home = meter("shelly-gen1-em", prefix="em3")
    for phase in (0, 1):
        hear(home, f"shellies/em3/emeter/{phase}/total", "5")
        hear(home, f"shellies/em3/emeter/{phase}/total_returned", "0")
    assert home.level_at(NOW + 1) is None
    assert home.missing() == ["import import-0-2", "export export-0-2"]


def test_a_group_becomes_the_family_that_its_first_values_show() -> None:
    home = meter("tasmota", prefix="house")
    hear(home, "tele/house/SENSOR", {"Time": "2026-03-02T08:00:00", "DS18B20": {"Temperature": 20}})
    assert home.map is None
    assert "tele/house/SENSOR" in home.filters()
    hear(home, "tele/house/SENSOR", plug(9.0, ImportActive=[1, 2], ExportActive=[0, 0]))
    assert home.map is not None
    assert home.map.family == "tasmota-bidirectional"


def test_a_device_that_is_another_than_was_said_is_not_read() -> None:
    home = meter("tasmota-total", prefix="house")
    hear(home, "tele/house/SENSOR", plug(9.0, ImportActive=[1, 2], ExportActive=[0, 0]))
    assert home.level_at(NOW) is None
    assert home.counts["contradiction"] == 1


def test_a_partial_update_changes_what_it_names_alone() -> None:
    home = meter("shelly-gen2-switch", prefix="plug")
    hear(home, "plug/status/switch:0", {"apower": 50, "aenergy": {"total": 500}, "ret_aenergy": {"total": 0}})
    hear(home, "plug/events/rpc", {"params": {"ts": NOW / 1000 + 60, "switch:0": {"apower": 70}}}, 1)
    assert home.power_w(NOW + MINUTE) == 70
    assert not home.is_known_after(NOW + MINUTE)
    hear(home, "plug/events/rpc", {"params": {"switch:0": {"aenergy": {"total": 502}}}}, 2)
    level = home.level_at(NOW + 2 * MINUTE)
    assert level is not None
    assert (level.import_uwh, level.export_uwh) == (2 * WH, 0)


def test_a_retained_message_is_never_stamped_with_its_arrival() -> None:
    home = meter("opendtu", prefix="solar/1")
    hear(home, "solar/1/0/yieldtotal", "465.1", retained=True)
    assert home.level_at(NOW) is None
    assert home.counts["retained"] == 1
    hear(home, "solar/1/0/yieldtotal", "465.2", 1)
    assert home.level_at(NOW + MINUTE) is not None


def test_a_retained_message_with_a_time_of_its_own_counts_at_that_time() -> None:
    home = meter("dsmr-reader-json")
    values = {"electricity_delivered_1": "1", "electricity_delivered_2": "2"}
    values |= {"electricity_returned_1": "0", "electricity_returned_2": "0"}
    values |= {"electricity_currently_delivered": "0", "electricity_currently_returned": "0"}
    hear(home, "dsmr/json", {**values, "timestamp": "2026-03-02T07:50:00Z"}, 0, retained=True)
    assert home.level_at(NOW - 10 * MINUTE) is not None
    assert home.level_at(NOW) is None  # Ten minutes old: stale.


@pytest.mark.parametrize("time", ["1970-01-01T00:10:00", "2026-03-02T07:00:00", "rubbish", 5])
def test_a_clock_that_is_wrong_does_not_move_energy(time: object) -> None:
    home = meter("tasmota-total", prefix="plug")
    hear(home, "tele/plug/SENSOR", {"Time": time, "ENERGY": {"Total": 5.0, "Power": 1}})
    hear(home, "tele/plug/SENSOR", {"Time": time, "ENERGY": {"Total": 5.1, "Power": 1}}, 4)
    level = home.level_at(NOW + 2 * MINUTE)
    assert level is not None
    assert (level.import_uwh, level.interpolated) == (50 * WH, True)


def test_a_clock_an_hour_off_with_a_zone_is_counted_and_not_used() -> None:
    home = meter("amsreader", topic="han")
    data = {"id": "x", "up": 1, "rssi": -1, "data": {"P": 1, "PO": 0, "tPI": 5.0, "tPO": 0.0}}
    hear(home, "han", {**data, "t": NOW // 1000 - 3_600})
    assert home.counts["clock-wrong"] == 1
    assert home.level_at(NOW) is not None


@pytest.mark.parametrize("payload", ["nan", "", "null", "{broken", "\x00", "-5", "true", "1e400", "[]"])
def test_rubbish_neither_raises_nor_counts(payload: str) -> None:
    home = meter("sml2mqtt", prefix="sml2mqtt/cellar")
    hear(home, "sml2mqtt/cellar/energy_total", "1000")
    hear(home, "sml2mqtt/cellar/energy_total", payload, 1)
    level = home.level_at(NOW)
    assert level is not None
    assert level.import_uwh == 0
    assert home.is_known_after(NOW)
    assert not home.is_known_after(NOW + 1)


def test_a_swapped_meter_is_an_event_until_it_is_booked() -> None:
    home = meter("sml2mqtt", prefix="m")
    for minute, value in enumerate(["9000000", "9000050", "500000", "500050", "500100"]):
        hear(home, "m/energy_total", value, minute)
    level = home.level_at(NOW + 4 * MINUTE)
    assert level is not None
    assert level.events == {Outcome.SWAPPED}
    home.forget_before(NOW + 4 * MINUTE)
    assert home.level_at(NOW + 4 * MINUTE).events == set()  # type: ignore[union-attr]  # known as above


def test_a_meter_that_says_it_was_reset_is_believed() -> None:
    home = meter("tasmota-total", prefix="plug")
    hear(home, "tele/plug/SENSOR", plug(1_066.0))
    hear(home, "stat/plug/RESULT", {"EnergyTotal": {"Total": 0, "Yesterday": 0, "Today": 0}}, 1)
    hear(home, "tele/plug/SENSOR", plug(0.05), 2)
    level = home.level_at(NOW + 2 * MINUTE)
    assert level is not None
    assert level.import_uwh == 50 * WH
    assert level.events == {Outcome.RESET}


def test_a_meter_with_power_alone_is_integrated_and_says_so() -> None:
    home = meter("esphome", prefix="x", parameters={"power": "grid_power"})
    for minute, power in [(0, "1200"), (4, "1200"), (5, "nan"), (8, "-1200")]:
        hear(home, "x/sensor/grid_power/state", power, minute)
    level = home.level_at(NOW + 4 * MINUTE)
    assert level is not None
    assert level.integrated
    assert level.import_uwh == pytest.approx(80 * WH)
    assert level.export_uwh == 0


def test_an_inverter_that_is_off_stands_still_and_any_other_meter_is_unknown() -> None:
    inverter = meter("opendtu", prefix="solar/1")
    hear(inverter, "solar/1/0/yieldtotal", "10")
    hear(inverter, "solar/1/status/reachable", "0", 1, retained=True)
    assert inverter.level_at(NOW + 400 * MINUTE) is not None
    plug_meter = meter("tasmota-total", prefix="plug")
    hear(plug_meter, "tele/plug/SENSOR", plug(5.0))
    hear(plug_meter, "tele/plug/LWT", "Offline", 1, retained=True)
    assert plug_meter.available is False
    assert plug_meter.level_at(NOW + 400 * MINUTE) is None


def test_devices_that_are_silent_unless_asked_are_asked() -> None:
    victron = meter("victron-grid", prefix="N/abc/grid/30")
    assert victron.commands(NOW) == [("R/abc/keepalive", b"")]
    assert victron.commands(NOW + 49_000) == []
    assert victron.commands(NOW + 50_000) == [("R/abc/keepalive", b"")]
    tasmota = meter("tasmota-total", prefix="plug")
    assert tasmota.commands(NOW) == [("cmnd/plug/Status", b"8")]
    assert tasmota.commands(NOW + 1) == []
    assert tasmota.commands(NOW + 2, at_period_end=True) == [("cmnd/plug/Status", b"8")]


def test_a_sparkplug_meter_asks_for_a_birth_when_it_comes_late() -> None:
    home = meter("sparkplug-b", topic="spBv1.0/s/+/e/m", **{"import": {"path": "metrics.kWh", "unit": "kWh"}})
    metric = b"\x10\x05\x20\x0a\x69" + b"\0" * 8
    home.hear("spBv1.0/s/DDATA/e/m", b"\x12" + bytes([len(metric)]) + metric, False, NOW)
    assert [topic for topic, _ in home.commands(NOW)] == ["spBv1.0/s/NCMD/e"]
    assert home.commands(NOW + 1) == []


def test_home_assistant_s_announcement_says_topic_path_and_unit() -> None:
    config = "homeassistant/sensor/house/config"
    home = meter("ha-discovery", **{"import": {"discovery": config}})
    assert home.filters() == (config,)
    assert home.missing() == ["import import-announced-0", f"announcement {config}"]
    announced = {"~": "house", "stat_t": "~/energy", "val_tpl": "{{ value_json['total'] | float }}"}
    announced |= {"unit_of_meas": "MWh", "dev_cla": "energy", "stat_cla": "total_increasing"}
    hear(home, config, announced, retained=True)
    assert home.filters() == ("house/energy", config)
    hear(home, "house/energy", {"total": 1.5})
    hear(home, "house/energy", {"total": 1.5001}, 4)
    level = home.level_at(NOW + 4 * MINUTE)
    assert level is not None
    assert level.import_uwh == 100 * WH


@pytest.mark.parametrize(
    ("template", "read"),
    [
        ("{{ value }}", ("", 1.0)),
        ("{{ value | float(0) }}", ("", 1.0)),
        ("{{ value_json.a.b }}", ("a.b", 1.0)),
        ("{{value_json['ENERGY']['Total']}}", ("ENERGY.Total", 1.0)),
        ('{{ value_json["switch:0"].energy | round(2) }}', ('"switch:0".energy', 1.0)),
        ("{{ (value_json.w | float) / 1000 }}", ("w", 0.001)),
        ("{{ value_json.w | float * 1000 }}", ("w", 1000.0)),
        ("{{ value_json[0] }}", ("0", 1.0)),
        ("{{ states('sensor.x') }}", None),
        ("{% if value_json.a %}1{% endif %}", None),
        ("{{ value_json.a + value_json.b }}", None),
        ("{{ value_json }}", None),
    ],
)
def test_templates_are_read_when_they_only_follow_a_path(template: str, read: tuple[str, float] | None) -> None:
    assert read_template(template) == (read if read is None else (read[0], pytest.approx(read[1])))


def test_announcements_that_are_no_registers_say_why() -> None:
    base = {"state_topic": "a", "device_class": "energy", "unit_of_measurement": "kWh"}
    (no_register,) = announced_sensors("c", base)
    assert "no register" in no_register.problem
    (no_unit,) = announced_sensors("c", {**base, "unit_of_measurement": " ", "state_class": "total"})
    assert "unit" in no_unit.problem
    assert announced_sensors("c", {"state_topic": "a", "device_class": "voltage"}) == []
    device = {"dev": {"name": "House"}, "cmps": {"e": {"p": "sensor", **base, "state_class": "total"}}}
    (inside,) = announced_sensors("homeassistant/device/h/config", device)
    assert (inside.config_topic, inside.problem) == ("homeassistant/device/h/config#e", "")


def test_state_is_saved_and_restored_as_a_whole() -> None:
    home = meter("tasmota", prefix="plug")
    hear(home, "tele/plug/SENSOR", plug(5.0))
    hear(home, "tele/plug/SENSOR", plug(5.1), 4)
    again = meter("tasmota", prefix="plug")
    again.restore(json.loads(json.dumps(home.to_state())))
    assert again.to_state() == home.to_state()
    assert again.map == home.map
    with pytest.raises(StateError, match="meter-ann"):
        again.restore({"family": None, "tracks": {"x": {}}, "integrated": None, "power": None})


def test_a_meter_without_its_prefix_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(MeterConfigError, match="prefix"):
        meter("opendtu").filters()
