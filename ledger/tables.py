"""The ledger's SQLite tables: their columns, and how each row is read back and checked.

Every row ends in a checksum over its other columns, since SQLite has none for its pages. A flipped byte is
then an error here, not a wrong vote sent or a wrong block served.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ledger.blocks import Block, Genesis, Header
from ledger.certificates import CheckpointCertificate, CommitCertificate
from ledger.errors import DataError, StoreCorrupt, StoreError, StoreFull
from ledger.records import BodyRecord, Checkpoint, EvidenceRecord, StoredBlock, VoteRecord
from mosquitto.codec import STORE_LIMITS, Encodable, decode, encode
from mosquitto.errors import CodecError

SCHEMA_VERSION: Final = 1
CHECKSUM_BYTES: Final = 16

SCHEMA: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks(
    height INTEGER PRIMARY KEY, hash BLOB NOT NULL, header BLOB NOT NULL, certificate BLOB NOT NULL,
    state_root BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE transactions(
    height INTEGER NOT NULL, position INTEGER NOT NULL, tx_id BLOB NOT NULL, bytes BLOB NOT NULL,
    receipt BLOB NOT NULL, PRIMARY KEY(height, position)) WITHOUT ROWID;
CREATE INDEX transactions_by_id ON transactions(tx_id);
CREATE TABLE votes(
    kind INTEGER NOT NULL, view INTEGER NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL,
    checksum BLOB NOT NULL, PRIMARY KEY(kind, view, sequence)) WITHOUT ROWID;
CREATE TABLE bodies(
    tx_id BLOB PRIMARY KEY, sequence INTEGER NOT NULL, bytes BLOB NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoints(
    height INTEGER PRIMARY KEY, header BLOB NOT NULL, certificate BLOB NOT NULL, snapshot BLOB NOT NULL,
    installed INTEGER NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE evidence(
    member INTEGER NOT NULL, kind INTEGER NOT NULL, view INTEGER NOT NULL, sequence INTEGER NOT NULL,
    data BLOB NOT NULL, checksum BLOB NOT NULL, PRIMARY KEY(member, kind, view, sequence)) WITHOUT ROWID;
"""

TABLES: Final = ("meta", "blocks", "transactions", "votes", "bodies", "checkpoints", "evidence")


class RowError(Exception):
    """A row that is not what was written; its reader knows where it stands and says so."""


def checksum(*fields: Encodable) -> bytes:
    """BLAKE2b-128 of the columns, in order."""
    return hashlib.blake2b(encode(fields), digest_size=CHECKSUM_BYTES, person=b"gb-ledger-row").digest()


def open_read_only(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection that cannot write. `immutable` promises that nobody else writes either and takes no lock."""
    uri = path.resolve().as_uri() + "?mode=ro" + ("&immutable=1" if immutable else "")
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turn what sqlite3 raises into this layer's errors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # The low byte is the primary code.
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
            raise StoreFull(f"{path}: the disk refuses: {error}") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN):
            raise StoreError(f"{path}: {error}") from error
        raise StoreCorrupt(path, str(error)) from error
    except (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError) as error:
        # A damaged length can ask for more memory than there is, and a damaged schema be no text.
        raise StoreCorrupt(path, str(error) or type(error).__name__) from error


def encode_genesis(genesis: Genesis) -> bytes:
    """The genesis as `meta` keeps it."""
    return encode((genesis.chain_id, genesis.configuration, genesis.state_root, genesis.time_ms, genesis.period))


def decode_genesis(data: bytes) -> Genesis:
    """Read it back. Raises RowError."""
    try:
        value = decode(data, STORE_LIMITS)
    except CodecError as error:
        raise RowError(f"genesis: {error}") from None
    match value:
        case (str(chain_id), bytes(configuration), bytes(state_root), int(time_ms), int(period)):
            return Genesis(
                chain_id=chain_id,
                configuration=configuration,
                state_root=state_root,
                time_ms=time_ms,
                period=period,
            )
    raise RowError("genesis: not its five fields")


def meta_value(key: str, payload: bytes) -> bytes:
    """What `meta` holds for a key: the payload after its checksum."""
    return checksum(key, payload) + payload


def read_meta(connection: sqlite3.Connection, key: str) -> bytes | None:
    """The payload of a key, None when it is absent. Raises RowError."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    value = row[0]
    if not isinstance(value, bytes) or meta_value(key, value[CHECKSUM_BYTES:]) != value:
        raise RowError(f"table meta, key {key}: the checksum does not match")
    return value[CHECKSUM_BYTES:]


def block_checksum(stored: StoredBlock, header: bytes, certificate: bytes) -> bytes:
    """The checksum of a block's row, over its transactions' rows as well."""
    return checksum(header, certificate, stored.state_root, stored.ids, stored.block.transactions, stored.receipts)


def read_block(connection: sqlite3.Connection, height: int) -> StoredBlock | None:
    """The block at `height`, None when absent. Raises RowError for a row that cannot be what was written."""
    row = connection.execute(
        "SELECT hash, header, certificate, state_root, checksum FROM blocks WHERE height = ?", (height,)
    ).fetchone()
    if row is None:
        return None
    hashed, header_bytes, certificate_bytes, state_root, kept = _all_bytes(row)
    rows = connection.execute(
        "SELECT position, tx_id, bytes, receipt FROM transactions WHERE height = ? ORDER BY position", (height,)
    ).fetchall()
    if [position for position, *_ in rows] != list(range(len(rows))):
        raise RowError("the positions of its transactions have gaps")
    columns = [_all_bytes(fields) for _, *fields in rows]
    try:
        header = Header.decode(header_bytes)
        certificate = CommitCertificate.decode(certificate_bytes)
    except DataError as error:
        raise RowError(str(error)) from None
    stored = StoredBlock(
        block=Block(header=header, transactions=tuple(body for _, body, _ in columns)),
        certificate=certificate,
        ids=tuple(transaction_id for transaction_id, _, _ in columns),
        receipts=tuple(receipt for _, _, receipt in columns),
        state_root=state_root,
    )
    if header.height != height or header.hash != hashed:
        raise RowError("its header does not have the hash and height of its row")
    if block_checksum(stored, header_bytes, certificate_bytes) != kept:
        raise RowError("the checksum of the block and its transactions does not match")
    return stored


def decode_header(data: object) -> Header:
    """A header from its column. Raises RowError."""
    try:
        return Header.decode(data if isinstance(data, bytes) else b"")
    except DataError as error:
        raise RowError(str(error)) from None


def read_votes(connection: sqlite3.Connection) -> Iterator[VoteRecord]:
    """All votes. Raises RowError."""
    for row in connection.execute(
        "SELECT kind, view, sequence, data, checksum FROM votes ORDER BY kind, view, sequence"
    ):
        match row:
            case (int(kind), int(view), int(sequence), bytes(data), bytes(kept)):
                if checksum(kind, view, sequence, data) == kept:
                    yield VoteRecord(kind=kind, view=view, sequence=sequence, data=data)
                    continue
        raise RowError(f"table votes, {row[:3]}: the checksum does not match")


def read_bodies(connection: sqlite3.Connection) -> Iterator[BodyRecord]:
    """All bodies. Raises RowError."""
    for row in connection.execute("SELECT sequence, tx_id, bytes, checksum FROM bodies ORDER BY sequence, tx_id"):
        match row:
            case (int(sequence), bytes(transaction_id), bytes(body), bytes(kept)):
                if checksum(sequence, transaction_id, body) == kept:
                    yield BodyRecord(sequence=sequence, transaction_id=transaction_id, transaction=body)
                    continue
        raise RowError(f"table bodies, sequence {row[0]}: the checksum does not match")


def read_evidence(connection: sqlite3.Connection) -> Iterator[EvidenceRecord]:
    """All evidence. Raises RowError."""
    query = (
        "SELECT member, kind, view, sequence, data, checksum FROM evidence ORDER BY member, kind, view, sequence"
    )
    for row in connection.execute(query):
        match row:
            case (int(member), int(kind), int(view), int(sequence), bytes(data), bytes(kept)):
                if checksum(member, kind, view, sequence, data) == kept:
                    yield EvidenceRecord(member=member, kind=kind, view=view, sequence=sequence, data=data)
                    continue
        raise RowError(f"table evidence, {row[:4]}: the checksum does not match")


def checkpoint_heights(connection: sqlite3.Connection) -> list[int]:
    """Heights of all checkpoints kept, ascending."""
    return [row[0] for row in connection.execute("SELECT height FROM checkpoints ORDER BY height")]


def read_checkpoint(connection: sqlite3.Connection, height: int) -> tuple[Checkpoint, bool] | None:
    """A checkpoint, and whether it was installed instead of blocks. Raises RowError."""
    row = connection.execute(
        "SELECT header, certificate, snapshot, installed, checksum FROM checkpoints WHERE height = ?", (height,)
    ).fetchone()
    if row is None:
        return None
    match row:
        case (bytes(header_bytes), bytes(certificate_bytes), bytes(snapshot), int(installed), bytes(kept)):
            pass
        case _:
            raise RowError("a column has another type than was written")
    if checksum(header_bytes, certificate_bytes, snapshot, installed) != kept:
        raise RowError("the checksum of the checkpoint does not match")
    try:
        header = Header.decode(header_bytes)
        certificate = CheckpointCertificate.decode(certificate_bytes)
    except DataError as error:
        raise RowError(str(error)) from None
    if header.height != height or certificate.block_hash != header.hash or certificate.sequence != height:
        raise RowError("header and certificate are not about this height")
    return Checkpoint(header=header, certificate=certificate, snapshot=snapshot), bool(installed)


def _all_bytes(values: tuple[object, ...] | list[object]) -> tuple[bytes, ...]:
    checked = tuple(value for value in values if isinstance(value, bytes))
    if len(checked) != len(values):
        raise RowError("a column has another type than was written")
    return checked
