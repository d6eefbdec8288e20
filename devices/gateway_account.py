"""What the market knows of one real meter, and the next reading that it can be told.

The market's registers of a real meter begin at 0 where its first period begins, and count on whatever happens
to the physical ones: a swap or a reset changes nothing for who reads the chain but a mark. `ReadingBook` holds
that correspondence, the counter, and which period was told last. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from devices.errors import StateError
from devices.home_meter import HomeMeter, MeterLevel
from devices.registers import UWH_PER_WH, Outcome
from market.readings import Quality, Reading

NEVER: Final = -1
_KEYS: Final = (
    "origin_import_uwh",
    "origin_export_uwh",
    "has_origin",
    "import_wh",
    "export_wh",
    "counter",
    "last_period",
    "accepted_period",
    "reset_period",
    "needs_reset",
    "has_gap",
)


@dataclass(slots=True, kw_only=True)
class ReadingBook:
    """`import_wh` and `export_wh`: the registers last told; `last_period`: for which period;
    `accepted_period`: the last one that the market took; `reset_period`: the last one marked RESET;
    `has_gap`: the last reading was refused.

    `reset_interval_periods`: between two resets that the market takes.
    """

    reset_interval_periods: int
    origin_import_uwh: int = 0
    origin_export_uwh: int = 0
    has_origin: bool = False
    import_wh: int = 0
    export_wh: int = 0
    counter: int = 0
    last_period: int = NEVER
    accepted_period: int = NEVER
    reset_period: int = NEVER
    needs_reset: bool = False
    has_gap: bool = False

    def next_reading(
        self, meter: HomeMeter, period: int, start_ms: int, end_ms: int, now_ms: int
    ) -> Reading | None:
        """The reading of `period`, which lasted from `start_ms` to `end_ms`; None while the meter does not tell.

        Changes the book: the caller keeps it on disk before anybody sees the reading.
        """
        level = meter.level_at(end_ms)
        if level is None or period <= self.last_period:
            return None
        quality = Quality.GATEWAY | _marks(level)
        if not self.has_origin:
            first = meter.level_at(start_ms)
            if first is None:
                # Heard of in the middle of the period: what flowed before is unknown, so nothing is booked.
                quality |= Quality.RESET
            self._begin_at(first or level)
        if (self.needs_reset or Outcome.SWAPPED in level.events) and self._may_reset(period):
            quality |= Quality.RESET
        if self.has_gap or (self.last_period != NEVER and period > self.last_period + 1):
            quality |= Quality.GAP
        # A trend that promised more than came is made good by standing still: registers never go back.
        self.import_wh = max(self.import_wh, (level.import_uwh - self.origin_import_uwh) // UWH_PER_WH)
        self.export_wh = max(self.export_wh, (level.export_uwh - self.origin_export_uwh) // UWH_PER_WH)
        # The clock is in the counter, so that it does not go back even when this file is lost.
        self.counter = max(self.counter + 1, now_ms)
        self.last_period = period
        self.has_gap = False
        if quality & Quality.RESET:
            self.reset_period = period
            self.needs_reset = False
        return Reading(
            meter_id=meter.config.meter_id,
            period=period,
            import_wh=self.import_wh,
            export_wh=self.export_wh,
            measured_ms=end_ms,
            quality=int(quality),
            counter=self.counter,
        )

    def accepted(self, period: int) -> None:
        """The market took the reading of `period`."""
        self.accepted_period = max(self.accepted_period, period)

    def refused(self, quality: int, reason: str) -> None:
        """The market refused a reading: its energy is in the next one."""
        self.has_gap = self.accepted_period != NEVER
        if reason in ("REGISTER_DECREASED", "COUNTER_NOT_INCREASING", "READING_DUPLICATE"):
            self.needs_reset = True  # The market knows more of this meter than this file does.
        elif self.accepted_period == NEVER:
            # Not registered yet, or that period was not ours: the first period is still to come.
            self.has_origin = False
            self.import_wh = self.export_wh = 0
            self.reset_period = NEVER
        elif quality & Quality.RESET and reason != "RESET_TOO_SOON":
            self.needs_reset = True

    def to_state(self) -> dict[str, object]:
        """As JSON values."""
        return {key: getattr(self, key) for key in _KEYS}

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from a saved state. Raises StateError for one that is none."""
        for key in _KEYS:
            value = state.get(key)
            if type(value) is not type(getattr(self, key)):
                raise StateError(f"reading book: {key} = {value!r:.40} cannot be read")
            setattr(self, key, value)

    def _begin_at(self, level: MeterLevel) -> None:
        self.has_origin = True
        self.origin_import_uwh, self.origin_export_uwh = level.import_uwh, level.export_uwh
        self.import_wh = self.export_wh = 0

    def _may_reset(self, period: int) -> bool:
        return self.reset_period == NEVER or period - self.reset_period >= self.reset_interval_periods


def _marks(level: MeterLevel) -> Quality:
    marks = Quality.GOOD
    if level.interpolated:
        marks |= Quality.INTERPOLATED
    if level.estimated:
        marks |= Quality.ESTIMATED
    if level.integrated:
        marks |= Quality.INTEGRATED
    if Outcome.ROLLED_OVER in level.events:
        marks |= Quality.ROLLED_OVER
    if Outcome.RESET in level.events:
        marks |= Quality.RESTARTED
    return marks
