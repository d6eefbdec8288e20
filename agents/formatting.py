"""Numbers as people read them. Integers of the contract become text here and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

CURRENCY: Final = "EUR"
"""How the currency is called in tables and plots. The contract knows only "the currency"."""

MISSING: Final = "–"  # noqa: RUF001 (an en dash is what a table shows for "no value")


def price(price_micro: float | None) -> str:
    """A price, from millionths per kWh: `0.1425 EUR/kWh`."""
    return MISSING if price_micro is None else f"{price_micro / 1e6:.4f} {CURRENCY}/kWh"


def money(amount_nano: float | None) -> str:
    """An amount, from billionths: `12.34 EUR`."""
    return MISSING if amount_nano is None else f"{amount_nano / 1e9:,.2f} {CURRENCY}"


def energy(energy_wh: float | None) -> str:
    """An energy, from Wh: `812 Wh` or `34.2 kWh`."""
    if energy_wh is None:
        return MISSING
    return f"{energy_wh:,.0f} Wh" if abs(energy_wh) < 1_000 else f"{energy_wh / 1e3:,.1f} kWh"


def share(share_ppm: float | None) -> str:
    """A share, from millionths: `23.4 %`."""
    return MISSING if share_ppm is None else f"{share_ppm / 1e4:.1f} %"


def milliseconds(value_ms: float | None) -> str:
    """A duration: `34 ms` or `2.5 s`."""
    if value_ms is None:
        return MISSING
    return f"{value_ms:,.0f} ms" if abs(value_ms) < 10_000 else f"{value_ms / 1e3:,.1f} s"


def count(value: float | None) -> str:
    """A number of things."""
    return MISSING if value is None else f"{value:,.0f}"


def clock_time(time_ms: int) -> str:
    """A time of day, UTC: `14:15:03.250`."""
    return datetime.fromtimestamp(time_ms / 1_000, tz=UTC).strftime("%H:%M:%S.%f")[:-3]


def date_time(time_ms: int) -> str:
    """A time, UTC: `2016-05-18 14:15:03.250 UTC`."""
    return datetime.fromtimestamp(time_ms / 1_000, tz=UTC).strftime("%Y-%m-%d ") + clock_time(time_ms) + " UTC"
