"""What several pages show alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import solara

from agents import formatting
from agents.web.widgets import Heading


def card(width: int, heading: str = "", note: str = "") -> Any:
    """A card of so many of twelve columns, to be used with `with`; Solara's elements have no public type."""
    element = solara.Div(classes=["gb-card", f"gb-w{width}"])
    with element:
        if heading:
            Heading(text=heading, note=note)
    return element


def split_unit(text: str) -> tuple[str, str]:
    """`34.2 kWh` as value and unit."""
    value, _, unit = text.partition(" ")
    return value, unit


def tile(label: str, text: str, hint: str = "", tone: str = "") -> dict[str, str]:
    """A headline number from a formatted text."""
    value, unit = split_unit(text)
    return {"label": label, "value": value, "unit": unit, "hint": hint, "tone": tone}


def plain_tile(label: str, text: str, hint: str = "") -> dict[str, str]:
    """A headline that is words, not a number with a unit."""
    return {"label": label, "value": text, "unit": "", "hint": hint, "tone": ""}


def columns(*entries: tuple[str, str]) -> list[dict[str, str]]:
    """Columns of a table: label and kind (empty, `number`, `code`, `definition`)."""
    return [{"label": label, "kind": kind} for label, kind in entries]


def row(key: str, cells: Iterable[object]) -> dict[str, object]:
    """A row of a table."""
    return {"key": key, "cells": list(cells)}


def cell(text: str, value: float | None = None, tone: str = "") -> dict[str, object]:
    """A cell that is sorted by a number, or has a mark around it."""
    made: dict[str, object] = {"text": text, "value": 0.0 if value is None else value}
    if tone:
        made["tone"] = tone
    return made


def energy_cell(energy_wh: float) -> dict[str, object]:
    """An energy as kWh."""
    return cell(f"{energy_wh / 1e3:,.3f}", energy_wh)


def money_cell(amount_nano: float) -> dict[str, object]:
    """An amount of money."""
    return cell(f"{amount_nano / 1e9:,.3f}", amount_nano)


def price_cell(price_micro: float) -> dict[str, object]:
    """A price."""
    return cell(f"{price_micro / 1e6:.4f}", price_micro)


def with_unit(label: str, unit: str) -> str:
    """A heading with its unit."""
    return f"{label}, {unit}" if unit else label


def signed_tone(amount: float) -> str:
    """Green for a gain, red for a loss."""
    return "gb-up" if amount > 0 else "gb-down" if amount < 0 else ""


def shorter(text: str, length: int = 16) -> str:
    """The start of a hash."""
    return text if len(text) <= length else f"{text[:length]}…"


CURRENCY = formatting.CURRENCY
