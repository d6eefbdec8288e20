"""The Devices page: meters and inverters, which of them are real, and which have gone quiet."""

from __future__ import annotations

from typing import Final

import solara

from agents import formatting
from agents.web.facts import FeedState, InverterLine, MeterLine
from agents.web.pages.common import card, cell, columns, energy_cell, plain_tile, row, tile, with_unit
from agents.web.view import View
from agents.web.widgets import DataTable, Heading, Tiles
from market.readings import Quality

LATE_PERIODS: Final = 2
LOST_PERIODS: Final = 4

_QUALITY: Final = {
    Quality.GATEWAY: "gateway",
    Quality.RESET: "reset",
    Quality.GAP: "gap",
    Quality.INTERPOLATED: "interpolated",
    Quality.ROLLED_OVER: "rolled_over",
}


@solara.component
def DevicesPage(view: View) -> None:
    """Tables of meters and inverters."""
    snapshot, words = view.snapshot, view.words
    Heading(text=words("devices"), level=1)
    heard = sum(meter.period is not None for meter in snapshot.meters)
    stored_wh = sum(line.soc_wh for line in snapshot.inverters)
    hours = view.deployment.period_ms / 3_600_000
    power_w = sum(line.pv_wh for line in snapshot.inverters) / hours
    Tiles(
        tiles=[
            tile(words("devices_heard"), f"{heard} / {len(snapshot.meters)}"),
            tile(words("generation_all"), f"{power_w / 1e3:,.1f} kW"),
            tile(words("storage_all"), formatting.energy(stored_wh)),
            *(plain_tile(part.name, words(state_word(part.state))) for part in snapshot.parts),
        ]
    )
    with solara.Div(classes=["gb-grid"]):
        with card(12, words("meters"), words("meters_note")):
            _meters(view)
        with card(12, words("inverters"), words("inverters_note")):
            _inverters(view)


def state_word(state: str) -> str:
    """The word for what a component says of itself."""
    known = {"online": "online", "offline": "offline", "starting": "starting", "ended": "node_ended"}
    return known.get(state, "unreadable" if state == "unreadable" else "unknown")


def _meters(view: View) -> None:
    words = view.words
    DataTable(
        columns=columns(
            (words("meter_id"), ""),
            (words("owner"), ""),
            (words("region"), ""),
            (words("type"), ""),
            (with_unit(words("import"), "kWh"), "number"),
            (with_unit(words("export"), "kWh"), "number"),
            (words("last_reading"), "number"),
            (words("age"), "number"),
            (words("quality"), ""),
            (words("signal"), ""),
        ),
        rows=[_meter_row(view, meter) for meter in view.snapshot.meters],
        words=view.table_words(),
        label=words("meters"),
        sortable=True,
        filterable=True,
        page_rows=60,
    )


def _meter_row(view: View, meter: MeterLine) -> dict[str, object]:
    words = view.words
    is_real = bool(meter.quality & Quality.GATEWAY)
    return row(
        meter.meter_id,
        (
            meter.meter_id,
            meter.owner,
            meter.region,
            cell(words("real"), 1, "gb-good") if is_real else words("simulated"),
            energy_cell(meter.import_wh),
            energy_cell(meter.export_wh),
            words("never") if meter.period is None else meter.period,
            _age(view, meter.heard_ms),
            _quality(view, meter),
            _signal(view, meter),
        ),
    )


def _age(view: View, heard_ms: int) -> dict[str, object]:
    if not heard_ms:
        return cell("", 1e12)
    seconds = max(0, view.snapshot.now_ms - heard_ms) // 1_000
    return cell(view.words("seconds_ago", seconds=f"{seconds:,}"), seconds)


def _quality(view: View, meter: MeterLine) -> str:
    if meter.period is None:
        return ""
    marks = [view.words(word) for mark, word in _QUALITY.items() if meter.quality & mark]
    return ", ".join(marks) or view.words("good")


def _signal(view: View, meter: MeterLine) -> dict[str, object]:
    """Late by the newest period that any meter has told of: so it needs no clock, and is the same at any pace."""
    words = view.words
    newest = max((line.period for line in view.snapshot.meters if line.period is not None), default=None)
    if newest is None or view.snapshot.state is FeedState.WAITING:
        return cell(words("never"), LOST_PERIODS, "gb-plain")
    late = newest + 1 if meter.period is None else newest - meter.period
    if late >= LOST_PERIODS:
        return cell(words("signal_lost"), late, "gb-bad")
    if late >= LATE_PERIODS:
        return cell(words("signal_late", periods=late), late, "gb-wait")
    return cell(words("signal_ok"), late, "gb-good")


def _inverters(view: View) -> None:
    words = view.words
    DataTable(
        columns=columns(
            (words("device"), ""),
            (words("owner"), ""),
            (words("region"), ""),
            (with_unit(words("generation"), "kWh"), "number"),
            (with_unit(words("stored"), "kWh"), "number"),
            (with_unit(words("charged"), "kWh"), "number"),
            (with_unit(words("discharged"), "kWh"), "number"),
            (words("period"), "number"),
            (words("age"), "number"),
        ),
        rows=[_inverter_row(view, line) for line in view.snapshot.inverters],
        words=view.table_words(),
        label=words("inverters"),
        sortable=True,
        filterable=True,
        page_rows=60,
    )


def _inverter_row(view: View, line: InverterLine) -> dict[str, object]:
    has_battery = line.owner in view.hub.capacities_wh or line.soc_wh > 0
    return row(
        line.device_id,
        (
            line.device_id,
            line.owner,
            line.region,
            energy_cell(line.pv_wh),
            energy_cell(line.soc_wh) if has_battery else "",
            energy_cell(line.charged_wh) if has_battery else "",
            energy_cell(line.discharged_wh) if has_battery else "",
            view.words("never") if line.period is None else line.period,
            _age(view, line.heard_ms),
        ),
    )
