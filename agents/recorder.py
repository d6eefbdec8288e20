"""The observer that writes the run folder's tables while the market runs.

It believes what an agent believes, f + 1 equal statements of the committee, and writes a period's rows
when the period is settled. It has no part in the market: without it everything runs on.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from agents import run_tables
from agents.announcements import BlockAnnouncement, parse_receipts
from agents.deployment import Deployment
from agents.latency_tracker import LatencyRow, LatencyTracker
from agents.progress import LiveFigures
from agents.record_rows import curve_rows, iso_time, period_row, price_rows, settlement_rows, trade_rows
from agents.run_folder import RunFolder
from agents.run_options import NodeResult
from agents.tables import TableWriter
from devices.telemetry import Telemetry, open_telemetry
from market.errors import MarketError
from market.events import Clearing, Phase, PhaseChange, Settlement
from market.orders import Side
from market.receipts import ReasonCode
from market.transactions import TAGS, PlaceOrder, parse_transaction
from mosquitto.agreement import Agreement
from mosquitto.batch import decode_batch
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import decode, encode
from mosquitto.envelope import Envelope, Kind, open_envelope
from mosquitto.errors import RemoteError
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

LOST_AFTER_MS: Final = 30_000
_RECEIPTS_KEPT: Final = 65_536
_CLEARINGS_KEPT: Final = 64
_ORDERS_KEPT: Final = 65_536
_TELEMETRY_KEPT: Final = 65_536

_KIND_NAMES: Final = {
    tag: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower() for kind, tag in TAGS.items()
}
"""What `latencies.csv` calls a transaction of a tag: `place_order`, `submit_reading`, ..."""


class Recorder:
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
                ("blocks", folder.blocks_csv, run_tables.BLOCKS),
                ("latencies", folder.latencies_csv, run_tables.LATENCIES),
                ("telemetry", folder.telemetry_csv, run_tables.TELEMETRY),
            )
        }
        self.refused: Counter[str] = Counter()
        """Messages that were dropped, by the topic's last level: who sent them, or says it did."""
        self._latencies = LatencyTracker()
        self._clearings: OrderedDict[int, Clearing] = OrderedDict()
        self._orders: OrderedDict[bytes, tuple[bytes, PlaceOrder]] = OrderedDict()
        self._telemetry_seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._nodes: dict[str, NodeResult] = {}
        self._agreements = {
            kind: Agreement(deployment.committee_keys, deployment.agreement_threshold, kept)
            for kind, kept in (
                (Kind.PHASE, 1_024),
                (Kind.CLEARING, 256),
                (Kind.SETTLEMENT, 256),
                (Kind.BLOCK, 4_096),
                (Kind.RECEIPTS, _RECEIPTS_KEPT),
            )
        }
        self._device_keys = {
            device: {meter.public_key for meter in participant.meters}
            for participant in deployment.participants
            for device in participant.devices
        }
        self._known_keys = set(deployment.names)
        self._known_keys.update(
            meter.public_key for participant in deployment.participants for meter in participant.meters
        )
        self._figures = LiveFigures()
        self._subscribe(bus, Topics(deployment.chain_id))

    @property
    def figures(self) -> LiveFigures:
        """The market at this moment."""
        return self._figures

    @property
    def periods_settled(self) -> int:
        """How many periods have been settled and written."""
        return self._figures.periods_settled

    def nodes(self) -> dict[str, NodeResult]:
        """Each node's last announced block, on its own word."""
        return dict(self._nodes)

    def close(self) -> None:
        """Write what is still open (transactions never receipted) and close the files."""
        self._write_latencies(self._latencies.lost(self._clock_ms(), LOST_AFTER_MS))
        for table in self._tables.values():
            table.close()

    def _subscribe(self, bus: Bus, topics: Topics) -> None:
        bus.subscribe(topics.every_phases(), self._guarded(self._on_phase))
        bus.subscribe(topics.every_clearings(), self._guarded(self._on_clearing))
        bus.subscribe(topics.every_settlements(), self._guarded(self._on_settlement))
        bus.subscribe(topics.every_blocks(), self._guarded(self._on_block))
        bus.subscribe(topics.every_receipts(), self._guarded(self._on_receipts))
        bus.subscribe(topics.every_telemetry(), self._guarded(self._on_telemetry))
        for topic_filter in (topics.every_transactions(), topics.clock(), topics.every_reading()):
            bus.subscribe(topic_filter, self._guarded(self._on_transactions))

    def _guarded(self, handler: Callable[[BusMessage], None]) -> Callable[[BusMessage], None]:
        def handle(message: BusMessage) -> None:
            try:
                handler(message)
            except (RemoteError, MarketError) as error:
                self._refuse(message.topic.rsplit("/", 1)[-1], error)

        return handle

    def _refuse(self, source: str, error: Exception) -> None:
        # A sender of rubbish must fill neither the log nor the memory.
        if source not in self.refused:
            if len(self.refused) >= 1_000:
                source = "others"
            else:
                log.warning("message refused", extra={"fields": {"source": source, "reason": str(error)}})
        self.refused[source] += 1

    def _open(self, message: BusMessage, kind: Kind) -> Envelope | None:
        """The message of a committee member; None for strangers and messages of another kind."""
        envelope = open_envelope(message.payload, self.deployment.chain_id)
        if envelope.kind is not kind or envelope.signer not in self.deployment.committee_keys:
            return None
        return envelope

    def _agreed(self, envelope: Envelope, period: int) -> bool:
        return self._agreements[envelope.kind].hear(envelope.signer, period, envelope.body) is not None

    def _on_phase(self, message: BusMessage) -> None:
        envelope = self._open(message, Kind.PHASE)
        if envelope is None:
            return
        change = PhaseChange.from_values(decode(envelope.body))
        subject = (change.period, change.phase)
        agreed = self._agreements[Kind.PHASE].hear(envelope.signer, subject, envelope.body)
        if agreed is not None and change.phase is Phase.OPEN:
            self._figures = replace(self._figures, open_period=max(self._figures.open_period, change.period))

    def _on_clearing(self, message: BusMessage) -> None:
        envelope = self._open(message, Kind.CLEARING)
        if envelope is None:
            return
        clearing = Clearing.from_values(decode(envelope.body))
        if not self._agreed(envelope, clearing.period):
            return
        self._clearings[clearing.period] = clearing
        if len(self._clearings) > _CLEARINGS_KEPT:
            self._clearings.popitem(last=False)
        if clearing.traded_wh:
            value_nano = sum(trade.energy_wh * trade.price_micro for trade in clearing.trades)
            self._figures = replace(self._figures, price_micro=value_nano // clearing.traded_wh)
        self._figures = replace(self._figures, open_period=max(self._figures.open_period, clearing.period + 1))

    def _on_settlement(self, message: BusMessage) -> None:
        envelope = self._open(message, Kind.SETTLEMENT)
        if envelope is None:
            return
        settlement = Settlement.from_values(decode(envelope.body))
        if not self._agreed(envelope, settlement.period):
            return
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

    def _on_block(self, message: BusMessage) -> None:
        envelope = self._open(message, Kind.BLOCK)
        if envelope is None:
            return
        block = BlockAnnouncement.parse(envelope.body)
        name = self.deployment.name_of(envelope.signer)
        said = self._nodes.get(name)
        if said is None or block.height > said.height:
            self._nodes[name] = NodeResult(height=block.height, state_root=block.state_root.hex())
        if self._agreements[Kind.BLOCK].hear(envelope.signer, block.height, envelope.body) is None:
            return
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

    def _on_receipts(self, message: BusMessage) -> None:
        envelope = self._open(message, Kind.RECEIPTS)
        if envelope is None:
            return
        height, lines = parse_receipts(envelope.body)
        agreement = self._agreements[Kind.RECEIPTS]
        done = []
        for line in lines:
            statement = encode((height, line.code, line.detail))
            if agreement.hear(envelope.signer, (line.transaction_id, height), statement) is None:
                continue
            done.append(line.transaction_id)
            order = self._orders.pop(line.transaction_id, None)
            if order is not None and line.code == ReasonCode.OK:
                self._write_order(*order, number=line.detail, height=height)
        self._write_latencies(self._latencies.receipted(done, self._clock_ms()))
        self._figures = replace(
            self._figures,
            transactions=self._figures.transactions + len(done),
            latency_ms=self._latencies.recent_median_ms(),
        )

    def _on_transactions(self, message: BusMessage) -> None:
        now_ms = self._clock_ms()
        for data in decode_batch(message.payload):
            envelope = open_envelope(data, self.deployment.chain_id)
            # Nodes owe a stranger no receipt, so its transactions must not count as lost.
            if envelope.kind is not Kind.TRANSACTION or envelope.signer not in self._known_keys:
                continue
            fields = decode(envelope.body)
            tag = fields[0] if isinstance(fields, tuple) and fields else None
            kind = _KIND_NAMES.get(tag, "unknown") if isinstance(tag, int) else "unknown"
            transaction_id = envelope.content_id()
            self._latencies.seen(transaction_id, kind, now_ms, self._figures.open_period)
            if tag == TAGS[PlaceOrder]:
                order = parse_transaction(fields)
                assert isinstance(order, PlaceOrder)
                self._orders[transaction_id] = (envelope.signer, order)
                if len(self._orders) > _ORDERS_KEPT:
                    self._orders.popitem(last=False)
        self._write_latencies(self._latencies.lost(now_ms, LOST_AFTER_MS))

    def _on_telemetry(self, message: BusMessage) -> None:
        envelope, telemetry = open_telemetry(message.payload, self.deployment.chain_id)
        if envelope.signer not in self._device_keys.get(telemetry.device_id, ()):
            self._refuse(telemetry.device_id, ValueError("telemetry not signed by a key of the device's owner"))
            return
        subject = (telemetry.device_id, telemetry.period)
        if subject in self._telemetry_seen:
            return
        self._telemetry_seen[subject] = None
        if len(self._telemetry_seen) > _TELEMETRY_KEPT:
            self._telemetry_seen.popitem(last=False)
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
