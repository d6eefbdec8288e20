"""Meter readings: cumulative registers with a period, a counter and quality marks.

Pure types: devices make them, the contract judges them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from market.units import INTEGER_MAX, PERIOD_MAX, REGISTER_WH_MAX, TIME_MS_MAX
from market.values import FieldReader, Value

TAG_SUBMIT_READING: Final = 12
"""The transaction tag of a reading."""


class Quality(IntFlag):
    """Marks of a reading; none set is a plain signed reading of the meter itself. Append only."""

    GOOD = 0
    GATEWAY = 1  # Signed by the gateway registered for the meter: custody, not truth.
    RESET = 2  # Registers begin anew (exchanged meter, reset): a new baseline, nothing can be booked.
    GAP = 4  # Periods before this one were not measured; their energy is in this reading.
    INTERPOLATED = 8  # The register was interpolated to the period's end.
    ROLLED_OVER = 16  # The physical register rolled over; the value given here goes on counting.
    ESTIMATED = 32  # Taken from values far from the period's end, before and after or before alone.
    INTEGRATED = 64  # The meter has no register: its power was integrated.
    RESTARTED = 128  # The physical register began anew at zero; the value given here goes on counting.


QUALITY_ALL: Final = 255


def quality_words(quality: int) -> str:
    """The marks of a reading in words: `good`, or those that are set, in order, with `+` between."""
    return "+".join(str(mark.name).lower() for mark in Quality if mark and quality & mark) or "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A meter's cumulative registers at the end of `period`.

    `import_wh` counts energy taken from the grid, `export_wh` energy fed into it, both since the meter was
    made. `measured_ms` is the meter's own clock. `counter` grows with each reading, so an old one cannot be
    played back.
    """

    meter_id: str
    period: int
    import_wh: int
    export_wh: int
    measured_ms: int
    quality: int = 0
    counter: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (
            self.meter_id,
            self.period,
            self.import_wh,
            self.export_wh,
            self.measured_ms,
            int(self.quality),
            self.counter,
        )

    @classmethod
    def from_fields(cls, fields: Value) -> Reading:
        """Read the fields. Raises FormError for anything else than a reading."""
        reader = FieldReader(fields, "reading")
        reading = cls(
            meter_id=reader.name("meter_id"),
            period=reader.integer("period", 0, PERIOD_MAX),
            import_wh=reader.integer("import_wh", 0, REGISTER_WH_MAX),
            export_wh=reader.integer("export_wh", 0, REGISTER_WH_MAX),
            measured_ms=reader.integer("measured_ms", 0, TIME_MS_MAX),
            quality=reader.integer("quality", 0, QUALITY_ALL),
            counter=reader.integer("counter", 0, INTEGER_MAX),
        )
        reader.end()
        return reading

    def call_fields(self, valid_until_period: int, nonce: int) -> tuple[Value, ...]:
        """The body of the transaction that submits this reading, ready for the wire codec."""
        return (TAG_SUBMIT_READING, valid_until_period, nonce, *self.to_fields())
