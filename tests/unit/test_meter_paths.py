"""The path language."""

from __future__ import annotations

import pytest

from devices.errors import MeterConfigError
from devices.meter_paths import InvalidValue, Json, has_path, number_at, read_payload

DOCUMENT: Json = {
    "ENERGY": {"Total": [1.5, 2.5], "Power": {"L1": 1, "L2": 2}, "null": None},
    "switch:0": {"a.b": 7},
    "": {"in": 9},
    "text": "12.5",
    "one": {"x": 1},
    "two": {"x": 2},
}


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("ENERGY.Total.1", 2.5),
        ("sum(ENERGY.Total)", 4.0),
        ("sum(ENERGY.Power)", 3.0),
        ("sum(text)", 12.5),
        ("ENERGY.Total.0 + ENERGY.Total.1", 4.0),
        ("ENERGY.Total.1 - ENERGY.Total.0", 1.0),
        ("missing | text", 12.5),
        ("ENERGY.null | text", None),  # It is there and says nothing.
        ("missing", None),
        ("ENERGY.Total.0 + missing", None),
        ('"switch:0"."a.b"', 7.0),
        ('switch:0."a.b"', 7.0),
        ('"".in', 9.0),
        ("*.in", 9.0),
        ("ENERGY.Total.7", None),
    ],
)
def test_a_path_finds_its_number(path: str, number: float | None) -> None:
    assert number_at(DOCUMENT, path) == number


@pytest.mark.parametrize("path", ["*.x", "ENERGY", "ENERGY.Total"])
def test_what_is_not_one_number_is_invalid(path: str) -> None:
    with pytest.raises(InvalidValue):
        number_at(DOCUMENT, path)


@pytest.mark.parametrize("path", ["a |", "| a", "a + + b", "a b", "sum(", "+"])
def test_a_path_that_cannot_be_read_is_a_mistake_of_the_configuration(path: str) -> None:
    with pytest.raises(MeterConfigError, match="path"):
        number_at(DOCUMENT, path)


def test_a_path_is_there_when_one_alternative_is() -> None:
    assert has_path(DOCUMENT, "a | ENERGY.null")
    assert not has_path(DOCUMENT, "a | ENERGY.Total + b")


@pytest.mark.parametrize(
    "payload", [b"\xff\xfe", "{", "[" * 100_000, b" " * 300_000, '{"a": ' + "9" * 5_000 + "}"]
)
def test_a_payload_that_cannot_be_read_is_invalid(payload: bytes | str) -> None:
    with pytest.raises(InvalidValue):
        read_payload(payload)


def test_json_s_not_a_number_is_no_value() -> None:
    assert number_at(read_payload('{"a": NaN}'), "a") is None
    with pytest.raises(InvalidValue):
        number_at(read_payload('{"a": Infinity}'), "a")
