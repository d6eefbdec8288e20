"""Where a number stands inside a message: a small path language, and what counts as a number.

`ENERGY.Power` follows keys and list indexes, `"a.b".c` quotes a key with a dot, `*` is any one key.
`sum(ENERGY.Total)` adds up a list or the values of an object (a bare number is its own sum),
`TIC.HCHC + TIC.HCHP` and `data.P - data.PO` calculate (spaces around the sign), and `a | b` takes the first
that is present. The empty path is the whole payload.

Nothing here guesses: absent, null, `nan`, an empty text are "no value" and never 0; of a sum that lacks one
term nothing is left.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from devices.errors import MeterConfigError

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What a message can hold."""

NUMBER_MAX: Final = 1e15
"""A larger number is no reading of anything."""

MESSAGE_BYTES_MAX: Final = 262_144
"""A larger message is not looked into: no meter says that much."""

_TOKEN: Final = re.compile(r'\s*(?:(\|)|(?<=\s)([+-])(?=\s|$)|sum\(([^)]*)\)|((?:"[^"]*"|[^\s|"()])+))')
_SEGMENT: Final = re.compile(r'"([^"]*)"|([^."]+)')
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_NOTHING: Final = frozenset({"", "nan", "none", "null", "unavailable", "unknown"})


class InvalidValue(Exception):  # noqa: N818 - what a device sends is no error of ours
    """Something stands where a number should, and it is none."""


@dataclass(frozen=True, slots=True)
class _Operand:
    sign: int
    keys: tuple[str, ...]
    is_sum: bool


Expression = tuple[tuple[_Operand, ...], ...]
"""Alternatives; each a sum of operands."""


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Expression:
    """Read a path. Raises MeterConfigError that quotes it when it cannot be read."""
    alternatives: list[list[_Operand]] = [[]]
    sign, position = 1, 0
    expects_operand = True
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise MeterConfigError(
                f"path {text!r} cannot be read at {text[position:]!r}; expected key.key or sum(key)"
            )
        position = match.end()
        bar, operator, summed, plain = match.groups()
        if plain in ("+", "-"):
            raise MeterConfigError(f"path {text!r}: {plain} has no key before it")
        if (bar or operator) and expects_operand:
            raise MeterConfigError(f"path {text!r}: a key is missing before {(bar or operator)!r}")
        if not (bar or operator) and not expects_operand:
            raise MeterConfigError(
                f"path {text!r}: expected +, - or | before {text[match.start() : position].strip()!r}"
            )
        if bar:
            alternatives.append([])
        elif operator:
            sign = 1 if operator == "+" else -1
        else:
            is_sum = plain is None
            alternatives[-1].append(_Operand(sign, _keys(summed if is_sum else plain, text), is_sum))
            sign = 1
        expects_operand = bool(bar or operator)
    if expects_operand and text.strip():
        raise MeterConfigError(f"path {text!r} ends in the middle")
    return tuple(tuple(operands) for operands in alternatives)


def _keys(path: str, text: str) -> tuple[str, ...]:
    keys: list[str] = []
    for part in re.findall(r'(?:"[^"]*"|[^."])+', path.strip()):
        match = _SEGMENT.fullmatch(part)
        if match is None:
            raise MeterConfigError(f'path {text!r}: {part!r} is no key; quote it as "..."')
        keys.append(match[1] if match[1] is not None else match[2])
    if not keys:
        raise MeterConfigError(f"path {text!r} names no key")
    return tuple(keys)


def has_path(document: Json, path: str) -> bool:
    """Whether one alternative of the path is there in full, be it null."""
    return any(all(_find(document, operand.keys) for operand in operands) for operands in parse_path(path))


def find(document: Json, path: str) -> Json:
    """What stands at a plain path; None when absent or not unique. For texts such as times and ids."""
    if not path:
        return document
    for operands in parse_path(path):
        found = _find(document, operands[0].keys)
        if len(found) == 1:
            return found[0]
    return None


def number_at(document: Json, path: str) -> float | None:
    """The number that a path gives; None for "no value".

    Raises InvalidValue when text that is no number stands there, or `*` fits more than one place.
    """
    if not path.strip():
        return to_number(document)
    for operands in parse_path(path):
        found = [_find(document, operand.keys) for operand in operands]
        if not all(found):
            continue
        if any(len(places) > 1 for places in found):
            raise InvalidValue(f"{path} fits several places")
        total = 0.0
        for operand, places in zip(operands, found, strict=True):
            value = _sum(places[0]) if operand.is_sum else to_number(places[0])
            if value is None:
                return None
            total += operand.sign * value
        return total
    return None


def to_number(value: Json) -> float | None:
    """A finite number of reasonable size; None for what means "no value". Raises InvalidValue otherwise."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _NOTHING:
            return None
        if not _NUMBER.fullmatch(text):
            raise InvalidValue(f"{text[:40]!r} is no number")
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f"{type(value).__name__} is no number")
    if isinstance(value, float) and math.isnan(value):
        return None
    if abs(value) > NUMBER_MAX:
        raise InvalidValue("a number beyond all measure")
    return float(value)


def read_payload(payload: bytes | str) -> Json:
    """The document of a payload: JSON where it is JSON, else its text; an empty payload is None.

    Raises InvalidValue for bytes that are no text, broken JSON, or a message beyond the size limit.
    """
    if len(payload) > MESSAGE_BYTES_MAX:
        raise InvalidValue("a message beyond the size limit")
    try:
        text = payload if isinstance(payload, str) else payload.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValue("the payload is no text") from None
    text = text.strip()
    if not text:
        return None
    if text[0] not in '{["':
        return text
    try:
        document: Json = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidValue("the payload is broken JSON") from None
    return document


def _sum(value: Json) -> float | None:
    items: Sequence[Json]
    if isinstance(value, Mapping):
        items = list(value.values())
    elif isinstance(value, list):
        items = value
    else:
        return to_number(value)
    total = 0.0
    for item in items:
        number = to_number(item)
        if number is None:
            return None
        total += number
    return total if items else None


def _find(document: Json, keys: Sequence[str]) -> list[Json]:
    """Every place that fits; more than one only where `*` does."""
    places = [document]
    for key in keys:
        places = [inner for place in places for inner in _step(place, key)]
    return places


def _step(place: Json, key: str) -> Iterator[Json]:
    if isinstance(place, dict):
        if key == "*":
            yield from place.values()
        elif key in place:
            yield place[key]
    elif isinstance(place, list):
        if key == "*":
            yield from place
        elif key.isdecimal() and int(key) < len(place):
            yield place[int(key)]
