"""From one message to what it says: registers in Wh, power in W with import positive, the device's time.

Pure and stateless; registers.py judges what comes out against what was known before.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from devices.meter_map import MeterMap, Part, Quantity, Source, topic_fits
from devices.meter_paths import InvalidValue, Json, find, number_at, to_number

FIRST_CREDIBLE_MS: Final = 1_420_070_400_000
"""1 January 2015: a device clock before that was never set."""
LAST_CREDIBLE_MS: Final = 4_102_444_800_000
_PATTERN_TEXT_MAX: Final = 4_096
_P1_TIME: Final = re.compile(r"0-0:1\.0\.0\((\d{12})([SW])\)")
_SUMMER_OFFSET: Final = datetime.timedelta(hours=2)
_WINTER_OFFSET: Final = datetime.timedelta(hours=1)


class Mark(StrEnum):
    """What is to be said of a message or a reading. The words stand in `quality`."""

    GOOD = "good"
    PARTIAL = "partial"  # Some of the meter's registers, not all.
    NO_VALUE = "no-value"  # Understood, and nothing in it is for the market.
    INVALID = "invalid"  # Text where a number should be, broken JSON, a negative register.
    AVAILABILITY = "availability"  # The device, or its last will, says whether it is there.
    RESET = "reset"  # The device says that its registers were set to zero.
    POWER_ONLY = "power-only"  # The meter has no register: its energy is integrated from power.
    CLOCK_WRONG = "clock-wrong"  # The device's clock was never set; arrival decides.
    DISCOVERY = "discovery"  # Says what a device has, not what it measured.
    UNKNOWN = "unknown"  # No family of ours, or more than one.


@dataclass(frozen=True, slots=True)
class Observation:
    """A part's value: Wh of a register, or W, import positive."""

    part: Part
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What one message says.

    `device_ms`: the device's own time where it has a zone. `order_ms`: its time in whatever zone, to tell
    which message is older. `available`: what an availability message says.
    """

    observations: tuple[Observation, ...] = ()
    device_ms: int | None = None
    order_ms: int | None = None
    available: bool | None = None
    marks: tuple[Mark, ...] = ()

    def total(self, quantity: Quantity) -> float | None:
        """The sum of this message's parts of a quantity; None when it holds none."""
        values = [seen.value for seen in self.observations if seen.part.quantity is quantity]
        return sum(values) if values else None


def extract(meter: MeterMap, topic: str | None, document: Json) -> Extracted:
    """Read a message's document for one meter. Never raises: what cannot be read is marked."""
    availability = meter.availability
    if availability and topic is not None and any(topic_fits(known, topic) for known in availability.topics):
        said = find(document, availability.path)
        text = str(said).lower()
        known = {availability.online.lower(): True, availability.offline.lower(): False}
        return Extracted(available=known.get(text), marks=(Mark.AVAILABILITY,))
    if any(not _is_about(document, path, wanted) for path, wanted in meter.where.items()):
        return Extracted(marks=(Mark.NO_VALUE,))
    marks: list[Mark] = []
    observations: list[Observation] = []
    for part in meter.parts:
        try:
            value = _value(part, topic, document)
        except InvalidValue:
            marks.append(Mark.INVALID)
            continue
        if value is not None:
            observations.append(Observation(part, value))
    if not observations and (reset := _reset(meter, topic, document)) is not None:
        return reset
    device_ms, order_ms, is_credible = _device_time(meter, document)
    if not is_credible:
        marks.append(Mark.CLOCK_WRONG)
    if not observations:
        marks.append(Mark.NO_VALUE)
    elif not any(part.quantity is not Quantity.POWER for part in meter.parts):
        marks.append(Mark.POWER_ONLY)
    elif _lacks_registers(meter, observations):
        marks.append(Mark.PARTIAL)
    elif Mark.INVALID not in marks:
        marks.insert(0, Mark.GOOD)
    return Extracted(
        observations=tuple(observations),
        device_ms=device_ms,
        order_ms=order_ms,
        marks=tuple(dict.fromkeys(marks)),
    )


def _is_about(document: Json, path: str, wanted: str) -> bool:
    """Whether the text at `path` is the wanted one; a name that nobody filled in fits anything."""
    found = find(document, path)
    return "{" in wanted or (found is not None and str(found) == wanted)


def _value(part: Part, topic: str | None, document: Json) -> float | None:
    for source in part.sources:
        if not topic_fits(source.topic, topic):
            continue
        value = _number(source, topic, document)
        if value is None:
            continue
        if part.quantity is not Quantity.POWER and value < 0:
            raise InvalidValue("a register is never negative")
        return value * part.factor
    return None


def _number(source: Source, topic: str | None, document: Json) -> float | None:
    pattern = source.text_pattern()
    if pattern is not None:
        text = find(document, source.path)
        match = pattern.search(text[:_PATTERN_TEXT_MAX]) if isinstance(text, str) else None
        return None if match is None else to_number(match[1])
    if not source.path and (topic is None or isinstance(document, dict | list)):
        return None  # A bare value is told by its topic alone, and an object is none.
    if source.path and not isinstance(document, dict | list):
        return None
    return number_at(document, source.path)


def _reset(meter: MeterMap, topic: str | None, document: Json) -> Extracted | None:
    """A message that announces zeroed registers, as an observation of the first register."""
    registers = [part for part in meter.parts if part.quantity is Quantity.IMPORT]
    for source in meter.resets:
        if not registers or not topic_fits(source.topic, topic) or not isinstance(document, dict):
            continue
        try:
            value = number_at(document, source.path)
        except InvalidValue:
            continue
        if value is not None and value >= 0:
            seen = Observation(registers[0], value * registers[0].factor)
            return Extracted(observations=(seen,), marks=(Mark.RESET,))
    return None


def _lacks_registers(meter: MeterMap, observations: list[Observation]) -> bool:
    def name(part: Part) -> str:
        # Which channels a meter has is not known when it is open: any one of them will do.
        return "-".join(part.name.split("-")[:2]) if meter.is_open else part.name

    names = {name(seen.part) for seen in observations}
    registers = [part for part in meter.parts if part.quantity is not Quantity.POWER and not part.optional]
    return any(name(part) not in names for part in registers)


def _device_time(meter: MeterMap, document: Json) -> tuple[int | None, int | None, bool]:
    """(time with a zone, time for ordering, whether the clock is credible)."""
    if meter.time is None or not isinstance(document, dict | list):
        return None, None, True
    text = find(document, meter.time.path)
    if text is None or isinstance(text, bool | dict | list):
        return None, None, True
    device_ms, order_ms = _parse_time(text, meter.time.form)
    if order_ms is None:
        return None, None, True
    if not FIRST_CREDIBLE_MS <= order_ms <= LAST_CREDIBLE_MS:
        return None, None, False
    return device_ms, order_ms, True


def _parse_time(text: str | float, form: str) -> tuple[int | None, int | None]:
    if form == "p1":
        match = _P1_TIME.search(text) if isinstance(text, str) else None
        return _p1_time(match[1], match[2]) if match else (None, None)
    if isinstance(text, str) and not text.replace(".", "", 1).isdecimal():
        return _iso_time(text, trusts_zone=form != "local")
    try:
        moment_ms = round(float(text) * (1 if form == "unix-ms" else 1_000))
    except (OverflowError, ValueError):
        return None, None
    return moment_ms, moment_ms


def _iso_time(text: str, trusts_zone: bool) -> tuple[int | None, int | None]:
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
        order_ms = round(moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None, None
    has_zone = moment.tzinfo is not None and trusts_zone
    return (order_ms if has_zone else None), order_ms


def _p1_time(digits: str, season: str) -> tuple[int | None, int | None]:
    """YYMMDDhhmmss in Dutch time; the letter tells summer from winter, in October's doubled hour too."""
    offset = datetime.timezone(_SUMMER_OFFSET if season == "S" else _WINTER_OFFSET)
    try:
        moment = datetime.datetime.strptime(digits, "%y%m%d%H%M%S").replace(tzinfo=offset)
    except ValueError:
        return None, None
    moment_ms = round(moment.timestamp() * 1_000)
    return moment_ms, moment_ms
