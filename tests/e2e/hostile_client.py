"""Somebody on the same broker who means no good: thousands of messages of every wrong kind.

It has what anybody on the bus has (every message that passed), and the keys of one participant and its
meter, because a participant may turn bad. It has no key of the committee or of an authority.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator

from agents.announcements import parse_receipts
from agents.deployment import Deployment
from agents.key_ring import FolderKeys
from market.orders import Role, Side
from market.readings import Reading
from market.receipts import ReasonCode
from market.transactions import (
    TAGS,
    CancelOrder,
    ClosePeriod,
    Decision,
    Deposit,
    PlaceOrder,
    Register,
    ReplaceOperator,
    Review,
    SetLimits,
    SubmitReading,
    Transaction,
    Withdraw,
    encode_call,
)
from mosquitto.address import BrokerAddress
from mosquitto.agreement import Agreement
from mosquitto.batch import encode_batches
from mosquitto.bus import PAYLOAD_BYTES_MAX, BusMessage
from mosquitto.codec import Value, encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.errors import RemoteError
from mosquitto.keys import KeyPair
from mosquitto.mqtt_bus import MqttBus
from mosquitto.status import ComponentStatus
from mosquitto.topics import Topics

CAPTURED_MAX = 400
NAMES = 40
"""How many invented senders there are: topics are named by whoever publishes."""


class HostileClient:
    """Listens, then attacks. `reasons` counts what f + 1 nodes answered to its transactions, by name."""

    def __init__(self, deployment: Deployment, keys: FolderKeys, seed: int = 1) -> None:
        self.deployment = deployment
        self.chain = deployment.chain_id
        self.topics = Topics(self.chain)
        self.chance = random.Random(seed)
        self.stranger = KeyPair.derive(seed, "stranger")
        self.bad = next(entry for entry in deployment.participants if entry.role == "prosumer")
        self.consumer_key = keys.key(next(it.name for it in deployment.participants if it.role == "consumer"))
        self.bad_key = keys.key(self.bad.name)
        self.meter_id = self.bad.meters[0].meter_id
        self.meter_key = keys.key(self.meter_id)
        self.captured: dict[str, list[BusMessage]] = {}
        self.sent: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._own: set[bytes] = set()
        self._nonces = itertools.count(1)
        self._agreement = Agreement(deployment.committee_keys, deployment.agreement_threshold, 65_536)
        self.bus = MqttBus([BrokerAddress.parse(deployment.brokers[0])], f"hostile-{seed}")
        self.bus.subscribe(self.topics.everything(), self._listen)

    def _listen(self, message: BusMessage) -> None:
        kind = message.topic.split("/")[2]
        kept = self.captured.setdefault(kind, [])
        if len(kept) < CAPTURED_MAX:
            kept.append(message)
        if kind == "receipt":
            self._hear_receipt(message)

    def _hear_receipt(self, message: BusMessage) -> None:
        try:
            envelope = open_envelope(message.payload, self.chain)
            height, lines = parse_receipts(envelope.body)
        except RemoteError:
            return  # Our own rubbish.
        for line in lines:
            if line.transaction_id not in self._own:
                continue
            statement = encode((height, line.code, line.detail))
            if self._agreement.hear(envelope.signer, (line.transaction_id, height), statement) is not None:
                self.reasons[ReasonCode(line.code).name] += 1

    # --- Attacks: each yields (topic, payload) --------------------------------------------------------

    def every_topic(self, name: str) -> Iterator[str]:
        topics = self.topics
        yield topics.transactions(self.deployment.regions[0], name)
        for topic in (topics.consensus, topics.receipts, topics.blocks, topics.clearings, topics.settlements):
            yield topic(name)
        for topic in (topics.phases, topics.price, topics.reading, topics.telemetry, topics.status):
            yield topic(name)
        yield topics.clock()

    def names(self) -> Iterator[str]:
        """Invented senders, and every real one."""
        yield from (f"nobody-{number}" for number in range(NAMES))
        yield from (entry.name for entry in (*self.deployment.committee, *self.deployment.hosts))

    def rubbish(self) -> Iterator[tuple[str, bytes]]:
        """Bytes that are nothing at all, and values that are no message, on every topic."""
        nested: Value = 1
        for _ in range(7):
            nested = (nested,)
        values: tuple[Value, ...] = (0, -1, "text", b"", (), nested, ((),) * 1000, (b"",) * 1000, (-1, (b"",)))
        shapes = [encode(value) for value in values]
        shapes += [
            b"",
            b"\xc1",
            b"\x90" * 500,
            b"\xdd\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b'{"json": true}',
        ]
        for name in self.names():
            for topic in self.every_topic(name):
                yield topic, self.chance.randbytes(self.chance.randrange(1, 300))
                yield topic, self.chance.choice(shapes)

    def oversized(self) -> Iterator[tuple[str, bytes]]:
        """The largest that a broker of ours passes on, and what a decoder must not choke on."""
        for topic in self.every_topic("nobody-1"):
            yield topic, bytes(PAYLOAD_BYTES_MAX)
            yield topic, encode(tuple([b""] * 300_000))

    def _call(
        self, key: KeyPair, call: Transaction | tuple[Value, ...], valid_until: int, chain: str = ""
    ) -> bytes:
        fields = encode_call(call, valid_until, next(self._nonces)) if not isinstance(call, tuple) else call
        envelope = sign(key, Kind.TRANSACTION, chain or self.chain, encode(fields))
        self._own.add(envelope.content_id())
        return envelope.encode()

    def transactions(self, period: int) -> Iterator[tuple[str, bytes]]:
        """Rightly signed and wrong: no funds, no energy, no right, too late, not now, absurd."""
        soon = period + 2
        bad, meter = self.bad_key, self.meter_key
        order = PlaceOrder(side=Side.BUY, energy_wh=100, price_micro=200_000, period=soon, expiry_period=soon)
        buy = {"side": Side.BUY, "period": soon, "expiry_period": soon}
        sell = {"side": Side.SELL, "period": soon, "expiry_period": soon}
        huge = 2**62

        def reading(**changes: int | str) -> SubmitReading:
            fields = {
                "meter_id": self.meter_id,
                "period": period,
                "import_wh": 1,
                "export_wh": 0,
                "measured_ms": 1,
            }
            return SubmitReading(reading=Reading(**{**fields, "quality": 0, "counter": 2**60, **changes}))  # type: ignore[arg-type]

        wrong: list[tuple[KeyPair, Transaction | tuple[Value, ...], int]] = [
            (bad, PlaceOrder(**buy, energy_wh=400_000_000, price_micro=900_000), soon),  # type: ignore[arg-type]
            (bad, PlaceOrder(**sell, energy_wh=1_000_000, price_micro=1), soon),  # type: ignore[arg-type]
            (self.consumer_key, PlaceOrder(**sell, energy_wh=1, price_micro=1), soon),  # type: ignore[arg-type]
            (bad, PlaceOrder(**buy, energy_wh=1, price_micro=1_000_001), soon),  # type: ignore[arg-type]
            (
                bad,
                PlaceOrder(**{**buy, "period": 10**6, "expiry_period": 10**6}, energy_wh=1, price_micro=1),
                soon,
            ),  # type: ignore[arg-type]
            (bad, order, 10**6),
            (bad, CancelOrder(order=1), soon),
            (bad, CancelOrder(order=huge), soon),
            (bad, Withdraw(amount_nano=10**17), soon),
            (bad, Deposit(account=bad.public, amount_nano=10**12), soon),
            (bad, Review(account=bad.public, decision=Decision.DELIST), soon),
            (bad, SetLimits(ask_limit_micro=1, lowest_micro=0, highest_micro=1), soon),
            (bad, ClosePeriod(period=period, time_ms=1), soon),
            (bad, ReplaceOperator(term=1), soon),
            (bad, (TAGS[PlaceOrder], soon, next(self._nonces), 1, -5, 100, soon, soon, 0), soon),
            (bad, (TAGS[PlaceOrder], soon, next(self._nonces), 1, huge, huge, soon, soon, 0), soon),
            (bad, (TAGS[PlaceOrder], soon, next(self._nonces), b"buy", "much"), soon),
            (bad, (TAGS[Withdraw], soon, next(self._nonces), -1), soon),
            (bad, (99, soon, next(self._nonces)), soon),
            (bad, (-1, -1, -1, -1), soon),
            (self.stranger, order, soon),
            (self.stranger, reading(meter_id="meter-of-nobody"), soon),
            (self.stranger, reading(), soon),
            (meter, reading(import_wh=10**12), soon),
            (meter, reading(period=10**6), soon),
            (
                meter,
                (TAGS[SubmitReading], soon, next(self._nonces), self.meter_id, period, -7, -7, -7, 0, 1),
                soon,
            ),
        ]
        if period > 0:
            wrong.append((bad, order, period - 1))
        envelopes = [self._call(*one) for one in wrong]
        envelopes.append(self._call(bad, order, soon, chain="another-chain"))
        for payload in encode_batches(envelopes):
            yield (
                self.topics.transactions(self.deployment.regions[0], self.chance.choice(["evil", "agents"])),
                payload,
            )

    def strangers(self, count: int, period: int) -> Iterator[tuple[str, bytes]]:
        """Registrations by keys that nobody knows, as many as somebody likes to invent."""
        envelopes = []
        for number in range(count):
            key = KeyPair.derive(number, "invented")
            register = Register(
                name_hash=bytes(32), role=Role.CONSUMER, region=self.deployment.regions[0], settlement_account="x"
            )
            envelopes.append(self._call(key, register, period + 3))
        for payload in encode_batches(envelopes):
            yield self.topics.transactions(self.deployment.regions[0], "crowd"), payload

    def forged(self) -> Iterator[tuple[str, bytes]]:
        """What only replicas, hosts and devices may say, signed by a stranger, on their very topics."""
        for member in self.deployment.committee:
            for kind, topic in (
                (Kind.RECEIPTS, self.topics.receipts),
                (Kind.BLOCK, self.topics.blocks),
                (Kind.CLEARING, self.topics.clearings),
                (Kind.SETTLEMENT, self.topics.settlements),
                (Kind.PHASE, self.topics.phases),
            ):
                for message in self.captured.get(topic(member.name).split("/")[2], [])[:20]:
                    try:
                        body = open_envelope(message.payload, self.chain).body
                    except RemoteError:
                        continue  # Our own rubbish.
                    yield topic(member.name), sign(self.stranger, kind, self.chain, body).encode()
            for body in (encode((1, 2, 3)), encode((11, 0, 1, b"", 0)), b"\xff"):
                vote = sign(self.stranger, Kind.CONSENSUS, self.chain, body).encode()
                yield self.topics.consensus(member.name), encode((-1, (vote,) * 20))
        for host in (*self.deployment.hosts, *self.deployment.committee):
            for state in ("offline", "ended"):
                status = ComponentStatus(
                    component=host.name, state=state, ready_period=10**6, ready_phase="open", time_ms=2**40
                )
                yield self.topics.status(host.name), status.seal(self.stranger, self.chain)

    def broken(self) -> Iterator[tuple[str, bytes]]:
        """Genuine messages with one byte changed somewhere."""
        for messages in self.captured.values():
            for message in messages[:40]:
                if not message.payload:
                    continue
                for _ in range(3):
                    position = self.chance.randrange(len(message.payload))
                    changed = bytearray(message.payload)
                    changed[position] ^= 1 << self.chance.randrange(8)
                    yield message.topic, bytes(changed)

    def replays(self) -> Iterator[tuple[str, bytes]]:
        """Genuine messages once more, on their own topics and on others' of the same kind."""
        for kind, messages in self.captured.items():
            for message in messages:
                yield message.topic, message.payload
            if kind in ("tx", "reading"):
                for message in messages[:50]:
                    yield self.topics.transactions(self.deployment.regions[-1], "echo"), message.payload

    def send(self, what: str, messages: Iterator[tuple[str, bytes]], *, retain: bool = False) -> None:
        """Publish all of it, listening meanwhile, and wait until the broker has it."""
        for topic, payload in list(messages):
            self.bus.publish(topic, payload, retain=retain)
            self.sent[what] += 1
            if self.sent.total() % 100 == 0:
                self.bus.poll(0.0)
        assert self.bus.flush(60.0), self.bus.describe()
