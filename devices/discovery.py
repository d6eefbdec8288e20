"""Finding meters on a home broker: listen to everything, recognise, and say how to read each.

It collects and never guesses: what fits no family, or two, is counted by topic and left alone; whether an
announced sensor is import or export is left to the one who knows the house.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from devices.extraction import extract
from devices.home_assistant import AnnouncedSensor, announced_sensors
from devices.meter_families import FamilyBook, FamilyTable, expand
from devices.meter_map import Quantity
from devices.meter_paths import InvalidValue, Json, read_payload
from devices.recognition import recognise
from devices.sparkplug import SparkplugReader, rebirth_command

FOUND_MAX: Final = 500
_OWN_RESULTS: Final = "gridbazaar/"
_VENUS: Final = re.compile(r"N/([^/+#]+)/.+")
_HOMIE_UNIT: Final = re.compile(r"(homie/.+)/\$unit")


@dataclass(slots=True)
class FoundMeter:
    """A device that speaks like a family: by prefix, or by topic where the family has none."""

    family: FamilyTable
    prefix: str | None
    topic: str | None
    channels: set[int] = field(default_factory=set)
    messages: int = 0
    last: dict[Quantity, float] = field(default_factory=dict)

    @property
    def is_readable(self) -> bool:
        """Whether it has told something that the market can use."""
        return bool(self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMetric:
    """A value with a unit of its own: a Homie property or a Sparkplug metric."""

    topic: str
    path: str
    unit: str


class Discovery:
    """Hears messages, remembers what speaks. `unknown` counts topics that no family fits, by first levels."""

    def __init__(self, book: FamilyBook) -> None:
        self.book = book
        self.meters: dict[tuple[str, str], FoundMeter] = {}
        self.sensors: dict[str, AnnouncedSensor] = {}
        self.metrics: dict[tuple[str, str], FoundMetric] = {}
        self.unknown: Counter[str] = Counter()
        self._sparkplug: dict[str, SparkplugReader] = {}
        self._asked: set[str] = set()

    def hear(self, topic: str, payload: bytes) -> None:
        """Take one message."""
        if topic.startswith(_OWN_RESULTS) or topic in self._asked or len(self.meters) >= FOUND_MAX:
            return
        try:
            document = self._document(topic, payload)
        except InvalidValue:
            self._count_unknown(topic)
            return
        table = recognise(self.book.tables.values(), topic, document)
        if table is None:
            self._count_unknown(topic)
        elif table.kind == "discovery":
            for sensor in announced_sensors(topic, document):
                if not sensor.topic.startswith(_OWN_RESULTS):
                    self.sensors[sensor.config_topic] = sensor
        elif table.encoding == "sparkplug":
            self._note_metrics(topic)
        elif match := _HOMIE_UNIT.fullmatch(topic):
            self.metrics[match[1], ""] = FoundMetric(topic=match[1], path="", unit=str(document))
        else:
            self._note_meter(table, topic, document)

    def questions(self, topic: str, now_ms: int) -> list[tuple[str, bytes]]:
        """What to publish so that a silent device speaks: Venus' keep-alive, Sparkplug's rebirth; each once."""
        asked: list[tuple[str, bytes]] = []
        if match := _VENUS.fullmatch(topic):
            asked.append((f"R/{match[1]}/keepalive", b""))
        elif topic.startswith("spBv1.0/") and self._reader(topic).unnamed:
            command = rebirth_command(topic, now_ms)
            asked += [command] if command else []
        new = [one for one in asked if one[0] not in self._asked]
        self._asked.update(one[0] for one in new)
        return new

    def readable(self) -> list[FoundMeter]:
        """What can be read as it is, by family and prefix."""
        found = [meter for meter in self.meters.values() if meter.is_readable]
        return sorted(found, key=lambda meter: (meter.family.name, meter.prefix or meter.topic or ""))

    def _document(self, topic: str, payload: bytes) -> Json:
        if topic.startswith("spBv1.0/"):
            return self._reader(topic).read(topic, payload)
        return read_payload(payload)

    def _reader(self, topic: str) -> SparkplugReader:
        node = "/".join(part for index, part in enumerate(topic.split("/")) if index in (1, 3))
        return self._sparkplug.setdefault(node, SparkplugReader())

    def _note_metrics(self, topic: str) -> None:
        levels = topic.split("/")
        topic_filter = "/".join([*levels[:2], "+", *levels[3:]])
        for name, unit in self._reader(topic).units.items():
            self.metrics[topic_filter, name] = FoundMetric(topic=topic_filter, path=f'metrics."{name}"', unit=unit)

    def _note_meter(self, table: FamilyTable, topic: str, document: Json) -> None:
        prefix, channel = _names(table, topic)
        key = prefix if prefix is not None else topic
        meter = self.meters.get((table.name, key))
        if meter is None:
            meter = FoundMeter(table, prefix, None if prefix is not None else topic)
            self.meters[table.name, key] = meter
        meter.messages += 1
        if channel is not None:
            meter.channels.add(channel)
        said = extract(expand(table), topic, document)
        for quantity in Quantity:
            value = said.total(quantity)
            if value is not None:
                meter.last[quantity] = value

    def _count_unknown(self, topic: str) -> None:
        start = "/".join(topic.split("/")[:2])
        if start in self.unknown or len(self.unknown) < FOUND_MAX:
            self.unknown[start] += 1


def _names(table: FamilyTable, topic: str) -> tuple[str | None, int | None]:
    """Prefix and channel of a topic of the family; None where the family has none or the topic shows none."""
    for template in _templates(table):
        # A prefix may hold its own levels (N/<portal>/grid/<n>); a family's later names in it are the same text.
        pattern = re.escape(template).replace(r"\{prefix\}", "(?P<prefix>.+)", 1)
        pattern = pattern.replace(r"\{channel\}", r"(?P<channel>\d+)", 1)
        match = re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", pattern), topic)
        if match:
            names = match.groupdict()
            channel = names.get("channel")
            return names.get("prefix"), None if channel is None else int(channel)
    return None, None


def _templates(table: FamilyTable) -> Iterator[str]:
    for quantity in Quantity:
        for row in table.parts(quantity):
            for source in row.sources or [row]:
                yield from (topic for topic in source.topics(table.topics) if "{" in topic)
    if table.availability is not None:
        known = table.availability.topic
        yield from [known] if isinstance(known, str) else known
