"""The smart meter: two cumulative registers in whole Wh, from which nothing is ever lost.

Energy comes in as fractions; the registers count in whole Wh and carry the rest, so a thousand periods of a
third of a Wh are 333 Wh and not 0. Import and export are netted within a period, as a two-way meter with
quarter-hour registers does for steady power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.readings import Quality, Reading

_UWH_PER_WH: Final = 1_000_000
"""Registers count millionths of a Wh inside: integers, so that a sum does not depend on its order."""


@dataclass(slots=True, kw_only=True)
class SmartMeter:
    """One meter's registers and the counter of its readings. `last_period` is -1 before the first one."""

    meter_id: str
    import_uwh: int = 0
    export_uwh: int = 0
    counter: int = 0
    last_period: int = -1

    @property
    def import_wh(self) -> int:
        """The import register."""
        return self.import_uwh // _UWH_PER_WH

    @property
    def export_wh(self) -> int:
        """The export register."""
        return self.export_uwh // _UWH_PER_WH

    def count(self, import_wh: float, export_wh: float) -> None:
        """Add what has flowed. Neither may be negative: a register never goes back."""
        assert import_wh >= 0
        assert export_wh >= 0
        self.import_uwh += round(import_wh * _UWH_PER_WH)
        self.export_uwh += round(export_wh * _UWH_PER_WH)

    def read(self, period: int, measured_ms: int) -> Reading:
        """The reading at the end of `period`, later than any before.

        A reading that follows a gap of unmeasured periods says so: their energy is in it.
        """
        assert period > self.last_period
        quality = Quality.GOOD if period == self.last_period + 1 else Quality.GAP
        self.counter += 1
        self.last_period = period
        return Reading(
            meter_id=self.meter_id,
            period=period,
            import_wh=self.import_wh,
            export_wh=self.export_wh,
            measured_ms=measured_ms,
            quality=int(quality),
            counter=self.counter,
        )
