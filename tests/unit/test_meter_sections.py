"""`[[meter]]` in a scenario: what it may say, and what must fit the rest of the file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from agents.deployment_builder import build_deployment, key_names
from agents.devices_process import hosted_sites
from agents.key_ring import SimulatedKeys
from agents.population import populate
from agents.scenario import Scenario, ScenarioError
from mosquitto.errors import BrokerError

ROOT = Path(__file__).parents[2]
METER = {"participant": "ann", "family": "shelly-gen2-em", "broker": "mqtt://me@home", "prefix": "house"}


def values(meter: dict[str, Any] | None = None, **market: Any) -> dict[str, Any]:
    return {
        "scenario": {"name": "street"},
        "market": {"pace": "live", "period_minutes": 1, **market},
        "region": [{"name": "north"}, {"name": "south"}],
        "homes": [{"name": "home", "region": "south", "count": 2, "with_pv": 1, "with_battery": 1}],
        "participant": [{"name": "ann", "role": "consumer", "region": "north", "annual_kwh": 3_000.0}],
        "meter": [METER if meter is None else meter],
    }


def test_a_real_meter_stands_in_the_place_of_a_simulated_one() -> None:
    scenario = Scenario.from_values(values({**METER, "max_power_w": 12_000}))
    population = populate(scenario)
    keys = SimulatedKeys(1)
    assert "gateway" in key_names(scenario, population)
    deployment = build_deployment(scenario, population, keys, [], 0)
    # Nobody is simulated in the north, so nothing is started there.
    assert [host.name for host in deployment.hosts] == ["agents", "devices-south", "gateway"]
    ann = deployment.participant("ann")
    assert ann is not None
    assert ann.devices == ()
    assert ann.meters[0].public_key == keys.key("meter-ann").public
    assert "ann" not in {site.config.name for site in hosted_sites(population, keys)}
    participant = next(one for one in population.participants if one.name == "ann")
    assert participant.max_import_wh(0.25) == participant.max_export_wh(0.25) == 3_151


def test_a_scenario_with_a_meter_reads_the_same_after_it_was_written() -> None:
    meter = {**METER, "family": "generic", "parameters": {"a": "b"}}
    meter |= {"import": [{"topic": "x", "unit": "kWh"}], "power": {"topic": "y", "unit": "W", "path": 'a."b.c"'}}
    scenario = Scenario.from_values(values(meter))
    assert Scenario.parse(scenario.to_toml()) == scenario


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"participant": "bob"}, r'meter\[0\].participant = "bob": no such participant'),
        ({"participant": "home-01"}, "has a battery, which nobody steers"),
        ({"family": "abacus"}, r"meter\[0\]: family 'abacus' is unknown; expected one of"),
        ({"broker": "home"}, "broker address 'home' not understood"),
        ({"broker": "mqtt://me:secret@home"}, "a broker address holds no password"),
        ({"prefix": None}, "expected prefix or topic"),
        ({"family": "generic"}, "says nothing by itself"),
        ({"stale_after": 0}, r"meter\[0\].stale_after = 0"),
        ({"colour": "red"}, "unknown key"),
        ({"import": {"topic": "a"}}, "without unit is not billed"),
        ({"import": {"topic": "a", "unit": "kWh", "colour": "red"}}, "colour: unknown key"),
        ({"families": "/nowhere.toml"}, "/nowhere.toml: cannot be read"),
        ({"password_file": "a", "password_variable": "b"}, "expected one of them"),
        ({"key_file": "a"}, "key_file without certificate_file"),
    ],
)
def test_a_meter_that_cannot_be_read_is_named_before_anything_starts(change: dict[str, Any], words: str) -> None:
    meter = {key: value for key, value in {**METER, **change}.items() if value is not None}
    with pytest.raises(ScenarioError, match=words) as caught:
        Scenario.from_values(values(meter))
    assert "secret" not in str(caught.value)


def test_a_real_meter_needs_the_wall_clock() -> None:
    with pytest.raises(ScenarioError, match="a real meter lives on the wall clock"):
        Scenario.from_values(values(pace="lockstep"))


def test_a_participant_has_one_meter() -> None:
    twice = values()
    twice["meter"] = [METER, METER]
    with pytest.raises(ScenarioError, match="has two meters"):
        Scenario.from_values(twice)


def test_passwords_come_from_a_file_or_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("hush\n")
    by_file = Scenario.from_values(values({**METER, "password_file": str(path)})).meters[0].access({})
    by_variable = Scenario.from_values(values({**METER, "password_variable": "P"})).meters[0].access({"P": "hush"})
    assert by_file.password == by_variable.password == "hush"
    assert "hush" not in repr(by_file)
    with pytest.raises(BrokerError, match="'P', which is not set"):
        Scenario.from_values(values({**METER, "password_variable": "P"})).meters[0].access({})
    with pytest.raises(BrokerError, match="cannot be read"):
        Scenario.from_values(values({**METER, "password_file": "/nowhere"})).meters[0].access({})


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.toml")), ids=lambda path: path.name)
def test_every_scenario_of_the_project_can_be_run(path: Path) -> None:
    assert Scenario.load(path).market.periods > 0
    assert tomllib.loads(path.read_text(encoding="utf-8"))
