"""The devices' memory: registers, batteries, agreed positions and the last messages, in one SQLite file.

What a period did is on disk before anybody hears of it, in one transaction. So after `kill -9` at any moment
registers neither go back nor count a period twice, and what may not have left is sent again, the same bytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Final

from devices.errors import StateError
from devices.simulated_site import SiteState

_FORMAT: Final = 2
_LOCK_WAIT_S: Final = 2.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS about (format INTEGER NOT NULL, chain_id TEXT NOT NULL, host TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS site (
    meter_id TEXT PRIMARY KEY, import_uwh INTEGER NOT NULL, export_uwh INTEGER NOT NULL,
    counter INTEGER NOT NULL, last_period INTEGER NOT NULL, next_period INTEGER NOT NULL,
    stored_wh REAL NOT NULL, charged_wh REAL NOT NULL, discharged_wh REAL NOT NULL, losses_wh REAL NOT NULL,
    backlog_wh REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (place INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS position (
    period INTEGER NOT NULL, owner BLOB NOT NULL, position_wh INTEGER NOT NULL, PRIMARY KEY (period, owner)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cleared (period INTEGER PRIMARY KEY);
"""
_STATE_NAMES: Final = tuple(field.name for field in fields(SiteState))
"""In the order of the columns after the first."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it was, or should have been, published."""

    topic: str
    payload: bytes


class DeviceStore:
    """The state of one device host.

    Raises StateError when the file is another's or damaged, or cannot be written. After that the host must
    end: its memory is ahead of its file, and a restart brings both together.
    """

    def __init__(self, path: Path | None, chain_id: str, host: str) -> None:
        """Open or create. `path` None keeps everything in memory, for simulations."""
        self._name = str(path) if path else "memory"
        try:
            self._database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=_LOCK_WAIT_S)
            # Two hosts on one state would sign contradicting readings of one meter. The lock ends with us,
            # however we end.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            # FULL: a meter that forgets on power loss what it has said would seem to run backwards.
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            self._check_owner(chain_id, host)
        except sqlite3.Error as error:
            raise StateError(f"{self._name}: device state cannot be read: {error}") from None

    def _check_owner(self, chain_id: str, host: str) -> None:
        rows = self._database.execute("SELECT format, chain_id, host FROM about").fetchall()
        if not rows:
            self._database.execute("INSERT INTO about VALUES (?, ?, ?)", (_FORMAT, chain_id, host))
        elif rows != [(_FORMAT, chain_id, host)]:
            raise StateError(f"{self._name}: state of {rows[0]}, expected {(_FORMAT, chain_id, host)}")

    def load_sites(self) -> dict[str, SiteState]:
        """The saved state of each meter id."""
        rows = self._database.execute("SELECT * FROM site")
        return {row[0]: SiteState(**dict(zip(_STATE_NAMES, row[1:], strict=True))) for row in rows}

    def last_messages(self) -> list[StoredMessage]:
        """What was to be published after the last period, in order."""
        rows = self._database.execute("SELECT topic, payload FROM message ORDER BY place")
        return [StoredMessage(topic, payload) for topic, payload in rows]

    def save_period(self, states: Mapping[str, SiteState], messages: Sequence[StoredMessage]) -> None:
        """Keep the states after a period and the messages that tell of it. Durable when this returns."""
        with self._transaction():
            rows = [(meter_id, *astuple(state)) for meter_id, state in states.items()]
            self._database.executemany("REPLACE INTO site VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._database.execute("DELETE FROM message")
            self._database.executemany(
                "INSERT INTO message (topic, payload) VALUES (?, ?)",
                [(message.topic, message.payload) for message in messages],
            )

    def save_clearing(self, period: int, positions_wh: Mapping[bytes, int], keep_from: int) -> None:
        """Keep the agreed positions of a period and forget those before `keep_from`."""
        with self._transaction():
            self._database.execute("REPLACE INTO cleared VALUES (?)", (period,))
            self._database.executemany(
                "REPLACE INTO position VALUES (?, ?, ?)",
                [(period, owner, position_wh) for owner, position_wh in positions_wh.items()],
            )
            self._database.execute("DELETE FROM position WHERE period < ?", (keep_from,))
            self._database.execute("DELETE FROM cleared WHERE period < ?", (keep_from,))

    def load_clearings(self) -> dict[int, dict[bytes, int]]:
        """The agreed positions of each period that is still kept."""
        clearings: dict[int, dict[bytes, int]] = {
            period: {} for (period,) in self._database.execute("SELECT period FROM cleared")
        }
        for period, owner, position_wh in self._database.execute("SELECT * FROM position"):
            clearings[period][owner] = position_wh
        return clearings

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database, self._name)


class _Transaction:
    """BEGIN and COMMIT, or ROLLBACK when the block fails; what SQLite cannot do is a StateError."""

    def __init__(self, database: sqlite3.Connection, name: str) -> None:
        self._database = database
        self._name = name

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            # A full disk may have rolled back already.
            if self._database.in_transaction:
                self._database.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error as failed:
            raise StateError(f"{self._name}: device state cannot be written: {failed}") from failed
        if isinstance(error, sqlite3.Error):
            raise StateError(f"{self._name}: device state cannot be written: {error}") from error
