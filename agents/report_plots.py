"""The report's figures, each from the run's data to one `<svg>` element, or None when there is nothing to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents import svg
from agents.formatting import CURRENCY
from agents.no_market import Comparison
from agents.run_data import Numbers, RunData

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACCOUNTS_DRAWN = 60
_POINTS_DRAWN = 2_000


def _label_time_axis(axes: Axes, hours: Numbers) -> None:
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    span = float(hours[-1] - hours[0]) if len(hours) else 0.0
    step = next((step for step in (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168) if span / step <= 9), 720)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    if span > 72:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"day {hour / 24:.0f}"))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"{int(hour)}:{round(hour % 1 * 60):02d}"))
    axes.margins(x=0.01)


def _bar_width(data: RunData, hours: Numbers) -> float:
    # Gaps between very many bars are less than a pixel wide and come out as stripes.
    return data.hours * (0.85 if len(hours) <= 48 else 1.0)


def _direct_label(axes: Axes, y: float, text: str, colour: str) -> None:
    axes.annotate(
        text, (1, y), xycoords=("axes fraction", "data"), xytext=(-2, 3), textcoords="offset points",
        ha="right", color=colour, fontsize=8.5,
    )  # fmt: skip


def price_and_volume(data: RunData) -> str | None:
    """Price band over the day above, traded energy with bids and offers below."""
    if not data.periods:
        return None
    hours = data.day_hours(data.periods.integers("period"))
    table = data.periods
    with svg.figure(4.6, row_heights=(1.25, 1)) as (drawing, (above, below)):
        lowest, highest = table.numbers("lowest_price_micro") / 1e6, table.numbers("highest_price_micro") / 1e6
        above.fill_between(hours, lowest, highest, color=svg.PRICE, alpha=0.18, lw=0, label="lowest to highest")
        above.plot(hours, table.numbers("price_micro") / 1e6, color=svg.PRICE, label="mean, by energy")
        for name, words in (("retail_micro", "retail tariff"), ("feed_in_micro", "feed-in tariff")):
            tariff = data.tariff_micro(name) / 1e6
            above.axhline(tariff, color=svg.SOFT, lw=1, ls=(0, (4, 3)))
            _direct_label(above, tariff, words, svg.SOFT)
        above.set_ylabel(f"price, {CURRENCY}/kWh")
        above.set_ylim(0, None)
        above.margins(y=0.12)
        above.legend(loc="lower left", ncols=2)
        width = _bar_width(data, hours)
        below.bar(hours, table.numbers("traded_wh") / 1e3, width=width, color=svg.VOLUME, label="traded")
        below.step(hours, table.numbers("bid_wh") / 1e3, where="mid", color=svg.BUY, lw=1.2, label="bid")
        below.step(hours, table.numbers("offered_wh") / 1e3, where="mid", color=svg.SELL, lw=1.2, label="offered")
        below.set_ylabel("energy, kWh a period")
        below.legend(loc="upper left", ncols=3)
        _label_time_axis(below, hours)
        return svg.to_svg(drawing, "price", "Price and traded energy over the day")


def busiest_period(data: RunData) -> int | None:
    """The period with the most energy traded; None without trades."""
    traded = np.nan_to_num(data.periods.numbers("traded_wh"))
    if not len(traded) or traded.max() <= 0:
        return None
    return int(data.periods.integers("period")[int(np.argmax(traded))])


def supply_and_demand(data: RunData, period: int) -> str | None:
    """The order book of one period as two curves, and where the market cleared."""
    chosen = data.curves.integers("period") == period
    if not chosen.any():
        return None
    side = np.array(data.curves.texts("side"))
    prices, energies = data.curves.numbers("price_micro") / 1e6, data.curves.numbers("energy_wh") / 1e3
    row = data.periods.integers("period") == period
    traded = float(data.periods.numbers("traded_wh")[row][0]) / 1e3
    longest = max(float(np.nansum(energies[chosen & (side == name)])) for name in ("buy", "sell"))
    with svg.figure(3.4) as (drawing, (axes,)):
        for name, words, colour in (("buy", "demand", svg.BUY), ("sell", "supply", svg.SELL)):
            mask = chosen & (side == name)
            # The standing ask has no end: it is drawn to the edge of the picture.
            steps = np.nan_to_num(energies[mask], nan=longest * 0.15)
            edges = np.concatenate(([0.0], np.cumsum(steps)))
            axes.stairs(prices[mask], edges, baseline=None, color=colour, lw=2, label=words)
        axes.axvline(traded, color=svg.SOFT, lw=1, ls=(0, (4, 3)))
        low = data.periods.numbers("lowest_price_micro")[row][0] / 1e6
        high = data.periods.numbers("highest_price_micro")[row][0] / 1e6
        axes.axhspan(low, high, color=svg.PRICE, alpha=0.15, lw=0, label="prices paid to sellers")
        axes.annotate(
            f"traded {traded:,.1f} kWh", (traded, 0), xycoords=("data", "axes fraction"), xytext=(4, 6),
            textcoords="offset points", fontsize=8.5, color=svg.SOFT,
        )  # fmt: skip
        axes.set_xlim(0, longest * 1.05)
        axes.set_ylim(0, None)
        axes.set_xlabel("energy, kWh")
        axes.set_ylabel(f"price, {CURRENCY}/kWh")
        axes.legend(loc="lower left")
        return svg.to_svg(drawing, "curves", f"Supply and demand of period {period}")


def who_paid(data: RunData) -> str | None:
    """Income and cost by participant, stacked by what for, and what remained."""
    net = data.sum_by_account("net_nano")
    if not net:
        return None
    names = sorted(net, key=lambda name: (-abs(net[name]), name))[:_ACCOUNTS_DRAWN]
    names.sort(key=lambda name: (net[name], name))
    imbalance = data.sum_by_account("imbalance_nano")
    parts = (
        ("sold", data.sum_by_account("sold_nano"), svg.SELL),
        ("rewards", data.sum_by_account("reward_nano"), svg.GOOD),
        ("bought", _negative(data.sum_by_account("bought_nano")), svg.BUY),
        ("crossing fees", _negative(data.sum_by_account("fee_nano")), svg.EXTRA),
        ("balanced by the grid", imbalance, svg.VOLUME),
        ("penalties", _negative(data.sum_by_account("penalty_nano")), svg.BAD),
    )
    places = np.arange(len(names))
    with svg.figure(max(2.2, 0.155 * len(names) + 0.9)) as (drawing, (axes,)):
        right, left = np.zeros(len(names)), np.zeros(len(names))
        for words, sums, colour in parts:
            values = np.array([sums.get(name, 0.0) for name in names]) / 1e9
            start = np.where(values >= 0, right, left)
            axes.barh(places, values, left=start, height=0.78, color=colour, label=words, lw=0)
            right += np.maximum(values, 0)
            left += np.minimum(values, 0)
        axes.plot([net[name] / 1e9 for name in names], places, "o", ms=3.5, color=svg.INK, label="what remained")
        axes.axvline(0, color=svg.SOFT, lw=1)
        axes.set_yticks(places, names, fontsize=7.5)
        axes.set_ylim(-0.8, len(names) - 0.2)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"{CURRENCY} over the settled periods; to the right received, to the left paid")
        axes.legend(loc="lower right")
        return svg.to_svg(drawing, "money", "Who earned and paid what")


def _negative(sums: dict[str, float]) -> dict[str, float]:
    return {name: -value for name, value in sums.items()}


def meter_against_contract(data: RunData) -> str | None:
    """Each settlement as a point, position against meter; and the deviations over the day."""
    if not data.settlements or not data.periods:
        return None
    position = (data.participant_numbers("sold_wh") - data.participant_numbers("bought_wh")) / 1e3
    metered = data.participant_numbers("metered_wh") / 1e3
    with svg.figure(3.5, columns=2) as (drawing, (left, right)):
        # A choice that is the same each time, and not every n-th row: rows come account by account.
        drawn = np.random.default_rng(0).permutation(len(position))[:_POINTS_DRAWN]
        left.plot(position[drawn], metered[drawn], ".", ms=3.5, color=svg.VOLUME, alpha=0.6, mew=0)
        ends = [min(position.min(), metered.min()), max(position.max(), metered.max())]
        left.plot(ends, ends, color=svg.SOFT, lw=1, zorder=1)
        left.set_xlabel("position: sold less bought, kWh")
        left.set_ylabel("metered, kWh")
        hours = data.day_hours(data.periods.integers("period"))
        rows = data.settlements.numbers("imbalance_wh")
        periods = data.settlements.integers("period")
        index = {int(period): place for place, period in enumerate(data.periods.integers("period"))}
        surplus, shortfall = np.zeros(len(hours)), np.zeros(len(hours))
        for period, value in zip(periods, rows, strict=True):
            if int(period) in index:
                (surplus if value > 0 else shortfall)[index[int(period)]] += value / 1e3
        width = _bar_width(data, hours)
        right.bar(hours, surplus, width=width, color=svg.SELL, label="more than the position: grid buys")
        right.bar(hours, shortfall, width=width, color=svg.BUY, label="less: grid sells")
        right.axhline(0, color=svg.SOFT, lw=1)
        right.set_ylabel("deviation, kWh a period")
        right.margins(y=0.2)
        right.legend(loc="upper left", fontsize=8)
        _label_time_axis(right, hours)
        return svg.to_svg(drawing, "meter", "Meter against contract")


def ledger_latency(data: RunData) -> str | None:
    """How many transactions were receipted within which time, by kind; and the latency over the day."""
    table = data.latencies
    if not table:
        return None
    # The clock counts whole milliseconds, and a logarithmic axis has no place for 0.
    latencies, counts = np.maximum(table.numbers("latency_ms"), 1), table.numbers("transactions")
    kinds = np.array(table.texts("kind"))
    common = sorted(set(kinds), key=lambda kind: -counts[kinds == kind].sum())[:4]
    with svg.figure(3.3, columns=2) as (drawing, (left, right)):
        for kind, colour in zip(common, (svg.PRICE, svg.SELL, svg.VOLUME, svg.EXTRA), strict=False):
            mask = kinds == kind
            order = np.argsort(np.where(np.isnan(latencies[mask]), np.inf, latencies[mask]))
            reached = np.cumsum(counts[mask][order]) / counts[mask].sum() * 100
            left.step(latencies[mask][order], reached, where="post", color=colour, label=kind.replace("_", " "))
        left.set_xscale("log")
        left.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        left.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "25" else "")
        left.set_xlabel("ms from the bus to f + 1 receipts")
        left.set_ylabel("% of transactions")
        left.set_ylim(0, 102)
        left.legend(loc="lower right")
        hours, median, worst = _latency_by_period(data, latencies, counts)
        right.plot(hours, worst, color=svg.BAD, lw=1.2, label="slowest")
        right.plot(hours, median, color=svg.PRICE, label="median")
        right.set_ylabel("ms")
        right.set_ylim(0, 1.25 * float(worst.max()) if len(worst) else 1)
        right.legend(loc="upper left", ncols=2)
        _label_time_axis(right, hours)
        return svg.to_svg(drawing, "latency", "Ledger latency")


def _latency_by_period(data: RunData, latencies: Numbers, counts: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    from agents.kpis import weighted_percentile

    periods = data.latencies.integers("period")
    known = ~np.isnan(latencies)
    numbers = np.unique(periods[known])
    median, worst = [], []
    for number in numbers:
        mask = known & (periods == number)
        median.append(weighted_percentile(latencies[mask], counts[mask], 50) or 0.0)
        worst.append(float(latencies[mask].max()))
    return data.day_hours(numbers), np.array(median), np.array(worst)


def coupling_point(data: RunData, comparison: Comparison) -> str | None:
    """Load and generation of the community above; power at the coupling point with and without market below."""
    hours = data.day_hours(np.arange(len(data.periods), dtype=np.int64))
    if not len(hours):
        return None
    market, alone = comparison.market, comparison.alone
    to_kw = 1 / 1e3 / data.hours
    with svg.figure(4.6, row_heights=(1, 1.1)) as (drawing, (above, below)):
        solar = market.pv_available_wh.sum(axis=0) * to_kw
        everything = market.available_wh.sum(axis=0) * to_kw
        above.fill_between(hours, everything, color=svg.VOLUME, alpha=0.35, lw=0, label="wind and hydro")
        above.fill_between(hours, solar, color=svg.SELL, alpha=0.45, lw=0, label="solar")
        above.plot(hours, market.load_wh.sum(axis=0) * to_kw, color=svg.BUY, label="consumption")
        above.set_ylabel("kW")
        above.set_ylim(0, None)
        above.legend(loc="upper left", ncols=3)
        below.plot(hours, alone.net_import_wh() * to_kw, color=svg.SOFT, lw=1.3, label="each for itself")
        below.plot(hours, market.net_import_wh() * to_kw, color=svg.PRICE, label="with the market")
        below.axhline(0, color=svg.SOFT, lw=1)
        below.set_ylabel("kW from the grid")
        below.legend(loc="upper left", ncols=2)
        below.margins(y=0.15)
        _label_time_axis(below, hours)
        return svg.to_svg(drawing, "coupling", "Power at the coupling point")


def storage_and_reputation(data: RunData) -> str | None:
    """Energy stored in all batteries, and the spread of reputation, over the day."""
    if not data.settlements or not data.periods:
        return None
    with svg.figure(2.9, columns=2) as (drawing, (left, right)):
        hours = data.day_hours(data.periods.integers("period"))
        left.plot(hours, data.sum_by_period(data.telemetry, "soc_wh") / 1e3, color=svg.GOOD)
        left.set_ylabel("stored in batteries, kWh")
        left.set_ylim(0, None)
        _label_time_axis(left, hours)
        sellers = {account for account, sold in data.sum_by_account("sold_wh").items() if sold > 0}
        sells = np.array([account in sellers for account in data.settlements.texts("account")], dtype=bool)
        periods = data.settlements.integers("period")[sells]
        values = data.settlements.numbers("reputation_ppm")[sells] / 1e6
        rows = [values[periods == number] for number in data.periods.integers("period")]
        spread = np.array([np.percentile(row, (10, 50, 90)) if len(row) else (np.nan,) * 3 for row in rows])
        right.fill_between(hours, spread[:, 0], spread[:, 2], color=svg.EXTRA, alpha=0.2, lw=0, label="10 to 90 %")
        right.plot(hours, spread[:, 1], color=svg.EXTRA, label="median")
        right.set_ylabel("reputation of sellers")
        right.set_ylim(0, None)
        right.legend(loc="lower right")
        _label_time_axis(right, hours)
        return svg.to_svg(drawing, "storage", "Energy stored, and reputation")
