"""Opening what arrives: consensus messages of members whose signatures hold; everything else is counted.

What is refused is logged once for each source and reason, so that a flood of rubbish does not fill the disk.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from ledger.crypto import CommitteeCrypto
from ledger.errors import DataError
from ledger.messages import Commit, Message, Prepare, Signed, decode_message
from mosquitto.envelope import Kind, parse
from mosquitto.errors import NetworkError

_SOURCES_KEPT: Final = 4_096

log = logging.getLogger("ledger.driver")


class Refusals:
    """Counts what one node refused, by reason."""

    def __init__(self, node: str) -> None:
        self.counts: Counter[str] = Counter()
        self._node = node
        self._seen: set[tuple[str, str]] = set()

    def add(self, reason: str, source: str) -> None:
        """Count one refusal; the first of this reason from this source is worth a log line."""
        self.counts[reason] += 1
        if (reason, source) not in self._seen and len(self._seen) < _SOURCES_KEPT:
            self._seen.add((reason, source))
            log.warning("refused", extra={"fields": {"reason": reason, "source": source, "node": self._node}})


class MessageOpener:
    """From envelope bytes to a message whose signer is a member, checked in the order of what it costs."""

    def __init__(self, crypto: CommitteeCrypto, refusals: Refusals) -> None:
        self._crypto = crypto
        self._refusals = refusals

    def open(self, data: bytes, source: str, executed_height: int) -> Signed | None:
        """A consensus message of another member, whatever topic it came on, or None."""
        committee = self._crypto.committee
        try:
            envelope = parse(data)
            if envelope.kind is not Kind.CONSENSUS or envelope.chain_id != committee.chain_id:
                self._refusals.add("another kind or chain", source)
                return None
            replica = committee.index_of(envelope.signer)
            if replica is None:
                self._refusals.add("not a member", source)
                return None
            if replica == self._crypto.index:
                return None
            message = decode_message(envelope.body)
        except (NetworkError, DataError):
            self._refusals.add("not a consensus message", source)
            return None
        if is_late(message, executed_height):
            return None
        if not self._crypto.check(replica, envelope.body, envelope.signature):
            self._refusals.add("wrong signature", source)
            return None
        return Signed(message=message, replica=replica, body=envelope.body, signature=envelope.signature)


def is_late(message: Message, executed_height: int) -> bool:
    """Whether a vote is for an executed block: a quarter of all votes, not worth checking a signature for."""
    return isinstance(message, Prepare | Commit) and message.sequence <= executed_height
