"""Finding meters: what is recognised is said with its prefix, what is not is counted and left alone."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from test_sparkplug import metric, payload

from agents.meter_pages import found_rows, found_toml
from devices.discovery import Discovery
from devices.meter_families import FamilyBook

OWN = Path(__file__).parents[1] / "meter_messages.jsonl"


def heard(*messages: tuple[str, str]) -> Discovery:
    discovery = Discovery(FamilyBook.load())
    for topic, text in messages:
        discovery.hear(topic, text.encode())
    return discovery


def test_every_family_with_a_prefix_is_found_by_it() -> None:
    discovery = Discovery(FamilyBook.load())
    for line in OWN.read_text(encoding="utf-8").splitlines():
        value = json.loads(line)
        if "payload" in value and value["topic"]:
            discovery.hear(value["topic"], value["payload"].encode())
    found = {(meter.family.name, meter.prefix) for meter in discovery.readable()}
    assert {
        ("tasmota-total", "boiler"),
        ("shelly-gen1-em", "shellyem3-0A1B2C3D4E5F"),
        ("shelly-gen2-em", "house-meter"),
        ("zigbee2mqtt-plug", "washing machine"),
        ("opendtu", "solar/114180012345"),
        ("victron-grid", "N/c0619ab12345/grid/30"),
        ("dsmr-reader", "dsmr/reading"),
        ("sma-em", "SMA-EM/status/1900203015"),
    } <= found
    assert ("amsreader", None) in found
    tomllib.loads(found_toml(discovery, "mqtt://me@home"))
    assert discovery.unknown == {"weather/station": 1, "han/kitchen": 1}


def test_channels_are_those_that_were_heard() -> None:
    discovery = heard(("shellies/em/emeter/0/total", "1"), ("shellies/em/emeter/1/total", "2"))
    (meter,) = tomllib.loads(found_toml(discovery, "mqtt://home"))["meter"]
    assert meter["channels"] == [0, 1]
    assert meter["prefix"] == "em"


def test_an_announced_sensor_s_direction_is_left_to_its_owner() -> None:
    config = {"device_class": "energy", "state_class": "total", "unit_of_measurement": "kWh", "state_topic": "a"}
    discovery = heard(("homeassistant/sensor/x/config", json.dumps(config)))
    page = found_toml(discovery, "mqtt://home")
    assert '# import or export = { discovery = "homeassistant/sensor/x/config" }' in page
    assert "import" not in tomllib.loads(page)["meter"][0]


def test_the_market_s_own_results_are_no_meter() -> None:
    config = {"device_class": "energy", "state_class": "total", "unit_of_measurement": "kWh"}
    config |= {"state_topic": "gridbazaar/ann/state", "value_template": "{{ value_json.sold }}"}
    discovery = heard(
        ("homeassistant/sensor/gridbazaar_ann/sold/config", json.dumps(config)), ("gridbazaar/ann/state", "{}")
    )
    assert found_rows(discovery) == []
    assert discovery.unknown == {}


def test_homie_s_units_and_sparkplug_s_names_are_shown() -> None:
    discovery = heard(("homie/house/meter/energy/$unit", "kWh"))
    discovery.hear("spBv1.0/street/DBIRTH/e/m", payload(metric("Energy/Import", 5, 1.0, unit="kWh")))
    page = found_toml(discovery, "mqtt://home")
    assert 'topic = "homie/house/meter/energy"' in page
    assert 'topic = "spBv1.0/street/+/e/m"' in page


def test_silent_devices_are_asked_once() -> None:
    discovery = heard()
    assert discovery.questions("N/abc/system/0/Serial", 0) == [("R/abc/keepalive", b"")]
    assert discovery.questions("N/abc/system/0/Serial", 0) == []
    discovery.hear("spBv1.0/street/DDATA/e/m", payload(metric(alias=5, double=1.0)))
    (question,) = discovery.questions("spBv1.0/street/DDATA/e/m", 0)
    assert question[0] == "spBv1.0/street/NCMD/e"
