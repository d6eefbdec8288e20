"""Families of meters as text for people: the list, and one family as the TOML that it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agents.scenario_text import to_toml
from devices.meter_families import FamilyBook, FamilyTable


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
