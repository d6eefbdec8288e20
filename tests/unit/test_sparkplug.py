"""Sparkplug B: names come at birth, values by alias, and who comes late asks for a birth."""

from __future__ import annotations

import struct

import pytest

from devices.meter_paths import InvalidValue, number_at
from devices.sparkplug import SparkplugReader, decode_payload, rebirth_command


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, wire: int, data: bytes) -> bytes:
    return varint(number << 3 | wire) + (varint(len(data)) + data if wire == 2 else data)


def metric(
    name: str | None = None,
    alias: int | None = None,
    double: float | None = None,
    integer: tuple[int, int] | None = None,
    unit: str | None = None,
    null: bool = False,
) -> bytes:
    data = b"" if name is None else field(1, 2, name.encode())
    data += b"" if alias is None else field(2, 0, varint(alias))
    if integer is not None:
        data += field(4, 0, varint(integer[0])) + field(10, 0, varint(integer[1]))
    if double is not None:
        data += field(4, 0, varint(10)) + field(13, 1, struct.pack("<d", double))
    if null:
        data += field(7, 0, b"\1")
    if unit is not None:
        value = field(1, 0, varint(12)) + field(8, 2, unit.encode())
        data += field(9, 2, field(1, 2, b"engUnit") + field(2, 2, value))
    return data


def payload(*metrics: bytes, timestamp_ms: int = 1_772_438_400_000) -> bytes:
    return field(1, 0, varint(timestamp_ms)) + b"".join(field(2, 2, one) for one in metrics) + field(3, 0, b"\1")


def test_data_by_alias_gets_the_name_of_the_birth() -> None:
    reader = SparkplugReader()
    reader.read("spBv1.0/street/DBIRTH/edge/meter", payload(metric("Energy/Import", 5, 12.5, unit="kWh")))
    document = reader.read("spBv1.0/street/DDATA/edge/meter", payload(metric(alias=5, double=13.25)))
    assert number_at(document, 'metrics."Energy/Import"') == 13.25
    assert reader.units == {"Energy/Import": "kWh"}
    assert reader.unnamed == 0


def test_an_alias_that_was_never_introduced_is_counted_and_not_guessed() -> None:
    reader = SparkplugReader()
    document = reader.read("spBv1.0/street/DDATA/edge/meter", payload(metric(alias=5, double=13.25)))
    assert document == {"timestamp": 1_772_438_400_000, "historical": False, "metrics": {}}
    assert reader.unnamed == 1


def test_a_node_s_birth_introduces_everything_anew() -> None:
    reader = SparkplugReader()
    reader.read("spBv1.0/street/DBIRTH/edge/meter", payload(metric("old", 5, 1.0)))
    reader.read("spBv1.0/street/NBIRTH/edge", payload(metric("bdSeq", 0, integer=(8, 1))))
    reader.read("spBv1.0/street/DDATA/edge/meter", payload(metric(alias=5, double=2.0)))
    assert reader.unnamed == 1


@pytest.mark.parametrize(
    ("kind", "wire", "value"), [(2, 0xFFFF, -1), (3, 5, 5), (1, 0x80, -128), (7, 0xFFFF, 65535)]
)
def test_signed_integers_are_two_s_complement_of_their_width(kind: int, wire: int, value: int) -> None:
    assert decode_payload(payload(metric("x", integer=(kind, wire)))).metrics[0].value == value


def test_a_null_metric_has_no_value() -> None:
    assert decode_payload(payload(metric("x", double=4.0, null=True))).metrics[0].value is None


def test_a_value_of_the_wrong_wire_type_is_invalid() -> None:
    wrong = field(1, 2, b"x") + field(13, 2, b"1234")
    with pytest.raises(InvalidValue):
        decode_payload(payload(wrong))


def test_a_rebirth_is_asked_of_the_edge_node() -> None:
    command = rebirth_command("spBv1.0/street/+/edge/meter", 1_772_438_400_000)
    assert command is not None
    topic, data = command
    assert topic == "spBv1.0/street/NCMD/edge"
    assert decode_payload(data).timestamp_ms == 1_772_438_400_000
    assert rebirth_command("spBv1.0/+/+/edge", 0) is None
    assert rebirth_command("house/meter", 0) is None
