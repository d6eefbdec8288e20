"""Signed envelopes: `[version, kind, chain_id, signer, body, signature]`.

The signature covers a domain tag, version, kind, chain id, signer and body, so nothing that was signed
for one purpose, chain or key passes for another. The signer is under the signature too because the
content digest names a message: two people with equal orders must not share one transaction id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mosquitto.codec import WIRE_LIMITS, Limits, decode, encode
from mosquitto.errors import EnvelopeError
from mosquitto.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyPair, verify

VERSION: Final = 1
DOMAIN: Final = "gridbazaar/envelope"
DIGEST_BYTES: Final = 32


class Kind(IntEnum):
    """What a message is for. Append only: a changed meaning is a new number."""

    TRANSACTION = 1
    CONSENSUS = 2
    RECEIPTS = 3
    BLOCK = 4
    CLEARING = 5
    SETTLEMENT = 6
    PHASE = 7
    PRICE = 8
    STATUS = 9
    TELEMETRY = 10
    OFFERS = 11
    EQUIVOCATION = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message with its signer. Made by `sign`, or by `open_envelope` once the signature holds."""

    kind: Kind
    chain_id: str
    signer: bytes
    body: bytes
    signature: bytes

    def encode(self) -> bytes:
        """The bytes that travel."""
        return encode((VERSION, int(self.kind), self.chain_id, self.signer, self.body, self.signature))

    def content_id(self) -> bytes:
        """BLAKE2b-256 of the signed bytes: the transaction id.

        It leaves the signature out, since whoever holds the key can make many valid ones for the same
        content, and each would else pass as a transaction of its own.
        """
        signed = signed_bytes(self.kind, self.chain_id, self.signer, self.body)
        return hashlib.blake2b(signed, digest_size=DIGEST_BYTES).digest()


def signed_bytes(kind: Kind, chain_id: str, signer: bytes, body: bytes) -> bytes:
    """What a signature covers."""
    return encode((DOMAIN, VERSION, int(kind), chain_id, signer, body))


def sign(key: KeyPair, kind: Kind, chain_id: str, body: bytes) -> Envelope:
    """Put `body` into an envelope signed by `key`."""
    signature = key.sign(signed_bytes(kind, chain_id, key.public, body))
    return Envelope(kind=kind, chain_id=chain_id, signer=key.public, body=body, signature=signature)


def parse(data: bytes, limits: Limits = WIRE_LIMITS) -> Envelope:
    """Read an envelope without looking at its signature.

    For bytes that were verified before (our own store). Raises CodecError or EnvelopeError.
    """
    value = decode(data, limits)
    match value:
        case (int(version), int(kind), str(chain_id), bytes(signer), bytes(body), bytes(signature)):
            pass
        case _:
            raise EnvelopeError("not an envelope: expected [version, kind, chain, signer, body, signature]")
    if version != VERSION:
        raise EnvelopeError(f"envelope version {version}, this program reads {VERSION}")
    if len(signer) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise EnvelopeError(f"signer of {len(signer)} and signature of {len(signature)} bytes, not 32 and 64")
    try:
        known_kind = Kind(kind)
    except ValueError:
        raise EnvelopeError(f"message kind {kind} is unknown") from None
    return Envelope(kind=known_kind, chain_id=chain_id, signer=signer, body=body, signature=signature)


def open_envelope(data: bytes, chain_id: str, limits: Limits = WIRE_LIMITS) -> Envelope:
    """Read an envelope of this chain and check its signature.

    Raises CodecError or EnvelopeError, and nothing else, whatever the bytes are.
    """
    envelope = parse(data, limits)
    if envelope.chain_id != chain_id:
        raise EnvelopeError(f"message for chain {envelope.chain_id!r}, this is {chain_id!r}")
    signed = signed_bytes(envelope.kind, envelope.chain_id, envelope.signer, envelope.body)
    if not verify(envelope.signer, signed, envelope.signature):
        raise EnvelopeError(f"signature does not verify for signer {envelope.signer.hex()[:16]}")
    return envelope
