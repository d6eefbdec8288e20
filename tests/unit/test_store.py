"""What a replica keeps survives, and damage to it is never mistaken for health."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_chains import Chain

from ledger.commit_counter import counter_path, pack_counter
from ledger.errors import StoreCorrupt, StoreError, StoreFull, StoreMismatch, VoteConflict
from ledger.memory_store import MemoryStore
from ledger.page_sums import check_page_sums, sums_path
from ledger.reader import LedgerReader
from ledger.records import NO_SEQUENCE, BodyRecord, EvidenceRecord, Store, VoteRecord
from ledger.store import LedgerStore


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, chain: Chain) -> Iterator[Store]:
    opened: Store
    if request.param == "disk":
        opened = LedgerStore.open(tmp_path / "ledger.sqlite", chain.genesis)
    else:
        opened = MemoryStore(chain.genesis)
    yield opened
    opened.close()


def vote(kind: int, view: int, sequence: int, data: bytes = b"signed") -> VoteRecord:
    return VoteRecord(kind=kind, view=view, sequence=sequence, data=data)


def contents(store: LedgerReader) -> tuple[object, ...]:
    return (
        list(store.blocks(1, store.last_height + 1)),
        store.last_header,
        store.votes(),
        store.bodies(),
        store.evidence(),
        store.latest_checkpoint(),
        store.recovering,
    )


def fill(store: Store, chain: Chain, blocks: int = 6) -> None:
    for _ in range(blocks):
        store.append_block(chain.next_block())
    store.save_votes(
        [vote(kind, 0, sequence, os.urandom(90)) for kind in (1, 2, 3) for sequence in range(1, 9)],
        [
            BodyRecord(sequence=9, transaction_id=bytes([i]) * 32, transaction=chain.transaction())
            for i in range(4)
        ],
    )
    store.save_checkpoint(chain.checkpoint())
    store.save_evidence(EvidenceRecord(member=2, kind=2, view=0, sequence=3, data=b"two prepares"))


class TestEveryStore:
    def test_blocks_and_transactions_come_back_as_they_were_kept(self, store: Store, chain: Chain) -> None:
        blocks = [chain.next_block(count) for count in (3, 0, 1)]
        for block in blocks:
            store.append_block(block)
        assert store.last_height == 3
        assert store.last_header == blocks[2].block.header
        assert list(store.blocks(1, 10)) == blocks
        assert [store.header(height) for height in (0, 2)] == [chain.genesis.header, blocks[1].block.header]
        assert store.block(4) is None and store.header(4) is None
        found = store.find_transaction(blocks[0].ids[2])
        assert found is not None
        assert (found.height, found.position) == (1, 2)
        assert (found.transaction, found.receipt) == (blocks[0].block.transactions[2], blocks[0].receipts[2])
        assert store.find_transaction(b"\0" * 32) is None

    def test_a_second_vote_for_the_same_place_is_refused_and_the_same_vote_is_not(self, store: Store) -> None:
        store.save_votes([vote(2, 1, 5)])
        store.save_votes([vote(2, 1, 5)])
        with pytest.raises(VoteConflict):
            store.save_votes([vote(2, 1, 5, b"another digest")])
        assert store.votes() == [vote(2, 1, 5)]

    def test_votes_below_the_low_watermark_go_and_votes_about_views_stay(self, store: Store) -> None:
        view_votes = [vote(5, view, NO_SEQUENCE) for view in (1, 2)]
        store.save_votes([vote(2, 0, 4), vote(2, 0, 5), *view_votes])
        store.discard_votes_below(5)
        assert store.votes() == [vote(2, 0, 5), *view_votes]
        store.discard_votes_below(5, view=2)
        assert store.votes() == [vote(2, 0, 5), view_votes[1]]

    def test_bodies_are_kept_until_a_block_holds_them_or_no_vote_needs_them(
        self, store: Store, chain: Chain
    ) -> None:
        block = chain.next_block(2)
        first, second = (
            BodyRecord(sequence=1, transaction_id=key, transaction=body)
            for key, body in zip(block.ids, block.block.transactions, strict=True)
        )
        lost = BodyRecord(sequence=1, transaction_id=b"\x01" * 32, transaction=b"never executed")
        again = BodyRecord(sequence=2, transaction_id=b"\x02" * 32, transaction=b"proposed again")
        earlier = BodyRecord(sequence=1, transaction_id=b"\x02" * 32, transaction=b"proposed again")
        store.save_votes([], [first, second, lost, earlier])
        store.save_votes([], [again, earlier])
        store.append_block(block)
        assert store.bodies() == [lost, again]
        store.discard_votes_below(2)
        assert store.bodies() == [again]

    def test_only_two_checkpoints_are_kept_and_the_latest_is_found(self, store: Store, chain: Chain) -> None:
        checkpoints = []
        for _ in range(4):
            store.append_block(chain.next_block(1))
            checkpoints.append(chain.checkpoint())
            store.save_checkpoint(checkpoints[-1])
        assert store.latest_checkpoint() == checkpoints[-1]
        if isinstance(store, LedgerStore):
            assert [store.checkpoint(height) for height in (2, 3, 4)] == [None, *checkpoints[2:]]

    def test_an_installed_snapshot_skips_blocks_and_the_chain_goes_on_after_it(
        self, store: Store, chain: Chain
    ) -> None:
        first = chain.next_block()
        store.append_block(first)
        for _ in range(3):
            chain.next_block()
        checkpoint = chain.checkpoint()
        store.install_snapshot(checkpoint)
        assert store.last_header == checkpoint.header == store.header(4)
        assert store.latest_checkpoint() == checkpoint
        assert store.first_height == 5
        after = chain.next_block()
        store.append_block(after)
        assert (store.first_height, store.last_height) == (5, 5)
        assert list(store.blocks(1, 9)) == [first]
        assert list(store.blocks(5, 9)) == [after]

    def test_evidence_is_kept_once_for_each_member_and_place(self, store: Store) -> None:
        first = EvidenceRecord(member=1, kind=2, view=0, sequence=7, data=b"first pair")
        store.save_evidence(first)
        store.save_evidence(EvidenceRecord(member=1, kind=2, view=0, sequence=7, data=b"another pair"))
        assert store.evidence() == [first]


class TestOnDisk:
    def test_a_reopened_ledger_has_everything(self, tmp_path: Path, chain: Chain) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis)
        fill(store, chain)
        kept = contents(store)
        store.close()
        assert [file.name for file in tmp_path.iterdir() if "-wal" in file.name or "-shm" in file.name] == []
        again = LedgerStore.open(path, chain.genesis)
        assert contents(again) == kept
        again.close()

    def test_a_failed_batch_leaves_nothing_behind(self, tmp_path: Path, chain: Chain) -> None:
        store = LedgerStore.open(tmp_path / "ledger.sqlite", chain.genesis)
        block = chain.next_block()
        with pytest.raises(KeyboardInterrupt), store.batch():
            store.append_block(block)
            store.save_votes([vote(2, 0, 1)])
            raise KeyboardInterrupt
        assert (store.last_height, store.votes(), store.block(1)) == (0, [], None)
        with pytest.raises(StoreError), store.batch():
            store.append_block(block)
            store.save_votes([vote(2, 0, 1)])
            with pytest.raises(VoteConflict):
                store.save_votes([vote(2, 0, 1, b"other")])
        assert (store.last_height, store.votes()) == (0, [])
        store.append_block(block)
        assert store.last_height == 1
        store.close()

    def test_a_batch_that_keeps_nothing_writes_nothing(self, tmp_path: Path, chain: Chain) -> None:
        # A replica drains its inbox in batches, and most messages change nothing on disk.
        store = LedgerStore.open(tmp_path / "ledger.sqlite", chain.genesis)
        store.save_votes([vote(2, 0, 1)])
        before = [(file.name, file.read_bytes()) for file in sorted(tmp_path.iterdir()) if "-shm" not in file.name]
        with store.batch():
            store.save_votes([vote(2, 0, 1)])
            store.discard_votes_below(1)
        after = [(file.name, file.read_bytes()) for file in sorted(tmp_path.iterdir()) if "-shm" not in file.name]
        assert before == after
        store.close()

    def test_a_ledger_cannot_be_open_twice(self, tmp_path: Path, chain: Chain) -> None:
        store = LedgerStore.open(tmp_path / "ledger.sqlite", chain.genesis)
        with pytest.raises(StoreError, match="another process"):
            LedgerStore.open(tmp_path / "ledger.sqlite", chain.genesis)
        store.close()

    def test_the_ledger_of_another_chain_is_a_mismatch_and_is_left_alone(
        self, tmp_path: Path, chain: Chain
    ) -> None:
        path = tmp_path / "ledger.sqlite"
        LedgerStore.open(path, chain.genesis).close()
        other = type(chain.genesis)(chain_id="other", configuration=b"", state_root=chain.genesis.state_root)
        with pytest.raises(StoreMismatch, match="another chain"):
            LedgerStore.open(path, other)
        LedgerStore.open(path, chain.genesis).close()

    def test_a_reader_sees_a_ledger_while_it_is_written_and_after_a_crash(
        self, tmp_path: Path, chain: Chain
    ) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis)
        store.append_block(chain.next_block())
        reader = LedgerReader.open(path)
        assert (reader.last_height, reader.genesis) == (1, chain.genesis)
        store.append_block(chain.next_block())
        assert reader.last_height == 2
        crashed = copy_as_after_a_crash(path, tmp_path / "crashed")
        assert LedgerReader.open(crashed).last_height == 2
        store.close()
        assert reader.last_height == 2
        reader.close()

    def test_a_full_disk_refuses_the_transaction_and_the_store_goes_on_when_there_is_room(
        self, tmp_path: Path, chain: Chain
    ) -> None:
        store = LedgerStore.open(tmp_path / "ledger.sqlite", chain.genesis)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        block = chain.next_block(20, size=2_000)
        with pytest.raises(StoreFull):
            store.append_block(block)
        assert store.last_height == 0
        store._connection.execute("PRAGMA max_page_count = 1000000")
        store.append_block(block)
        assert store.block(1) == block
        store.close()


def copy_as_after_a_crash(path: Path, folder: Path) -> Path:
    """The files of an open ledger as `kill -9` would leave them."""
    folder.mkdir(exist_ok=True)
    for file in path.parent.iterdir():
        if file.is_file() and file.name.startswith(path.name) and not file.name.endswith("-shm"):
            shutil.copyfile(file, folder / file.name)
    return folder / path.name


class TestDamage:
    def opens_whole_or_is_found(self, path: Path, chain: Chain, kept: tuple[object, ...]) -> bool:
        """True when the damage was found; anything read instead must be all that was kept."""
        try:
            store = LedgerStore.open(path, chain.genesis)
        except StoreCorrupt as error:
            assert str(path) in str(error)
            return True
        assert contents(store) == kept
        store.close()
        return False

    def test_no_flipped_byte_of_a_closed_file_changes_what_is_read(self, tmp_path: Path, chain: Chain) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis)
        fill(store, chain)
        kept = contents(store)
        store.close()
        whole, tip = path.read_bytes(), counter_path(path).read_bytes()
        chance = random.Random(5)
        positions = sorted(chance.sample(range(len(whole)), 250) + list(range(0, 100, 7)))
        found = 0
        for position in positions:
            counter_path(path).write_bytes(tip)
            path.write_bytes(flipped(whole, position, chance.randrange(1, 256)))
            found += self.opens_whole_or_is_found(path, chain, kept)
        # The rest are unused bytes; the seal below covers those.
        assert found > len(positions) // 3

    def test_every_flipped_byte_of_a_sealed_file_is_found(self, tmp_path: Path, chain: Chain) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis, seal=chain.keys[0])
        fill(store, chain)
        store.close()
        whole = path.read_bytes()
        chance = random.Random(6)
        for position in chance.sample(range(len(whole)), 120):
            path.write_bytes(flipped(whole, position, 1 << chance.randrange(8)))
            with pytest.raises(StoreCorrupt, match=f"page {position // 4096 + 1} "):
                LedgerStore.open(path, chain.genesis)
        path.write_bytes(whole)
        LedgerStore.open(path, chain.genesis).close()

    def test_a_file_cut_short_anywhere_is_found(self, tmp_path: Path, chain: Chain) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis)
        fill(store, chain)
        store.close()
        whole = path.read_bytes()
        for length in [0, 1, 15, 16, 99, 100, 101, *range(4096, len(whole), 4096), *range(5000, len(whole), 3001)]:
            path.write_bytes(whole[:length])
            with pytest.raises(StoreCorrupt):
                LedgerStore.open(path, chain.genesis)

    def test_a_write_ahead_log_cut_short_or_damaged_is_found(self, tmp_path: Path, chain: Chain) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis)
        fill(store, chain)
        kept = contents(store)
        crashed = copy_as_after_a_crash(path, tmp_path / "crashed")
        store.close()
        files = {file: file.read_bytes() for file in crashed.parent.iterdir()}
        log = crashed.with_name(crashed.name + "-wal")
        chance = random.Random(7)
        cuts = [files[log][:length] for length in chance.sample(range(len(files[log])), 60)]
        flips = [flipped(files[log], position, 4) for position in chance.sample(range(len(files[log])), 60)]
        outcomes = []
        for damaged in [files[log], *cuts, *flips]:
            for file in crashed.parent.iterdir():
                file.unlink()
            for file, data in files.items():
                file.write_bytes(data)
            log.write_bytes(damaged)
            outcomes.append(self.opens_whole_or_is_found(crashed, chain, kept))
        assert outcomes[0] is False
        # The whole log is live here, so every cut is found; a flip may hit an unused part of a frame's header.
        assert all(outcomes[1:61])
        assert sum(outcomes[61:]) >= 55

    def test_an_old_copy_brought_back_is_found(self, tmp_path: Path, chain: Chain) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis)
        store.save_votes([vote(2, 0, 1)])
        store.close()
        old = path.read_bytes()
        store = LedgerStore.open(path, chain.genesis)
        store.save_votes([vote(2, 0, 2)])
        store.close()
        path.write_bytes(old)
        with pytest.raises(StoreCorrupt, match="transactions that were on disk are lost"):
            LedgerStore.open(path, chain.genesis)

    @pytest.mark.parametrize("missing", ["ledger", "counter"])
    def test_a_missing_file_is_found(self, tmp_path: Path, chain: Chain, missing: str) -> None:
        path = tmp_path / "ledger.sqlite"
        LedgerStore.open(path, chain.genesis).close()
        (path if missing == "ledger" else counter_path(path)).unlink()
        with pytest.raises(StoreCorrupt):
            LedgerStore.open(path, chain.genesis)

    def test_a_replaced_ledger_recovers_until_told_otherwise_and_the_old_one_is_kept(
        self, tmp_path: Path, chain: Chain
    ) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis, seal=chain.keys[0])
        fill(store, chain)
        assert not store.recovering
        store.close()
        damaged = path.read_bytes()[:-4096]
        path.write_bytes(damaged)
        with pytest.raises(StoreCorrupt):
            LedgerStore.open(path, chain.genesis)
        store, aside = LedgerStore.replace(path, chain.genesis)
        assert aside.read_bytes() == damaged
        assert store.recovering
        store.install_snapshot(chain.checkpoint())
        store.close()
        store = LedgerStore.open(path, chain.genesis)
        assert store.recovering
        store.finish_recovery()
        store.close()
        store = LedgerStore.open(path, chain.genesis)
        assert not store.recovering
        store.close()

    def test_a_crash_while_a_ledger_is_replaced_does_not_forget_that_votes_are_lost(
        self, tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "ledger.sqlite"
        store = LedgerStore.open(path, chain.genesis)
        fill(store, chain)
        store.close()
        path.write_bytes(b"")

        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("ledger.store._create", crash)
        with pytest.raises(KeyboardInterrupt):
            LedgerStore.replace(path, chain.genesis)
        monkeypatch.undo()
        store = LedgerStore.open(path, chain.genesis)
        assert store.recovering
        store.close()

    def test_sums_of_a_ledger_that_was_opened_since_are_gone(self, tmp_path: Path, chain: Chain) -> None:
        path = tmp_path / "ledger.sqlite"
        LedgerStore.open(path, chain.genesis, seal=chain.keys[1]).close()
        result = check_page_sums(path)
        assert (result.signer, result.problems) == (chain.keys[1].public, ())
        store = LedgerStore.open(path, chain.genesis)
        assert not sums_path(path).exists()
        store.close()


def flipped(data: bytes, position: int, mask: int) -> bytes:
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


VOTER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledger_chains import Chain
from ledger.records import VoteRecord
from ledger.store import LedgerStore

chain = Chain()
blocks = [chain.next_block(5) for _ in range(60)]
store = LedgerStore.open(Path(sys.argv[1]), chain.genesis)
print("open", flush=True)
height = store.last_height
sequence = max((vote.sequence for vote in store.votes()), default=0)
while True:
    sequence += 1
    with store.batch():
        store.save_votes([VoteRecord(kind=2, view=0, sequence=sequence, data=os.urandom(200))])
        if height < len(blocks):
            store.append_block(blocks[height])
            height += 1
    # Sent: whoever reads this line may rely on the vote.
    print(sequence, flush=True)
"""


def test_a_killed_writer_has_every_vote_that_it_sent(tmp_path: Path) -> None:
    chain, path = Chain(), tmp_path / "ledger.sqlite"
    chance, sent = random.Random(11), 0
    for _ in range(8):
        command = [sys.executable, "-c", VOTER, str(path), str(Path(__file__).parent.parent)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        for _ in range(chance.randrange(40)):
            sent = int(process.stdout.readline())
        time.sleep(chance.random() / 100)  # Where in its work the writer dies is the point of the test.
        process.send_signal(signal.SIGKILL)
        sent = max([sent, *map(int, process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        store = LedgerStore.open(path, chain.genesis)
        sequences = [kept.sequence for kept in store.votes()]
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(sequences) >= sent
        assert store.last_height == min(60, len(sequences))
        store.close()
    assert sent > 20


def test_a_process_killed_at_its_first_start_can_start_again(tmp_path: Path) -> None:
    chain, path = Chain(), tmp_path / "ledger.sqlite"
    empty = sqlite3.connect(path)
    empty.execute("PRAGMA journal_mode=WAL")  # As far as the first start may have come.
    empty.close()
    counter_path(path).write_bytes(pack_counter(0))
    store = LedgerStore.open(path, chain.genesis)
    store.append_block(chain.next_block())
    store.close()
