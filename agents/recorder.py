"""The observer that writes the run folder's tables while the market runs.

It believes what an agent believes, f + 1 equal statements of the committee, and writes a period's rows
when the period is settled. It has no part in the market: without it everything runs on.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from agents import run_tables
from agents.announcements import BlockAnnouncement, ReceiptLine
from agents.deployment import Deployment
from agents.latency_tracker import LatencyRow, LatencyTracker
from agents.observer import ChainListener, ChainObserver, SeenTransaction
from agents.progress import LiveFigures
from agents.record_rows import (
    curve_rows,
    iso_time,
    period_row,
    price_rows,
    reading_row,
    settlement_rows,
    trade_rows,
)
from agents.run_folder import RunFolder
from agents.run_options import NodeResult
from agents.tables import TableWriter
from devices.telemetry import Telemetry
from market.events import Clearing, Phase, PhaseChange, Settlement
from market.offer_transactions import RequestSupply
from market.orders import Side
from market.readings import Reading
from market.receipts import ReasonCode
from market.trading import bid_of
from market.transactions import TAGS, PlaceOrder, SubmitReading, parse_transaction
from mosquitto.bus import Bus

log = logging.getLogger(__name__)

LOST_AFTER_MS: Final = 30_000
_CLEARINGS_KEPT: Final = 64
_ORDERS_KEPT: Final = 65_536

_KIND_NAMES: Final = {
    tag: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower() for kind, tag in TAGS.items()
}
"""What `latencies.csv` calls a transaction of a tag: `place_order`, `submit_reading`, ..."""


class Recorder(ChainListener):
    """Subscribes to the whole chain and keeps tables and live figures. All work happens inside `bus.poll`.

    `clock_ms` is the observer's clock, in ms since 1970 UTC; only latencies are measured with it.
    """

    def __init__(self, folder: RunFolder, deployment: Deployment, bus: Bus, clock_ms: Callable[[], int]) -> None:
        self.deployment = deployment
        self._clock_ms = clock_ms
        self._tables = {
            name: TableWriter(path, columns)
            for name, path, columns in (
                ("periods", folder.periods_csv, run_tables.PERIODS),
                ("prices", folder.prices_csv, run_tables.PRICES),
                ("trades", folder.trades_csv, run_tables.TRADES),
                ("curves", folder.curves_csv, run_tables.CURVES),
                ("settlements", folder.settlements_csv, run_tables.SETTLEMENTS),
                ("orders", folder.orders_csv, run_tables.ORDERS),
                ("readings", folder.readings_csv, run_tables.READINGS),
                ("blocks", folder.blocks_csv, run_tables.BLOCKS),
                ("latencies", folder.latencies_csv, run_tables.LATENCIES),
                ("telemetry", folder.telemetry_csv, run_tables.TELEMETRY),
            )
        }
        self._latencies = LatencyTracker()
        self._clearings: OrderedDict[int, Clearing] = OrderedDict()
        self._orders: OrderedDict[bytes, tuple[bytes, PlaceOrder]] = OrderedDict()
        self._readings: OrderedDict[bytes, Reading] = OrderedDict()
        self._nodes: dict[str, NodeResult] = {}
        self._figures = LiveFigures()
        self._observer = ChainObserver(deployment, bus, self)

    @property
    def figures(self) -> LiveFigures:
        """The market at this moment."""
        return self._figures

    @property
    def periods_settled(self) -> int:
        """How many periods have been settled and written."""
        return self._figures.periods_settled

    @property
    def refused(self) -> Counter[str]:
        """Messages that were dropped, by the topic's last level: who sent them, or says it did."""
        return self._observer.refused

    def nodes(self) -> dict[str, NodeResult]:
        """Each node's last announced block, on its own word."""
        return dict(self._nodes)

    def close(self) -> None:
        """Write what is still open (transactions never receipted) and close the files."""
        self._write_latencies(self._latencies.lost(self._clock_ms(), LOST_AFTER_MS))
        for table in self._tables.values():
            table.close()

    def on_phase(self, change: PhaseChange) -> None:
        """Keep the open period for the figures."""
        if change.phase is Phase.OPEN:
            self._figures = replace(self._figures, open_period=max(self._figures.open_period, change.period))

    def on_clearing(self, clearing: Clearing) -> None:
        """Keep a clearing until its period is settled."""
        self._clearings[clearing.period] = clearing
        if len(self._clearings) > _CLEARINGS_KEPT:
            self._clearings.popitem(last=False)
        if clearing.traded_wh:
            value_nano = sum(trade.energy_wh * trade.price_micro for trade in clearing.trades)
            self._figures = replace(self._figures, price_micro=value_nano // clearing.traded_wh)
        self._figures = replace(self._figures, open_period=max(self._figures.open_period, clearing.period + 1))

    def on_settlement(self, settlement: Settlement) -> None:
        """Write everything of the period."""
        clearing = self._clearings.pop(settlement.period, None)
        if clearing is not None:
            self._tables["prices"].append(*price_rows(clearing))
            self._tables["trades"].append(*trade_rows(self.deployment, clearing))
            self._tables["curves"].append(*curve_rows(clearing))
        else:
            log.warning("clearing was never agreed", extra={"fields": {"period": settlement.period}})
        self._tables["settlements"].append(*settlement_rows(self.deployment, settlement))
        # Last: a period that stands in periods.csv stands in the other tables too.
        self._tables["periods"].append(period_row(self.deployment, clearing, settlement))
        self._figures = replace(
            self._figures,
            periods_settled=self._figures.periods_settled + 1,
            trades=self._figures.trades + (len(clearing.trades) if clearing else 0),
            energy_wh=self._figures.energy_wh + (clearing.traded_wh if clearing else 0),
        )

    def on_announcement(self, node: str, block: BlockAnnouncement) -> None:
        """Keep where each node stands."""
        said = self._nodes.get(node)
        if said is None or block.height > said.height:
            self._nodes[node] = NodeResult(height=block.height, state_root=block.state_root.hex())

    def on_block(self, block: BlockAnnouncement) -> None:
        """Write a block."""
        row = (
            block.height,
            block.time_ms,
            block.period,
            block.transaction_count,
            block.view,
            block.block_hash.hex(),
            block.state_root.hex(),
        )
        self._tables["blocks"].append(row)
        self._figures = replace(self._figures, height=max(self._figures.height, block.height))

    def on_receipts(self, height: int, lines: Sequence[ReceiptLine]) -> None:
        """Write latencies, and the orders and marked readings that were accepted."""
        for line in lines:
            reading = self._readings.pop(line.transaction_id, None)
            if reading is not None and line.code == ReasonCode.OK:
                self._tables["readings"].append(reading_row(self.deployment, reading, height))
            order = self._orders.pop(line.transaction_id, None)
            if order is not None and line.code == ReasonCode.OK:
                self._write_order(*order, number=line.detail, height=height)
        done = [line.transaction_id for line in lines]
        self._write_latencies(self._latencies.receipted(done, self._clock_ms()))
        self._figures = replace(
            self._figures,
            transactions=self._figures.transactions + len(done),
            latency_ms=self._latencies.recent_median_ms(),
        )

    def on_transactions(self, transactions: Sequence[SeenTransaction]) -> None:
        """Start the clock of each, and remember the orders and the marked readings among them."""
        now_ms = self._clock_ms()
        for seen in transactions:
            tag = seen.fields[0] if seen.fields else None
            kind = _KIND_NAMES.get(tag, "unknown") if isinstance(tag, int) else "unknown"
            self._latencies.seen(seen.transaction_id, kind, now_ms, self._figures.open_period)
            if tag in (TAGS[PlaceOrder], TAGS[RequestSupply]):
                order = parse_transaction(seen.fields)
                order = bid_of(order) if isinstance(order, RequestSupply) else order
                assert isinstance(order, PlaceOrder)
                self._orders[seen.transaction_id] = (seen.signer, order)
                if len(self._orders) > _ORDERS_KEPT:
                    self._orders.popitem(last=False)
            elif tag == TAGS[SubmitReading]:
                submit = parse_transaction(seen.fields)
                assert isinstance(submit, SubmitReading)
                if submit.reading.quality:
                    self._readings[seen.transaction_id] = submit.reading
                    if len(self._readings) > _ORDERS_KEPT:
                        self._readings.popitem(last=False)
        self._write_latencies(self._latencies.lost(now_ms, LOST_AFTER_MS))

    def on_telemetry(self, telemetry: Telemetry) -> None:
        """Write what an inverter said of a period."""
        self._tables["telemetry"].append(_telemetry_row(telemetry))

    def _write_order(self, account: bytes, order: PlaceOrder, *, number: int, height: int) -> None:
        entry = self.deployment.participant_of(account)
        row = (
            number,
            order.period,
            order.expiry_period,
            self.deployment.name_of(account),
            entry.region if entry else "",
            "buy" if order.side is Side.BUY else "sell",
            order.energy_wh,
            order.price_micro,
            int(order.region_only),
            height,
        )
        self._tables["orders"].append(row)

    def _write_latencies(self, rows: list[LatencyRow]) -> None:
        self._tables["latencies"].append(
            *((row.period, row.kind, iso_time(row.seen_ms), row.latency_ms, row.transactions) for row in rows)
        )


def _telemetry_row(telemetry: Telemetry) -> tuple[int | str, ...]:
    return (
        telemetry.period,
        telemetry.device_id,
        telemetry.pv_wh,
        telemetry.soc_wh,
        telemetry.charged_wh,
        telemetry.discharged_wh,
    )
