"""Families of meters as text for people: the list, and one family as the TOML that it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from agents.scenario_text import to_toml
from devices.discovery import Discovery, FoundMeter
from devices.meter_families import FamilyBook, FamilyTable
from devices.meter_map import Quantity


def family_rows(book: FamilyBook) -> list[tuple[str, str, str]]:
    """Name, group and title of each family, by name."""
    return [(name, book.tables[name].group or "-", book.tables[name].title) for name in book.names()]


def family_page(family: FamilyTable) -> str:
    """The family as TOML, to be copied into a file of one's own and changed, and a `[[meter]]` that uses it."""
    values = family.model_dump(by_alias=True, exclude_defaults=True)
    meter: dict[str, Any] = {"participant": "my-home", "family": family.name, "broker": "mqtt://user@home-broker"}
    topics = "".join(_texts(values))
    if "{prefix" in topics:
        meter["prefix"] = "..."
    elif "{topic}" in topics or family.encoding == "sparkplug":
        meter["topic"] = "..."
    if family.channels:
        meter["channels"] = family.channels
    return to_toml({"family": [values]}) + "\n# In a scenario:\n" + to_toml({"meter": [meter]}) + "\n"


def found_rows(discovery: Discovery) -> list[tuple[str, ...]]:
    """What was found: family, where, how many messages, and the last values. Announced sensors come after."""
    rows = []
    for meter in discovery.readable():
        values = [meter.last.get(quantity) for quantity in (Quantity.POWER, Quantity.IMPORT, Quantity.EXPORT)]
        shown = ["-" if value is None else f"{value:.1f}" for value in values]
        rows.append((meter.family.name, meter.prefix or meter.topic or "-", str(meter.messages), *shown))
    for sensor in discovery.sensors.values():
        what = sensor.problem or f"{'register' if sensor.is_register else 'power'} in {sensor.unit}"
        rows.append(("ha-discovery", f"{sensor.device} {sensor.name}: {what}", "-", "-", "-", "-"))
    for metric in discovery.metrics.values():
        rows.append(("metric", f"{metric.topic} {metric.path} in {metric.unit}".strip(), "-", "-", "-", "-"))
    return rows


def found_toml(discovery: Discovery, broker: str) -> str:
    """The `[[meter]]` sections to paste: one a device; what only its owner knows is left to fill in."""
    pages = [_meter_toml(meter, broker) for meter in discovery.readable()]
    if page := _announced_toml(discovery, broker):
        pages.append(page)
    return "\n".join(pages)


def _meter_toml(meter: FoundMeter, broker: str) -> str:
    values: dict[str, Any] = {"participant": "my-home", "family": meter.family.name, "broker": broker}
    if meter.prefix is not None:
        values["prefix"] = meter.prefix
    elif meter.topic not in meter.family.topics:
        values["topic"] = meter.topic
    if meter.family.channels:
        values["channels"] = sorted(meter.channels) or meter.family.channels
    return to_toml({"meter": [values]})


def _announced_toml(discovery: Discovery, broker: str) -> str:
    """Sensors that say what they measure and in which unit, but not in which direction: commented out."""
    lines = []
    for sensor in discovery.sensors.values():
        if not sensor.problem:
            what = "import or export" if sensor.is_register else "power"
            config = json.dumps(sensor.config_topic)
            lines.append(f"# {what} = {{ discovery = {config} }}  # {sensor.device} {sensor.name}, {sensor.unit}")
    for metric in discovery.metrics.values():
        topic, path, unit = (json.dumps(text) for text in (metric.topic, metric.path, metric.unit))
        lines.append(f"# import or export = {{ topic = {topic}, path = {path}, unit = {unit} }}")
    if not lines:
        return ""
    head = to_toml({"meter": [{"participant": "my-home", "family": "ha-discovery", "broker": broker}]})
    return (
        head
        + "# Take the lines of one device, and say which is import and which export:\n"
        + "\n".join(lines)
        + "\n"
    )


def _texts(value: Any) -> Iterator[str]:
    # Any: a dump of tables inside tables.
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
