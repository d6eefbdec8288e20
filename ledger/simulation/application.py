"""The application that is replicated in simulations and tests of the ledger: an account book in miniature.

A transaction adds an amount to its sender's account, or begins the next period. It depends on order, refuses
replays, forgets ids when their period is over, and has snapshots, so it has all that can go wrong in a
real one and costs next to nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ledger.application import Admitted, Execution, Refused
from mosquitto.codec import STORE_LIMITS, decode, encode
from mosquitto.errors import CodecError

_MARK_BYTES: Final = 8
NEXT_PERIOD: Final = -1
"""The amount that, instead of being booked, begins the next period."""


def make_transaction(sender: bytes, nonce: int, amount: int, valid_until_period: int, salt: int = 0) -> bytes:
    """A transaction of `sender`. `salt` gives another signature of the same content, as Ed25519 allows."""
    content = encode((sender, nonce, amount, valid_until_period))
    return encode((content, salt, _mark(content, salt)))


def _mark(content: bytes, salt: int) -> bytes:
    keyed = content + salt.to_bytes(4, "big")
    return hashlib.blake2b(keyed, digest_size=_MARK_BYTES, person=b"gb-sim-client").digest()


@lru_cache(maxsize=4_096)
def _checked(transaction: bytes) -> Admitted | Refused:
    # A function of the bytes alone; every replica of a simulation asks it about every transaction.
    try:
        match decode(transaction):
            case (bytes(content), int(salt), bytes(mark)) if 0 <= salt < 2**32:
                pass
            case _:
                return Refused(reason="not a transaction")
        match decode(content):
            case (bytes(sender), int(), int(), int(valid_until)):
                pass
            case _:
                return Refused(reason="not a transaction")
    except CodecError:
        return Refused(reason="not a transaction")
    if mark != _mark(content, salt):
        return Refused(reason="wrong signature")
    name = hashlib.blake2b(content, digest_size=32).digest()
    return Admitted(id=name, sender=sender, valid_until_period=valid_until, transaction=transaction)


class AccountBook:
    """Balances, the period, and the ids executed within their validity."""

    def __init__(self) -> None:
        self._balances: dict[bytes, int] = {}
        self._period = 0
        self._seen: dict[bytes, int] = {}
        self._history = bytes(32)

    def check(self, transaction: bytes) -> Admitted | Refused:
        """Decode, and check the mark that stands for a signature."""
        return _checked(transaction)

    def screen(self, transaction: Admitted) -> Refused | None:
        """Keep out what has expired."""
        expired = transaction.valid_until_period < self._period
        return Refused(reason="expired") if expired else None

    def knows(self, transaction_id: bytes) -> bool:
        """Whether the id was executed and could still be valid."""
        return transaction_id in self._seen

    def execute(self, height: int, time_ms: int, transactions: Sequence[bytes]) -> Execution:
        """Book the amounts in order; the receipt is the sender's new balance."""
        receipts: list[bytes] = []
        for transaction in transactions:
            admitted = self.check(transaction)
            if isinstance(admitted, Refused) or admitted.id in self._seen:
                receipts.append(encode(("refused",)))
                continue
            receipts.append(self._book(admitted))
        self._history = hashlib.blake2b(
            encode((self._history, height, time_ms, *receipts)), digest_size=32
        ).digest()
        return Execution(
            receipts=tuple(receipts),
            events=(),
            state_root=self.state_root(),
            period=self._period,
        )

    def _book(self, admitted: Admitted) -> bytes:
        outer = decode(admitted.transaction)
        assert isinstance(outer, tuple) and isinstance(outer[0], bytes)
        content = decode(outer[0])
        assert isinstance(content, tuple) and isinstance(content[2], int)
        amount = content[2]
        self._seen[admitted.id] = admitted.valid_until_period
        if amount == NEXT_PERIOD:
            self._period += 1
            self._seen = {key: until for key, until in self._seen.items() if until >= self._period}
            return encode(("period", self._period))
        balance = self._balances.get(admitted.sender, 0) + amount
        self._balances[admitted.sender] = balance
        return encode(("booked", balance))

    def snapshot(self) -> bytes:
        """Everything, in one canonical form."""
        return encode(
            (
                self._period,
                self._history,
                tuple(sorted(self._balances.items())),
                tuple(sorted(self._seen.items())),
            )
        )

    def restore(self, snapshot: bytes, state_root: bytes) -> bool:
        """Take over a snapshot with this root."""
        if hashlib.blake2b(snapshot, digest_size=32).digest() != state_root:
            return False
        try:
            match decode(snapshot, STORE_LIMITS):
                case (int(period), bytes(history), tuple(balances), tuple(seen)):
                    self._period, self._history = period, history
                    self._balances = dict(_pairs(balances))
                    self._seen = dict(_pairs(seen))
                    return True
        except CodecError:
            pass
        return False

    def state_root(self) -> bytes:
        """Digest of the snapshot."""
        return hashlib.blake2b(self.snapshot(), digest_size=32).digest()

    def period(self) -> int:
        """The present period."""
        return self._period


def _pairs(items: tuple[object, ...]) -> list[tuple[bytes, int]]:
    pairs: list[tuple[bytes, int]] = []
    for item in items:
        match item:
            case (bytes(key), int(value)):
                pairs.append((key, value))
    return pairs
