"""A number beside the ledger file that says how many transactions were on disk when something was sent.

SQLite recovers a damaged write-ahead log by dropping its tail in silence. For a replica that is not
recovery: the tail may hold votes that it has sent, and it would vote again, differently. So every
transaction increments a counter inside the database, and once it is on disk the number is written to a
file of its own, without waiting for the disk. That file is never ahead of what was on disk, whatever
crashed and when; a database that is behind it has lost votes: it was cut short, damaged, or brought back
from an old copy.

The same file is locked while the ledger is open, since two processes voting with one key would contradict
each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Final

from ledger.errors import StoreCorrupt, StoreError

COUNTER_BYTES: Final = 16


def pack_counter(count: int) -> bytes:
    """The count in eight bytes, and eight bytes that depend on them."""
    number = count.to_bytes(8, "big")
    return number + hashlib.blake2b(number, digest_size=8, person=b"gb-commits").digest()


def unpack_counter(data: bytes) -> int | None:
    """The count, or None for bytes that `pack_counter` does not make."""
    if len(data) != COUNTER_BYTES or pack_counter(int.from_bytes(data[:8], "big")) != data:
        return None
    return int.from_bytes(data[:8], "big")


def counter_path(ledger: Path) -> Path:
    """The counter file of a ledger file."""
    return ledger.with_name(ledger.name + ".tip")


class CommitCounter:
    """The locked counter file of one open ledger. Raises StoreError when another process has it open."""

    def __init__(self, ledger: Path) -> None:
        self._path = counter_path(ledger)
        existed = self._path.exists()
        if ledger.exists() and ledger.stat().st_size > 0 and not existed:
            raise StoreCorrupt(ledger, f"its counter file {self._path.name} is missing: votes may be lost")
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._handle)
            raise StoreError(f"{ledger}: another process has this ledger open") from None
        data = os.pread(self._handle, COUNTER_BYTES + 1, 0)
        count = 0 if not data and not existed else unpack_counter(data)
        if count is None:
            os.close(self._handle)
            raise StoreCorrupt(ledger, f"its counter file {self._path.name} is damaged: votes may be lost")
        self.count = count
        if not existed:
            self.write(0)
            os.fsync(self._handle)

    def write(self, count: int) -> None:
        """Note that transaction number `count` is on disk."""
        # In place, within one sector: needs no new space, so a full disk cannot fail it half way.
        os.pwrite(self._handle, pack_counter(count), 0)
        self.count = count

    def close(self) -> None:
        """Unlock the ledger."""
        os.close(self._handle)
