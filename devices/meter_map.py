"""The explicit form of a meter: which message holds which part of which quantity, in which unit.

A family (meter_families.py) expands to this, `generic` is written as this. A quantity is the sum of its parts:
three phases, two tariffs. Each part has a name, since each is a register of its own, and one or more sources,
since devices tell the same number in several messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal

from devices.errors import MeterConfigError


class Quantity(StrEnum):
    """What a meter can tell. Import and export are cumulative registers and decide; power is advice."""

    IMPORT = "import"
    EXPORT = "export"
    POWER = "power"


ENERGY_UNITS: Final[Mapping[str, float]] = {
    "Wh": 1.0,
    "kWh": 1e3,
    "MWh": 1e6,
    "Wmin": 1 / 60,
    "Ws": 1 / 3600,
    "J": 1 / 3600,
    "kJ": 1 / 3.6,
    "MJ": 1e3 / 3.6,
}
"""Wh in one unit."""

POWER_UNITS: Final[Mapping[str, float]] = {"W": 1.0, "kW": 1e3, "MW": 1e6, "VA": 1.0, "kVA": 1e3}
"""W in one unit. Apparent power stands for active power where a meter has nothing better: power is advice."""

TimeForm = Literal["iso", "local", "unix", "unix-ms", "p1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place where a part's number stands: messages on `topic` (a filter), `path` inside, or `pattern`."""

    topic: str
    path: str = ""
    pattern: str = ""

    def text_pattern(self) -> re.Pattern[str] | None:
        """The compiled pattern, whose first group is the number."""
        return re.compile(self.pattern) if self.pattern else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One summand of a quantity, in `factor` Wh or W a unit. Negative `factor`: counted the other way round.

    `optional`: a meter may lack it (no export register); then it counts nothing until it is first seen.
    """

    quantity: Quantity
    name: str
    unit: str
    factor: float
    sources: tuple[Source, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeField:
    """Where the device's own time stands. `local` has no zone: good for telling order, not for stamping."""

    path: str
    form: TimeForm


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Topics on which the device, or its last will, says whether it is there.

    `off_means_still`: what is off makes nothing, so its register stands still.
    """

    topics: tuple[str, ...]
    online: str = "online"
    offline: str = "offline"
    path: str = ""
    off_means_still: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A message that makes the device speak. `every_s` 0: sent at the end of each period only."""

    topic: str
    payload: str = ""
    every_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterMap:
    """A meter, spelled out. `where`: only messages with these texts at these paths are about this meter.

    `resets`: messages that announce a reset of all registers. `encoding`: `text` (JSON where it looks
    like JSON) or `sparkplug`. `is_open`: spelled out for any meter of the family, channels and names left open.
    """

    family: str
    parts: tuple[Part, ...]
    time: TimeField | None = None
    availability: Availability | None = None
    requests: tuple[Request, ...] = ()
    resets: tuple[Source, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "text"
    is_open: bool = False

    def of(self, quantity: Quantity) -> tuple[Part, ...]:
        """The parts of one quantity."""
        return tuple(part for part in self.parts if part.quantity is quantity)

    def filters(self) -> tuple[str, ...]:
        """The topics to subscribe to. Raises MeterConfigError when a name in one was never given."""
        topics = [source.topic for part in self.parts for source in part.sources]
        topics += [source.topic for source in self.resets]
        topics += self.availability.topics if self.availability else ()
        for topic in topics:
            if "{" in topic or not topic:
                raise MeterConfigError(
                    f"family {self.family}: topic {topic!r} needs a prefix; expected prefix or topic"
                )
        return tuple(dict.fromkeys(topics))


def unit_factor(quantity: Quantity, unit: str) -> float:
    """Wh or W in one `unit`. Raises MeterConfigError: nothing is billed in a unit that was not stated."""
    units = POWER_UNITS if quantity is Quantity.POWER else ENERGY_UNITS
    if unit not in units:
        raise MeterConfigError(f"{quantity}.unit = {unit!r}: not a unit; expected one of {', '.join(units)}")
    return units[unit]


@lru_cache(maxsize=4096)
def topic_pattern(topic: str) -> re.Pattern[str]:
    """What a topic filter fits. A name in braces that nobody filled in fits any level, {prefix} several."""
    parts = []
    for piece in re.split(r"(\{\w+\}|\+|#)", topic):
        if piece in ("{prefix}", "{topic}", "#"):
            parts.append(".+")
        elif piece == "{channel}":
            parts.append(r"\d+")
        elif piece == "{power}":
            parts.append("[^/]*(?i:power)[^/]*")  # A name that somebody chose, and that says what it is.
        elif piece == "+" or piece.startswith("{"):
            parts.append("[^/]+")
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts))


def topic_fits(topic_filter: str, topic: str | None) -> bool:
    """Whether a message's topic fits; a message without one (a line in a file) is judged by its payload."""
    return topic is None or bool(topic_pattern(topic_filter).fullmatch(topic))
