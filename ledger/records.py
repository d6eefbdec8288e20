"""What a replica keeps, and the `Store` interface behind which it keeps it.

Two stores fit: `store.LedgerStore` on disk, `memory_store.MemoryStore` for runs without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from ledger.blocks import Block, Genesis, Header
from ledger.certificates import CheckpointCertificate, CommitCertificate

NO_SEQUENCE: Final = 0
"""`VoteRecord.sequence` of what is about a whole view (view change, new view). Genesis takes no votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """A final block with what belongs to it: its certificate, and what executing it gave here.

    `ids` and `receipts` are one per transaction, in order. `state_root` is the state *after* this block.
    """

    block: Block
    certificate: CommitCertificate
    ids: tuple[bytes, ...]
    receipts: tuple[bytes, ...]
    state_root: bytes

    @property
    def height(self) -> int:
        """Place in the chain."""
        return self.block.height


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTransaction:
    """One transaction of the chain and where it stands."""

    transaction_id: bytes
    height: int
    position: int
    transaction: bytes
    receipt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteRecord:
    """Something this replica said or must not forget, kept before it is sent.

    There is one for each (kind, view, sequence), for ever. `kind` is the protocol's tag of the message,
    `data` whatever it needs to send the very same bytes again. About a view as a whole: `NO_SEQUENCE`.
    """

    kind: int
    view: int
    sequence: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyRecord:
    """A transaction that this replica voted for at `sequence` and that no block holds yet.

    Votes name ids only. If all replicas lost power at once and nobody had kept the bodies, a prepared
    proposal could never be executed, and nothing else either.
    """

    sequence: int
    transaction_id: bytes
    transaction: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A stable checkpoint: the last header it covers, its certificate, and the application's snapshot.

    The snapshot needs no digest of its own: restoring it must give `certificate.state_root`.
    """

    header: Header
    certificate: CheckpointCertificate
    snapshot: bytes

    @property
    def height(self) -> int:
        """The last block that the snapshot includes."""
        return self.header.height


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRecord:
    """Proof that member `member` contradicted itself at (kind, view, sequence); `data` is the ledger's own form.

    One is kept for each place, so a Byzantine replica cannot fill the disk with variations.
    """

    member: int
    kind: int
    view: int
    sequence: int
    data: bytes


class Store(Protocol):
    """Durable memory of one replica.

    Every method is one transaction, on disk when it returns; inside `with store.batch():` they are one
    together, on disk when the block ends. Raises StoreFull when the disk refuses (nothing was kept, so
    nothing of it may be sent), StoreCorrupt when what is read does not have its checksum.
    """

    @property
    def genesis(self) -> Genesis:
        """The chain that is kept."""
        ...

    @property
    def recovering(self) -> bool:
        """Whether earlier votes of this replica may be lost: it must not vote until `finish_recovery`.

        The replica that lost its file sent votes that it cannot remember. It follows by state transfer,
        silent, until a stable checkpoint is at or above every sequence number it can have voted for, and
        in a view above every one it can have taken part in.
        """
        ...

    def finish_recovery(self) -> None:
        """From now on the votes kept here are all that may matter."""
        ...

    @property
    def last_height(self) -> int:
        """Height of the last block, or of the snapshot installed after it; 0 in the beginning."""
        ...

    @property
    def first_height(self) -> int:
        """The lowest height from which on every block is here; `last_height + 1` when the last is not."""
        ...

    @property
    def last_header(self) -> Header:
        """Header at `last_height`: the parent of the next block."""
        ...

    def header(self, height: int) -> Header | None:
        """The header of a block or checkpoint kept here, genesis included."""
        ...

    def block(self, height: int) -> StoredBlock | None:
        """The block of this height; None for genesis and for blocks that a snapshot skipped."""
        ...

    def blocks(self, start: int, stop: int) -> Iterator[StoredBlock]:
        """Blocks of the heights `start` to `stop - 1`, ending before the first that is not here."""
        ...

    def find_transaction(self, transaction_id: bytes) -> StoredTransaction | None:
        """Where a transaction stands in the chain; the first place if it should be there twice."""
        ...

    def append_block(self, stored: StoredBlock) -> None:
        """Keep the next block, whose certificate was verified, and let go of its transactions' `BodyRecord`s."""
        ...

    def save_votes(self, votes: Sequence[VoteRecord], bodies: Sequence[BodyRecord] = ()) -> None:
        """Keep votes, and bodies they depend on. Raises VoteConflict for a second, different vote.

        What is kept already, unchanged, may come again: sending a stored vote once more needs no care. A body
        that comes again for a higher sequence number is kept until that one.
        """
        ...

    def votes(self) -> list[VoteRecord]:
        """All votes kept, in ascending order of (kind, view, sequence)."""
        ...

    def bodies(self) -> list[BodyRecord]:
        """All bodies kept that no block holds, in ascending order of (sequence, id)."""
        ...

    def discard_votes_below(self, sequence: int, view: int = 0) -> None:
        """Let go of votes and bodies of numbers below `sequence`, and of `NO_SEQUENCE` votes below `view`.

        Safe for what a stable checkpoint covers: below the low watermark the replica never votes again.
        """
        ...

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a stable checkpoint of a block that is here; older ones go but for one."""
        ...

    def latest_checkpoint(self) -> Checkpoint | None:
        """The highest checkpoint kept, installed or own; None before the first."""
        ...

    def install_snapshot(self, checkpoint: Checkpoint) -> None:
        """Go on from a verified checkpoint above `last_height`, skipping the blocks between.

        The chain kept here then has a gap, which stays on record with this checkpoint.
        """
        ...

    def save_evidence(self, record: EvidenceRecord) -> None:
        """Keep evidence, unless there is some for this member and place already."""
        ...

    def evidence(self) -> list[EvidenceRecord]:
        """All evidence kept, in ascending order of (member, kind, view, sequence)."""
        ...

    def batch(self) -> AbstractContextManager[None]:
        """Make everything inside one transaction: one wait for the disk, all or nothing. May be nested."""
        ...

    def close(self) -> None:
        """Let go of the file. A store that was not closed is just as consistent, only not sealed."""
        ...
