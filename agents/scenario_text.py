"""A scenario as TOML text again, with every default spelled out: what a run folder keeps, to be run again."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any


def to_toml(values: Mapping[str, Any]) -> str:
    """TOML text of nested plain values; a list of tables becomes `[[...]]`. None is left out, as absent.

    Any: what pydantic dumps is plain but untyped, and what TOML cannot hold ends in a TypeError.
    """
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            _table(lines, f"[{key}]", key, value)
        else:
            for entry in value:
                _table(lines, f"[[{key}]]", None, entry)
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(lines: list[str], heading: str, path: str | None, table: Mapping[str, Any]) -> None:
    """One table. Tables inside get a heading of their own below `path`; inside an array they stay inline."""
    lines += ["", heading]
    inner = []
    for key, value in table.items():
        if value is None:
            continue
        if path is not None and isinstance(value, Mapping):
            inner.append((key, value))
        else:
            lines.append(f"{key} = {_value(value)}")
    for key, value in inner:
        _table(lines, f"[{path}.{key}]", f"{path}.{key}", value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for the one control character JSON lets through.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        fields = ", ".join(f"{key} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {fields} }}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} has no place in a scenario file")
