"""Units, bounds on quantities, and the one multiplication that makes money of energy.

Energy in Wh (`_wh`), price in millionths of the currency per kWh (`_micro`), money in billionths of the
currency (`_nano`), time in ms since 1970 UTC (`_ms`), shares in millionths (`_ppm`); all integers.
"""

from __future__ import annotations

from typing import Final

PPM: Final = 1_000_000
"""One, as a share in millionths."""

NANO: Final = 1_000_000_000
"""One unit of the currency, in billionths."""

ENERGY_WH_MAX: Final = 1_000_000_000
"""The most energy one order may name: 1 GWh."""

PRICE_MICRO_MAX: Final = 100_000_000
"""The highest price that can be named: 100 of the currency a kWh."""

AMOUNT_NANO_MAX: Final = 10**17
"""The largest single deposit or withdrawal: a hundred million of the currency."""

MONEY_NANO_MAX: Final = 4 * 10**18
"""All the money that may ever be inside, and the ceiling of a recorded debt: keeps every sum in 63 bits."""

METER_WH_MAX: Final = 100_000_000
"""The most that one meter may be registered for in one period: 100 MWh."""

REGISTER_WH_MAX: Final = 10**15
"""The highest state of a meter's register that is read."""

PERIOD_MAX: Final = 2**40
TIME_MS_MAX: Final = 2**53
INTEGER_MAX: Final = 2**64 - 1


def cost_nano(price_micro: int, energy_wh: int) -> int:
    """What `energy_wh` costs at `price_micro` a kWh, in billionths of the currency: exact, nothing is rounded."""
    return price_micro * energy_wh


def share_ppm(part: int, whole: int) -> int:
    """`part / whole` in millionths, rounded down; 0 for an empty whole."""
    return part * PPM // whole if whole else 0
