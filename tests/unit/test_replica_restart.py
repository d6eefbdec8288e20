"""What a replica says after a restart, without its disk, and while it catches up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from replica_bench import (
    Bench,
    certificate_for,
    genesis,
    inside,
    prepared,
    proposal,
    sign,
    transaction,
    view_change,
)

from ledger.blocks import Block
from ledger.certificates import CheckpointCertificate, CommitCertificate
from ledger.effects import Broadcast, Execute, FinishRecovery, Persist, RecordEvidence, Send, Timer
from ledger.messages import (
    Blocks,
    Checkpoint,
    CheckpointProof,
    Commit,
    FetchBlocks,
    FetchSnapshot,
    NewView,
    Prepare,
    PrePrepare,
    Signed,
    SnapshotPart,
    Status,
    ViewChange,
)
from ledger.replica import Memory, genesis_tip
from ledger.simulation.application import AccountBook
from ledger.view_change import proposals_of

PART_BYTES = 100


def spoken(bench: Bench) -> list[Signed]:
    return [
        effect.signed
        for effect in bench.everything
        if isinstance(effect, Broadcast) and isinstance(effect.signed.message, PrePrepare | Prepare | Commit)
    ]


def chain(length: int) -> list[tuple[Block, CommitCertificate]]:
    """Certified blocks as some other replica has them."""
    bench = Bench(1)
    for sequence in range(1, length + 1):
        item = bench.accept(transaction(sequence), sequence=sequence)
        bench.prepare_by([0, 2], item)
        (commit,) = bench.sent(Commit)
        bench.commit_by([0, 2], commit.block_hash, sequence=sequence)
    return [(effect.block, effect.certificate) for effect in bench.executed]


def test_a_restarted_backup_repeats_its_votes_and_signs_no_others() -> None:
    first = Bench(1)
    item = first.accept(transaction(1))
    first.prepare_by([0, 2], item)
    again = Bench(1, memory=first.memory())
    again.submit(transaction(2))
    again.hear(0, PrePrepare(view=0, proposal=proposal(1, transaction(2))))
    again.fire(Timer.RESEND, 1_000)
    assert {signed.body for signed in spoken(again)} == {signed.body for signed in spoken(first)}
    assert again.emitted(RecordEvidence) == []


def test_a_restarted_primary_does_not_give_a_number_twice() -> None:
    first = Bench(0)
    first.submit(transaction(1))
    again = Bench(0, memory=first.memory())
    again.submit(transaction(2))
    again.fire(Timer.RESEND, 1_000)
    proposals = [signed for signed in spoken(again) if isinstance(signed.message, PrePrepare)]
    assert {signed.message.sequence: signed.body for signed in proposals}[1] == spoken(first)[0].body
    assert len({(signed.message.sequence, signed.body) for signed in proposals}) == len(
        {signed.message.sequence for signed in proposals}
    )


def test_a_restarted_replica_still_shows_what_it_had_committed() -> None:
    first = Bench(1)
    item = first.accept(transaction(1))
    first.prepare_by([0, 2], item)
    again = Bench(1, memory=first.memory())
    again.submit(transaction(9))
    again.fire(Timer.REQUEST, 2_000)
    (message,) = again.sent(ViewChange)
    assert [(held.sequence, held.digest) for held in message.prepared] == [(1, item.digest)]


def test_a_replica_that_restarts_in_a_view_change_stays_in_it() -> None:
    first = Bench(2)
    first.submit(transaction(1))
    first.fire(Timer.REQUEST, 2_000)
    again = Bench(2, memory=first.memory())
    assert (again.replica.view, again.replica.active) == (1, False)
    item = again.accept(transaction(2))
    assert not again.sent(Prepare)
    assert item.view == 0


def test_a_replica_that_restarts_in_a_new_view_knows_its_o_set() -> None:
    item = proposal(1, transaction(1))
    changes = [view_change(0, 1), view_change(1, 1, prepared(0, 1, item.digest, (0, 1, 2))), view_change(3, 1)]
    bodies = [signed.message for signed in changes if isinstance(signed.message, ViewChange)]
    first = Bench(2)
    first.accept(transaction(1))
    first.hear(
        1,
        NewView(view=1, view_changes=tuple(inside(c) for c in changes), proposals=proposals_of(1, bodies, 1)),
    )
    again = Bench(2, memory=first.memory())
    assert (again.replica.view, again.replica.active) == (1, True)
    again.submit(transaction(2))
    again.hear(1, PrePrepare(view=1, proposal=proposal(1, transaction(2), view=1)))
    again.fire(Timer.RESEND, 1_000)
    votes = {signed.body for signed in spoken(again) if isinstance(signed.message, Prepare)}
    assert votes == {sign(2, Prepare(view=1, sequence=1, digest=item.digest)).body}


def test_a_replica_without_its_votes_is_silent_until_they_cannot_matter() -> None:
    memory = Memory(tip=genesis_tip(genesis().header), recovering=True)
    bench = Bench(3, memory=memory, checkpoint_interval=1, window=2, pipeline=2)
    bench.submit(transaction(1))
    item = bench.accept(transaction(1))
    bench.prepare_by([0, 1, 2], item)
    bench.fire(Timer.REQUEST, 10_000)
    bench.hear_signed(view_change(0, 1))
    bench.hear_signed(view_change(1, 1))
    assert not spoken(bench)
    assert not [
        effect
        for effect in bench.everything
        if isinstance(effect, Broadcast) and isinstance(effect.signed.message, ViewChange)
    ]
    # Three others show that no stable checkpoint is above 0, so nothing above 0 + 2 can have been voted for.
    for index in (0, 1, 2):
        bench.hear(index, Status(view=0, active=True, height=3, stable_height=0))
    blocks = chain(3)
    bench.fire(Timer.RESEND)
    bench.fire(Timer.RESEND, 500)
    for index in (0, 1, 2):
        bench.hear(index, Blocks(first_height=1, blocks=tuple(blocks)))
    assert bench.tip.height == 3
    assert bench.replica.core.recovering
    tip = bench.tip
    for index in (0, 1, 2):
        bench.hear(index, Checkpoint(sequence=3, block_hash=tip.hash, state_root=tip.state_root))
    assert not bench.replica.core.recovering
    assert len([effect for effect in bench.everything if isinstance(effect, FinishRecovery)]) == 1


def test_an_unproven_claim_of_a_high_checkpoint_does_not_count() -> None:
    memory = Memory(tip=genesis_tip(genesis().header), recovering=True)
    bench = Bench(3, memory=memory)
    bench.hear(0, Status(view=0, active=True, height=0, stable_height=0))
    bench.hear(1, Status(view=0, active=True, height=0, stable_height=0))
    bench.hear(2, Status(view=0, active=True, height=0, stable_height=10**9))
    assert bench.replica.amnesia is not None
    assert bench.replica.amnesia.silent_through is None


def fetching(start: int = 1) -> Bench:
    """A replica that has just asked for blocks."""
    bench = Bench(3, memory=None)
    bench.hear(0, Status(view=0, active=True, height=start + 8, stable_height=0))
    assert [message.start for message in bench.sent(FetchBlocks)] == [start]
    return bench


def test_certified_blocks_are_executed_one_after_the_other() -> None:
    bench = fetching()
    bench.hear(0, Blocks(first_height=1, blocks=tuple(chain(5))))
    assert [effect.block.height for effect in bench.executed] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("lie", ["transactions", "signature of a transaction", "header", "votes", "other block"])
def test_a_block_that_does_not_prove_itself_is_not_executed(lie: str) -> None:
    blocks = chain(2)
    block, certificate = blocks[0]
    match lie:
        case "transactions":
            block = Block(header=block.header, transactions=(transaction(7).transaction,))
        case "signature of a transaction":
            block = Block(header=block.header, transactions=(block.transactions[0][:-1] + b"\x00",))
        case "header":
            block = Block(header=replace(block.header, time_ms=1), transactions=block.transactions)
        case "votes":
            certificate = replace(certificate, votes=certificate.votes[:2])
        case _:
            certificate = certificate_for(bytes(32), 1, 0, (0, 1))
    bench = fetching()
    bench.hear(0, Blocks(first_height=1, blocks=((block, certificate), blocks[1])))
    assert not bench.executed
    assert not bench.replica.halted


def test_a_certified_block_on_another_state_halts_instead_of_forking() -> None:
    other = Bench(1)
    other.application.execute(0, 0, (transaction(99).transaction,))
    block, _ = chain(1)[0]
    header = replace(block.header, state_root=other.application.state_root())
    forked = Block(header=header, transactions=block.transactions)
    bench = fetching()
    certificate = certificate_for(forked.hash, 1, 0, (0, 1, 2))
    bench.hear(0, Blocks(first_height=1, blocks=((forked, certificate),)))
    assert bench.replica.halted
    bench.submit(transaction(1))
    bench.hear(0, PrePrepare(view=0, proposal=proposal(1, transaction(1))))
    assert not bench.sent(Prepare)


def parts_of(snapshot: bytes, certificate: CheckpointCertificate, block: Block) -> list[SnapshotPart]:
    count = -(-len(snapshot) // PART_BYTES)
    return [
        SnapshotPart(
            header=block.header,
            certificate=certificate,
            index=index,
            count=count,
            part=snapshot[index * PART_BYTES : (index + 1) * PART_BYTES],
        )
        for index in range(count)
    ]


def certified_snapshot() -> list[SnapshotPart]:
    book, blocks = AccountBook(), chain(4)
    for block, _ in blocks:
        book.execute(block.height, block.header.time_ms, block.transactions)
    block = blocks[-1][0]
    message = Checkpoint(sequence=4, block_hash=block.hash, state_root=book.state_root())
    certificate = CheckpointCertificate(
        sequence=4,
        block_hash=block.hash,
        state_root=book.state_root(),
        votes=tuple((index, sign(index, message).signature) for index in (0, 1, 2)),
    )
    return parts_of(book.snapshot(), certificate, block)


def far_behind() -> Bench:
    bench = Bench(3, snapshot_gap=2)
    bench.hear(0, Status(view=0, active=True, height=20, stable_height=4))
    bench.hear(1, Status(view=0, active=True, height=20, stable_height=4))
    assert (
        len(
            [
                effect
                for effect in bench.everything
                if isinstance(effect, Send) and isinstance(effect.signed.message, FetchSnapshot)
            ]
        )
        == 1
    )
    return bench


def test_a_replica_far_behind_installs_a_certified_snapshot() -> None:
    bench = far_behind()
    for part in certified_snapshot():
        bench.hear(0, part)
    assert bench.tip.height == 4
    assert bench.application.state_root() == bench.tip.state_root
    assert bench.replica.core.low == 4
    bench.hear(0, CheckpointProof(certificate=certified_snapshot()[0].certificate))
    assert bench.replica.core.low == 4


def test_a_false_snapshot_changes_nothing_and_another_donor_is_asked() -> None:
    bench = far_behind()
    parts = certified_snapshot()
    assert len(parts) > 1
    for part in (*parts[:-1], replace(parts[-1], part=parts[-1].part[:-1] + b"\xff")):
        bench.hear(0, part)
    assert bench.tip.height == 0
    assert bench.application.state_root() == genesis().state_root
    assert [effect.replica for effect in bench.emitted(Send)] == [1]
    assert not bench.emitted(Execute)
    assert not bench.emitted(Persist)
