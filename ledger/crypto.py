"""Signing and checking consensus messages: Ed25519 in production, a keyed hash in the simulator.

The replica holds one of these and never sees a key. Both are pure functions of their arguments, so the
replica stays a deterministic state machine: Ed25519 signatures of equal bytes are equal.
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from ledger.committee import Committee
from ledger.errors import CommitteeError
from mosquitto.envelope import Envelope, Kind, sign
from mosquitto.keys import KeyPair

_CHECKED_KEPT: Final = 8_192


class Crypto(Protocol):
    """What a replica can do with signatures."""

    def sign(self, body: bytes) -> bytes:
        """Our own signature over a consensus message's body."""
        ...

    def check(self, replica: int, body: bytes, signature: bytes) -> bool:
        """Whether that replica signed the body. Never raises."""
        ...


class CommitteeCrypto:
    """Ed25519 envelopes of one committee member.

    Checks are remembered: a vote is verified when it arrives and again inside of every certificate that
    carries it, and one verification costs more than everything else a vote causes.
    """

    def __init__(self, committee: Committee, key: KeyPair) -> None:
        index = committee.index_of(key.public)
        if index is None:
            raise CommitteeError(f"key {key.public.hex()[:16]} belongs to no member of the committee")
        self.committee = committee
        self.index = index
        self._key = key
        self._checked: dict[tuple[int, bytes, bytes], None] = {}

    def sign(self, body: bytes) -> bytes:
        """The signature of the envelope that carries `body`."""
        return sign(self._key, Kind.CONSENSUS, self.committee.chain_id, body).signature

    def envelope(self, replica: int, body: bytes, signature: bytes) -> bytes:
        """The envelope as it travels, ours or another replica's that we pass on."""
        signer = self.committee.members[replica].public_key
        return Envelope(
            kind=Kind.CONSENSUS,
            chain_id=self.committee.chain_id,
            signer=signer,
            body=body,
            signature=signature,
        ).encode()

    def check(self, replica: int, body: bytes, signature: bytes) -> bool:
        """Whether that member signed the body on this chain."""
        question = (replica, hashlib.blake2b(body, digest_size=32).digest(), signature)
        if question in self._checked:
            return True
        if not self.committee.check_vote(replica, body, signature):
            return False
        self._checked[question] = None
        if len(self._checked) > _CHECKED_KEPT:
            del self._checked[next(iter(self._checked))]
        return True


class KeyedHashCrypto:
    """Stand-in for simulations: the "signature" is a hash of replica, chain secret and body.

    Anyone who holds the object could forge; in the simulator only the code of the cluster does, and its
    Byzantine replicas sign as themselves alone.
    """

    def __init__(self, index: int, secret: bytes) -> None:
        self.index = index
        self._secret = secret

    def sign(self, body: bytes) -> bytes:
        """Our mark on the body."""
        return self._mark(self.index, body)

    def check(self, replica: int, body: bytes, signature: bytes) -> bool:
        """Whether the mark is that replica's."""
        return signature == self._mark(replica, body)

    def _mark(self, replica: int, body: bytes) -> bytes:
        key = self._secret + replica.to_bytes(4, "big", signed=True)
        return hashlib.blake2b(body, digest_size=16, key=key).digest()
