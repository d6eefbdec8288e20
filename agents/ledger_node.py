"""A ledger node: replica, contract, store and bus put together, and its member's share as market operator.

It publishes what its contract says after each block; readers believe f + 1 nodes. The same object runs in
a node process over MQTT and, with a committee of one, inside of a simulation in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from agents.announcements import BlockAnnouncement, ReceiptLine, encode_receipts
from agents.deployment import Deployment
from agents.equivocation_reports import EquivocationReporter
from agents.genesis import committee_of, market_config
from agents.key_ring import AGENTS_HOST
from agents.market_application import PUBLISHED, ClockCheck, MarketApplication, decode_event
from agents.market_operator import MarketOperator, MarketView, PaceConfig, PhaseTransaction
from agents.receipt_desk import Found, ReceiptDesk
from ledger.application import Execution
from ledger.config import ReplicaConfig
from ledger.driver import ReplicaDriver
from ledger.records import Store, StoredBlock
from market.events import Clearing, Event, Phase, PhaseChange, Settlement
from market.market_events import Equivocation, OfferList
from market.supervision_transactions import ReportEquivocation
from market.transactions import ReplaceOperator, encode_call
from mosquitto.batch import encode_batch
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, sign
from mosquitto.errors import RemoteError
from mosquitto.keys import KeyPair
from mosquitto.status import open_status
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

CHECK_EVERY_BLOCKS: Final = 16
"""How often a node checks the contract's invariants between two periods: each check looks at the whole state.
What was broken stays broken until the next one, and an audit finds the block."""

OPERATOR_VALID_PERIODS: Final = 4
OPERATOR_LOOK_MS: Final = 20
"""How often the operator looks at the clock when nothing has happened."""


class LedgerNode:
    """One member of the committee at work. Single-threaded: everything happens inside `poll` and `tick`."""

    def __init__(
        self,
        *,
        deployment: Deployment,
        key: KeyPair,
        replica: ReplicaConfig,
        pace: PaceConfig,
        store: Store,
        bus: Bus,
        clock_ms: Callable[[], int],
    ) -> None:
        config = market_config(deployment)
        clock = None if pace.pace == "lockstep" else ClockCheck(clock_ms, config.operator_skew_ms)
        self.deployment = deployment
        self.application = MarketApplication(config, deployment.chain_id, clock, CHECK_EVERY_BLOCKS)
        self.bus = bus
        self.topics = Topics(deployment.chain_id)
        self._key = key
        self._clock_ms = clock_ms
        self.driver = ReplicaDriver(
            committee=committee_of(deployment),
            key=key,
            config=replica,
            application=self.application,
            store=store,
            bus=bus,
            clock_ms=clock_ms,
            on_block=self._on_block,
            on_screened=lambda admitted, refused: self._desk.ask(admitted.id, refused),
        )
        self.name = self.driver.name
        self._desk = ReceiptDesk(self._find_receipt, self._publish_receipts, clock_ms)
        self._host_keys = {host.name: host.public_key for host in deployment.hosts}
        self.operator = MarketOperator(
            config=pace,
            member=self.driver.index,
            members=len(deployment.committee),
            send=self._send,
            hosts=frozenset(host.name for host in deployment.hosts if host.name == AGENTS_HOST),
        )
        self._reporter = EquivocationReporter(
            self.driver.index, [member.public_key for member in deployment.committee]
        )
        self._retained: dict[str, bytes] = {}
        self._view: MarketView | None = None
        self._looked_ms = 0

    @property
    def state(self) -> str:
        """What this node says of itself: `online`, `recovering` or `halted`, see `ComponentStatus`."""
        core = self.driver.replica.core
        if core.halted:
            return "halted"
        return "recovering" if core.recovering else "online"

    def start(self) -> None:
        """Subscribe, take part in consensus, tell what we know."""
        self.bus.subscribe(self.topics.every_status(), self._on_status)
        self.driver.start()
        if self.driver.store.last_height == 0:
            # Later each block tells its changes, and the broker keeps the last. The first has no block.
            self._publish_event(PhaseChange(period=self.application.period(), phase=Phase.OPEN, time_ms=0))
        self._look(self._clock_ms())

    def poll(self, timeout_s: float) -> None:
        """Wait for messages up to `timeout_s`, handle them, keep the market's clock."""
        self.driver.poll(timeout_s)
        self._desk.flush()
        self._look(self._clock_ms())

    def tick(self, now_ms: int) -> None:
        """Timers and the operator alone, where somebody else drives the bus."""
        self.driver.tick(now_ms)
        self._desk.flush()
        self._look(now_ms)

    def announce_again(self) -> None:
        """Say what the broker should keep once more: one that was killed has lost the last seconds."""
        for topic, payload in self._retained.items():
            self.bus.publish(topic, payload, retain=True)

    def close(self) -> None:
        """Let go of the store."""
        self.driver.close()

    def _look(self, now_ms: int) -> None:
        if self._view is not None and now_ms < self._looked_ms + OPERATOR_LOOK_MS:
            return
        self._looked_ms = now_ms
        if self._view is None:
            self._view = self.application.market_view()
        self.operator.on_tick(self._view, now_ms)
        if self._reporter.looks(now_ms, self.driver.evidence_count):
            for report in self._reporter.due(now_ms, self.driver.store.evidence(), self.application.state):
                self._send(report)

    def _send(self, transaction: PhaseTransaction | ReplaceOperator | ReportEquivocation) -> None:
        # The nonce follows from the transaction: sent again it is the same bytes, and a replay does nothing.
        valid_until = self.application.state.open_period + OPERATOR_VALID_PERIODS
        body = encode(encode_call(transaction, valid_until, self.application.state.operator_term))
        envelope = sign(self._key, Kind.TRANSACTION, self.deployment.chain_id, body)
        self.bus.publish(self.topics.clock(), encode_batch([envelope.encode()]))

    def _on_status(self, message: BusMessage) -> None:
        try:
            envelope, status = open_status(message.payload, self.deployment.chain_id)
        except RemoteError:
            return  # A status is advice: a wrong one is ignored, and the phase limit stands behind it.
        if self._host_keys.get(status.component) == envelope.signer:
            self.operator.on_ready(status.component, status.ready_period, status.ready_phase)
            self._looked_ms = 0

    def _on_block(self, stored: StoredBlock, execution: Execution) -> None:
        header = stored.block.header
        announcement = BlockAnnouncement(
            height=header.height,
            block_hash=stored.block.hash,
            state_root=execution.state_root,
            time_ms=header.time_ms,
            period=execution.period,
            transaction_count=header.transaction_count,
            view=header.view,
        )
        self._publish(self.topics.blocks(self.name), Kind.BLOCK, announcement.encode(), retain=True)
        lines = [
            _receipt_line(transaction_id, receipt)
            for transaction_id, receipt in zip(stored.ids, execution.receipts, strict=True)
        ]
        if lines:
            self._desk.remember(header.height, lines)
            self._publish_receipts(header.height, lines)
        # Not the application's last events: one drain of the replica may have executed several blocks.
        for item in execution.events:
            self._publish_event(decode_event(item))
        # Another state: the operator judges anew.
        self._view = None

    def _publish_event(self, event: Event) -> None:
        body = encode(event.to_values())
        match event:
            case PhaseChange():
                self._publish(self.topics.phases(self.name), PUBLISHED[PhaseChange], body, retain=True)
            case Clearing():
                self._publish(self.topics.clearings(self.name), PUBLISHED[Clearing], body, retain=True)
                self._publish_prices(event)
            case Settlement():
                self._publish(self.topics.settlements(self.name), PUBLISHED[Settlement], body, retain=True)
            case Equivocation():
                who = self.deployment.name_of(event.accused)
                log.error("member convicted", extra={"fields": {"member": who, "proofs": event.count}})
                self._publish(self.topics.equivocations(self.name), PUBLISHED[Equivocation], body, retain=True)
            case OfferList():
                self._publish(self.topics.offers(self.name), PUBLISHED[OfferList], body, retain=True)
            case _:
                log.info("contract event", extra={"fields": {"what": type(event).__name__}})

    def _publish_prices(self, clearing: Clearing) -> None:
        """Last period's prices for displays, by the operator alone: nobody is to decide by one node's word."""
        if self.application.state.operator_term % self.operator.members != self.driver.index:
            return
        for price in clearing.prices:
            body = encode((clearing.period, *price.to_values()))
            self._publish(self.topics.price(price.region), Kind.PRICE, body, retain=True)

    def _find_receipt(self, transaction_id: bytes) -> Found | None:
        found = self.driver.store.find_transaction(transaction_id)
        return None if found is None else (found.height, _receipt_line(transaction_id, found.receipt))

    def _publish_receipts(self, height: int, lines: Sequence[ReceiptLine]) -> None:
        self._publish(self.topics.receipts(self.name), Kind.RECEIPTS, encode_receipts(height, lines))

    def _publish(self, topic: str, kind: Kind, body: bytes, *, retain: bool = False) -> None:
        payload = sign(self._key, kind, self.deployment.chain_id, body).encode()
        if retain:
            self._retained[topic] = payload
        self.bus.publish(topic, payload, retain=retain)


def _receipt_line(transaction_id: bytes, receipt: bytes) -> ReceiptLine:
    """From a receipt as the application encodes it: code and detail."""
    match decode(receipt):
        case (int(code), int(detail)):
            return ReceiptLine(transaction_id, code, detail)
        case _:
            raise AssertionError("a receipt of our own application has two fields")
