"""The Mesa model behind the page: its agents are what f + 1 ledger nodes say of the real ones.

It decides nothing. `MirrorModel` hears an observer, its agents take note, and one step is one look at the
clock after a handful of news: rates, ages, and a new snapshot.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import mesa
import numpy as np

from agents.announcements import BlockAnnouncement, ReceiptLine
from agents.deployment import Deployment, MemberEntry, MeterEntry, ParticipantEntry
from agents.latency_tracker import LatencyTracker
from agents.observer import ChainListener, SeenTransaction
from agents.web.facts import (
    AgentLine,
    BlockLine,
    FeedState,
    InverterLine,
    MeterLine,
    NodeLine,
    OrderLine,
    PartLine,
    PeriodFacts,
    PeriodLine,
    Snapshot,
)
from agents.web.history import ThinnedRows, ThinnedTable
from devices.telemetry import Telemetry
from market.events import Clearing, Phase, PhaseChange, Settlement, SettlementRow
from market.orders import Side
from market.readings import Reading
from market.receipts import ReasonCode
from market.transactions import TAGS, PlaceOrder, SubmitReading, parse_transaction
from mosquitto.status import ComponentStatus

PERIODS_KEPT: Final = 480
AGENT_PERIODS_KEPT: Final = 360
BLOCKS_KEPT: Final = 240
ORDERS_KEPT: Final = 24
BOOK_MAX: Final = 20_000
PENDING_MAX: Final = 65_536
CLEARINGS_KEPT: Final = 64
FACT_ROWS_MAX: Final = 60_000
"""Trades and settlement rows that are held for looking back; older periods come from the run folder."""

RATE_WINDOW_MS: Final = 10_000
LATENCIES_KEPT: Final = 128
LOST_AFTER_MS: Final = 30_000

HISTORY_COLUMNS: Final = (
    "position_wh",
    "metered_wh",
    "forecast_wh",
    "balance_nano",
    "reputation_ppm",
    "soc_wh",
    "pv_wh",
    "net_nano",
    "tariff_nano",
)


class ParticipantMirror(mesa.Agent):  # type: ignore[misc]  # Mesa ships no types.
    """One participant. `line` is what a snapshot takes of it."""

    def __init__(self, model: MirrorModel, index: int, entry: ParticipantEntry) -> None:
        super().__init__(model)
        self.entry = entry
        self.line = AgentLine(index=index, name=entry.name, role=entry.role, region=entry.region)
        self.orders: tuple[OrderLine, ...] = ()

    def hear_order(self, order: OrderLine) -> None:
        """An order of this participant was answered."""
        self.orders = (*self.orders[1 - ORDERS_KEPT :], order)
        if order.code == ReasonCode.OK:
            self.line = replace(
                self.line, side=order.side, ordered_wh=order.energy_wh, order_price_micro=order.price_micro
            )

    def hear_settlement(self, row: SettlementRow, tariffs: Tariffs) -> None:
        """A period of this participant was settled."""
        line = self.line
        self.line = replace(
            line,
            sold_wh=row.sold_wh,
            bought_wh=row.bought_wh,
            metered_wh=row.metered_wh,
            imbalance_wh=row.imbalance_wh,
            balance_nano=row.balance_nano,
            reputation_ppm=row.reputation_ppm,
            net_nano=line.net_nano + net_nano(row),
            tariff_nano=line.tariff_nano + tariffs.worth_nano(row),
            penalty_nano=line.penalty_nano + row.penalty_nano,
        )

    def hear_telemetry(self, telemetry: Telemetry) -> None:
        """The inverter of this participant has spoken."""
        has_battery = self.line.soc_wh is not None or telemetry.soc_wh or telemetry.charged_wh
        self.line = replace(
            self.line, pv_wh=telemetry.pv_wh, soc_wh=telemetry.soc_wh if has_battery else self.line.soc_wh
        )


class NodeMirror(mesa.Agent):  # type: ignore[misc]  # Mesa ships no types.
    """One ledger node, on its own word; whether that is the others' word too is for the page to compare."""

    def __init__(self, model: MirrorModel, entry: MemberEntry) -> None:
        super().__init__(model)
        self.line = NodeLine(name=entry.name)
        self._latencies: deque[int] = deque(maxlen=LATENCIES_KEPT)
        self._arrivals: deque[int] = deque(maxlen=1_024)

    def hear_block(self, block: BlockAnnouncement, now_ms: int) -> None:
        """It announced a block. A retained announcement is old, so its age is no latency: those over a minute."""
        if block.height <= self.line.height:
            return
        latency_ms = max(0, now_ms - block.time_ms)
        if now_ms and latency_ms < 60_000:
            self._latencies.append(latency_ms)
            self._arrivals.append(now_ms)
        self.line = replace(
            self.line,
            height=block.height,
            view=block.view,
            period=block.period,
            state_root=block.state_root.hex(),
            block_hash=block.block_hash.hex(),
        )

    def hear_state(self, state: str) -> None:
        """Its status, or its last will."""
        self.line = replace(self.line, state=state)

    def look(self, now_ms: int, height: int, primary: str) -> None:
        """Judge it against the committee."""
        while self._arrivals and self._arrivals[0] < now_ms - RATE_WINDOW_MS:
            self._arrivals.popleft()
        self.line = replace(
            self.line,
            is_primary=self.line.name == primary,
            behind=max(0, height - self.line.height),
            latency_ms=round(statistics.median(self._latencies)) if self._latencies else None,
            latency_max_ms=max(self._latencies, default=None),
            blocks_per_s=len(self._arrivals) * 1_000 / RATE_WINDOW_MS,
        )


class MeterMirror(mesa.Agent):  # type: ignore[misc]  # Mesa ships no types.
    """One registered meter. A reading of the bus stands above what settlements told of it before."""

    def __init__(self, model: MirrorModel, owner: ParticipantEntry, meter: MeterEntry) -> None:
        super().__init__(model)
        self.line = MeterLine(meter_id=meter.meter_id, owner=owner.name, region=owner.region)

    def hear(self, reading: Reading, now_ms: int) -> None:
        """A reading of this meter was accepted."""
        if self.line.period is not None and reading.period < self.line.period:
            return
        gap = 0 if self.line.period is None else max(0, reading.period - self.line.period - 1)
        self.line = replace(
            self.line,
            period=reading.period,
            import_wh=reading.import_wh,
            export_wh=reading.export_wh,
            measured_ms=reading.measured_ms,
            quality=int(reading.quality),
            heard_ms=now_ms,
            missed=self.line.missed + gap,
        )

    def hear_difference(self, period: int, import_wh: int, export_wh: int) -> None:
        """A period was settled with these differences of its registers, which is all that tables tell."""
        if self.line.period is None or period > self.line.period:
            self.line = replace(
                self.line,
                period=period,
                import_wh=self.line.import_wh + import_wh,
                export_wh=self.line.export_wh + export_wh,
            )


class InverterMirror(mesa.Agent):  # type: ignore[misc]  # Mesa ships no types.
    """One inverter."""

    def __init__(self, model: MirrorModel, owner: ParticipantEntry, device_id: str) -> None:
        super().__init__(model)
        self.line = InverterLine(device_id=device_id, owner=owner.name, region=owner.region)

    def hear(self, telemetry: Telemetry, now_ms: int) -> None:
        """It told of a period."""
        self.line = replace(
            self.line,
            period=telemetry.period,
            pv_wh=telemetry.pv_wh,
            soc_wh=telemetry.soc_wh,
            charged_wh=telemetry.charged_wh,
            discharged_wh=telemetry.discharged_wh,
            heard_ms=now_ms,
        )


class Tariffs:
    """The grid's prices, from the genesis of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.retail_micro = _tariff(deployment, "retail_micro")
        self.feed_in_micro = _tariff(deployment, "feed_in_micro")

    def worth_nano(self, row: SettlementRow) -> int:
        """What a period's meter readings come to at these prices alone, negative when it is to be paid."""
        return row.export_wh * self.feed_in_micro - row.import_wh * self.retail_micro


def _tariff(deployment: Deployment, name: str) -> int:
    value = deployment.genesis.get(name, 0)
    return value if isinstance(value, int) else 0


def net_nano(row: SettlementRow) -> int:
    """What an account received less what it paid in a period."""
    received = row.sold_nano + row.imbalance_nano + row.reward_nano
    return received - row.bought_nano - row.fee_nano - row.penalty_nano


class MirrorModel(mesa.Model, ChainListener):  # type: ignore[misc]  # Mesa ships no types.
    """Mirrors one chain. Made and used on the feed's thread alone; only snapshots leave it.

    Constructed without a deployment it mirrors a chain of nobody, and can be stepped like any model.
    """

    def __init__(self, deployment: Deployment | None = None, *, rng: int | None = None) -> None:
        super().__init__(rng=rng)
        self.deployment = deployment or _nobody()
        self.tariffs = Tariffs(self.deployment)
        entries = self.deployment.participants
        self.participants = {
            entry.account: ParticipantMirror(self, index, entry) for index, entry in enumerate(entries)
        }
        self.nodes = {entry.name: NodeMirror(self, entry) for entry in self.deployment.committee}
        self.meters = {
            meter.meter_id: MeterMirror(self, entry, meter) for entry in entries for meter in entry.meters
        }
        self.inverters = {
            device: InverterMirror(self, entry, device) for entry in entries for device in entry.devices
        }
        self.parts = {host.name: PartLine(name=host.name, state="unknown") for host in self.deployment.hosts}
        self.history = ThinnedTable(HISTORY_COLUMNS, len(entries), AGENT_PERIODS_KEPT)
        self._owner_of_device = {device: entry.account for entry in entries for device in entry.devices}
        self.now_ms = 0
        self.heard_ms = 0
        self.changes = 0
        self._start_figures()

    def _start_figures(self) -> None:
        self._periods: ThinnedRows[PeriodLine] = ThinnedRows(PERIODS_KEPT)
        self._facts: OrderedDict[int, PeriodFacts] = OrderedDict()
        self._fact_rows = 0
        self._clearings: OrderedDict[int, Clearing] = OrderedDict()
        self._blocks: deque[BlockLine] = deque(maxlen=BLOCKS_KEPT)
        self._pending: OrderedDict[bytes, tuple[bytes, PlaceOrder | Reading]] = OrderedDict()
        self._book: deque[OrderLine] = deque(maxlen=BOOK_MAX)
        self._recent: deque[tuple[int, int]] = deque(maxlen=4_096)
        self._latencies = LatencyTracker()
        self._settled: set[int] = set()
        self._open_period = 0
        self._trades = self._traded_wh = self._value_nano = self._transactions = self._refused = 0

    # --- What the observer tells ------------------------------------------------------------------------

    def on_phase(self, change: PhaseChange) -> None:
        """Keep which period takes orders."""
        self._heard()
        if change.phase is Phase.OPEN:
            self._opens(change.period)

    def on_clearing(self, clearing: Clearing) -> None:
        """Show a clearing before its period is settled."""
        self._heard()
        if clearing.period in self._settled:
            return
        self._clearings[clearing.period] = clearing
        if len(self._clearings) > CLEARINGS_KEPT:
            self._clearings.popitem(last=False)
        self._opens(clearing.period + 1)

    def on_settlement(self, settlement: Settlement) -> None:
        """Let everybody take note of what a period brought."""
        self._heard()
        if settlement.period in self._settled:
            return
        self._settled.add(settlement.period)
        clearing = self._clearings.pop(settlement.period, None)
        for row in settlement.rows:
            participant = self.participants.get(row.account)
            if participant is not None:
                participant.hear_settlement(row, self.tariffs)
        self._remember(PeriodFacts(period=settlement.period, clearing=clearing, settlement=settlement))
        self._periods.append(period_line(clearing, settlement))
        self._note_history(settlement.period)
        if clearing is not None:
            self._trades += len(clearing.trades)
            self._traded_wh += clearing.traded_wh
            self._value_nano += sum(trade.energy_wh * trade.price_micro for trade in clearing.trades)

    def on_announcement(self, node: str, block: BlockAnnouncement) -> None:
        """Keep where each node stands."""
        self._heard()
        if node in self.nodes:
            self.nodes[node].hear_block(block, self.now_ms)

    def on_block(self, block: BlockAnnouncement) -> None:
        """Keep the newest blocks."""
        if self._blocks and block.height <= self._blocks[-1].height:
            return
        if self.now_ms:
            self._recent.append((self.now_ms, block.transaction_count))
        self._transactions += block.transaction_count
        self._blocks.append(
            BlockLine(
                height=block.height,
                time_ms=block.time_ms,
                period=block.period,
                transactions=block.transaction_count,
                view=block.view,
                block_hash=block.block_hash.hex(),
                state_root=block.state_root.hex(),
            )
        )

    def on_transactions(self, transactions: Sequence[SeenTransaction]) -> None:
        """Remember orders and readings until the nodes say what became of them."""
        for seen in transactions:
            self._latencies.seen(seen.transaction_id, "", self.now_ms, 0)
            if seen.fields[:1] in ((TAGS[PlaceOrder],), (TAGS[SubmitReading],)):
                said = parse_transaction(seen.fields)
                what = said.reading if isinstance(said, SubmitReading) else said
                assert isinstance(what, PlaceOrder | Reading)
                self._pending[seen.transaction_id] = (seen.signer, what)
                if len(self._pending) > PENDING_MAX:
                    self._pending.popitem(last=False)

    def on_receipts(self, height: int, lines: Sequence[ReceiptLine]) -> None:
        """Only now an order or a reading is a fact: f + 1 nodes have found it rightly signed."""
        self._heard()
        self._latencies.receipted([line.transaction_id for line in lines], self.now_ms)
        for line in lines:
            self._refused += line.code != ReasonCode.OK
            signer, what = self._pending.pop(line.transaction_id, (b"", None))
            if isinstance(what, PlaceOrder):
                side = "buy" if what.side is Side.BUY else "sell"
                self.hear_order(
                    OrderLine(
                        period=what.period,
                        account=signer,
                        side=side,
                        energy_wh=what.energy_wh,
                        price_micro=what.price_micro,
                        number=line.detail,
                        code=line.code,
                        height=height,
                    )
                )
            elif isinstance(what, Reading) and line.code == ReasonCode.OK and what.meter_id in self.meters:
                self.meters[what.meter_id].hear(what, self.now_ms)

    def on_telemetry(self, telemetry: Telemetry) -> None:
        """Let inverter and owner take note."""
        self.inverters[telemetry.device_id].hear(telemetry, self.now_ms)
        owner = self.participants[self._owner_of_device[telemetry.device_id]]
        owner.hear_telemetry(telemetry)

    def on_status(self, status: ComponentStatus) -> None:
        """A node or a host came or went."""
        self.changes += 1
        if status.component in self.nodes:
            self.nodes[status.component].hear_state(status.state)
        elif status.component in self.parts:
            self.parts[status.component] = PartLine(name=status.component, state=status.state)

    # --- What the feed adds from the run folder -----------------------------------------------------------

    def hear_order(self, order: OrderLine) -> None:
        """An order was answered."""
        participant = self.participants.get(order.account)
        if participant is not None:
            participant.hear_order(order)
            if order.code == ReasonCode.OK and order.period >= self._open_period:
                self._book.append(order)

    def hear_forecast(self, period: int, name: str, forecast_wh: float) -> None:
        """What an agent expected of a period, from `agents.csv`: it tells nobody but its own host."""
        entry = self.deployment.participant(name)
        if entry is not None:
            index = self.participants[entry.account].line.index
            self.history.put(period, "forecast_wh", index, forecast_wh)

    def is_settled(self, period: int) -> bool:
        """Whether that period's settlement was heard."""
        return period in self._settled

    # --- Steps and snapshots --------------------------------------------------------------------------------

    def step(self) -> None:
        """Look at the clock: rates and ages."""
        height = max((node.line.height for node in self.nodes.values()), default=0)
        view = max((node.line.view for node in self.nodes.values()), default=0)
        names = list(self.nodes)
        primary = names[view % len(names)] if names and height else ""
        for node in self.nodes.values():
            node.look(self.now_ms, height, primary)
        # The observer checks no signatures of transactions, so what is never receipted may be anybody's rubbish.
        self._latencies.lost(self.now_ms, LOST_AFTER_MS)
        while self._recent and self._recent[0][0] < self.now_ms - RATE_WINDOW_MS:
            self._recent.popleft()

    def facts(self, period: int) -> PeriodFacts | None:
        """A period that is still held whole, settled or only cleared."""
        found = self._facts.get(period)
        if found is None and period in self._clearings:
            found = PeriodFacts(period=period, clearing=self._clearings[period])
        return found

    def snapshot(self, state: FeedState) -> Snapshot:
        """The present as one immutable value."""
        lines = [participant.line for participant in self.participants.values()]
        return Snapshot(
            state=state,
            now_ms=self.now_ms,
            heard_ms=self.heard_ms,
            open_period=self._open_period,
            settled=len(self._settled),
            last_period=max(self._settled, default=None),
            trades=self._trades,
            traded_wh=self._traded_wh,
            value_nano=self._value_nano,
            gain_nano=sum(line.gain_nano for line in lines),
            transactions=self._transactions,
            transactions_per_s=sum(count for _, count in self._recent) * 1_000 / RATE_WINDOW_MS,
            latency_ms=self._latencies.recent_median_ms(),
            refused=self._refused,
            periods=self._periods.rows,
            agents=tuple(lines),
            book=tuple(order for order in self._book if order.period >= self._open_period),
            nodes=tuple(node.line for node in self.nodes.values()),
            blocks=tuple(self._blocks),
            meters=tuple(meter.line for meter in self.meters.values()),
            inverters=tuple(inverter.line for inverter in self.inverters.values()),
            parts=tuple(self.parts.values()),
        )

    def _heard(self) -> None:
        self.heard_ms = self.now_ms
        self.changes += 1

    def _opens(self, period: int) -> None:
        if period > self._open_period:
            self._open_period = period
            while self._book and self._book[0].period < period:
                self._book.popleft()

    def _remember(self, facts: PeriodFacts) -> None:
        self._facts[facts.period] = facts
        self._fact_rows += _rows(facts)
        while self._fact_rows > FACT_ROWS_MAX and len(self._facts) > 1:
            _, oldest = self._facts.popitem(last=False)
            self._fact_rows -= _rows(oldest)

    def _note_history(self, period: int) -> None:
        lines = [participant.line for participant in self.participants.values()]
        columns = {
            column: np.array(
                [np.nan if (value := getattr(line, column)) is None else value for line in lines], dtype=np.float64
            )
            for column in HISTORY_COLUMNS
            if column != "forecast_wh"
        }
        self.history.append(period, columns)


def period_line(clearing: Clearing | None, settlement: Settlement) -> PeriodLine:
    """A settled period as one point of the charts."""
    trades = clearing.trades if clearing else ()
    prices = [trade.price_micro for trade in trades]
    traded_wh = sum(trade.energy_wh for trade in trades)
    value_nano = sum(trade.energy_wh * trade.price_micro for trade in trades)
    return PeriodLine(
        period=settlement.period,
        price_micro=value_nano // traded_wh if traded_wh else None,
        lowest_micro=min(prices, default=None),
        highest_micro=max(prices, default=None),
        trades=len(trades),
        traded_wh=traded_wh,
        bid_wh=clearing.bid_wh if clearing else 0,
        offered_wh=clearing.offered_wh if clearing else 0,
        import_wh=sum(row.import_wh for row in settlement.rows),
        export_wh=sum(row.export_wh for row in settlement.rows),
        imbalance_wh=sum(abs(row.imbalance_wh) for row in settlement.rows),
    )


def _rows(facts: PeriodFacts) -> int:
    trades = len(facts.clearing.trades) if facts.clearing else 0
    return trades + (len(facts.settlement.rows) if facts.settlement else 0)


def _nobody() -> Deployment:
    return Deployment(
        chain_id="nobody",
        scenario="nobody",
        brokers=(),
        committee=(),
        genesis={},
        participants=(),
        periods=0,
        period_ms=900_000,
        first_period_ms=0,
    )
