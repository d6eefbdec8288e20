"""The store on disk keeps what the store in memory keeps, whatever is done to both, reopened at any time."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ledger_chains import Chain

from ledger.errors import VoteConflict
from ledger.memory_store import MemoryStore
from ledger.records import BodyRecord, EvidenceRecord, VoteRecord
from ledger.store import LedgerStore

numbers = st.integers(0, 4)


class StoreTwins(RuleBasedStateMachine):
    """Does everything to both stores and compares all they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(prefix="gridbazaar-twins-"))
        self.chain = Chain()
        self.disk = LedgerStore.open(self.folder / "ledger.sqlite", self.chain.genesis)
        self.memory = MemoryStore(self.chain.genesis)
        self.ids = [b"\x00" * 32]

    def teardown(self) -> None:
        self.disk.close()
        shutil.rmtree(self.folder)

    @rule(count=st.integers(0, 3))
    def append(self, count: int) -> None:
        block = self.chain.next_block(count)
        self.ids += block.ids
        self.disk.append_block(block)
        self.memory.append_block(block)

    @rule(kind=numbers, view=numbers, sequence=numbers, data=st.sampled_from([b"a", b"a", b"a", b"b"]))
    def vote(self, kind: int, view: int, sequence: int, data: bytes) -> None:
        record = VoteRecord(kind=kind, view=view, sequence=sequence, data=data)
        try:
            self.memory.save_votes([record])
        except VoteConflict:
            with pytest.raises(VoteConflict):
                self.disk.save_votes([record])
        else:
            self.disk.save_votes([record])

    @rule(sequence=numbers, name=st.integers(1, 5))
    def body(self, sequence: int, name: int) -> None:
        record = BodyRecord(sequence=sequence, transaction_id=bytes([name]) * 32, transaction=bytes([name]))
        self.disk.save_votes([], [record])
        self.memory.save_votes([], [record])

    @rule(sequence=numbers, view=numbers)
    def discard(self, sequence: int, view: int) -> None:
        self.disk.discard_votes_below(sequence, view)
        self.memory.discard_votes_below(sequence, view)

    @rule(member=numbers, data=st.binary(max_size=2))
    def accuse(self, member: int, data: bytes) -> None:
        record = EvidenceRecord(member=member, kind=2, view=0, sequence=1, data=data)
        self.disk.save_evidence(record)
        self.memory.save_evidence(record)

    @precondition(lambda self: self.memory.last_height > 0)
    @rule()
    def checkpoint(self) -> None:
        checkpoint = self.chain.checkpoint()
        self.disk.save_checkpoint(checkpoint)
        self.memory.save_checkpoint(checkpoint)

    @rule(skipped=st.integers(1, 3))
    def install(self, skipped: int) -> None:
        for _ in range(skipped):
            self.chain.next_block(1)
        checkpoint = self.chain.checkpoint()
        self.disk.install_snapshot(checkpoint)
        self.memory.install_snapshot(checkpoint)

    @rule()
    def reopen(self) -> None:
        self.disk.close()
        self.disk = LedgerStore.open(self.folder / "ledger.sqlite", self.chain.genesis)

    @invariant()
    def both_hold_the_same(self) -> None:
        disk, memory = self.disk, self.memory
        assert (disk.last_header, disk.first_height) == (memory.last_header, memory.first_height)
        assert (disk.votes(), disk.bodies(), disk.evidence()) == (
            memory.votes(),
            memory.bodies(),
            memory.evidence(),
        )
        assert disk.latest_checkpoint() == memory.latest_checkpoint()
        for height in range(disk.last_height + 2):
            assert (disk.block(height), disk.header(height)) == (memory.block(height), memory.header(height))
        for transaction_id in self.ids:
            assert disk.find_transaction(transaction_id) == memory.find_transaction(transaction_id)


StoreTwins.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStoreTwins = StoreTwins.TestCase
