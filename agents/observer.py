"""Reading a chain's bus and believing f + 1: what the recorder and the web page have in common.

An observer subscribes and never publishes. It checks signatures, collects equal statements of the
committee, and tells its listener what is agreed; what is wrong with a message ends here, counted.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from agents.announcements import BlockAnnouncement, ReceiptLine, parse_receipts
from agents.deployment import Deployment
from devices.telemetry import Telemetry, open_telemetry
from market.errors import MarketError
from market.events import Clearing, PhaseChange, Settlement
from mosquitto.agreement import Agreement
from mosquitto.batch import decode_batch
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import Value, decode
from mosquitto.envelope import Envelope, Kind, open_envelope, parse
from mosquitto.errors import EnvelopeError, RemoteError
from mosquitto.status import ComponentStatus, open_status
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

_KEPT: Final = {
    Kind.PHASE: 1_024,
    Kind.CLEARING: 256,
    Kind.SETTLEMENT: 256,
    Kind.BLOCK: 4_096,
    Kind.RECEIPTS: 65_536,
}
"""How many subjects of each kind are remembered, for each member."""

_TELEMETRY_KEPT: Final = 65_536
_SOURCES_KEPT: Final = 1_000
_ANSWERS_KEPT: Final = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SeenTransaction:
    """A transaction of somebody known that passed on the bus, on its way to the nodes.

    `fields` is the decoded body: tag, last valid period, nonce, and what the transaction says.
    """

    transaction_id: bytes
    signer: bytes
    fields: tuple[Value, ...]


class _ReadOnce(Generic[T]):
    """A reader of bodies that remembers its last answers: honest nodes send the same bytes, four times over."""

    def __init__(self, read: Callable[[bytes], T]) -> None:
        self._read = read
        self._answers: OrderedDict[bytes, T] = OrderedDict()

    def __call__(self, body: bytes) -> T:
        answer = self._answers.get(body)
        if answer is None:
            answer = self._answers[body] = self._read(body)
            if len(self._answers) > _ANSWERS_KEPT:
                self._answers.popitem(last=False)
        return answer


class ChainListener:
    """What an observer tells. Everything does nothing here, so a listener defines what it cares about."""

    def on_phase(self, change: PhaseChange) -> None:
        """Agreed: a period has entered a phase."""

    def on_clearing(self, clearing: Clearing) -> None:
        """Agreed: a period was cleared."""

    def on_settlement(self, settlement: Settlement) -> None:
        """Agreed: a period was settled."""

    def on_announcement(self, node: str, block: BlockAnnouncement) -> None:
        """One node's word on its newest block."""

    def on_block(self, block: BlockAnnouncement) -> None:
        """Agreed: a block was executed."""

    def on_receipts(self, height: int, lines: Sequence[ReceiptLine]) -> None:
        """Agreed: what became of these transactions."""

    def on_transactions(self, transactions: Sequence[SeenTransaction]) -> None:
        """Transactions passed on the bus together. Nothing is agreed of them yet."""

    def on_telemetry(self, telemetry: Telemetry) -> None:
        """An inverter told of a period, for the first time, signed by its owner's meter."""

    def on_status(self, status: ComponentStatus) -> None:
        """A component told its state, or the broker told that it vanished, in its own signature."""


class ChainObserver:
    """Subscribes to a chain for one listener. All work happens inside `bus.poll`.

    Statements are compared as bytes and read into objects once, when they are agreed: a thousand rows from
    four nodes would be most of the work. With `verify_transactions` off, signatures of transactions are left
    to the nodes: a transaction's id covers its content and its signer, so an agreed receipt for the id says
    that f + 1 nodes found it rightly signed. What has no receipt yet is then hearsay.
    """

    def __init__(
        self, deployment: Deployment, bus: Bus, listener: ChainListener, *, verify_transactions: bool = True
    ) -> None:
        self.deployment = deployment
        self.refused: Counter[str] = Counter()
        """Messages that were dropped, by the topic's last level: who sent them, or says it did."""
        self._listener = listener
        self._verify_transactions = verify_transactions
        self._agreements = {
            kind: Agreement(deployment.committee_keys, deployment.agreement_threshold, kept)
            for kind, kept in _KEPT.items()
        }
        self._decode = _ReadOnce(decode)
        self._parse_receipts = _ReadOnce(parse_receipts)
        self._telemetry_seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._device_keys = {
            device: {meter.public_key for meter in participant.meters}
            for participant in deployment.participants
            for device in participant.devices
        }
        self._known_keys = set(deployment.names)
        self._component_keys = {entry.name: entry.public_key for entry in deployment.committee}
        self._component_keys.update((host.name, host.public_key) for host in deployment.hosts)
        self._subscribe(bus, Topics(deployment.chain_id))

    def _subscribe(self, bus: Bus, topics: Topics) -> None:
        agreed = (
            (topics.every_phases(), self._agreeing(Kind.PHASE, 2, self._read_phase)),
            (topics.every_clearings(), self._agreeing(Kind.CLEARING, 1, self._read_clearing)),
            (topics.every_settlements(), self._agreeing(Kind.SETTLEMENT, 1, self._read_settlement)),
        )
        for topic_filter, handler in agreed:
            bus.subscribe(topic_filter, self._guarded(handler))
        bus.subscribe(topics.every_blocks(), self._guarded(self._on_block))
        bus.subscribe(topics.every_receipts(), self._guarded(self._on_receipts))
        bus.subscribe(topics.every_telemetry(), self._guarded(self._on_telemetry))
        bus.subscribe(topics.every_status(), self._guarded(self._on_status))
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
            if len(self.refused) >= _SOURCES_KEPT:
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

    def _agreeing(
        self, kind: Kind, subject_fields: int, read: Callable[[Value], None]
    ) -> Callable[[BusMessage], None]:
        """Hand on what f + 1 members said in the same bytes; the first fields say what about."""

        def handle(message: BusMessage) -> None:
            envelope = self._open(message, kind)
            if envelope is None:
                return
            value = self._decode(envelope.body)
            subject = value[:subject_fields] if isinstance(value, tuple) else ()
            if len(subject) != subject_fields or not all(isinstance(field, int) for field in subject):
                raise EnvelopeError(f"not what {kind.name} envelopes hold")
            if self._agreements[kind].hear(envelope.signer, subject, envelope.body) is not None:
                read(value)

        return handle

    def _read_phase(self, value: Value) -> None:
        self._listener.on_phase(PhaseChange.from_values(value))

    def _read_clearing(self, value: Value) -> None:
        self._listener.on_clearing(Clearing.from_values(value))

    def _read_settlement(self, value: Value) -> None:
        self._listener.on_settlement(Settlement.from_values(value))

    def _on_block(self, message: BusMessage) -> None:
        envelope = self._open(message, Kind.BLOCK)
        if envelope is None:
            return
        block = BlockAnnouncement.parse(envelope.body)
        self._listener.on_announcement(self.deployment.name_of(envelope.signer), block)
        if self._agreements[Kind.BLOCK].hear(envelope.signer, block.height, envelope.body) is not None:
            self._listener.on_block(block)

    def _on_receipts(self, message: BusMessage) -> None:
        envelope = self._open(message, Kind.RECEIPTS)
        if envelope is None:
            return
        height, lines = self._parse_receipts(envelope.body)
        agreement = self._agreements[Kind.RECEIPTS]
        done = []
        for line in lines:
            # Line by line: a node answers a transaction sent again by itself, not with its block.
            statement = b"%d %d %d" % (height, line.code, line.detail)
            if agreement.hear(envelope.signer, (line.transaction_id, height), statement) is not None:
                done.append(line)
        self._listener.on_receipts(height, done)

    def _on_transactions(self, message: BusMessage) -> None:
        seen = []
        source = message.topic.rsplit("/", 1)[-1]
        for data in decode_batch(message.payload):
            try:
                transaction = self._read_transaction(data)
            except RemoteError as error:
                self._refuse(source, error)
                continue
            if transaction is not None:
                seen.append(transaction)
        self._listener.on_transactions(seen)

    def _read_transaction(self, data: bytes) -> SeenTransaction | None:
        if self._verify_transactions:
            envelope = open_envelope(data, self.deployment.chain_id)
        else:
            envelope = parse(data)
            if envelope.chain_id != self.deployment.chain_id:
                raise EnvelopeError(f"message for chain {envelope.chain_id!r}")
        # Nodes owe a stranger no receipt, so what strangers send is nobody's business here.
        if envelope.kind is not Kind.TRANSACTION or envelope.signer not in self._known_keys:
            return None
        fields = decode(envelope.body)
        if not isinstance(fields, tuple):
            raise EnvelopeError("not a transaction: expected positional values")
        return SeenTransaction(envelope.content_id(), envelope.signer, fields)

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
        self._listener.on_telemetry(telemetry)

    def _on_status(self, message: BusMessage) -> None:
        envelope, status = open_status(message.payload, self.deployment.chain_id)
        if self._component_keys.get(status.component) == envelope.signer:
            self._listener.on_status(status)
