"""Sparkplug B payloads: the protobuf wire format by hand, names and aliases, and the request for a rebirth.

Only what readings need is decoded: metrics with their name or alias, time, type and plain value (Eclipse
Sparkplug 3.0, section 6.4). Data sets and templates are skipped. Names come in birth messages alone; a metric
whose alias was never introduced is counted in `unnamed`, which is the sign to ask for a rebirth.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from devices.meter_paths import MESSAGE_BYTES_MAX, InvalidValue, Json

METRICS_MAX: Final = 10_000
REBIRTH_METRIC: Final = "Node Control/Rebirth"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGNED_BITS: Final = {1: 8, 2: 16, 3: 32, 4: 64}
_BOOLEAN: Final = 11

_Field = tuple[int, int | bytes]
"""Field number and value: an integer, or the bytes of a fixed or length-delimited field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of a message. `value` None: null, or of a kind that no meter uses. `unit`: engUnit, if told."""

    name: str | None
    alias: int | None
    timestamp_ms: int | None
    value: float | str | bool | None
    is_historical: bool
    unit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A Sparkplug payload."""

    timestamp_ms: int | None
    sequence: int | None
    metrics: tuple[Metric, ...]


def decode_payload(data: bytes) -> Payload:
    """Decode a payload. Raises InvalidValue, and nothing else, for bytes that are none."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise InvalidValue("a message beyond the size limit")
    timestamp: int | None = None
    sequence: int | None = None
    metrics: list[Metric] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            timestamp = value
        elif number == 3 and isinstance(value, int):
            sequence = value
        elif number == 2 and isinstance(value, bytes):
            if len(metrics) >= METRICS_MAX:
                raise InvalidValue(f"more than {METRICS_MAX} metrics")
            metrics.append(_metric(value))
    return Payload(timestamp_ms=timestamp, sequence=sequence, metrics=tuple(metrics))


class SparkplugReader:
    """Turns the messages of one edge node into documents `{"timestamp", "historical", "metrics"}`.

    It remembers the aliases of births. `unnamed` counts metrics that could not be named.
    """

    def __init__(self) -> None:
        self.unnamed = 0
        self.units: dict[str, str] = {}
        self._names: dict[int, str] = {}

    def read(self, topic: str, data: bytes) -> Json:
        """The document of a birth or data message; None for other types. Raises InvalidValue for rubbish."""
        levels = topic.split("/")
        kind = levels[2] if len(levels) > 3 else ""
        if kind not in ("NBIRTH", "DBIRTH", "NDATA", "DDATA"):
            return None
        payload = decode_payload(data)
        if kind == "NBIRTH":
            self._names.clear()  # Everything is introduced anew.
        values: dict[str, Json] = {}
        moment_ms = payload.timestamp_ms
        for metric in payload.metrics:
            name = self._name(metric)
            if name is None:
                self.unnamed += 1
                continue
            if metric.unit is not None:
                self.units[name] = metric.unit
            values[name] = metric.value
            if metric.timestamp_ms is not None:
                moment_ms = metric.timestamp_ms
        is_historical = bool(payload.metrics) and all(metric.is_historical for metric in payload.metrics)
        return {"timestamp": moment_ms, "historical": is_historical, "metrics": values}

    def _name(self, metric: Metric) -> str | None:
        if metric.name is not None:
            if metric.alias is not None and len(self._names) < METRICS_MAX:
                self._names[metric.alias] = metric.name
            return metric.name
        return None if metric.alias is None else self._names.get(metric.alias)


def rebirth_command(topic_filter: str, now_ms: int) -> tuple[str, bytes] | None:
    """Topic and payload that ask the edge node of `spBv1.0/<group>/<type>/<node>...` to introduce itself again."""
    levels = topic_filter.split("/")
    if len(levels) < 4 or levels[0] != "spBv1.0" or any(wild in levels[1] + levels[3] for wild in "+#"):
        return None
    name = REBIRTH_METRIC.encode()
    metric = (
        b"\x0a" + _varint(len(name)) + name + b"\x18" + _varint(now_ms) + b"\x20" + _varint(_BOOLEAN) + b"\x70\x01"
    )
    payload = b"\x08" + _varint(now_ms) + b"\x12" + _varint(len(metric)) + metric
    return f"spBv1.0/{levels[1]}/NCMD/{levels[3]}", payload


def _metric(data: bytes) -> Metric:
    name: str | None = None
    alias: int | None = None
    timestamp: int | None = None
    kind = 0
    is_historical = is_null = False
    raw: _Field | None = None
    unit: str | None = None
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            name = _text(value)
        elif number == 2 and isinstance(value, int):
            alias = value
        elif number == 3 and isinstance(value, int):
            timestamp = value
        elif number == 4 and isinstance(value, int):
            kind = value
        elif number == 5:
            is_historical = bool(value)
        elif number == 7:
            is_null = bool(value)
        elif number == 9 and isinstance(value, bytes):
            unit = _unit(value)
        elif 10 <= number <= 15:
            raw = (number, value)
    return Metric(
        name=name or None,
        alias=alias,
        timestamp_ms=timestamp,
        value=None if is_null or raw is None else _value(raw, kind),
        is_historical=is_historical,
        unit=unit,
    )


def _value(raw: _Field, kind: int) -> float | str | bool | None:
    number, value = raw
    if number == 15 and isinstance(value, bytes):
        return _text(value)
    if number == 12 and isinstance(value, bytes) and len(value) == 4:
        return float(struct.unpack("<f", value)[0])
    if number == 13 and isinstance(value, bytes) and len(value) == 8:
        return float(struct.unpack("<d", value)[0])
    if number == 14 and isinstance(value, int):
        return bool(value)
    if number in (10, 11) and isinstance(value, int):
        bits = _SIGNED_BITS.get(kind)
        if bits is not None:  # Signed integers travel as the two's complement of their width.
            value &= (1 << bits) - 1
            return value - (1 << bits) if value >> (bits - 1) else value
        return value
    raise InvalidValue("a metric's value has the wrong wire type")


def _unit(data: bytes) -> str | None:
    """`engUnit` of a PropertySet: keys are field 1, values field 2, in the same order."""
    keys: list[str] = []
    values: list[bytes] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            keys.append(_text(value))
        elif number == 2 and isinstance(value, bytes):
            values.append(value)
    for key, inner in zip(keys, values, strict=False):
        if key == "engUnit":
            return next(
                (_text(item) for number, item in _fields(inner) if number == 8 and isinstance(item, bytes)), None
            )
    return None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValue("a name that is no text") from None


def _fields(data: bytes) -> Iterator[_Field]:
    """The fields of one protobuf message, groups refused."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise InvalidValue("a protobuf field has the number 0")
        if wire == _VARINT:
            integer, position = _read_varint(data, position)
            yield number, integer
            continue
        if wire == _BYTES:
            length, position = _read_varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise InvalidValue(f"protobuf wire type {wire}")
        if position + length > len(data):
            raise InvalidValue("a protobuf field ends after its message")
        yield number, data[position : position + length]
        position += length


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise InvalidValue("a protobuf number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), position
    raise InvalidValue("a protobuf number is too long")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
