"""The agents' way to the market: sign, send, and believe what f + 1 ledger nodes say.

One `BusExchange` serves many participants in one process (an agent host). It works the same over MQTT
and in memory, because it waits by polling its bus.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agents.announcements import parse_receipts
from agents.deployment import Deployment
from devices.telemetry import Telemetry, open_telemetry
from market.errors import FormError
from market.events import Clearing, Phase, PhaseChange, Settlement
from market.market_events import OfferList
from market.receipts import ReasonCode, Receipt
from market.transactions import Transaction, encode_call
from mosquitto.agreement import Agreement
from mosquitto.batch import encode_batches
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import decode, encode
from mosquitto.envelope import Envelope, Kind, open_envelope, sign
from mosquitto.errors import RemoteError
from mosquitto.keys import KeyPair
from mosquitto.status import ComponentStatus
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

VALID_PERIODS: Final = 3
"""A transaction is valid in the open period and so many after it: long enough for a view change."""

RESEND_MS: Final = 1_500
"""A client that hears nothing sends again (Castro & Liskov 1999, section 4.1); replays do nothing."""

POLL_S: Final = 0.05
KEPT_PERIODS: Final = 32
REFUSED_TOPICS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeConfig:
    """Whom to believe, who we are, and how long to wait.

    `committee`: the ledger nodes' keys, `threshold` of them must agree. `regions`: where each account lives,
    for the topic. `devices`: which key may speak for an inverter. `receipt_limit_ms` bounds the wait
    for receipts, `result_limit_ms` that for a clearing or settlement.
    """

    host: str
    chain_id: str
    committee: tuple[bytes, ...]
    threshold: int
    regions: Mapping[bytes, str]
    devices: Mapping[str, bytes]
    default_region: str
    receipt_limit_ms: int = 30_000
    result_limit_ms: int = 120_000

    @classmethod
    def of(cls, deployment: Deployment, host: str) -> ExchangeConfig:
        """What an agent host needs of a deployment. An inverter speaks with its meter's key."""
        return cls(
            host=host,
            chain_id=deployment.chain_id,
            committee=deployment.committee_keys,
            threshold=deployment.agreement_threshold,
            regions={entry.account: entry.region for entry in deployment.participants},
            devices={
                device: entry.meters[0].public_key
                for entry in deployment.participants
                for device in entry.devices
                if entry.meters
            },
            default_region=deployment.regions[0],
        )


@dataclass(slots=True)
class _Sent:
    envelope: bytes
    region: str
    sent_ms: int


class BusExchange:
    """`agents.exchange_api.Exchange` over a bus.

    `now_ms` is the wall clock, or the virtual one in memory.
    """

    def __init__(
        self,
        bus: Bus,
        config: ExchangeConfig,
        key: KeyPair,
        now_ms: Callable[[], int],
    ) -> None:
        self.bus = bus
        self.config = config
        self.topics = Topics(config.chain_id)
        self.refused: Counter[str] = Counter()
        self._key = key
        self._now_ms = now_ms
        # Started from the clock, so that a restarted host never signs an old nonce again.
        self._nonces = itertools.count(now_ms() << 16)
        self._agreement = Agreement(config.committee, config.threshold)
        self._waiting: dict[bytes, _Sent] = {}
        self._receipts: dict[bytes, Receipt] = {}
        self._clearings: dict[int, Clearing] = {}
        self._settlements: dict[int, Settlement] = {}
        self._telemetry: dict[str, Telemetry] = {}
        self._offers: OfferList | None = None
        self._receipted_height = 0
        self._open_period: int | None = None
        self._said: bytes | None = None
        self._subscribe()

    @property
    def open_period(self) -> int:
        """The one period that takes orders, as far as f + 1 nodes have said; waits for their first word.

        Raises TimeoutError when they say nothing within the limit.
        """
        self._wait(lambda: self._open_period is not None, "open period")
        assert self._open_period is not None
        return self._open_period

    def submit(
        self, calls: Sequence[tuple[KeyPair, Transaction]], *, once_in: int | None = None
    ) -> list[Receipt | None]:
        """Sign, send, wait for f + 1 equal receipts of each; None where the limit passed without.

        `once_in`: see `agents.exchange_api.Exchange`.
        """
        valid_until_period = (self.open_period if once_in is None else once_in) + VALID_PERIODS
        start_ms = self._now_ms()
        ids = []
        for key, transaction in calls:
            nonce = next(self._nonces) if once_in is None else 0
            body = encode(encode_call(transaction, valid_until_period, nonce))
            envelope = sign(key, Kind.TRANSACTION, self.config.chain_id, body)
            transaction_id = envelope.content_id()
            region = self.config.regions.get(key.public, self.config.default_region)
            self._waiting[transaction_id] = _Sent(envelope.encode(), region, start_ms)
            ids.append(transaction_id)
        self._send(self._waiting[transaction_id] for transaction_id in ids)
        deadline_ms = start_ms + self.config.receipt_limit_ms
        missing = set(ids)
        while missing and self._now_ms() < deadline_ms:
            self.bus.poll(POLL_S)
            missing -= self._receipts.keys()
            self._send_again(missing)
        for transaction_id in ids:
            self._waiting.pop(transaction_id, None)
        return [self._receipts.pop(transaction_id, None) for transaction_id in ids]

    def ready(self, period: int, phase: str) -> None:
        """Tell the operator, in our retained status, that this host needs nothing more in that phase."""
        status = ComponentStatus(
            component=self.config.host,
            state="online",
            ready_period=period,
            ready_phase=phase,
            time_ms=self._now_ms(),
        )
        self._said = status.seal(self._key, self.config.chain_id)
        self.say_again()

    def say_again(self) -> None:
        """Repeat our last status: a broker that was killed has lost the last seconds."""
        if self._said is not None:
            self.bus.publish(self.topics.status(self.config.host), self._said, retain=True)

    def wait_clearing(self, period: int) -> Clearing:
        """The agreed clearing. Raises TimeoutError, which says for what, after the limit."""
        self._wait(lambda: period in self._clearings, f"clearing of period {period}")
        return self._clearings[period]

    def wait_settlement(self, period: int) -> Settlement:
        """The agreed settlement. Raises TimeoutError, which says for what, after the limit."""
        self._wait(lambda: period in self._settlements, f"settlement of period {period}")
        return self._settlements[period]

    def offers(self) -> OfferList:
        """The agreed list after the last block that receipted something of ours."""
        self._wait(
            lambda: self._offers is not None and self._offers.height >= self._receipted_height, "list of offers"
        )
        assert self._offers is not None
        return self._offers

    def latest_telemetry(self, device_id: str) -> Telemetry | None:
        """The last state of an inverter that was signed by its own key."""
        return self._telemetry.get(device_id)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline_ms = self._now_ms() + self.config.result_limit_ms
        while not done():
            if self._now_ms() >= deadline_ms:
                raise TimeoutError(f"{what}: no {self.config.threshold} nodes agreed on one within the limit")
            self.bus.poll(POLL_S)

    def _send(self, messages: Iterable[_Sent]) -> None:
        by_region: dict[str, list[bytes]] = {}
        for message in messages:
            by_region.setdefault(message.region, []).append(message.envelope)
        for region, envelopes in by_region.items():
            for payload in encode_batches(envelopes):
                self.bus.publish(self.topics.transactions(region, self.config.host), payload)

    def _send_again(self, missing: set[bytes]) -> None:
        now_ms = self._now_ms()
        late = [sent for tx in missing if now_ms >= (sent := self._waiting[tx]).sent_ms + RESEND_MS]
        for sent in late:
            sent.sent_ms = now_ms
        if late:
            log.info("no receipt yet, sent again", extra={"fields": {"transactions": len(late)}})
            self._send(late)

    def _subscribe(self) -> None:
        subscribe = self.bus.subscribe
        subscribe(self.topics.every_receipts(), self._guarded(Kind.RECEIPTS, self._on_receipts))
        subscribe(self.topics.every_clearings(), self._guarded(Kind.CLEARING, self._on_clearing))
        subscribe(self.topics.every_settlements(), self._guarded(Kind.SETTLEMENT, self._on_settlement))
        subscribe(self.topics.every_phases(), self._guarded(Kind.PHASE, self._on_phase))
        subscribe(self.topics.every_offers(), self._guarded(Kind.OFFERS, self._on_offers))
        if self.config.devices:
            subscribe(self.topics.every_telemetry(), self._on_telemetry)

    def _guarded(self, kind: Kind, handle: Callable[[Envelope], None]) -> Callable[[BusMessage], None]:
        """Open, check, handle; whatever is wrong with a message ends here, counted."""

        def handler(message: BusMessage) -> None:
            try:
                envelope = open_envelope(message.payload, self.config.chain_id)
                if envelope.kind is not kind:
                    raise RemoteError(f"{envelope.kind.name} on the topic of {kind.name}")
                handle(envelope)
            except (RemoteError, FormError) as error:
                self._refuse(message.topic, error)

        return handler

    def _refuse(self, topic: str, error: Exception) -> None:
        if topic not in self.refused:
            # Topics are named by whoever publishes: neither memory nor log grows with their imagination.
            if len(self.refused) >= REFUSED_TOPICS_MAX:
                topic = "others"
            else:
                log.warning("message refused", extra={"fields": {"topic": topic, "reason": str(error)}})
        self.refused[topic] += 1

    def _on_receipts(self, envelope: Envelope) -> None:
        height, lines = parse_receipts(envelope.body)
        for line in lines:
            if line.transaction_id not in self._waiting:
                continue
            statement = encode((height, line.code, line.detail))
            if self._agreement.hear(envelope.signer, ("receipt", line.transaction_id, height), statement) is None:
                continue
            try:
                code = ReasonCode(line.code)
            except ValueError:
                raise RemoteError(f"reason code {line.code} is unknown: the nodes are newer than we") from None
            receipt = Receipt(tx_id=line.transaction_id, code=code, detail=line.detail)
            self._receipts.setdefault(line.transaction_id, receipt)
            self._receipted_height = max(self._receipted_height, height)

    def _on_clearing(self, envelope: Envelope) -> None:
        clearing = Clearing.from_values(decode(envelope.body))
        if self._agreement.hear(envelope.signer, ("clearing", clearing.period), envelope.body) is not None:
            self._clearings[clearing.period] = clearing
            self._clearings.pop(clearing.period - KEPT_PERIODS, None)

    def _on_settlement(self, envelope: Envelope) -> None:
        settlement = Settlement.from_values(decode(envelope.body))
        if self._agreement.hear(envelope.signer, ("settlement", settlement.period), envelope.body) is not None:
            self._settlements[settlement.period] = settlement
            self._settlements.pop(settlement.period - KEPT_PERIODS, None)

    def _on_offers(self, envelope: Envelope) -> None:
        offers = OfferList.from_values(decode(envelope.body))
        if self._agreement.hear(envelope.signer, ("offers", offers.height), envelope.body) is None:
            return
        if self._offers is None or offers.height > self._offers.height:
            self._offers = offers

    def _on_phase(self, envelope: Envelope) -> None:
        change = PhaseChange.from_values(decode(envelope.body))
        subject = ("phase", change.period, int(change.phase))
        if self._agreement.hear(envelope.signer, subject, envelope.body) is None:
            return
        opened = change.period if change.phase is Phase.OPEN else change.period + 1
        self._open_period = max(self._open_period or 0, opened)

    def _on_telemetry(self, message: BusMessage) -> None:
        try:
            envelope, telemetry = open_telemetry(message.payload, self.config.chain_id)
        except RemoteError as error:
            self._refuse(message.topic, error)
            return
        if self.config.devices.get(telemetry.device_id) != envelope.signer:
            self._refuse(message.topic, RemoteError("telemetry signed by a key that is not the device's"))
            return
        known = self._telemetry.get(telemetry.device_id)
        if known is None or telemetry.period >= known.period:
            self._telemetry[telemetry.device_id] = telemetry
