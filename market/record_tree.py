"""The hash of a large state at the price of what changed.

Every record of the state has a digest over its table, key and values. Records fall into buckets by the
digest of their key; a bucket's digest is over its sorted record digests, the root over all bucket digests.
After a block only changed records and their buckets are hashed again. The root depends on the records
alone, never on the order in which they changed.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgpack

from market.values import Value

BUCKETS: Final = 1024
ROOT_BYTES: Final = 32


def record_digest(table: int, key: Value, values: Value) -> bytes:
    """BLAKE2b-256 of one record."""
    packed = msgpack.packb((table, key, values), use_bin_type=True)
    return hashlib.blake2b(packed, digest_size=ROOT_BYTES, person=b"gb-state-record").digest()


class RecordTree:
    """Record digests in buckets, and the root over them."""

    __slots__ = ("_buckets", "_digests", "_stale")

    def __init__(self) -> None:
        self._buckets: list[dict[bytes, bytes]] = [{} for _ in range(BUCKETS)]
        self._digests: list[bytes] = [_bucket_digest({})] * BUCKETS
        self._stale: dict[int, None] = {}

    def put(self, table: int, key: Value, values: Value) -> None:
        """Add a record or replace it."""
        place = record_digest(table, key, ())
        self._bucket(place)[place] = record_digest(table, key, values)

    def remove(self, table: int, key: Value) -> None:
        """Take a record out, if it is in."""
        place = record_digest(table, key, ())
        self._bucket(place).pop(place, None)

    def _bucket(self, place: bytes) -> dict[bytes, bytes]:
        number = int.from_bytes(place[:4], "big") % BUCKETS
        self._stale[number] = None
        return self._buckets[number]

    def root(self) -> bytes:
        """The hash of all records."""
        for number in self._stale:
            self._digests[number] = _bucket_digest(self._buckets[number])
        self._stale.clear()
        packed = b"".join(self._digests)
        return hashlib.blake2b(packed, digest_size=ROOT_BYTES, person=b"gb-state-root").digest()


def _bucket_digest(bucket: dict[bytes, bytes]) -> bytes:
    packed = b"".join(sorted(bucket.values()))
    return hashlib.blake2b(packed, digest_size=ROOT_BYTES, person=b"gb-state-bucket").digest()
