"""ECharts options. Colours are names of the page's CSS variables (`@price`), put in by the browser.

Money and energy reach the axes in the units that people read: currency per kWh, kWh, kW.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from agents.formatting import CURRENCY
from agents.web.facts import BlockLine, OrderLine, PeriodLine
from agents.web.words import Words
from market.events import Clearing

Option = dict[str, Any]
"""What ECharts takes: nested plain values. `Any` is what its documentation allows."""

_TEXT = {"color": "@soft", "fontSize": 11}
_UNIT = {**_TEXT, "align": "left", "padding": [0, 0, 0, -26]}
_LEGEND = {"top": 0, "right": 6, "itemWidth": 14, "itemHeight": 4, "icon": "roundRect", "textStyle": _TEXT}


def price_chart(
    lines: Sequence[PeriodLine],
    labels: Sequence[str],
    tariffs: tuple[float, float],
    chosen: int | None,
    words: Words,
) -> Option:
    """Mean price with its band over time; `chosen` is a place in `lines`, `tariffs` are retail and feed-in."""
    lowest = [_price(line.lowest_micro) for line in lines]
    spread = [
        None if line.lowest_micro is None or line.highest_micro is None else
        round((line.highest_micro - line.lowest_micro) / 1e6, 6)
        for line in lines
    ]  # fmt: skip
    retail, feed_in = tariffs
    marks = [
        {"yAxis": retail, "label": {"formatter": words("retail")}},
        {"yAxis": feed_in, "label": {"formatter": words("feed_in")}},
    ]
    if chosen is not None:
        marks.append({"xAxis": chosen, "label": {"show": False}, "lineStyle": {"color": "@ink", "type": "solid"}})
    return _over_time(
        labels,
        f"{CURRENCY}/kWh",
        [
            {"name": "low", "type": "line", "stack": "band", "data": lowest, "lineStyle": {"opacity": 0},
             "symbol": "none", "tooltip": {"show": False}, "silent": True},
            {"name": words("range"), "type": "line", "stack": "band", "data": spread, "symbol": "none",
             "lineStyle": {"opacity": 0}, "areaStyle": {"color": "@price", "opacity": 0.18}, "color": "@price",
             "silent": True},
            {"name": words("mean"), "type": "line", "data": [_price(line.price_micro) for line in lines],
             "symbol": "none", "color": "@price", "lineStyle": {"width": 2},
             "markLine": {"symbol": "none", "silent": True, "animation": False,
                          "label": {**_TEXT, "position": "insideEndTop"},
                          "lineStyle": {"color": "@soft", "type": "dashed"}, "data": marks}},
        ],
        legend=[words("mean"), words("range")],
        top=math.ceil(retail * 22) / 20 if retail else None,
    )  # fmt: skip


def volume_chart(lines: Sequence[PeriodLine], labels: Sequence[str], words: Words) -> Option:
    """Energy traded, bid and offered in each period."""
    return _over_time(
        labels,
        "kWh",
        [
            {"name": words("traded"), "type": "bar", "data": [_kwh(line.traded_wh) for line in lines],
             "color": "@volume", "barCategoryGap": "12%"},
            _line(words("bid"), [_kwh(line.bid_wh) for line in lines], "@buy"),
            _line(words("offered"), [_kwh(line.offered_wh) for line in lines], "@sell"),
        ],
    )  # fmt: skip


def curve_chart(clearing: Clearing, words: Words) -> Option:
    """The cleared book as two step curves, and the point where it cleared."""
    traded = _kwh(sum(trade.energy_wh for trade in clearing.trades))
    demand = _steps(clearing.demand)
    supply = _steps(clearing.supply)
    longest = max([x for x, _ in (*demand, *supply)], default=1.0)
    series: list[Option] = [
        _curve(words("demand"), demand, "@buy"),
        _curve(words("supply"), supply, "@sell"),
    ]
    if clearing.ask_limit_micro:
        limit = clearing.ask_limit_micro / 1e6
        start = supply[-1][0] if supply else 0.0
        series.append(
            {**_curve(words("standing_ask"), [(start, limit), (max(longest, start) * 1.04, limit)], "@soft"),
             "lineStyle": {"type": "dashed", "width": 1.5}}
        )  # fmt: skip
    if clearing.trades:
        value = sum(trade.energy_wh * trade.price_micro for trade in clearing.trades)
        mean = value / sum(trade.energy_wh for trade in clearing.trades) / 1e6
        series.append(
            {"name": words("cleared"), "type": "scatter", "data": [[traded, round(mean, 5)]], "symbolSize": 13,
             "symbol": "diamond", "color": "@price", "z": 5,
             "label": {"show": True, "position": "right", "color": "@ink", "fontSize": 11, "lineHeight": 15,
                       "formatter": f"{traded:g} kWh\n{mean:.4f} {CURRENCY}/kWh"}}
        )  # fmt: skip
    return _plane(series, "kWh", f"{CURRENCY}/kWh")


def book_chart(orders: Sequence[OrderLine], words: Words) -> Option:
    """Depth of a book: how much energy is wanted at a price or above, and offered at it or below."""
    bids = _depth([order for order in orders if order.side == "buy"], reverse=True)
    asks = _depth([order for order in orders if order.side == "sell"], reverse=False)
    series = [
        {**_curve(words("bids"), bids, "@buy", step="start"), "areaStyle": {"color": "@buy", "opacity": 0.15}},
        {**_curve(words("asks"), asks, "@sell", step="end"), "areaStyle": {"color": "@sell", "opacity": 0.15}},
    ]
    return _plane(series, f"{CURRENCY}/kWh", "kWh")


def clearing_depth_chart(clearing: Clearing, words: Words) -> Option:
    """Depth of a book that was cleared, from its curves."""
    demand = [(price, energy) for price, energy in clearing.demand]
    supply = [(price, energy) for price, energy in clearing.supply]
    series = [
        {**_curve(words("bids"), _cumulated(demand), "@buy", step="start"),
         "areaStyle": {"color": "@buy", "opacity": 0.15}},
        {**_curve(words("asks"), _cumulated(supply), "@sell", step="end"),
         "areaStyle": {"color": "@sell", "opacity": 0.15}},
    ]  # fmt: skip
    return _plane(series, f"{CURRENCY}/kWh", "kWh")


def lines_chart(
    labels: Sequence[str],
    unit: str,
    lines: Iterable[tuple[str, Sequence[float | None], str]],
    *,
    scale: float,
    area: bool = False,
) -> Option:
    """Some lines over time: name, values, colour; values are divided by `scale` to come to `unit`."""
    series = []
    for name, values, colour in lines:
        scaled = [None if value is None else round(value / scale, 5) for value in values]
        entry = _line(name, scaled, colour)
        if area:
            entry["areaStyle"] = {"color": colour, "opacity": 0.12}
        series.append(entry)
    return _over_time(labels, unit, series)


def block_chart(blocks: Sequence[BlockLine], words: Words) -> Option:
    """Transactions in each block, by height."""
    bars = {
        "name": words("transactions"),
        "type": "bar",
        "data": [block.transactions for block in blocks],
        "color": "@volume",
        "barCategoryGap": "10%",
    }
    return _over_time([str(block.height) for block in blocks], "", [bars], legend=[])


def _over_time(
    labels: Sequence[str],
    unit: str,
    series: list[Option],
    *,
    legend: Sequence[str] | None = None,
    top: float | None = None,
) -> Option:
    axis: Option = {
        "type": "value",
        "name": unit,
        "nameTextStyle": _UNIT,
        "axisLabel": _TEXT,
        "splitLine": {"lineStyle": {"color": "@grid"}},
    }
    if top is not None:
        axis["max"] = top
    return {
        "animation": False,
        "grid": {"left": 46, "right": 14, "top": 34, "bottom": 26},
        "tooltip": _tooltip("axis"),
        "legend": {**_LEGEND, "data": list(legend) if legend is not None else [entry["name"] for entry in series]},
        "xAxis": {"type": "category", "data": list(labels), "axisLabel": {**_TEXT, "hideOverlap": True},
                  "axisLine": {"lineStyle": {"color": "@line"}}, "axisTick": {"show": False}},
        "yAxis": axis,
        "series": series,
    }  # fmt: skip


def _plane(series: list[Option], x_unit: str, y_unit: str) -> Option:
    return {
        "animation": False,
        "grid": {"left": 46, "right": 22, "top": 34, "bottom": 40},
        "tooltip": _tooltip("item"),
        "legend": {**_LEGEND, "data": [entry["name"] for entry in series]},
        "xAxis": {"type": "value", "name": x_unit, "nameLocation": "middle", "nameGap": 24, "nameTextStyle": _TEXT,
                  "axisLabel": _TEXT, "axisLine": {"show": True, "lineStyle": {"color": "@line"}},
                  "splitLine": {"show": False}, "scale": True},
        "yAxis": {"type": "value", "name": y_unit, "nameTextStyle": _UNIT,
                  "axisLabel": _TEXT, "splitLine": {"lineStyle": {"color": "@grid"}}},
        "series": series,
    }  # fmt: skip


def _tooltip(trigger: str) -> Option:
    return {
        "trigger": trigger,
        "backgroundColor": "@card",
        "borderColor": "@line",
        "textStyle": {"color": "@ink", "fontSize": 12},
        "confine": True,
        # Names come from the bus: drawn on the canvas they are text whatever they hold.
        "renderMode": "richText",
    }


def _line(name: str, values: Sequence[float | None], colour: str) -> Option:
    return {
        "name": name,
        "type": "line",
        "data": list(values),
        "symbol": "none",
        "color": colour,
        "lineStyle": {"width": 1.6},
    }


def _curve(name: str, points: Sequence[tuple[float, float]], colour: str, step: str | None = None) -> Option:
    return {
        "name": name,
        "type": "line",
        "data": [list(point) for point in points],
        "symbol": "none",
        "color": colour,
        "lineStyle": {"width": 2},
        "step": step or False,
    }


def _steps(levels: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """A curve's corners: energy to the right, price upwards."""
    points: list[tuple[float, float]] = []
    done = 0
    for price_micro, energy_wh in levels:
        points.append((_kwh(done), price_micro / 1e6))
        done += energy_wh
        points.append((_kwh(done), price_micro / 1e6))
    return points


def _depth(orders: Sequence[OrderLine], *, reverse: bool) -> list[tuple[float, float]]:
    levels: dict[int, int] = {}
    for order in orders:
        levels[order.price_micro] = levels.get(order.price_micro, 0) + order.energy_wh
    return _cumulated(sorted(levels.items(), reverse=reverse))


def _cumulated(levels: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    sums = accumulate(energy for _, energy in levels)
    points = [(price / 1e6, _kwh(total)) for (price, _), total in zip(levels, sums, strict=True)]
    return sorted(points)


def _price(price_micro: int | None) -> float | None:
    return None if price_micro is None else round(price_micro / 1e6, 6)


def _kwh(energy_wh: int) -> float:
    return round(energy_wh / 1e3, 3)
