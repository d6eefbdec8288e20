"""Which readings are believed, and what an account's meters say about a period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.context import Context
from market.events import Phase
from market.readings import Quality, Reading
from market.receipts import ReasonCode
from market.records import Account, Meter, PendingReading
from market.state import MarketState
from market.transactions import SubmitReading

ELAPSED_PERIODS_MAX: Final = 10_000
"""However long a meter was silent, it is believed no more energy than for this many periods."""


def submit_reading(context: Context, submit: SubmitReading) -> ReasonCode:
    """Accept a reading that its meter can have made; nothing is booked before settlement."""
    reading = submit.reading
    meter = context.state.meters.get(reading.meter_id)
    if meter is None:
        return ReasonCode.UNKNOWN_METER
    if meter.key != context.sender:
        return ReasonCode.NOT_METER_KEY
    code = _time_refusal(context.state, meter, reading) or _register_refusal(context, meter, reading)
    if code:
        return code
    reset = bool(reading.quality & Quality.RESET)
    meter = context.state.meters.edit(meter.meter_id)
    meter.last_import_wh = reading.import_wh
    meter.last_export_wh = reading.export_wh
    meter.last_period = reading.period
    meter.last_counter = reading.counter
    if reset:
        meter.last_reset = reading.period
    meter.readings += (
        PendingReading(
            period=reading.period,
            import_wh=reading.import_wh,
            export_wh=reading.export_wh,
            reset=reset,
            tx_id=context.tx_id,
        ),
    )
    return ReasonCode.OK


def _time_refusal(state: MarketState, meter: Meter, reading: Reading) -> ReasonCode | None:
    phase = state.phase_of(reading.period)
    if phase is Phase.SETTLED:
        return ReasonCode.READING_TOO_LATE
    if phase is not Phase.DELIVERED:
        return ReasonCode.READING_TOO_EARLY
    if any(pending.period == reading.period for pending in meter.readings):
        return ReasonCode.READING_DUPLICATE
    if reading.period <= meter.last_period:
        return ReasonCode.READING_TOO_LATE
    if reading.counter <= meter.last_counter:
        return ReasonCode.COUNTER_NOT_INCREASING
    return None


def _register_refusal(context: Context, meter: Meter, reading: Reading) -> ReasonCode | None:
    if reading.quality & Quality.RESET:
        # A reset forgives what was not read before it, so it must stay rare.
        since_reset = reading.period - meter.last_reset
        if meter.last_reset >= 0 and since_reset < context.config.reset_interval_periods:
            return ReasonCode.RESET_TOO_SOON
        return None
    imported_wh = reading.import_wh - meter.last_import_wh
    exported_wh = reading.export_wh - meter.last_export_wh
    if imported_wh < 0 or exported_wh < 0:
        return ReasonCode.REGISTER_DECREASED
    elapsed = min(reading.period - meter.last_period, ELAPSED_PERIODS_MAX)
    if imported_wh > meter.max_import_wh * elapsed or exported_wh > meter.max_export_wh * elapsed:
        return ReasonCode.READING_IMPLAUSIBLE
    return None


@dataclass(slots=True, kw_only=True)
class Measured:
    """What an account's meters say at the settlement of a period.

    `missing`: a meter has no reading for it. `reset`: a meter began anew, so its energy is unknown for good.
    `evidence`: ids of the transactions that brought the readings.
    """

    import_wh: int = 0
    export_wh: int = 0
    missing: bool = False
    reset: bool = False
    evidence: tuple[bytes, ...] = ()

    @property
    def net_wh(self) -> int:
        """Export minus import."""
        return self.export_wh - self.import_wh


def book_readings(state: MarketState, account: Account, period: int) -> Measured:
    """Use up an account's readings for `period`: the differences of its registers since they were last booked."""
    measured = Measured()
    for meter_id in account.meters:
        reading = next((item for item in state.meters[meter_id].readings if item.period == period), None)
        if reading is None:
            measured.missing = True
            continue
        meter = state.meters.edit(meter_id)
        measured.evidence += (reading.tx_id,)
        if reading.reset:
            measured.reset = True
        else:
            measured.import_wh += reading.import_wh - meter.booked_import_wh
            measured.export_wh += reading.export_wh - meter.booked_export_wh
        meter.booked_import_wh = reading.import_wh
        meter.booked_export_wh = reading.export_wh
        meter.readings = tuple(item for item in meter.readings if item.period > period)
    return measured
