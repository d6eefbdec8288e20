"""Home Assistant's MQTT discovery: reading what devices announce, and announcing what the market tells the home.

A config message says topic, path and unit of a sensor itself, in long keys or short. Of its value templates
only plain paths are understood (with number filters and a constant factor); nothing is ever executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from devices.meter_map import ENERGY_UNITS, POWER_UNITS, Part, Quantity, Source
from devices.meter_paths import Json

_LONG: Final = {
    "stat_t": "state_topic",
    "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
    "dev_cla": "device_class",
    "stat_cla": "state_class",
    "dev": "device",
    "uniq_id": "unique_id",
    "cmps": "components",
    "p": "platform",
}
_TEMPLATE: Final = re.compile(
    r"\{\{\s*\(?\s*(value(?:_json)?)((?:\.\w+|\[\s*(?:'[^']*'|\"[^\"]*\"|\d+)\s*\])*)"
    r"((?:\s*\|\s*(?:float|int|round)(?:\s*\(\s*[\d.]*\s*\))?)*)\s*\)?"
    r"(?:\s*([*/])\s*(\d+(?:\.\d+)?))?((?:\s*\|\s*(?:float|int|round)(?:\s*\(\s*[\d.]*\s*\))?)*)\s*\}\}"
)
_STEP: Final = re.compile(r"\.(\w+)|\[\s*(?:'([^']*)'|\"([^\"]*)\"|(\d+))\s*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedSensor:
    """A sensor of energy or power that a device announced.

    `is_register`: it is cumulative. `problem`: why it cannot be read, empty when it can.
    """

    config_topic: str
    name: str
    device: str
    topic: str
    path: str
    unit: str
    scale: float
    is_register: bool
    problem: str = ""

    def part(self, quantity: Quantity, name: str, positive: str = "import") -> Part:
        """The part of a meter that this sensor is. Only for a sensor without a problem."""
        assert not self.problem
        factor = (POWER_UNITS if quantity is Quantity.POWER else ENERGY_UNITS)[self.unit] * self.scale
        if quantity is Quantity.POWER and positive == "export":
            factor = -factor
        return Part(
            quantity=quantity,
            name=name,
            unit=self.unit,
            factor=factor,
            sources=(Source(topic=self.topic, path=self.path),),
        )


def announced_sensors(config_topic: str, document: Json) -> list[AnnouncedSensor]:
    """The energy and power sensors of a config message; empty for anything else."""
    if not isinstance(document, dict):
        return []
    config = _long_keys(document)
    components = config.get("components")
    if isinstance(components, dict):
        shared = {key: value for key, value in config.items() if key != "components"}
        tables = [
            (f"{config_topic}#{name}", {**shared, **_long_keys(inner)})
            for name, inner in components.items()
            if isinstance(inner, dict) and inner.get("p", inner.get("platform")) == "sensor"
        ]
    else:
        tables = [(config_topic, config)]
    return [sensor for topic, table in tables if (sensor := _sensor(topic, table)) is not None]


def read_template(template: str) -> tuple[str, float] | None:
    """Path and factor of a value template; None for one that does more than follow a path."""
    match = _TEMPLATE.fullmatch(template.strip())
    if match is None:
        return None
    root, steps, _, operator, number, _ = match.groups()
    keys = [next(part for part in step.groups() if part is not None) for step in _STEP.finditer(steps or "")]
    if (root == "value" and keys) or (root == "value_json" and not keys):
        return None
    scale = float(number) if number else 1.0
    if scale == 0:
        return None
    path = ".".join(f'"{key}"' if not re.fullmatch(r"\w+", key) else key for key in keys)
    return path, 1 / scale if operator == "/" else scale


def announcement(
    *,
    node: str,
    key: str,
    name: str,
    device: str,
    state_topic: str,
    template: str,
    unit: str,
    device_class: str | None,
    state_class: str,
    prefix: str = "homeassistant",
) -> tuple[str, dict[str, Json]]:
    """Topic and content of the config message that makes a result appear in a dashboard by itself."""
    config: dict[str, Json] = {
        "name": name,
        "unique_id": f"{node}_{key}",
        "object_id": f"{node}_{key}",
        "state_topic": state_topic,
        "value_template": template,
        "unit_of_measurement": unit,
        "state_class": state_class,
        "device": {"identifiers": [node], "name": device, "manufacturer": "Gridbazaar"},
    }
    if device_class is not None:
        config["device_class"] = device_class
    return f"{prefix}/sensor/{node}/{key}/config", config


def _sensor(config_topic: str, config: Mapping[str, Json]) -> AnnouncedSensor | None:
    kind = config.get("device_class")
    topic = config.get("state_topic")
    if kind not in ("energy", "power") or not isinstance(topic, str):
        return None
    base = config.get("~")
    if isinstance(base, str):
        topic = re.sub(r"^~|~$", lambda _: base, topic)
    unit = config.get("unit_of_measurement")
    template = config.get("value_template")
    read = read_template(template) if isinstance(template, str) else ("", 1.0)
    path, scale = read or ("", 1.0)
    units = ENERGY_UNITS if kind == "energy" else POWER_UNITS
    is_register = config.get("state_class") in ("total", "total_increasing")
    problem = ""
    if not isinstance(unit, str) or unit not in units:
        problem = f"unit {unit!r} is none"
    elif read is None:
        problem = f"its template calculates: {template!r:.60}"
    elif kind == "energy" and not is_register:
        problem = "energy without state_class total or total_increasing is no register"
    return AnnouncedSensor(
        config_topic=config_topic,
        name=str(config.get("name") or config.get("unique_id") or config_topic),
        device=_device_name(config.get("device")),
        topic=topic,
        path=path,
        unit=unit if isinstance(unit, str) else "",
        scale=scale,
        is_register=kind == "energy",
        problem=problem,
    )


def _device_name(device: Json) -> str:
    if not isinstance(device, dict):
        return ""
    identifiers = device.get("identifiers", device.get("ids", ""))
    first = identifiers[0] if isinstance(identifiers, list) and identifiers else identifiers
    return str(device.get("name") or first or "")


def _long_keys(document: Mapping[str, Json]) -> dict[str, Json]:
    return dict(_items(document))


def _items(document: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    for key, value in document.items():
        yield _LONG.get(key, key), value
