"""The evaluation of a run: every number with its unit and its definition beside it.

The measures are those that Chen 2025 names without formulas; the definitions are ours, and are printed with
the numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.formatting import CURRENCY
from agents.no_market import Comparison
from agents.run_data import Numbers, RunData
from agents.run_folder import write_atomically
from devices import measures

FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One number. `value` is None when there is nothing to compute it from."""

    key: str
    group: str
    label: str
    value: float | None
    unit: str
    definition: str


def compute_kpis(data: RunData, comparison: Comparison | None) -> tuple[Kpi, ...]:
    """All numbers of a run, in reading order; without `comparison` those that need it are left out."""
    kpis = [*_trade(data), *_money(data)]
    if comparison is not None:
        kpis += [*_savings(data, comparison), *_physics(data, comparison)]
    return (*kpis, *_deviation(data), *_ledger(data))


def write_kpis(data: RunData, kpis: Iterable[Kpi]) -> None:
    """Write `kpis.json`: for each key its value, unit and definition."""
    document = {
        "format": FORMAT,
        "scenario": data.deployment.scenario,
        "chain_id": data.deployment.chain_id,
        "seed": data.deployment.seed,
        "complete": data.is_complete,
        "missing": data.missing,
        "kpis": {
            kpi.key: {
                "value": _plain(kpi.value),
                "unit": kpi.unit,
                "label": kpi.label,
                "definition": kpi.definition,
            }
            for kpi in kpis
        },
    }
    write_atomically(data.folder.kpis_json, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _plain(value: float | None) -> float | None:
    if value is None or not np.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else round(float(value), 6)


def _trade(data: RunData) -> Iterator[Kpi]:
    def kpi(key: str, label: str, value: float | None, unit: str, definition: str) -> Kpi:
        return Kpi(key=key, group="Trade", label=label, value=value, unit=unit, definition=definition)

    energy, prices = data.trades.numbers("energy_wh"), data.trades.numbers("price_micro")
    traded_wh = _sum(energy)
    crossing = np.array(
        [
            buy != sell
            for buy, sell in zip(data.trades.texts("buy_region"), data.trades.texts("sell_region"), strict=True)
        ],
        dtype=bool,
    )
    bid_wh, offered_wh = _sum(data.periods.numbers("bid_wh")), _sum(data.periods.numbers("offered_wh"))
    yield kpi("periods_settled", "Periods settled", len(data.periods), "", "Periods that were paid out.")
    yield kpi("orders", "Orders", len(data.orders), "", "Orders that the ledger accepted.")
    yield kpi("trades", "Trades", len(data.trades), "", "Pairs of a bid and an ask that were matched.")
    yield kpi("traded_wh", "Energy traded", traded_wh, "Wh", "Sum over trades in settled periods.")
    yield kpi(
        "crossing_share",
        "Across regions",
        _ratio(_sum(energy[crossing]) if len(energy) else 0.0, traded_wh),
        "share",
        "Share of the traded energy whose buyer and seller are in different regions.",
    )
    yield kpi(
        "served_share",
        "Bids served",
        _ratio(traded_wh, bid_wh),
        "share",
        "Energy traded by energy bid. An order that stands in several clearings is counted in each.",
    )
    yield kpi(
        "sold_share",
        "Offers sold",
        _ratio(traded_wh, offered_wh),
        "share",
        "Energy traded by energy offered, the regulator's unlimited ask left out of the offers.",
    )
    mean_micro = _ratio(_sum(energy * prices), traded_wh)
    yield kpi(
        "mean_price_micro", "Mean price", mean_micro, "micro/kWh", "Price to the seller, weighted by energy."
    )
    for key, label, value in (
        ("lowest_price_micro", "Lowest price", _least(prices)),
        ("highest_price_micro", "Highest price", _most(prices)),
    ):
        yield kpi(key, label, value, "micro/kWh", f"{label} to a seller in any trade.")


def _money(data: RunData) -> Iterator[Kpi]:
    def kpi(key: str, label: str, value: float, definition: str) -> Kpi:
        return Kpi(key=key, group="Money", label=label, value=value, unit="nano", definition=definition)

    yield kpi(
        "traded_value_nano",
        "Value of trades",
        _sum(data.periods.numbers("traded_value_nano")),
        "Price times energy over all trades, without crossing fees.",
    )
    yield kpi(
        "fees_nano",
        "Crossing fees",
        _sum(data.participant_numbers("fee_nano")),
        "Paid by buyers to the grid company.",
    )
    yield kpi(
        "imbalance_nano",
        "Balancing by the grid",
        _sum(data.participant_numbers("imbalance_nano")),
        "What participants received from the grid for surplus over their position (feed-in tariff) less what "
        "they paid for shortfall (retail tariff); negative: paid.",
    )
    yield kpi(
        "penalties_nano",
        "Penalties",
        _sum(data.participant_numbers("penalty_nano")),
        "Paid for deviations beyond the tolerance.",
    )
    yield kpi(
        "rewards_nano",
        "Rewards",
        _sum(data.participant_numbers("reward_nano")),
        "Paid out of the penalties to those who kept their word.",
    )
    yield kpi(
        "community_cost_nano",
        "Community's cost",
        -_sum(data.participant_numbers("net_nano")),
        "What all participants together paid less what they received: energy from the grid, crossing fees and "
        "penalties, less feed-in and rewards. Trade between participants cancels out.",
    )


def _savings(data: RunData, comparison: Comparison) -> Iterator[Kpi]:
    alone = dict(zip(comparison.names, _cost_alone_nano(data, comparison), strict=True))
    net = data.sum_by_account("net_nano")
    saved = np.array([net.get(name, 0.0) + cost for name, cost in alone.items()])
    cost_alone = float(sum(alone.values()))

    def kpi(key: str, label: str, value: float | None, unit: str, definition: str) -> Kpi:
        group = "Against no market"
        return Kpi(key=key, group=group, label=label, value=value, unit=unit, definition=definition)

    yield kpi(
        "reference_cost_nano",
        "Cost without a market",
        cost_alone,
        "nano",
        "The same homes, panels and batteries, each for itself: import at the retail tariff less export at the "
        "feed-in tariff.",
    )
    yield kpi(
        "saving_nano", "Saving", float(saved.sum()), "nano", "Cost without a market less the community's cost."
    )
    yield kpi(
        "saving_share",
        "Saving, relative",
        _ratio(float(saved.sum()), abs(cost_alone)),
        "share",
        "Saving by the absolute cost without a market. Large when that cost is near zero: read it with the money.",
    )
    yield kpi(
        "median_saving_nano",
        "Saving, median",
        float(np.median(saved)) if saved.size else None,
        "nano",
        "The median participant's saving.",
    )
    yield kpi(
        "worse_off_share",
        "Worse off",
        float(np.mean(saved < 0)) if saved.size else None,
        "share",
        "Share of participants who would have paid less without a market.",
    )
    stored = comparison.market.charged_wh - comparison.market.discharged_wh
    stored_alone = comparison.alone.charged_wh - comparison.alone.discharged_wh
    yield kpi(
        "extra_stored_wh",
        "More put into batteries",
        float(stored.sum() - stored_alone.sum()),
        "Wh",
        "Energy charged less discharged at the batteries' terminals, less the same without a market: what the "
        "cost above paid for and may still use, conversion losses included.",
    )


def _cost_alone_nano(data: RunData, comparison: Comparison) -> list[float]:
    from devices.reference import grid_cost_nano

    cost = grid_cost_nano(
        comparison.alone.import_wh,
        comparison.alone.export_wh,
        data.tariff_micro("retail_micro"),
        data.tariff_micro("feed_in_micro"),
    )
    return [float(value) for value in cost]


def _physics(data: RunData, comparison: Comparison) -> Iterator[Kpi]:
    for suffix, words, flows in (
        ("", "", comparison.market),
        ("_alone", " without a market", comparison.alone),
    ):
        net_wh = flows.net_import_wh()
        values = (
            (
                "pv_absorption_local",
                "PV absorption, local",
                measures.local_absorption(flows.pv_available_wh, flows.pv_curtailed_wh(), flows.pv_exported_wh()),
                "share",
                "Share of available PV energy used or stored inside the community. What leaves is shared in "
                "proportion among all that fed the community in that period.",
            ),
            (
                "pv_absorption_total",
                "PV absorption, total",
                measures.total_absorption(flows.pv_available_wh, flows.pv_curtailed_wh()),
                "share",
                "1 less the curtailed share of available PV energy.",
            ),
            (
                "self_sufficiency",
                "Self-sufficiency",
                measures.self_sufficiency(flows.load_wh, net_wh),
                "share",
                "Share of the homes' consumption that did not come in through the coupling point.",
            ),
            (
                "self_consumption",
                "Self-consumption",
                measures.self_consumption(flows.generated_wh, net_wh),
                "share",
                "Share of generation (PV, wind, hydro) that did not leave through the coupling point.",
            ),
            (
                "peak_valley_gap_w",
                "Peak-valley gap",
                measures.peak_valley_gap_w(net_wh, data.hours),
                "W",
                "Mean over days of the daily maximum minus minimum of power at the coupling point.",
            ),
        )
        for key, label, value, unit, definition in values:
            yield Kpi(
                key=key + suffix,
                group="Energy" + words,
                label=label,
                value=value,
                unit=unit,
                definition=definition + (" Same homes, each for itself." if suffix else ""),
            )


def _deviation(data: RunData) -> Iterator[Kpi]:
    def kpi(key: str, label: str, value: float | None, unit: str, definition: str) -> Kpi:
        return Kpi(key=key, group="Keeping promises", label=label, value=value, unit=unit, definition=definition)

    imbalance_wh = _sum(np.abs(data.participant_numbers("imbalance_wh")))
    traded_wh = _sum(data.participant_numbers("bought_wh")) + _sum(data.participant_numbers("sold_wh"))
    yield kpi(
        "imbalance_wh",
        "Energy off position",
        imbalance_wh,
        "Wh",
        "Sum over accounts and periods of |metered - position|. Energy that was never for sale counts too.",
    )
    yield kpi(
        "imbalance_per_traded",
        "Off position by traded",
        _ratio(imbalance_wh, traded_wh),
        "share",
        "The former by bought plus sold energy.",
    )
    yield kpi(
        "estimated",
        "Readings missing",
        _sum(data.participant_numbers("estimated")),
        "",
        "Settlements made by estimate and corrected by the next reading.",
    )
    marks = Counter(mark for text in data.readings.texts("quality") for mark in text.split("+"))
    for mark, what in _READING_MARKS.items():
        if marks[mark]:
            yield kpi(f"readings_{mark}", f"Readings marked {mark}", marks[mark], "", what)
    last = _last_reputations(data)
    yield kpi(
        "mean_reputation_ppm",
        "Mean reputation",
        float(np.mean(list(last.values()))) if last else None,
        "ppm",
        "Cui 2022, eq. (2), mean at the end over accounts that sold anything.",
    )


_READING_MARKS: Final = {
    "gateway": "Signed by a gateway for a real meter: custody, not truth.",
    "interpolated": "Taken from values shortly before and after the period's end.",
    "estimated": "Taken from values far from the period's end, or before it alone.",
    "integrated": "Of a meter without a register: its power was integrated.",
    "gap": "Holds the energy of periods before it, for which there was no reading.",
    "reset": "Began with a new baseline: nothing was booked, the period was settled by estimate.",
    "restarted": "The physical register began anew at zero; the reading counts on.",
    "rolled_over": "The physical register rolled over; the reading counts on.",
}


def _last_reputations(data: RunData) -> dict[str, float]:
    rows = zip(
        data.settlements.texts("account"),
        data.settlements.texts("role"),
        data.settlements.numbers("reputation_ppm").tolist(),
        strict=True,
    )
    sold = data.sum_by_account("sold_wh")
    return {account: reputation for account, role, reputation in rows if role and sold.get(account, 0) > 0}


def _ledger(data: RunData) -> Iterator[Kpi]:
    def kpi(key: str, label: str, value: float | None, unit: str, definition: str) -> Kpi:
        return Kpi(key=key, group="Ledger", label=label, value=value, unit=unit, definition=definition)

    transactions = _sum(data.blocks.numbers("transactions"))
    times_ms = data.blocks.numbers("time_ms")
    seconds = float(times_ms.max() - times_ms.min()) / 1_000 if len(times_ms) > 1 else 0.0
    yield kpi("blocks", "Blocks", len(data.blocks), "", "Blocks that f + 1 nodes announced alike.")
    yield kpi(
        "transactions", "Transactions", transactions, "", "Transactions in those blocks, refused ones included."
    )
    yield kpi(
        "throughput_per_s",
        "Throughput",
        _ratio(transactions, seconds),
        "1/s",
        "Transactions by the time from the first block to the last. In lockstep this is the market's pace, not "
        "what the ledger could do.",
    )
    yield kpi(
        "views",
        "Views",
        _most(data.blocks.numbers("view")),
        "",
        "Highest view of a block: how often the primary changed.",
    )
    for key, words, latencies, counts in _latency_groups(data):
        lost = np.isnan(latencies)
        for percent in (50, 95, 99):
            yield kpi(
                f"{key}_p{percent}_ms",
                f"Latency{words}, p{percent}",
                weighted_percentile(np.where(lost, np.inf, latencies), counts, percent),
                "ms",
                "From the transaction on the bus to f + 1 equal receipts; a lost transaction counts as infinite.",
            )
        yield kpi(
            f"{key}_lost",
            f"Lost{words}",
            _sum(counts[lost]),
            "",
            "Transactions that never had f + 1 equal receipts.",
        )


def _latency_groups(data: RunData) -> Iterator[tuple[str, str, Numbers, Numbers]]:
    latencies, counts = data.latencies.numbers("latency_ms"), data.latencies.numbers("transactions")
    yield "latency", "", latencies, counts
    orders = np.array([kind == "place_order" for kind in data.latencies.texts("kind")], dtype=bool)
    yield "order_latency", " of orders", latencies[orders], counts[orders]


def weighted_percentile(values: Numbers, weights: Numbers, percent: float) -> float | None:
    """The smallest value that at least `percent` of the weight does not exceed; None without any."""
    if not len(values):
        return None
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, percent / 100 * reached[-1]))
    return float(values[order][min(place, len(values) - 1)])


def _sum(values: Numbers) -> float:
    return float(np.nansum(values)) if len(values) else 0.0


def _least(values: Numbers) -> float | None:
    return float(np.nanmin(values)) if len(values) else None


def _most(values: Numbers) -> float | None:
    return float(np.nanmax(values)) if len(values) else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def text_of(kpi: Kpi) -> str:
    """The value as a person reads it, with its unit."""
    value = kpi.value
    if value is None:
        return "–"  # noqa: RUF001 (an en dash is what a table shows for "no value")
    if not np.isfinite(value):
        return "∞"
    match kpi.unit:
        case "Wh":
            return f"{value / 1e3:,.1f} kWh"
        case "W":
            return f"{value / 1e3:,.1f} kW"
        case "nano":
            return f"{value / 1e9:,.2f} {CURRENCY}"
        case "micro/kWh":
            return f"{value / 1e6:.4f} {CURRENCY}/kWh"
        case "share":
            return f"{value * 100:,.1f} %"
        case "ppm":
            return f"{value / 1e6:.3f}"
        case "ms":
            return f"{value:,.0f} ms"
        case "1/s":
            return f"{value:,.1f} /s"
        case _:
            return f"{value:,.0f}"
