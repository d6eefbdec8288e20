"""A steady load of signed orders, and a record of what f + 1 ledger nodes said of each.

An open loop: orders are sent at the asked rate whether or not the ledger keeps up, as real participants
would, so a stall shows in the latencies of all that should have been served meanwhile.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from agents.announcements import NOT_IN_A_BLOCK, parse_receipts
from agents.exchange import ExchangeConfig
from agents.tables import TableWriter
from market.orders import Role, Side
from market.receipts import ReasonCode
from market.transactions import CancelOrder, PlaceOrder, encode_call
from mosquitto.agreement import Agreement
from mosquitto.batch import encode_batches
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.errors import RemoteError
from mosquitto.keys import KeyPair
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

COLUMNS: Final = ("tx_id", "kind", "participant", "sent_ms", "receipt_ms", "height", "code", "detail", "sends")
"""A line of `load.csv`: an order or cancellation, when it was sent first, and the agreed receipt. Height 0:
refused before a block; empty: no agreed receipt came."""

VALID_PERIODS: Final = 8
"""As long as the contract allows: an order must outlive a stalled committee."""

RESEND_FIRST_MS: Final = 1_500
RESEND_LAST_MS: Final = 4_000
AGREEMENTS_KEPT: Final = 65_536
ORDERS_STANDING: Final = 4
"""A participant with so many orders in the book takes one back before it places another."""

_CODE_NAMES: Final = {int(code): code.name for code in ReasonCode}

SEND_EVERY_MS: Final = 25
BEHIND_MAX_MS: Final = 2_000
"""A generator that was itself stopped does not make up for more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadParticipant:
    """Somebody who trades: name, key, region, side of the market, and how much may be sold in a period."""

    name: str
    key: KeyPair
    region: str
    role: Role
    max_export_wh: int

    @property
    def side(self) -> Side:
        """The side on which its orders are."""
        return Side.SELL if self.role in (Role.PRODUCER, Role.PROSUMER) and self.max_export_wh >= 8 else Side.BUY


@dataclass(slots=True)
class _Trader:
    participant: LoadParticipant
    standing: deque[tuple[int, int]] = field(default_factory=deque)
    """(order number, expiry period) of orders that were placed and may still stand."""
    placing: int = 0


@dataclass(slots=True)
class _Sent:
    trader: _Trader
    placed: PlaceOrder | None
    envelope: bytes
    first_ms: int
    again_ms: int
    sends: int = 1


@dataclass(slots=True)
class LoadTotals:
    """What became of all that was sent. `codes`: agreed receipts by reason, refusals included."""

    sent: int = 0
    answered: int = 0
    resent: int = 0
    skipped: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """The totals for people and programs."""
        return {
            "sent": self.sent,
            "answered": self.answered,
            "unanswered": self.sent - self.answered,
            "resent": self.resent,
            "skipped": self.skipped,
            "codes": dict(sorted(self.codes.items())),
        }


class LoadClient:
    """Sends `rate_per_s` orders and cancellations a second. Everything happens inside `tick` and `bus.poll`.

    `open_period` says which period takes orders; `now_ms` is this process's clock. The same `seed` makes the
    same choices for the same answers.
    """

    def __init__(
        self,
        bus: Bus,
        config: ExchangeConfig,
        participants: Sequence[LoadParticipant],
        *,
        rate_per_s: float,
        open_period: Callable[[], int],
        now_ms: Callable[[], int],
        record: TableWriter | None = None,
        seed: int = 1,
    ) -> None:
        self.bus = bus
        self.config = config
        self.topics = Topics(config.chain_id)
        self.rate_per_s = rate_per_s
        self.totals = LoadTotals()
        self._now_ms = now_ms
        self._open_period = open_period
        self._record = record
        self._random = random.Random(seed)
        self._traders = [_Trader(participant) for participant in participants]
        self._nonces = itertools.count(now_ms() << 16)
        self._agreement = Agreement(config.committee, config.threshold, AGREEMENTS_KEPT)
        self._waiting: dict[bytes, _Sent] = {}
        self._began_ms = self._sent_ms = now_ms()
        self._owed = 0.0
        bus.subscribe(self.topics.every_receipts(), self._on_receipts)

    @property
    def waiting(self) -> int:
        """How many have no agreed receipt yet."""
        return len(self._waiting)

    def begin(self) -> None:
        """The load begins now."""
        self._sent_ms = self._now_ms()

    def tick(self, *, sending: bool = True) -> None:
        """Send what is due at this moment: new orders unless told not to, and again what was not answered."""
        now_ms = self._now_ms()
        elapsed_ms = now_ms - self._sent_ms
        if elapsed_ms < SEND_EVERY_MS:
            return
        self._sent_ms = now_ms
        outgoing: list[tuple[str, bytes]] = []
        if sending:
            if elapsed_ms > BEHIND_MAX_MS:
                self.totals.skipped += int((elapsed_ms - BEHIND_MAX_MS) * self.rate_per_s / 1000)
            self._owed += min(elapsed_ms, BEHIND_MAX_MS) * self.rate_per_s / 1000
            count, self._owed = int(self._owed), self._owed % 1
            outgoing += [self._next(now_ms) for _ in range(count)]
        outgoing += self._due_again(now_ms)
        by_region: dict[str, list[bytes]] = {}
        for region, envelope in outgoing:
            by_region.setdefault(region, []).append(envelope)
        for region, envelopes in by_region.items():
            for payload in encode_batches(envelopes):
                self.bus.publish(self.topics.transactions(region, self.config.host), payload)

    def close(self) -> None:
        """Write down what was never answered."""
        for transaction_id, sent in self._waiting.items():
            self._write(transaction_id, sent, None, None, None, None)
        self._waiting.clear()

    def _next(self, now_ms: int) -> tuple[str, bytes]:
        trader = self._random.choice(self._traders)
        period = self._open_period()
        while trader.standing and trader.standing[0][1] < period:
            trader.standing.popleft()
        placed: PlaceOrder | None = None
        call: PlaceOrder | CancelOrder
        if trader.standing and len(trader.standing) + trader.placing >= ORDERS_STANDING:
            call = CancelOrder(order=trader.standing.popleft()[0])
        else:
            call = placed = self._order(trader.participant, period)
            trader.placing += 1
        participant = trader.participant
        body = encode(encode_call(call, period + VALID_PERIODS, next(self._nonces)))
        envelope = sign(participant.key, Kind.TRANSACTION, self.config.chain_id, body)
        sent = _Sent(trader, placed, envelope.encode(), now_ms, now_ms + RESEND_FIRST_MS)
        self._waiting[envelope.content_id()] = sent
        self.totals.sent += 1
        return participant.region, sent.envelope

    def _order(self, participant: LoadParticipant, period: int) -> PlaceOrder:
        """Prices around the middle of what the market allows, so that a part trades and a part stands."""
        if participant.side is Side.SELL:
            energy_wh = self._random.randint(1, participant.max_export_wh // 8)
        else:
            energy_wh = self._random.randint(10, 200)
        return PlaceOrder(
            side=participant.side,
            energy_wh=energy_wh,
            price_micro=self._random.randrange(90_000, 290_000, 1_000),
            period=period,
            expiry_period=period + 4,
        )

    def _due_again(self, now_ms: int) -> list[tuple[str, bytes]]:
        """A client that hears nothing sends again, ever more slowly; it is the same transaction."""
        due = []
        for sent in self._waiting.values():
            if now_ms >= sent.again_ms:
                sent.again_ms = now_ms + min(RESEND_FIRST_MS << sent.sends, RESEND_LAST_MS)
                sent.sends += 1
                due.append((sent.trader.participant.region, sent.envelope))
        self.totals.resent += len(due)
        return due

    def _on_receipts(self, message: BusMessage) -> None:
        try:
            envelope = open_envelope(message.payload, self.config.chain_id)
            if envelope.kind is not Kind.RECEIPTS:
                return
            height, lines = parse_receipts(envelope.body)
        except RemoteError:
            return  # Only f + 1 honest nodes matter, and they do not send rubbish.
        for line in lines:
            if line.transaction_id not in self._waiting:
                continue
            statement = encode((height, line.code, line.detail))
            subject = ("receipt", line.transaction_id, height)
            if self._agreement.hear(envelope.signer, subject, statement) is not None:
                self._answered(line.transaction_id, height, line.code, line.detail)

    def _answered(self, transaction_id: bytes, height: int, code: int, detail: int) -> None:
        sent = self._waiting.pop(transaction_id)
        now_ms = self._now_ms()
        totals = self.totals
        totals.answered += 1
        name = _CODE_NAMES.get(code, str(code))
        totals.codes[name if height != NOT_IN_A_BLOCK else f"{name} (before a block)"] += 1
        totals.latencies_ms.append(now_ms - sent.first_ms)
        if sent.placed is not None:
            sent.trader.placing -= 1
            if code == ReasonCode.OK:
                sent.trader.standing.append((detail, sent.placed.expiry_period))
        self._write(transaction_id, sent, now_ms, height, code, detail)

    def _write(
        self,
        transaction_id: bytes,
        sent: _Sent,
        receipt_ms: int | None,
        height: int | None,
        code: int | None,
        detail: int | None,
    ) -> None:
        if self._record is None:
            return
        kind = "place_order" if sent.placed is not None else "cancel_order"
        name = sent.trader.participant.name
        row = (transaction_id.hex(), kind, name, sent.first_ms, receipt_ms, height, code, detail, sent.sends)
        self._record.append(row)
