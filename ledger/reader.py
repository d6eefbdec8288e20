"""Reading a ledger file: for the replica that owns it, and for everyone who only wants to look."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger import tables
from ledger.blocks import Genesis, Header
from ledger.errors import StoreCorrupt, StoreError
from ledger.records import BodyRecord, Checkpoint, EvidenceRecord, StoredBlock, StoredTransaction, VoteRecord


class LedgerReader:
    """The reading half of `records.Store`; the methods are described there.

    `LedgerReader.open(path)` reads a ledger that another process may be writing. One thread at a time.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, genesis: Genesis) -> None:
        self._path = path
        self._connection = connection
        self._genesis = genesis

    @classmethod
    def open(cls, path: Path) -> LedgerReader:
        """Open without changing anything that matters. Raises StoreError, StoreCorrupt."""
        if not path.is_file():
            raise StoreError(f"{path}: there is no such ledger file")
        with tables.sqlite_errors(path):
            connection = tables.open_read_only(path)
            return cls(path, connection, load_genesis(path, connection))

    @property
    def path(self) -> Path:
        """The ledger file."""
        return self._path

    @property
    def genesis(self) -> Genesis:
        """The chain that is kept."""
        return self._genesis

    @property
    def recovering(self) -> bool:
        """Whether earlier votes of this replica may be lost."""
        with self._reading("table meta"):
            return tables.read_meta(self._connection, "recovering") == b"\x01"

    @property
    def last_height(self) -> int:
        """Height of the last block or installed snapshot."""
        return self.last_header.height

    @property
    def first_height(self) -> int:
        """The lowest height from which on every block is here."""
        with self._reading("table checkpoints"):
            query = "SELECT coalesce(max(height), 0) FROM checkpoints WHERE installed = 1"
            skipped: int = self._connection.execute(query).fetchone()[0]
        return skipped + 1

    @property
    def last_header(self) -> Header:
        """The parent of the next block."""
        return self._read_last_header()

    def _read_last_header(self) -> Header:
        with self._reading("the last block"):
            query = "SELECT max(height) FROM (SELECT height FROM blocks UNION ALL SELECT height FROM checkpoints)"
            height = self._connection.execute(query).fetchone()[0] or 0
        header = self.header(height)
        if header is None:
            raise StoreCorrupt(self._path, f"block {height} is there and cannot be read")
        return header

    def header(self, height: int) -> Header | None:
        """The header of a block or checkpoint kept here."""
        if height == 0:
            return self._genesis.header
        with self._reading(f"block {height}"):
            query = "SELECT header FROM {} WHERE height = ?"
            row = self._connection.execute(query.format("blocks"), (height,)).fetchone()
            if row is None:
                row = self._connection.execute(query.format("checkpoints"), (height,)).fetchone()
            return None if row is None else tables.decode_header(row[0])

    def block(self, height: int) -> StoredBlock | None:
        """The block of this height."""
        with self._reading(f"block {height}"):
            return tables.read_block(self._connection, height)

    def blocks(self, start: int, stop: int) -> Iterator[StoredBlock]:
        """Consecutive blocks from `start`."""
        for height in range(start, stop):
            stored = self.block(height)
            if stored is None:
                return
            yield stored

    def find_transaction(self, transaction_id: bytes) -> StoredTransaction | None:
        """Where a transaction stands in the chain."""
        with self._reading("table transactions"):
            query = "SELECT height, position FROM transactions WHERE tx_id = ? ORDER BY height, position LIMIT 1"
            row = self._connection.execute(query, (transaction_id,)).fetchone()
        if row is None:
            return None
        height, position = row
        stored = self.block(height)
        # Read through the block, so that its checksum covers what is handed out.
        if stored is None or position >= len(stored.ids) or stored.ids[position] != transaction_id:
            raise StoreCorrupt(self._path, f"index transactions_by_id points to a wrong place in block {height}")
        return StoredTransaction(
            transaction_id=transaction_id,
            height=height,
            position=position,
            transaction=stored.block.transactions[position],
            receipt=stored.receipts[position],
        )

    def votes(self) -> list[VoteRecord]:
        """All votes kept."""
        with self._reading("table votes"):
            return list(tables.read_votes(self._connection))

    def bodies(self) -> list[BodyRecord]:
        """All bodies kept."""
        with self._reading("table bodies"):
            return list(tables.read_bodies(self._connection))

    def evidence(self) -> list[EvidenceRecord]:
        """All evidence kept."""
        with self._reading("table evidence"):
            return list(tables.read_evidence(self._connection))

    def checkpoint(self, height: int) -> Checkpoint | None:
        """The checkpoint of this height."""
        with self._reading(f"checkpoint {height}"):
            found = tables.read_checkpoint(self._connection, height)
            return found[0] if found else None

    def latest_checkpoint(self) -> Checkpoint | None:
        """The highest checkpoint kept."""
        with self._reading("table checkpoints"):
            heights = tables.checkpoint_heights(self._connection)
        return self.checkpoint(heights[-1]) if heights else None

    def check_everything(self) -> None:
        """Read every row and every link of the chain. Raises StoreCorrupt for the first thing that is wrong.

        This finds accidents. That votes and signatures are right is for `verification.verify_chain`.
        """
        with self._reading("the file"):
            problem = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise StoreCorrupt(self._path, str(problem))
            heights = [row[0] for row in self._connection.execute("SELECT height FROM blocks ORDER BY height")]
            counted, last = self._connection.execute("SELECT count(*), max(height) FROM transactions").fetchone()
        installed = self._check_checkpoints()
        parent, transactions = self._genesis.header, 0
        for height in heights:
            stored = self.block(height)
            assert stored is not None
            if height != parent.height + 1:
                parent = installed.get(height - 1, parent)
            if height != parent.height + 1 or stored.block.header.previous_hash != parent.hash:
                raise StoreCorrupt(self._path, f"block {height} does not follow block {parent.height}")
            parent = stored.block.header
            transactions += len(stored.ids)
        if transactions != counted:
            raise StoreCorrupt(self._path, f"table transactions: rows of no block, up to height {last}")
        self.votes()
        self.bodies()
        self.evidence()
        _ = self.recovering

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _check_checkpoints(self) -> dict[int, Header]:
        """Read all checkpoints; headers of those that stand for skipped blocks."""
        installed: dict[int, Header] = {}
        with self._reading("table checkpoints"):
            heights = tables.checkpoint_heights(self._connection)
        for height in heights:
            with self._reading(f"checkpoint {height}"):
                found = tables.read_checkpoint(self._connection, height)
                assert found is not None
                if found[1]:
                    installed[height] = found[0].header
        return installed

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        with tables.sqlite_errors(self._path):
            try:
                yield
            except tables.RowError as error:
                raise StoreCorrupt(self._path, f"{what}: {error}") from None


def load_genesis(path: Path, connection: sqlite3.Connection) -> Genesis:
    """The genesis that a ledger file was made with. Raises StoreCorrupt when it cannot be read."""
    try:
        data = tables.read_meta(connection, "genesis")
        if data is None:
            raise StoreCorrupt(path, "table meta: the genesis is missing")
        return tables.decode_genesis(data)
    except tables.RowError as error:
        raise StoreCorrupt(path, str(error)) from None
