"""An audit of a ledger file finds whatever is not as consensus left it, and says where it is."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_chains import CHAIN_ID, Chain, HashChainApplication

from ledger import tables
from ledger.certificates import CommitCertificate, commit_statement
from ledger.commit_counter import counter_path
from ledger.page_sums import sums_path
from ledger.records import BodyRecord, EvidenceRecord, StoredBlock, VoteRecord
from ledger.store import LedgerStore
from ledger.verification import VerificationReport, verify_chain
from mosquitto.codec import encode
from mosquitto.envelope import Kind, sign


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def audit(path: Path, chain: Chain, **callbacks: Callable[..., object]) -> VerificationReport:
    return verify_chain(path, chain.genesis, chain.committee, HashChainApplication, **callbacks)  # type: ignore[arg-type]


def serious(report: VerificationReport) -> list[str]:
    return [str(finding) for finding in report.findings if finding.serious]


def own_vote(chain: Chain, member: int, sequence: int) -> VoteRecord:
    body = commit_statement(0, sequence, b"\x05" * 32)
    signature = sign(chain.keys[member], Kind.CONSENSUS, CHAIN_ID, body).signature
    return VoteRecord(kind=3, view=0, sequence=sequence, data=encode((member, body, signature)))


def write(path: Path, chain: Chain, blocks: list[StoredBlock], *, seal: bool = True) -> None:
    store = LedgerStore.open(path, chain.genesis, seal=chain.keys[0] if seal else None)
    for block in blocks:
        store.append_block(block)
    store.close()


def full_ledger(path: Path, chain: Chain) -> None:
    store = LedgerStore.open(path, chain.genesis, seal=chain.keys[0])
    for count in (3, 1, 0, 6, 2):
        store.append_block(chain.next_block(count))
        if store.last_height == 4:
            store.save_checkpoint(chain.checkpoint())
    transaction = chain.transaction()
    admitted = HashChainApplication().check(transaction)
    body = BodyRecord(sequence=6, transaction_id=admitted.id, transaction=transaction)  # type: ignore[union-attr]
    store.save_votes([own_vote(chain, 0, 5), own_vote(chain, 0, 6)], [body])
    store.close()


def test_a_sound_ledger_has_no_findings_and_gives_its_state(path: Path, chain: Chain) -> None:
    full_ledger(path, chain)
    files = {file: file.read_bytes() for file in path.parent.iterdir()}
    steps: list[tuple[int, int]] = []
    report = audit(path, chain, progress=lambda done, total: steps.append((done, total)))
    assert report.findings == () and report.ok
    assert (report.height, report.blocks, report.transactions) == (5, 5, 12)
    assert report.state_root == chain.application.state_root()
    assert report.block_hash == chain.parent.hash
    assert steps == [(done, 5) for done in range(1, 6)]
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == files


def test_one_flipped_byte_anywhere_is_found_and_its_page_named(path: Path, chain: Chain) -> None:
    full_ledger(path, chain)
    whole = path.read_bytes()
    chance = random.Random(3)
    positions = [*chance.sample(range(len(whole)), 60), 0, 18, 50, 99, 100, len(whole) - 1]
    for position in positions:
        path.write_bytes(
            whole[:position] + bytes([whole[position] ^ 1 << chance.randrange(8)]) + whole[position + 1 :]
        )
        found = serious(audit(path, chain))
        assert any(f"page {position // 4096 + 1} (" in line for line in found), (position, found)
    path.write_bytes(whole)
    assert audit(path, chain).ok


def test_a_flipped_byte_in_the_files_beside_it_is_found(path: Path, chain: Chain) -> None:
    full_ledger(path, chain)
    for file in (sums_path(path), counter_path(path)):
        whole = file.read_bytes()
        for position in range(0, len(whole), 1 + len(whole) // 40):
            file.write_bytes(whole[:position] + bytes([whole[position] ^ 8]) + whole[position + 1 :])
            assert file.name in "".join(serious(audit(path, chain))), (file.name, position)
        file.write_bytes(whole)
    assert audit(path, chain).ok


def test_a_file_cut_short_is_found_at_every_length(path: Path, chain: Chain) -> None:
    full_ledger(path, chain)
    whole = path.read_bytes()
    for length in [0, 1, 50, 100, 4096, *range(4000, len(whole), 2777)]:
        path.write_bytes(whole[:length])
        assert not audit(path, chain).ok, length


def test_a_ledger_that_was_not_closed_is_verified_from_a_copy(path: Path, chain: Chain, tmp_path: Path) -> None:
    store = LedgerStore.open(path, chain.genesis)
    for _ in range(4):
        store.append_block(chain.next_block())
    live = audit(path, chain)
    folder = tmp_path / "killed"
    folder.mkdir()
    for file in tmp_path.glob("ledger.sqlite*"):
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, folder / file.name)
    store.close()
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    killed = audit(folder / path.name, chain)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    for report in (live, killed):
        assert report.ok and report.height == 4
        assert any("page sums do not apply" in str(finding) for finding in report.findings)
    log = folder / "ledger.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-5000])
    assert "missing" in "".join(serious(audit(folder / path.name, chain)))


def test_a_missing_file_and_a_file_that_is_no_ledger_are_findings(path: Path, chain: Chain) -> None:
    assert "no such ledger" in serious(audit(path, chain))[0]
    path.write_bytes(b"not a database" * 1000)
    assert not audit(path, chain).ok


def test_the_ledger_of_another_genesis_is_found(path: Path, chain: Chain) -> None:
    write(path, chain, [chain.next_block()])
    other = replace(chain.genesis, configuration=b"other")
    report = verify_chain(path, other, chain.committee, HashChainApplication)
    assert any("genesis" in line for line in serious(report))
    assert any("block 1: its previous hash" in line for line in serious(report))


class TestForgedBlocks:
    """Files whose checksums, sums and links are right: only signatures and execution tell."""

    def found(self, path: Path, chain: Chain, blocks: list[StoredBlock]) -> str:
        write(path, chain, blocks)
        report = audit(path, chain)
        assert not report.ok
        return "\n".join(serious(report))

    def test_a_block_without_a_quorum(self, path: Path, chain: Chain) -> None:
        block = chain.next_block()
        short = replace(block, certificate=replace(block.certificate, votes=block.certificate.votes[:2]))
        assert "block 1: its certificate does not hold: 2 votes" in self.found(path, chain, [short])

    def test_a_vote_of_another_chain(self, path: Path, chain: Chain) -> None:
        block = chain.next_block()
        forged = sign(chain.keys[1], Kind.CONSENSUS, "other", block.certificate.statement).signature
        votes = (block.certificate.votes[0], (1, forged), block.certificate.votes[2])
        changed = replace(block, certificate=replace(block.certificate, votes=votes))
        assert "the vote of member 1" in self.found(path, chain, [changed])

    def test_a_receipt_that_execution_does_not_give(self, path: Path, chain: Chain) -> None:
        block = chain.next_block(3)
        changed = replace(block, receipts=(block.receipts[0], b"better", block.receipts[2]))
        assert "block 1: executing it again gives other receipts, for transactions [1]" in self.found(
            path, chain, [changed]
        )

    def test_a_state_root_that_execution_does_not_give(self, path: Path, chain: Chain) -> None:
        changed = replace(chain.next_block(3), state_root=b"\x01" * 32)
        assert "block 1: executing it again gives another state root" in self.found(path, chain, [changed])

    @pytest.mark.parametrize(
        ("field", "value", "says"),
        [
            ("state_root", b"\x01" * 32, "the state root in its header"),
            ("period", 77, "its period is 77"),
            ("proposer", 2, "proposed by member 2, who was not the primary of view 0"),
            ("time_ms", 5, "its time 5 is before its parent's 1000"),
        ],
    )
    def test_a_certified_header_that_no_correct_quorum_signs(
        self, path: Path, chain: Chain, field: str, value: object, says: str
    ) -> None:
        block = chain.next_block()
        header = replace(block.block.header, **{field: value})
        votes = chain.votes(commit_statement(0, 1, header.hash))
        certificate = CommitCertificate(view=0, sequence=1, block_hash=header.hash, votes=votes)
        changed = replace(block, block=replace(block.block, header=header), certificate=certificate)
        assert f"block 1: {says}" in self.found(path, chain, [changed])

    def test_a_transaction_twice_in_the_chain(self, path: Path, chain: Chain) -> None:
        first = chain.next_block(2)
        second = chain.block_of(first.block.transactions[1:])
        assert "block 2: transaction 0 stands in block 1 already" in self.found(path, chain, [first, second])

    def test_a_transaction_whose_signature_does_not_hold(self, path: Path, chain: Chain) -> None:
        transaction = chain.transaction()
        block = chain.block_of((transaction[:-1] + bytes([transaction[-1] ^ 1]),))
        assert "block 1: transaction 0 is not valid" in self.found(path, chain, [block])

    def test_a_checkpoint_with_another_state(self, path: Path, chain: Chain) -> None:
        store = LedgerStore.open(path, chain.genesis)
        store.append_block(chain.next_block())
        other = encode((hashlib.sha256(b"other").digest(), 0))
        store.save_checkpoint(replace(chain.checkpoint(), snapshot=other))
        store.close()
        assert serious(audit(path, chain)) == [
            "ledger.sqlite: checkpoint 1: its snapshot does not have the certified state root"
        ]

    def test_what_the_application_says_about_a_block(self, path: Path, chain: Chain) -> None:
        write(path, chain, [chain.next_block(), chain.next_block()])
        report = audit(
            path, chain, after_block=lambda _, stored: ["money came from nowhere"] * (stored.height == 2)
        )
        assert serious(report) == ["ledger.sqlite: block 2: money came from nowhere"]

    def test_a_vote_that_its_replica_did_not_sign(self, path: Path, chain: Chain) -> None:
        store = LedgerStore.open(path, chain.genesis)
        forged = own_vote(chain, 1, 4)
        unsigned = replace(forged, sequence=5, data=forged.data[:-1] + b"\x00")
        store.save_votes([own_vote(chain, 0, 3), forged, unsigned, replace(forged, sequence=6, data=b"rubbish")])
        store.close()
        found = "\n".join(serious(audit(path, chain)))
        assert "votes of members [0, 1]" in found
        assert "table votes, (kind, view, sequence) (3, 0, 5): not signed by member 1" in found
        assert "(3, 0, 6): cannot be read" in found


class TestEvidence:
    def test_evidence_that_convicts_passes_and_evidence_that_does_not_is_found(
        self, path: Path, chain: Chain
    ) -> None:
        votes = []
        for block_hash in (b"\x01" * 32, b"\x02" * 32):
            body = commit_statement(0, 3, block_hash)
            votes.append(encode((2, body, sign(chain.keys[2], Kind.CONSENSUS, CHAIN_ID, body).signature)))
        proof = EvidenceRecord(member=2, kind=3, view=0, sequence=3, data=encode(tuple(votes)))
        store = LedgerStore.open(path, chain.genesis)
        store.save_evidence(proof)
        store.close()
        assert audit(path, chain).ok
        store = LedgerStore.open(path, chain.genesis)
        store.save_evidence(replace(proof, member=1))
        store.save_evidence(replace(proof, sequence=4, data=encode((votes[0], votes[0]))))
        store.close()
        found = serious(audit(path, chain))
        assert len(found) == 2
        assert "against member 1, but it convicts member 2" in found[0]
        assert "two different messages" in found[1]


class TestGaps:
    def test_a_chain_that_starts_at_a_snapshot_is_verified_from_there(self, path: Path, chain: Chain) -> None:
        first = chain.next_block()
        for _ in range(4):
            chain.next_block()
        store = LedgerStore.open(path, chain.genesis, seal=chain.keys[0])
        store.append_block(first)
        store.install_snapshot(chain.checkpoint())
        store.append_block(chain.next_block())
        store.close()
        report = audit(path, chain)
        assert report.ok
        assert [str(finding) for finding in report.findings] == [
            "ledger.sqlite: checkpoint 5: blocks 2 to 5 were skipped: the chain goes on from a certified snapshot"
        ]
        assert (report.height, report.blocks, report.state_root) == (6, 2, chain.application.state_root())

    def test_a_ledger_that_ends_with_a_snapshot_has_its_state(self, path: Path, chain: Chain) -> None:
        for _ in range(3):
            chain.next_block()
        store = LedgerStore.open(path, chain.genesis)
        store.install_snapshot(chain.checkpoint())
        store.close()
        report = audit(path, chain)
        assert report.ok
        assert (report.height, report.state_root) == (3, chain.application.state_root())

    def test_a_deleted_block_is_found_though_every_page_is_sound(self, path: Path, chain: Chain) -> None:
        write(path, chain, [chain.next_block() for _ in range(5)], seal=False)
        connection = sqlite3.connect(path)
        connection.execute("DELETE FROM blocks WHERE height = 3")
        connection.commit()
        connection.close()
        found = "\n".join(serious(audit(path, chain)))
        assert "block 4: blocks 3 to 3 are missing" in found
        assert "transactions of block 3, which is not here" in found

    def test_a_rewritten_row_is_named(self, path: Path, chain: Chain) -> None:
        write(path, chain, [chain.next_block() for _ in range(4)], seal=False)
        connection = sqlite3.connect(path)
        connection.execute("UPDATE transactions SET bytes = x'00' WHERE height = 2 AND position = 1")
        connection.commit()
        connection.close()
        report = audit(path, chain)
        assert serious(report) == [
            "ledger.sqlite: block 2: the checksum of the block and its transactions does not match"
        ]
        assert report.height == 1


def test_every_table_is_checked(path: Path, chain: Chain) -> None:
    full_ledger(path, chain)
    connection = sqlite3.connect(path)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert names == set(tables.TABLES)
