"""Messages of every family of meters: recognised, read in the right unit and direction, or left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devices.errors import MeterConfigError
from devices.message_check import check_message
from devices.meter_families import FamilyBook, expand, settings_of
from devices.meter_map import Quantity

OWN = Path(__file__).parents[1] / "meter_messages.jsonl"
GENUINE = Path(__file__).parents[3] / "shared" / "data" / "meter_samples.jsonl"
BOOK = FamilyBook.load()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def payload_of(line: dict[str, Any]) -> bytes | str:
    return bytes.fromhex(line["payload_hex"]) if "payload_hex" in line else str(line["payload"])


@pytest.mark.parametrize("line", lines(OWN), ids=lambda line: f"{line['family']} {line['topic']}")
def test_a_message_of_a_known_family_means_what_its_maker_says(line: dict[str, Any]) -> None:
    expected = line["expected"]
    named = None if line["family"] == "unknown" else line["family"]
    check = check_message(BOOK, line["topic"], payload_of(line), named)
    assert check.to_json() == {"family": check.family, **expected}
    if line.get("recognised", True):
        assert check_message(BOOK, line["topic"], payload_of(line)) == check
        table = BOOK.tables[line["family"]]
        assert check.family in (table.name, table.group)


def test_every_family_has_a_message_of_its_own() -> None:
    assert {line["family"] for line in lines(OWN)} - {"unknown"} == set(BOOK.names()) - {"generic"}


@pytest.mark.skipif(not GENUINE.exists(), reason="the collected messages are not part of the project")
@pytest.mark.parametrize("named", [True, False], ids=["named", "recognised"])
@pytest.mark.parametrize("line", lines(GENUINE), ids=lambda line: f"{line['family']} {line['topic']}")
def test_a_genuine_message_means_what_is_known_of_it(line: dict[str, Any], named: bool) -> None:
    check = check_message(BOOK, line["topic"], line["payload"], line["family"] if named else None)
    expected = line["expected"]
    for got, key, factor in (
        (check.power_w, "power_w", 1),
        (check.import_wh, "import_kwh", 1_000),
        (check.export_wh, "export_kwh", 1_000),
    ):
        if expected[key] is None:
            assert got is None
        else:
            assert got == pytest.approx(expected[key] * factor)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("weather/rain", "3.5"),
        (None, '{"power": 3}'),
        (None, '{"energy": 12}'),
        (None, "17"),
        ("a/b", "[1, 2]"),
        ("shellies/x", "1"),
        ("zigbee2mqtt/lamp", '{"linkquality": 3, "state": "ON"}'),
        # Fits two families at once, so it is neither.
        ("x", '{"linkquality": 3, "energy": 1, "TIC": {"PAPP": 1}}'),
    ],
)
def test_what_is_unsure_is_unknown_and_gives_no_number(topic: str | None, payload: str) -> None:
    check = check_message(BOOK, topic, payload)
    assert (check.family, check.quality) == ("unknown", "unknown")
    assert (check.power_w, check.import_wh, check.export_wh) == (None, None, None)


@pytest.mark.parametrize("payload", ["nan", "", "null", "unavailable", " NaN "])
def test_no_value_is_never_zero(payload: str) -> None:
    check = check_message(BOOK, "shellies/shellyem-1/emeter/0/total", payload)
    assert (check.import_wh, check.quality) == (None, "no-value")


@pytest.mark.parametrize("payload", ["1,234.5", "12 kWh", "true", "1e300", "-5", '"x"', "0x10"])
def test_what_is_no_register_is_refused(payload: str) -> None:
    check = check_message(BOOK, "shellies/shellyem-1/emeter/0/total", payload)
    assert check.import_wh is None
    assert "invalid" in check.quality


def test_a_sum_that_lacks_a_phase_is_no_sum() -> None:
    payload = json.dumps({"ENERGY": {"Total": [1.0, None, 3.0], "Power": [5, 6, 7]}})
    check = check_message(BOOK, "tele/rail/SENSOR", payload)
    assert check.import_wh is None
    assert check.power_w == 18


def test_a_group_stands_for_its_families_and_a_longer_name_for_its_beginning() -> None:
    assert {table.group for table in BOOK.members("shelly-gen2")} == {"shelly-gen2"}
    assert BOOK.members("victron-pvinverter")[0].name == "victron-pvinverter"
    assert [table.name for table in BOOK.members("zigbee2mqtt-plug-with-a-hat")] == ["zigbee2mqtt-plug"]
    with pytest.raises(MeterConfigError, match="expected one of ahoydtu, amsreader"):
        BOOK.members("abacus")


def test_a_family_expands_to_topics_with_prefix_and_channels() -> None:
    table = BOOK.tables["shelly-gen1-em"]
    meter = expand(table, settings_of({"prefix": "shellyem3-1", "channels": [0, 2]}))
    topics = {source.topic for part in meter.of(Quantity.IMPORT) for source in part.sources}
    assert topics == {"shellies/shellyem3-1/emeter/0/total", "shellies/shellyem3-1/emeter/2/total"}
    assert "shellies/shellyem3-1/online" in meter.filters()


def test_a_family_without_its_prefix_cannot_be_subscribed_to() -> None:
    with pytest.raises(MeterConfigError, match="expected prefix or topic"):
        expand(BOOK.tables["opendtu"], settings_of({})).filters()


def test_generic_reads_what_the_scenario_says() -> None:
    settings = settings_of(
        {
            "import": [
                {"topic": "house/t1", "unit": "kWh"},
                {"topic": "house/t2", "path": "total.value", "unit": "MWh"},
            ],
            "power": {"topic": "house/p", "unit": "kW", "positive": "export"},
        }
    )
    meter = expand(BOOK.tables["generic"], settings)
    assert meter.filters() == ("house/t1", "house/t2", "house/p")
    assert [part.factor for part in meter.parts] == [1e3, 1e6, -1e3]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"import": {"topic": "a"}}, "without unit"),
        ({"import": {"topic": "a", "unit": "kWh", "pattern": "("}}, "pattern|parenthesis"),
        ({"import": {"topic": "a", "unit": "kWh", "pattern": "a"}}, "0 groups"),
        ({"import": {"topic": "a", "unit": "kWh", "path": "a +"}}, "ends in the middle"),
        ({"import": {"topic": "a", "unit": "kWh", "positive": "up"}}, "positive"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_cannot_be_used_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(MeterConfigError, match=words):
        settings_of(values)


def test_a_unit_that_is_none_is_refused() -> None:
    with pytest.raises(MeterConfigError, match="expected one of Wh, kWh"):
        expand(BOOK.tables["generic"], settings_of({"import": {"topic": "a", "unit": "m3"}}))


def test_users_add_families_in_a_file_and_are_told_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[family]]\nname = "attic"\ntitle = "Mine"\ntopics = ["attic/{prefix}"]\n'
        'recognise = [{ has = ["attic_wh"] }]\nimport = [{ path = "attic_wh", unit = "Wh" }]\n'
    )
    book = FamilyBook.load(path)
    assert check_message(book, "attic/one", '{"attic_wh": 5}').import_wh == 5
    path.write_text('[[family]]\nname = "attic"\ntitle = "Mine"\nimport = [{ path = "x", unit = "apples" }]\n')
    with pytest.raises(MeterConfigError, match=r"mine.toml: family\[0\]: import.unit = 'apples'"):
        FamilyBook.load(path)
    path.write_text('[[family]]\nname = "generic"\ntitle = "Again"\n')
    with pytest.raises(MeterConfigError, match="'generic' stands twice"):
        FamilyBook.load(path)
