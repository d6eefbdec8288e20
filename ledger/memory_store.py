"""A store that forgets everything with the process: in-memory runs, sweeps, tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from ledger.blocks import Genesis, Header
from ledger.errors import VoteConflict
from ledger.records import (
    NO_SEQUENCE,
    BodyRecord,
    Checkpoint,
    EvidenceRecord,
    StoredBlock,
    StoredTransaction,
    VoteRecord,
)


class MemoryStore:
    """`records.Store` in dictionaries; the methods are described there.

    `batch` undoes nothing: an error inside it ends the run anyway. With `keep_blocks` > 0 only that many last
    blocks are kept, so that long runs stay small.
    """

    def __init__(self, genesis: Genesis, *, keep_blocks: int = 0) -> None:
        self._genesis = genesis
        self._keep_blocks = keep_blocks
        self._blocks: dict[int, StoredBlock] = {}
        self._places: dict[bytes, tuple[int, int]] = {}
        self._votes: dict[tuple[int, int, int], VoteRecord] = {}
        self._bodies: dict[bytes, BodyRecord] = {}
        self._checkpoints: dict[int, Checkpoint] = {}
        self._installed: set[int] = set()
        self._evidence: dict[tuple[int, int, int, int], EvidenceRecord] = {}
        self._last_header = genesis.header

    @property
    def genesis(self) -> Genesis:
        """The chain that is kept."""
        return self._genesis

    @property
    def recovering(self) -> bool:
        """Never: a new memory store belongs to a new replica."""
        return False

    def finish_recovery(self) -> None:
        """Nothing to finish."""

    @property
    def last_height(self) -> int:
        """Height of the last block or installed snapshot."""
        return self._last_header.height

    @property
    def first_height(self) -> int:
        """The lowest height from which on every block is here."""
        height = self.last_height + 1
        while height - 1 in self._blocks:
            height -= 1
        return height

    @property
    def last_header(self) -> Header:
        """The parent of the next block."""
        return self._last_header

    def header(self, height: int) -> Header | None:
        """The header of a block or checkpoint kept here."""
        if height == 0:
            return self._genesis.header
        if stored := self._blocks.get(height):
            return stored.block.header
        checkpoint = self._checkpoints.get(height)
        return checkpoint.header if checkpoint else None

    def block(self, height: int) -> StoredBlock | None:
        """The block of this height."""
        return self._blocks.get(height)

    def blocks(self, start: int, stop: int) -> Iterator[StoredBlock]:
        """Consecutive blocks from `start`."""
        for height in range(start, stop):
            stored = self._blocks.get(height)
            if stored is None:
                return
            yield stored

    def find_transaction(self, transaction_id: bytes) -> StoredTransaction | None:
        """Where a transaction stands in the chain."""
        place = self._places.get(transaction_id)
        if place is None:
            return None
        height, position = place
        stored = self._blocks[height]
        return StoredTransaction(
            transaction_id=transaction_id,
            height=height,
            position=position,
            transaction=stored.block.transactions[position],
            receipt=stored.receipts[position],
        )

    def append_block(self, stored: StoredBlock) -> None:
        """Keep the next block."""
        check_follows(stored, self._last_header)
        self._blocks[stored.height] = stored
        for position, transaction_id in enumerate(stored.ids):
            self._places.setdefault(transaction_id, (stored.height, position))
            self._bodies.pop(transaction_id, None)
        self._last_header = stored.block.header
        if self._keep_blocks and (old := self._blocks.pop(stored.height - self._keep_blocks, None)):
            for transaction_id in old.ids:
                if self._places.get(transaction_id, (0, 0))[0] == old.height:
                    del self._places[transaction_id]

    def save_votes(self, votes: Sequence[VoteRecord], bodies: Sequence[BodyRecord] = ()) -> None:
        """Keep votes and bodies."""
        for vote in votes:
            key = (vote.kind, vote.view, vote.sequence)
            if self._votes.setdefault(key, vote) != vote:
                raise VoteConflict(f"another vote is kept for (kind, view, sequence) {key}")
        for body in bodies:
            kept = self._bodies.get(body.transaction_id)
            # A new view may propose the transaction again at a later number: it is needed until then.
            if kept is None or kept.sequence < body.sequence:
                self._bodies[body.transaction_id] = body

    def votes(self) -> list[VoteRecord]:
        """All votes kept."""
        return [self._votes[key] for key in sorted(self._votes)]

    def bodies(self) -> list[BodyRecord]:
        """All bodies kept."""
        return sorted(self._bodies.values(), key=lambda body: (body.sequence, body.transaction_id))

    def discard_votes_below(self, sequence: int, view: int = 0) -> None:
        """Let go of votes and bodies that no longer matter."""
        for key, vote in list(self._votes.items()):
            if vote.view < view if vote.sequence == NO_SEQUENCE else vote.sequence < sequence:
                del self._votes[key]
        self._bodies = {key: body for key, body in self._bodies.items() if body.sequence >= sequence}

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a stable checkpoint."""
        check_certified(checkpoint)
        self._checkpoints[checkpoint.height] = checkpoint
        for height in sorted(set(self._checkpoints) - self._installed)[:-2]:
            del self._checkpoints[height]

    def latest_checkpoint(self) -> Checkpoint | None:
        """The highest checkpoint kept."""
        return self._checkpoints[max(self._checkpoints)] if self._checkpoints else None

    def install_snapshot(self, checkpoint: Checkpoint) -> None:
        """Go on from a verified checkpoint."""
        check_certified(checkpoint)
        assert checkpoint.height > self.last_height, (checkpoint.height, self.last_height)
        self._checkpoints[checkpoint.height] = checkpoint
        self._installed.add(checkpoint.height)
        self._last_header = checkpoint.header

    def save_evidence(self, record: EvidenceRecord) -> None:
        """Keep evidence, one for each place."""
        self._evidence.setdefault((record.member, record.kind, record.view, record.sequence), record)

    def evidence(self) -> list[EvidenceRecord]:
        """All evidence kept."""
        return [self._evidence[key] for key in sorted(self._evidence)]

    def batch(self) -> AbstractContextManager[None]:
        """Nothing to batch: memory does not wait."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to let go of."""


def check_follows(stored: StoredBlock, parent: Header) -> None:
    """Assert what consensus guarantees of a block that is appended after `parent`."""
    header = stored.block.header
    assert header.height == parent.height + 1, (header.height, parent.height)
    assert header.previous_hash == parent.hash, f"block {header.height} does not follow the last block"
    assert stored.certificate.block_hash == header.hash, f"certificate of another block at {header.height}"
    assert stored.block.matches(stored.ids), f"block {header.height} has other transactions than its header"
    assert len(stored.receipts) == len(stored.ids), f"block {header.height} needs a receipt for each transaction"


def check_certified(checkpoint: Checkpoint) -> None:
    """Assert that header and certificate of a checkpoint are about one block."""
    assert checkpoint.certificate.sequence == checkpoint.header.height, checkpoint.header.height
    assert checkpoint.certificate.block_hash == checkpoint.header.hash, checkpoint.header.height
