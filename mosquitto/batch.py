"""Several envelopes in one MQTT message.

One message with 100 transactions costs a hundredth of 100 messages, so everything that submits
transactions sends batches, often of one. Each envelope inside keeps its own signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mosquitto.codec import decode, encode
from mosquitto.errors import CodecError

BATCH_BYTES: Final = 256_000
"""Where a batch is cut: far below the broker's packet limit, so that no broker drops it in silence."""

ENVELOPES_MAX: Final = 10_000
"""As many real envelopes as the largest message holds. Without it, a message of empty byte strings would make
every reader refuse a million things one by one."""


def encode_batch(envelopes: Sequence[bytes]) -> bytes:
    """One message from encoded envelopes."""
    return encode(tuple(envelopes))


def encode_batches(envelopes: Iterable[bytes]) -> Iterator[bytes]:
    """As many messages as it takes to keep each below `BATCH_BYTES` (but for a single larger envelope)."""
    batch: list[bytes] = []
    size = 0
    for envelope in envelopes:
        if batch and (size + len(envelope) > BATCH_BYTES or len(batch) == ENVELOPES_MAX):
            yield encode_batch(batch)
            batch, size = [], 0
        batch.append(envelope)
        size += len(envelope)
    if batch:
        yield encode_batch(batch)


def decode_batch(payload: bytes) -> tuple[bytes, ...]:
    """The envelopes of a message, not yet opened. Raises CodecError when it is not an array of byte strings."""
    value = decode(payload)
    if not isinstance(value, tuple):
        raise CodecError("not a batch: expected an array of envelopes")
    if len(value) > ENVELOPES_MAX:
        raise CodecError(f"a batch of {len(value)} envelopes, more than {ENVELOPES_MAX}")
    envelopes = tuple(item for item in value if isinstance(item, bytes))
    if len(envelopes) != len(value):
        raise CodecError("not a batch: every item must be the bytes of an envelope")
    return envelopes
