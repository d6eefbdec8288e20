"""A replica's ledger on disk: SQLite in WAL mode, every transaction waited for.

`LedgerStore` is the `records.Store` of a real node. Around the file lie `<file>.tip` (see
`commit_counter.py`) and, after a clean end, `<file>.sums` (see `page_sums.py`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ledger import tables
from ledger.blocks import Genesis, Header
from ledger.commit_counter import CommitCounter, counter_path, pack_counter, unpack_counter
from ledger.errors import StoreCorrupt, StoreError, StoreMismatch, VoteConflict
from ledger.memory_store import check_certified, check_follows
from ledger.page_sums import check_page_sums, sums_path, write_page_sums
from ledger.reader import LedgerReader, load_genesis
from ledger.records import NO_SEQUENCE, BodyRecord, Checkpoint, EvidenceRecord, StoredBlock, VoteRecord
from mosquitto.keys import KeyPair

KEPT_CHECKPOINTS: Final = 2
"""The newest, and the one before it in case a peer is just fetching that."""


class LedgerStore(LedgerReader):
    """The durable store of one replica; the methods are described in `records.Store`.

    Made by `open` or, after StoreCorrupt, by `replace`. One thread at a time, one process at a time.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        genesis: Genesis,
        counter: CommitCounter,
        seal: KeyPair | None,
    ) -> None:
        super().__init__(path, connection, genesis)
        self._counter = counter
        self._seal = seal
        self._depth = 0
        self._doomed = False
        self._parent = self._read_last_header()

    @classmethod
    def open(cls, path: Path, genesis: Genesis, *, seal: KeyPair | None = None) -> LedgerStore:  # type: ignore[override]
        """Open the ledger of this chain, or begin it, and check all of it.

        With `seal`, the node's key, `close` leaves signed page sums. Raises StoreCorrupt when anything is
        damaged or votes may be lost (see `replace`), StoreMismatch for another chain's file, StoreError
        when it cannot be used now (open elsewhere, no permission).
        """
        return cls._open(path, genesis, seal)

    @classmethod
    def replace(cls, path: Path, genesis: Genesis, *, seal: KeyPair | None = None) -> tuple[LedgerStore, Path]:
        """Set a corrupt ledger aside and begin a new one that is `recovering`; also where the old one went."""
        # The mark outlives a crash between here and the new file, which would otherwise begin as if
        # this replica had never voted.
        _recovery_mark(path).touch()
        _sync_directory(path)
        aside = set_aside(path)
        return cls._open(path, genesis, seal), aside

    @classmethod
    def _open(cls, path: Path, genesis: Genesis, seal: KeyPair | None) -> LedgerStore:
        path.parent.mkdir(parents=True, exist_ok=True)
        counter = CommitCounter(path)
        connection: sqlite3.Connection | None = None
        try:
            if counter.count > 0 and (not path.exists() or path.stat().st_size == 0):
                raise StoreCorrupt(path, f"the file is gone, and {counter.count} transactions with it")
            _check_seal(path)
            _check_versions(path)
            sums_path(path).unlink(missing_ok=True)  # From here on the file changes.
            with tables.sqlite_errors(path):
                connection = _connect(path)
                # A crash at the first start can leave an empty database; nothing was sent from that.
                if counter.count == 0 and not _has_tables(connection):
                    _create(connection, genesis)
                    _sync_directory(path)
                    counter.write(1)
                _check_identity(path, connection, genesis, counter)
            store = cls(path, connection, genesis, counter, seal)
            store.check_everything()
            store._take_over_recovery_mark()
            return store
        except BaseException:
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
            counter.close()
            raise

    def _take_over_recovery_mark(self) -> None:
        mark = _recovery_mark(self._path)
        if mark.exists():
            with self.batch():
                self._put_meta("recovering", b"\x01")
            mark.unlink()

    @property
    def last_header(self) -> Header:
        """The parent of the next block."""
        return self._parent

    def finish_recovery(self) -> None:
        """From now on the votes kept here are all that may matter."""
        with self.batch():
            self._put_meta("recovering", b"\x00")

    def append_block(self, stored: StoredBlock) -> None:
        """Keep the next block and its transactions."""
        check_follows(stored, self._parent)
        header, certificate = stored.block.header, stored.certificate.encode()
        header_bytes = header.encode()
        with self.batch():
            self._connection.execute(
                "INSERT INTO blocks(height, hash, header, certificate, state_root, checksum)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    header.height,
                    header.hash,
                    header_bytes,
                    certificate,
                    stored.state_root,
                    tables.block_checksum(stored, header_bytes, certificate),
                ),
            )
            rows = zip(stored.ids, stored.block.transactions, stored.receipts, strict=True)
            self._connection.executemany(
                "INSERT INTO transactions(height, position, tx_id, bytes, receipt) VALUES (?, ?, ?, ?, ?)",
                [(header.height, position, *row) for position, row in enumerate(rows)],
            )
            self._connection.executemany("DELETE FROM bodies WHERE tx_id = ?", [(key,) for key in stored.ids])
            self._parent = header

    def save_votes(self, votes: Sequence[VoteRecord], bodies: Sequence[BodyRecord] = ()) -> None:
        """Keep votes and bodies."""
        if not votes and not bodies:
            return
        with self.batch():
            for vote in votes:
                self._save_vote(vote)
            self._connection.executemany(
                "INSERT INTO bodies(tx_id, sequence, bytes, checksum) VALUES (?, ?, ?, ?)"
                " ON CONFLICT(tx_id) DO UPDATE SET sequence = excluded.sequence, checksum = excluded.checksum,"
                " bytes = excluded.bytes WHERE excluded.sequence > sequence",
                [
                    (
                        body.transaction_id,
                        body.sequence,
                        body.transaction,
                        tables.checksum(body.sequence, body.transaction_id, body.transaction),
                    )
                    for body in bodies
                ],
            )

    def _save_vote(self, vote: VoteRecord) -> None:
        key = (vote.kind, vote.view, vote.sequence)
        inserted = self._connection.execute(
            "INSERT INTO votes(kind, view, sequence, data, checksum)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*key, vote.data, tables.checksum(*key, vote.data)),
        )
        if inserted.rowcount == 0:
            query = "SELECT data FROM votes WHERE kind = ? AND view = ? AND sequence = ?"
            if self._connection.execute(query, key).fetchone()[0] != vote.data:
                raise VoteConflict(f"{self._path}: another vote is kept for (kind, view, sequence) {key}")

    def discard_votes_below(self, sequence: int, view: int = 0) -> None:
        """Let go of votes and bodies that no longer matter."""
        with self.batch():
            self._connection.execute(
                "DELETE FROM votes WHERE (sequence <> ? AND sequence < ?) OR (sequence = ? AND view < ?)",
                (NO_SEQUENCE, sequence, NO_SEQUENCE, view),
            )
            self._connection.execute("DELETE FROM bodies WHERE sequence < ?", (sequence,))

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a stable checkpoint; older ones that stand for no gap go but for one."""
        assert checkpoint.height <= self.last_height, (checkpoint.height, self.last_height)
        with self.batch():
            # One that was installed stays as it is: it stands for the blocks that it skipped.
            self._put_checkpoint(checkpoint, installed=False)
            self._connection.execute(
                "DELETE FROM checkpoints WHERE installed = 0 AND height NOT IN"
                " (SELECT height FROM checkpoints WHERE installed = 0 ORDER BY height DESC LIMIT ?)",
                (KEPT_CHECKPOINTS,),
            )

    def install_snapshot(self, checkpoint: Checkpoint) -> None:
        """Go on from a verified checkpoint above the last block."""
        assert checkpoint.height > self.last_height, (checkpoint.height, self.last_height)
        with self.batch():
            self._put_checkpoint(checkpoint, installed=True)
            self._parent = checkpoint.header

    def _put_checkpoint(self, checkpoint: Checkpoint, *, installed: bool) -> None:
        check_certified(checkpoint)
        columns = (
            checkpoint.header.encode(),
            checkpoint.certificate.encode(),
            checkpoint.snapshot,
            int(installed),
        )
        self._connection.execute(
            "INSERT INTO checkpoints(height, header, certificate, snapshot, installed, checksum)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (checkpoint.height, *columns, tables.checksum(*columns)),
        )

    def save_evidence(self, record: EvidenceRecord) -> None:
        """Keep evidence, one for each place."""
        columns = (record.member, record.kind, record.view, record.sequence, record.data)
        with self.batch():
            self._connection.execute(
                "INSERT INTO evidence(member, kind, view, sequence, data, checksum) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (*columns, tables.checksum(*columns)),
            )

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One transaction; nested ones join the outermost, and an error in any of them undoes all."""
        if self._depth:
            self._depth += 1
            try:
                yield
            except BaseException:
                self._doomed = True
                raise
            finally:
                self._depth -= 1
            return
        parent, self._doomed, self._depth = self._parent, False, 1
        count, changes = self._counter.count, self._connection.total_changes
        try:
            with tables.sqlite_errors(self._path):
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                if self._doomed:
                    raise StoreError(f"{self._path}: a part of this transaction failed, so all of it is undone")
                if self._connection.total_changes != changes:  # Else there is nothing to wait for.
                    count += 1
                    self._put_meta("commits", pack_counter(count))
                self._connection.execute("COMMIT")
        except BaseException:
            self._parent = parent
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0
        if count != self._counter.count:
            self._counter.write(count)

    def close(self) -> None:
        """Bring everything into the one file, seal it if a key was given, and let go of it."""
        try:
            with tables.sqlite_errors(self._path):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                # Without this the header would go on saying "WAL", and reading it would need a second file.
                # It is refused while somebody reads the ledger; then the file is closed, but not sealed.
                mode = self._connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        except StoreError:
            mode = "wal"
        finally:
            self._connection.close()
        try:
            if self._seal is not None and mode == "delete":
                write_page_sums(self._path, self._genesis.chain_id, self._seal)
        finally:
            self._counter.close()

    def _put_meta(self, key: str, payload: bytes) -> None:
        self._connection.execute(
            "INSERT INTO meta(key, value) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
            (key, tables.meta_value(key, payload)),
        )


def set_aside(path: Path) -> Path:
    """Rename a ledger file and everything that belongs to it, to `<file>.corrupt-<number>`; returns the new name.

    Nothing is deleted: someone may want to know what happened to it.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    companions = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]
    for file in (path, *companions, sums_path(path), counter_path(path)):
        if file.exists():
            file.rename(file.with_name(file.name.replace(path.name, aside.name, 1)))
    return aside


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # NORMAL would answer before the votes are on disk.
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _recovery_mark(path: Path) -> Path:
    return path.with_name(path.name + ".recovering")


def _sync_directory(path: Path) -> None:
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _create(connection: sqlite3.Connection, genesis: Genesis) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in tables.SCHEMA.split(";"):
        if statement.strip():
            connection.execute(statement)
    for key, payload in (
        ("schema", tables.SCHEMA_VERSION.to_bytes(4, "big")),
        ("genesis", tables.encode_genesis(genesis)),
        ("recovering", b"\x00"),
        ("commits", pack_counter(1)),
    ):
        connection.execute("INSERT INTO meta(key, value) VALUES (?, ?)", (key, tables.meta_value(key, payload)))
    connection.execute("COMMIT")


def _check_identity(path: Path, connection: sqlite3.Connection, genesis: Genesis, counter: CommitCounter) -> None:
    try:
        schema = tables.read_meta(connection, "schema")
        commits = unpack_counter(tables.read_meta(connection, "commits") or b"")
    except tables.RowError as error:
        raise StoreCorrupt(path, str(error)) from None
    if schema is None or commits is None:
        raise StoreCorrupt(path, "table meta: schema or commits is missing")
    if int.from_bytes(schema, "big") != tables.SCHEMA_VERSION:
        raise StoreMismatch(f"{path}: made by another version of this program (schema {schema.hex()})")
    if load_genesis(path, connection) != genesis:
        raise StoreMismatch(f"{path}: the ledger of another chain, this is {genesis.chain_id}")
    if commits < counter.count:
        raise StoreCorrupt(path, f"{counter.count - commits} transactions that were on disk are lost")
    counter.count = commits  # After a power loss the number beside the file may be an old one.


def _check_versions(path: Path) -> None:
    # SQLite takes a file with an unknown write version for read-only, which looks like a full disk.
    if path.exists():
        with path.open("rb") as file:
            versions = file.read(20)[18:]
        if any(version not in (1, 2) for version in versions):
            raise StoreCorrupt(path, f"the format versions in the file's header are {versions.hex()}")


def _check_seal(path: Path) -> None:
    if sums_path(path).exists() and not path.with_name(path.name + "-wal").exists():
        for problem in check_page_sums(path).problems:
            raise StoreCorrupt(path, problem)
