"""Castro and Liskov 1999, sections 4.2 and 4.3, sentence by sentence, with n = 4, 7 and 10."""

from __future__ import annotations

from dataclasses import replace

import pytest
from replica_bench import NOW_MS, Bench, proposal, sign, transaction

from ledger.effects import Broadcast, Execute, KeepCheckpoint, Persist, RecordEvidence, TakeCheckpoint
from ledger.messages import (
    Bodies,
    Checkpoint,
    Commit,
    FetchBodies,
    Prepare,
    PrePrepare,
    Proposal,
)

SIZES = pytest.mark.parametrize("n", [4, 7, 10])


def quorum(n: int) -> int:
    return 2 * ((n - 1) // 3) + 1


def test_an_idle_primary_proposes_a_lone_transaction_at_once() -> None:
    bench = Bench(0)
    bench.submit(transaction(1))
    (message,) = bench.sent(PrePrepare)
    assert message.proposal.transaction_ids == (transaction(1).id,)
    assert message.sequence == 1


def test_under_load_the_primary_waits_and_then_sends_one_batch() -> None:
    bench = Bench(0)
    bench.submit(transaction(1))
    for nonce in range(2, 12):
        bench.submit(transaction(nonce))
        assert not bench.sent(PrePrepare)
    first = proposal(1, transaction(1))
    bench.prepare_by((1, 2), first)
    (message,) = bench.sent(PrePrepare)
    assert len(message.proposal.transaction_ids) == 10


def test_numbers_in_flight_are_bounded_by_the_pipeline() -> None:
    bench = Bench(0, batch_count=1, pipeline=3)
    bench.submit(*(transaction(nonce) for nonce in range(10)))
    assert [message.sequence for message in bench.sent(PrePrepare)] == [1, 2, 3]


def test_the_primary_stops_at_the_high_watermark() -> None:
    bench = Bench(0, batch_count=1, pipeline=4, window=4, checkpoint_interval=2)
    bench.submit(*(transaction(nonce) for nonce in range(10)))
    assert [message.sequence for message in bench.sent(PrePrepare)] == [1, 2, 3, 4]


def test_a_backup_prepares_what_the_primary_proposed() -> None:
    bench = Bench(1)
    item = bench.accept(transaction(1))
    assert bench.sent(Prepare) == [Prepare(view=0, sequence=1, digest=item.digest)]


def test_votes_are_kept_before_they_are_sent() -> None:
    bench = Bench(1)
    bench.accept(transaction(1))
    kinds = [type(effect) for effect in bench.effects if isinstance(effect, Persist | Broadcast)]
    assert kinds[-1] is Broadcast
    assert kinds[0] is Persist
    assert [body.transaction_id for body in bench.bodies] == [transaction(1).id]


@pytest.mark.parametrize(
    "bad",
    [
        PrePrepare(view=1, proposal=proposal(1, transaction(1), view=1)),
        PrePrepare(view=0, proposal=proposal(0, transaction(1))),
        PrePrepare(view=0, proposal=proposal(257, transaction(1))),
        PrePrepare(view=0, proposal=proposal(1)),
        PrePrepare(view=0, proposal=proposal(1, transaction(1), time_ms=NOW_MS + 60_001)),
        PrePrepare(view=0, proposal=proposal(1, transaction(1), time_ms=NOW_MS - 60_001)),
        PrePrepare(
            view=0,
            proposal=Proposal(
                sequence=1, view=0, proposer=2, time_ms=NOW_MS, transaction_ids=(transaction(1).id,)
            ),
        ),
    ],
    ids=["view", "low watermark", "high watermark", "null", "too late", "too early", "proposer"],
)
def test_a_pre_prepare_outside_of_the_rules_is_not_prepared(bad: PrePrepare) -> None:
    bench = Bench(2)
    bench.submit(transaction(1))
    bench.hear(bad.view % 4, bad)
    assert not bench.sent(Prepare)


def test_far_numbers_take_no_memory() -> None:
    bench = Bench(2)
    for sequence in range(1_000, 3_000):
        bench.hear(1, Prepare(view=0, sequence=sequence, digest=bytes(32)))
        bench.hear(1, Commit(view=0, sequence=sequence, block_hash=bytes(32)))
    assert len(bench.replica.core.log) == 0


@pytest.mark.parametrize("proposer", [0, 1])
def test_a_pre_prepare_of_a_backup_is_not_prepared(proposer: int) -> None:
    bench = Bench(2)
    bench.submit(transaction(1))
    bench.hear(1, PrePrepare(view=0, proposal=replace(proposal(1, transaction(1)), proposer=proposer)))
    assert not bench.sent(Prepare)


def test_a_second_proposal_for_a_number_is_not_prepared_and_is_evidence() -> None:
    bench = Bench(1)
    bench.accept(transaction(1))
    bench.submit(transaction(2))
    bench.hear(0, PrePrepare(view=0, proposal=proposal(1, transaction(2))))
    assert not bench.sent(Prepare)
    (evidence,) = bench.emitted(RecordEvidence)
    assert (evidence.first.replica, evidence.second.replica) == (0, 0)


@SIZES
def test_prepared_takes_2f_plus_1_replicas_and_not_one_less(n: int) -> None:
    bench = Bench(1, n)
    item = bench.accept(transaction(1))
    others = [index for index in range(n) if index != 1][: quorum(n) - 1]
    bench.prepare_by(others[:-1], item)
    assert not bench.sent(Commit)
    bench.prepare_by(others[-1:], item)
    assert len(bench.sent(Commit)) == 1


@SIZES
def test_messages_are_not_votes_and_other_digests_do_not_count(n: int) -> None:
    bench = Bench(1, n)
    item = bench.accept(transaction(1))
    for _ in range(20):
        bench.prepare_by([0], item)
    for index in range(2, n):
        bench.hear(index, Prepare(view=0, sequence=1, digest=bytes([index]) * 32))
    for index in range(2, n):
        bench.hear(index, Prepare(view=1, sequence=1, digest=item.digest))
    assert not [
        effect
        for effect in bench.everything
        if isinstance(effect, Broadcast) and isinstance(effect.signed.message, Commit)
    ]


@SIZES
def test_a_block_is_executed_with_2f_plus_1_commits_and_not_one_less(n: int) -> None:
    bench = Bench(1, n)
    item = bench.accept(transaction(1))
    others = [index for index in range(n) if index != 1][: quorum(n) - 1]
    bench.prepare_by(others, item)
    (commit,) = bench.sent(Commit)
    bench.commit_by(others[:-1], commit.block_hash)
    assert not bench.executed
    bench.commit_by(others[-1:], commit.block_hash)
    assert [effect.block.hash for effect in bench.executed] == [commit.block_hash]
    assert len(bench.executed[0].certificate.votes) == quorum(n)


def test_commits_of_different_views_or_blocks_do_not_add_up() -> None:
    bench = Bench(1)
    item = bench.accept(transaction(1))
    bench.prepare_by([0, 2], item)
    (commit,) = bench.sent(Commit)
    bench.hear(0, Commit(view=1, sequence=1, block_hash=commit.block_hash))
    bench.hear(2, Commit(view=0, sequence=1, block_hash=bytes(32)))
    assert not bench.executed


def test_prepares_may_come_before_the_pre_prepare() -> None:
    bench = Bench(1)
    bench.submit(transaction(1))
    item = proposal(1, transaction(1))
    bench.prepare_by([0, 2], item)
    bench.hear(0, PrePrepare(view=0, proposal=item))
    assert len(bench.sent(Commit)) == 1


def test_later_numbers_prepare_while_earlier_ones_are_in_flight_and_execute_in_order() -> None:
    bench = Bench(1)
    first = bench.accept(transaction(1), sequence=1)
    second = bench.accept(transaction(2), sequence=2)
    bench.prepare_by([0, 2], second)
    assert not bench.sent(Commit)
    bench.prepare_by([0, 2], first)
    (commit,) = bench.sent(Commit)
    bench.commit_by([0, 2], commit.block_hash)
    assert [effect.block.height for effect in bench.executed] == [1]
    (commit,) = bench.sent(Commit)
    assert commit.sequence == 2
    bench.commit_by([0, 2], commit.block_hash, sequence=2)
    assert [effect.block.height for effect in bench.executed] == [1, 2]


def test_missing_bodies_are_asked_of_the_primary_and_then_of_everyone() -> None:
    bench = Bench(1)
    item = proposal(1, transaction(1))
    bench.hear(0, PrePrepare(view=0, proposal=item))
    assert not bench.sent(Prepare)
    assert bench.sent(FetchBodies) == [FetchBodies(sequence=1, transaction_ids=(transaction(1).id,))]
    bench.hear(0, Bodies(transactions=(b"rubbish", transaction(2).transaction)))
    assert not bench.sent(Prepare)
    bench.hear(3, Bodies(transactions=(transaction(1).transaction,)))
    assert len(bench.sent(Prepare)) == 1


def test_a_transaction_in_two_proposals_is_executed_once() -> None:
    bench = Bench(1)
    first = bench.accept(transaction(1), sequence=1)
    second = bench.accept(transaction(1), transaction(2), sequence=2)
    for item, sequence in ((first, 1), (second, 2)):
        bench.prepare_by([0, 2], item)
        commits = [
            e.signed.message
            for e in bench.everything
            if isinstance(e, Broadcast) and isinstance(e.signed.message, Commit)
        ]
        assert isinstance(commits[-1], Commit)
        bench.commit_by([0, 2], commits[-1].block_hash, sequence=sequence)
    names = [admitted.id for effect in bench.executed for admitted in effect.transactions]
    assert names == [transaction(1).id, transaction(2).id]


def test_a_replay_of_an_executed_transaction_does_nothing() -> None:
    bench = Bench(0, 1)
    bench.submit(transaction(1))
    assert bench.tip.height == 1
    bench.submit(transaction(1))
    assert bench.tip.height == 1
    assert bench.replica.core.pool.refused["executed before"] == 1


@SIZES
def test_a_checkpoint_is_stable_with_2f_plus_1_equal_roots(n: int) -> None:
    bench = Bench(1, n, checkpoint_interval=1, window=2, pipeline=2)
    item = bench.accept(transaction(1))
    others = [index for index in range(n) if index != 1][: quorum(n) - 1]
    bench.prepare_by(others, item)
    (commit,) = bench.sent(Commit)
    bench.commit_by(others, commit.block_hash)
    (mine,) = bench.sent(Checkpoint)
    assert len(bench.emitted(TakeCheckpoint)) == 1
    wrong = Checkpoint(sequence=1, block_hash=mine.block_hash, state_root=bytes(32))
    spare = [index for index in range(n) if index not in (1, *others)]
    for index in spare:
        bench.hear(index, wrong)
    for index in others[:-1]:
        bench.hear(index, mine)
    assert bench.replica.core.low == 0
    bench.hear(others[-1], mine)
    assert bench.replica.core.low == 1
    assert len(bench.emitted(KeepCheckpoint)) == 1


def test_a_replica_whose_state_differs_from_a_quorums_halts() -> None:
    bench = Bench(1, checkpoint_interval=1, window=2, pipeline=2)
    item = bench.accept(transaction(1))
    bench.prepare_by([0, 2], item)
    (commit,) = bench.sent(Commit)
    bench.commit_by([0, 2], commit.block_hash)
    for index in (0, 2, 3):
        bench.hear(index, Checkpoint(sequence=1, block_hash=commit.block_hash, state_root=bytes(32)))
    assert "another state" in bench.replica.halted


def test_two_prepares_of_one_replica_are_evidence() -> None:
    bench = Bench(1)
    bench.hear(2, Prepare(view=0, sequence=1, digest=bytes(32)))
    bench.hear(2, Prepare(view=0, sequence=1, digest=bytes([1]) * 32))
    (evidence,) = bench.emitted(RecordEvidence)
    assert evidence.first == sign(2, Prepare(view=0, sequence=1, digest=bytes(32)))


def test_a_block_never_is_older_than_its_parent() -> None:
    bench = Bench(1)
    for sequence, time_ms in ((1, NOW_MS + 500), (2, NOW_MS - 500)):
        bench.submit(transaction(sequence))
        item = proposal(sequence, transaction(sequence), time_ms=time_ms)
        bench.hear(0, PrePrepare(view=0, proposal=item))
        bench.prepare_by([0, 2], item)
        (commit,) = bench.sent(Commit)
        bench.commit_by([0, 2], commit.block_hash, sequence=sequence)
    assert [effect.block.header.time_ms for effect in bench.executed] == [NOW_MS + 500] * 2
    assert isinstance(bench.executed[0], Execute)
