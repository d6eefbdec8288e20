"""Real meters in a live market: a home broker, a program that speaks every family, a gateway, four nodes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from meter_program import MeterProgram, SpeakingMeter, every_meter
from run_harness import LiveRun, assert_audit_is_green, gridbazaar, live_run, wait_until

from agents.scenario_text import to_toml
from mosquitto.broker import BrokerProcess

PERIODS = 8
PERIOD_S = 5.0
STALE_S = 30

pytestmark = pytest.mark.e2e


def scenario_text(meters: dict[str, SpeakingMeter], broker: str) -> str:
    people = [
        {"name": name, "role": "consumer", "region": "street", "annual_kwh": 4_000.0} for name in sorted(meters)
    ]
    rows = [
        {
            "participant": name,
            "family": meter.family,
            "broker": broker,
            "stale_after": STALE_S,
            "max_power_w": 43_000,
            **meter.settings,
        }
        for name, meter in sorted(meters.items())
    ]
    return to_toml(
        {
            "scenario": {"name": "real-street", "seed": 5},
            "market": {
                "period_minutes": 1,
                "periods": PERIODS,
                "pace": "scaled",
                "time_factor": 60 / PERIOD_S,
            },
            "region": [{"name": "street"}],
            "homes": [{"name": "neighbour", "region": "street", "count": 3, "with_pv": 2}],
            "participant": people,
            "meter": rows,
        }
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[BrokerProcess]:
    """The home's own broker, apart from the market's."""
    with BrokerProcess(tmp_path / "home-broker") as process:
        yield process


@pytest.fixture
def program(home: BrokerProcess) -> Iterator[MeterProgram]:
    running = MeterProgram(home.address, every_meter(time.time()))
    yield running
    running.close()


def metered(run: LiveRun, name: str) -> dict[int, tuple[int, bool]]:
    """What each period settled for a participant: metered Wh, and whether by estimate."""
    rows = [row for row in run.rows("settlements") if row["account"] == name]
    return {
        int(row["period"]): (int(row["metered_wh"]), row["estimated"] not in ("0", "False", "")) for row in rows
    }


def test_meters_of_every_family_settle_every_period_to_the_watt_hour(
    tmp_path: Path, home: BrokerProcess, program: MeterProgram
) -> None:
    path = tmp_path / "real-street.toml"
    path.write_text(scenario_text(program.meters, str(home.address)), encoding="utf-8")
    with live_run(tmp_path / "run", scenario=path) as run:
        ended = run.finish()
        assert ended.code == 0, ended.errors
        assert ended.result["periods_settled"] == PERIODS
        for name, meter in program.meters.items():
            periods = metered(run, name)
            assert len(periods) == PERIODS, name
            expected_wh = -meter.course.power_w * PERIOD_S / 3_600
            for period, (wh, is_estimate) in periods.items():
                assert not is_estimate, (name, period)
                assert wh == pytest.approx(expected_wh, abs=4), (name, period)
            total_wh = sum(wh for wh, _ in periods.values())
            assert total_wh == pytest.approx(expected_wh * PERIODS, abs=4), name
        assert_audit_is_green(run.folder.path)
    # What came of it stands on the home's own broker, for a dashboard to find.
    state = json.loads(program.heard["gridbazaar/dsmr-reader/state"])
    assert state["period"] == PERIODS - 1
    assert state["price"] > 0
    assert "homeassistant/sensor/gridbazaar_dsmr-reader/earned/config" in program.heard


def test_a_killed_gateway_and_a_restarted_home_broker_lose_no_energy_and_book_none_twice(
    tmp_path: Path, home: BrokerProcess, program: MeterProgram
) -> None:
    path = tmp_path / "real-street.toml"
    path.write_text(scenario_text(program.meters, str(home.address)), encoding="utf-8")
    with live_run(tmp_path / "run", scenario=path) as run:
        run.wait_settled(2)
        run.kill("gateway")
        run.wait_settled(4)
        home.restart()
        ended = run.finish()
        assert ended.code == 0, ended.errors
        assert ended.result["periods_settled"] == PERIODS
        for name, meter in program.meters.items():
            periods = metered(run, name)
            last, is_estimate = periods[PERIODS - 1]
            assert not is_estimate, (name, last)
            expected_wh = -meter.course.power_w * PERIOD_S / 3_600 * PERIODS
            rows = [row for row in run.rows("settlements") if row["account"] == name]
            # Registers, not settled energy: an estimate is made good by the next reading's imbalance.
            measured_wh = sum(int(row["export_wh"]) - int(row["import_wh"]) for row in rows)
            assert measured_wh == pytest.approx(expected_wh, abs=6), name
        assert_audit_is_green(run.folder.path)


def test_meters_discover_finds_them_and_prints_what_to_paste(home: BrokerProcess, program: MeterProgram) -> None:
    wait_until(lambda: "dsmr/reading/electricity_delivered_1" in program.heard, "the first messages")
    found = gridbazaar("meters", "discover", str(home.address), "--seconds", "3", "--json")
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    families = {row["family"] for row in answer["meters"]}
    assert {"tasmota-total", "tasmota-bidirectional", "shelly-gen1-em", "shelly-gen2-em", "opendtu"} <= families
    assert {"zigbee2mqtt-plug", "dsmr-reader", "victron-grid", "sml2mqtt", "amsreader", "ha-discovery"} <= families
    assert 'prefix = "solar/114180012345"' in answer["toml"]
    assert "channels = [0, 1, 2]" in answer["toml"]
    assert "homeassistant/sensor/e11/a/config" in answer["toml"]
    # An announced state is read by its announcement, and broken JSON by nobody.
    assert answer["unknown"].keys() <= {"esp/e11", "han/kitchen"}
