"""The gateway's memory in one SQLite file: each meter's registers and counter, and what is not yet answered.

A reading is on disk before it leaves. So after `kill -9` at any moment the counter does not go back, nothing is
booked twice, and what may not have left is sent again, the same bytes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.errors import StateError

_FORMAT: Final = 1
_LOCK_WAIT_S: Final = 2.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS about (format INTEGER NOT NULL, chain_id TEXT NOT NULL, gateway TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS meter (meter_id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    transaction_id BLOB PRIMARY KEY, meter_id TEXT NOT NULL, period INTEGER NOT NULL,
    quality INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS result (owner BLOB PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingReading:
    """A signed reading that nobody has answered yet."""

    transaction_id: bytes
    meter_id: str
    period: int
    quality: int
    topic: str
    payload: bytes


class GatewayStore:
    """The state of one gateway. Raises StateError when the file is another's, damaged, or cannot be written."""

    def __init__(self, path: Path | None, chain_id: str, gateway: str) -> None:
        """Open or create. `path` None keeps everything in memory, for tests."""
        self._name = str(path) if path else "memory"
        with self._checked():
            self._database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=_LOCK_WAIT_S)
            # Two gateways on one state would sign contradicting readings of one meter.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            rows = self._database.execute("SELECT format, chain_id, gateway FROM about").fetchall()
            if not rows:
                self._database.execute("INSERT INTO about VALUES (?, ?, ?)", (_FORMAT, chain_id, gateway))
            elif rows != [(_FORMAT, chain_id, gateway)]:
                raise StateError(f"{self._name}: state of {rows[0]}, expected {(_FORMAT, chain_id, gateway)}")

    def load_meters(self) -> dict[str, dict[str, object]]:
        """The saved state of each meter id."""
        with self._checked():
            rows = self._database.execute("SELECT meter_id, state FROM meter").fetchall()
        return {meter_id: self._object(text) for meter_id, text in rows}

    def load_outbox(self) -> list[OutgoingReading]:
        """The readings without an answer, oldest period first."""
        with self._checked():
            rows = self._database.execute(
                "SELECT transaction_id, meter_id, period, quality, topic, payload FROM outbox ORDER BY period"
            ).fetchall()
        return [
            OutgoingReading(
                transaction_id=row[0], meter_id=row[1], period=row[2], quality=row[3], topic=row[4], payload=row[5]
            )
            for row in rows
        ]

    def load_results(self) -> dict[bytes, dict[str, object]]:
        """What each owner has earned so far."""
        with self._checked():
            rows = self._database.execute("SELECT owner, state FROM result").fetchall()
        return {owner: self._object(text) for owner, text in rows}

    def save_meters(self, states: Mapping[str, object], reading: OutgoingReading | None = None) -> None:
        """Keep meters' states, and with them a reading that is about to leave. Durable when this returns."""
        with self._transaction():
            self._database.executemany(
                "REPLACE INTO meter VALUES (?, ?)",
                [(meter_id, json.dumps(state, separators=(",", ":"))) for meter_id, state in states.items()],
            )
            if reading is not None:
                row = (reading.transaction_id, reading.meter_id, reading.period, reading.quality)
                self._database.execute(
                    "REPLACE INTO outbox VALUES (?, ?, ?, ?, ?, ?)", (*row, reading.topic, reading.payload)
                )

    def save_answer(self, transaction_id: bytes, states: Mapping[str, object]) -> None:
        """A reading was answered: it leaves, and its meter's state says how."""
        with self._transaction():
            self._database.execute("DELETE FROM outbox WHERE transaction_id = ?", (transaction_id,))
            self._database.executemany(
                "REPLACE INTO meter VALUES (?, ?)",
                [(meter_id, json.dumps(state, separators=(",", ":"))) for meter_id, state in states.items()],
            )

    def save_result(self, owner: bytes, state: Mapping[str, object]) -> None:
        """Keep what an owner has earned."""
        with self._transaction():
            self._database.execute("REPLACE INTO result VALUES (?, ?)", (owner, json.dumps(state)))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _object(self, text: str) -> dict[str, object]:
        try:
            value = json.loads(text)
        except ValueError as error:
            raise StateError(f"{self._name}: a saved state is no JSON: {error}") from None
        if not isinstance(value, dict):
            raise StateError(f"{self._name}: a saved state is no object")
        return value

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._checked():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._database.in_transaction:  # A full disk may have rolled back already.
                    self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(f"{self._name}: gateway state cannot be kept: {error}") from None
