"""What the parts of a replica share: its place in the protocol, its log and pool, and the effects so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from ledger.application import Rules
from ledger.blocks import Header
from ledger.config import ReplicaConfig
from ledger.crypto import Crypto
from ledger.effects import Broadcast, Effect, Halt, Persist, RecordEvidence, Send
from ledger.log import Entry, Log
from ledger.messages import FinalProof, Message, Signed, SignedBody, encode_message
from ledger.pool import Pool
from ledger.records import NO_SEQUENCE, VoteRecord
from mosquitto.codec import STORE_LIMITS, decode, encode

RECORD_PROPOSAL: Final = 17
RECORD_PREPARED: Final = 18
"""Kinds of `VoteRecord` that are no messages: an accepted proposal, a prepared certificate."""


_ACCUSED_KEPT: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """The end of the executed chain. `state_root` and `period` are those after this block."""

    header: Header
    hash: bytes
    state_root: bytes
    period: int
    proof: FinalProof | None

    @property
    def height(self) -> int:
        """Height of the last executed block."""
        return self.header.height


class Core:
    """State shared by the parts of one replica; each part changes what its own section of the paper says.

    * `view`, `active`: the present view; while a view change to `view` goes on, `active` is False and
      nothing but checkpoints, view changes, new views and state transfer is taken part in (section 4.4).
    * `tip`: the executed prefix. `low`: height of the last stable checkpoint, the low watermark.
    * `view_start`: numbers up to here were fixed by the new view; the primary may only propose above.
    * `doublings`: view changes since the last progress; every timeout is doubled that often.
    * `recovering`: earlier votes of this replica may be lost, so it sends none.
    """

    def __init__(self, config: ReplicaConfig, index: int, crypto: Crypto, rules: Rules, tip: Tip) -> None:
        if not 0 <= index < config.n:
            raise ValueError(f"replica index must be 0 to {config.n - 1}, was {index}")
        self.config = config
        self.quorums = config.quorums
        self.index = index
        self.crypto = crypto
        self.rules = rules
        self.tip = tip
        self.view = 0
        self.active = True
        self.view_start = tip.height
        self.view_entered_ms = 0
        self.doublings = 0
        self.low = 0
        self.log = Log()
        self.pool = Pool(
            count_max=config.pool_count,
            bytes_max=config.pool_bytes,
            per_sender_max=config.pool_count_per_sender,
        )
        self.now_ms = 0
        self.executing = False
        self.executed_count = 0
        self.last_executed_ms = 0
        self.recovering = False
        self.halted = ""
        self.counters: Counter[str] = Counter()
        self.effects: list[Effect] = []
        self.answers: Counter[int] = Counter()
        self._accused: dict[tuple[int, bytes], None] = {}

    @property
    def primary(self) -> int:
        """Primary of the present view."""
        return self.config.primary(self.view)

    @property
    def is_primary(self) -> bool:
        """Whether this replica is it."""
        return self.primary == self.index

    @property
    def may_vote(self) -> bool:
        """Whether this replica may send anything that counts towards a quorum."""
        return not self.recovering and not self.halted

    @property
    def next_entry(self) -> Entry | None:
        """The entry after the executed prefix."""
        return self.log.get(self.tip.height + 1)

    def timeout(self, base_ms: int) -> int:
        """A timeout with its doublings (section 4.5.2), up to the configured bound."""
        return base_ms << min(self.doublings, self.config.timeout_doublings_max)

    def in_window(self, sequence: int) -> bool:
        """Whether the number is above what is executed and between the watermarks (section 4.2)."""
        return max(self.tip.height, self.low) < sequence <= self.low + self.config.window

    def sign(self, message: Message) -> Signed:
        """Sign a message as this replica."""
        body = encode_message(message)
        return Signed(message=message, replica=self.index, body=body, signature=self.crypto.sign(body))

    def emit(self, effect: Effect) -> None:
        """Add an effect; effects are performed in this order."""
        self.effects.append(effect)

    def broadcast(self, message: Message) -> Signed:
        """Sign a message that binds nobody, and send it to all."""
        signed = self.sign(message)
        self.emit(Broadcast(signed=signed))
        return signed

    def send(self, replica: int, message: Message) -> None:
        """Sign a message that binds nobody, and send it to one replica."""
        self.emit(Send(replica=replica, signed=self.sign(message)))

    def vote(self, message: Message, kind: int, view: int, sequence: int = NO_SEQUENCE) -> Signed:
        """Sign a message that binds us: it is kept before it is sent."""
        signed = self.sign(message)
        record = VoteRecord(kind=kind, view=view, sequence=sequence, data=encode_signed(signed))
        self.emit(Persist(votes=(record,)))
        self.emit(Broadcast(signed=signed))
        return signed

    def may_answer(self, replica: int, limit: int) -> bool:
        """Whether a replica that fetches is answered again before the next tick.

        One that does nothing but ask must not keep us busy; an honest one asks again after a tick.
        """
        self.answers[replica] += 1
        return self.answers[replica] <= limit

    def accuse(self, first: Signed, second: Signed) -> None:
        """Keep two messages of one replica that contradict each other; a first proof is enough for a place."""
        self.counters["equivocations seen"] += 1
        place = (first.replica, first.body)
        if place not in self._accused:
            self._accused[place] = None
            if len(self._accused) > _ACCUSED_KEPT:
                del self._accused[next(iter(self._accused))]
            self.emit(RecordEvidence(first=first, second=second))

    def halt(self, reason: str) -> None:
        """Stop taking part: what we hold contradicts what a quorum signed."""
        if not self.halted:
            self.halted = reason
            self.emit(Halt(reason=reason))


def encode_signed(signed: Signed) -> bytes:
    """A signed message as it is kept."""
    return encode((signed.replica, signed.body, signed.signature))


def decode_signed(data: bytes) -> SignedBody:
    """Read what `encode_signed` wrote. Raises CodecError or ValueError for anything else."""
    match decode(data, STORE_LIMITS):
        case (int(replica), bytes(body), bytes(signature)):
            return SignedBody(replica=replica, body=body, signature=signature)
    raise ValueError("not a kept message: expected [replica, body, signature]")
