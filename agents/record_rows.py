"""From the contract's events to rows of the run folder's tables (columns: `run_tables.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from agents.deployment import Deployment
from agents.tables import Cell
from market.events import Clearing, Settlement
from market.readings import Reading, quality_words

Row = tuple[Cell, ...]


def period_row(deployment: Deployment, clearing: Clearing | None, settlement: Settlement) -> Row:
    """The row of `periods.csv`. Without the clearing its cells stay empty, rather than zero."""
    rows = settlement.rows
    start_ms = deployment.first_period_ms + settlement.period * deployment.period_ms
    return (
        settlement.period,
        iso_time(start_ms),
        *_clearing_cells(clearing),
        sum(row.import_wh for row in rows),
        sum(row.export_wh for row in rows),
        sum(abs(row.imbalance_wh) for row in rows),
        sum(row.penalty_nano for row in rows),
        sum(row.reward_nano for row in rows),
        sum(row.estimated for row in rows),
        clearing.time_ms if clearing else None,
        settlement.time_ms,
    )


def reading_row(deployment: Deployment, reading: Reading, height: int) -> Row:
    """The row of `readings.csv`."""
    owner = deployment.owner_of(reading.meter_id)
    return (
        reading.period,
        reading.meter_id,
        owner.name if owner else "",
        reading.import_wh,
        reading.export_wh,
        quality_words(reading.quality),
        reading.measured_ms,
        height,
    )


def _clearing_cells(clearing: Clearing | None) -> Row:
    if clearing is None:
        return (None,) * 10
    trades = clearing.trades
    value_nano = sum(trade.energy_wh * trade.price_micro for trade in trades)
    prices = [trade.price_micro for trade in trades]
    return (
        value_nano // clearing.traded_wh if clearing.traded_wh else None,
        min(prices, default=None),
        max(prices, default=None),
        len(trades),
        clearing.traded_wh,
        sum(trade.energy_wh for trade in trades if trade.buy_region != trade.sell_region),
        clearing.bid_wh,
        clearing.offered_wh,
        value_nano,
        sum(trade.energy_wh * trade.fee_micro for trade in trades),
    )


def price_rows(clearing: Clearing) -> Iterator[Row]:
    """Rows of `prices.csv`: one a region; prices are empty where nothing was traded."""
    for price in clearing.prices:
        if price.volume_wh:
            prices: Row = (price.mean_micro, price.lowest_micro, price.highest_micro, price.highest_ask_micro)
        else:
            prices = (None,) * 4
        yield (clearing.period, price.region, *prices, price.volume_wh)


def trade_rows(deployment: Deployment, clearing: Clearing) -> Iterator[Row]:
    """Rows of `trades.csv`, in matching order."""
    for trade in clearing.trades:
        yield (
            clearing.period,
            trade.number,
            deployment.name_of(trade.buyer),
            deployment.name_of(trade.seller),
            trade.buy_order,
            trade.sell_order,
            trade.buy_region,
            trade.sell_region,
            trade.energy_wh,
            trade.price_micro,
            trade.fee_micro,
        )


def curve_rows(clearing: Clearing) -> Iterator[Row]:
    """Rows of `curves.csv`: demand from the highest bid down, supply from the lowest ask up.

    The regulator's standing ask stands last in supply, with empty energy: it has no end.
    """
    for price_micro, energy_wh in clearing.demand:
        yield (clearing.period, "buy", price_micro, energy_wh)
    for price_micro, energy_wh in clearing.supply:
        yield (clearing.period, "sell", price_micro, energy_wh)
    if clearing.ask_limit_micro:
        yield (clearing.period, "sell", clearing.ask_limit_micro, None)


def settlement_rows(deployment: Deployment, settlement: Settlement) -> Iterator[Row]:
    """Rows of `settlements.csv`, one an account, by name: by key they would stand in another order each run."""
    for row in sorted(settlement.rows, key=lambda row: deployment.name_of(row.account)):
        entry = deployment.participant_of(row.account)
        yield (
            settlement.period,
            deployment.name_of(row.account),
            entry.role if entry else "",
            entry.region if entry else "",
            row.bought_wh,
            row.sold_wh,
            row.import_wh,
            row.export_wh,
            row.metered_wh,
            row.imbalance_wh,
            row.bought_nano,
            row.fee_nano,
            row.sold_nano,
            row.imbalance_nano,
            row.penalty_nano,
            row.reward_nano,
            row.sold_nano
            - row.bought_nano
            - row.fee_nano
            + row.imbalance_nano
            - row.penalty_nano
            + row.reward_nano,
            row.balance_nano,
            row.reputation_ppm,
            int(row.estimated),
        )


def iso_time(time_ms: int) -> str:
    """A time as `2016-04-20T00:15:00Z`."""
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
