"""Castro and Liskov 1999, sections 4.4 and 4.5.2, with n = 4, 7 and 10."""

from __future__ import annotations

from dataclasses import replace

import pytest
from replica_bench import (
    NOW_MS,
    Bench,
    inside,
    prepared,
    proposal,
    sign,
    transaction,
    view_change,
)

from ledger.effects import Send, SetTimer, Timer
from ledger.messages import (
    Bodies,
    Commit,
    FetchProposal,
    NewView,
    OfferProposal,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Signed,
    Status,
    ViewChange,
    null_proposal,
)
from ledger.view_change import open_view_change, proposals_of

SIZES = pytest.mark.parametrize("n", [4, 7, 10])


def f_of(n: int) -> int:
    return (n - 1) // 3


def new_view(view: int, *changes: Signed, n: int = 4) -> NewView:
    ordered = sorted(changes, key=lambda item: item.replica)
    messages = [item.message for item in ordered if isinstance(item.message, ViewChange)]
    return NewView(
        view=view,
        view_changes=tuple(inside(item) for item in ordered),
        proposals=proposals_of(view, messages, view % n),
    )


def test_a_transaction_that_waits_too_long_starts_a_view_change() -> None:
    bench = Bench(2)
    bench.submit(transaction(1))
    bench.fire(Timer.REQUEST, 500)
    bench.fire(Timer.REQUEST, 1_000)
    assert not bench.sent(ViewChange)
    assert bench.sent(Bodies) == [Bodies(transactions=(transaction(1).transaction,))]
    bench.fire(Timer.REQUEST, 500)
    assert [message.view for message in bench.sent(ViewChange)] == [1]


def test_an_idle_replica_has_no_request_timer_and_finds_a_dead_primary_when_load_comes() -> None:
    bench = Bench(2)
    assert all(effect.timer is Timer.RESEND for effect in bench.emitted(SetTimer))
    bench.now_ms += 3_600_000
    bench.submit(transaction(1))
    assert Timer.REQUEST in [effect.timer for effect in bench.emitted(SetTimer)]
    bench.fire(Timer.REQUEST, 2_000)
    assert len(bench.sent(ViewChange)) == 1


def test_a_replica_that_was_stopped_itself_does_not_blame_the_primary() -> None:
    bench = Bench(2)
    bench.submit(transaction(1))
    bench.fire(Timer.REQUEST, 20_000)
    assert not bench.sent(ViewChange)


def test_a_withheld_body_ends_the_view() -> None:
    bench = Bench(2)
    bench.hear(0, PrePrepare(view=0, proposal=proposal(1, transaction(1))))
    bench.fire(Timer.REQUEST, 2_000)
    assert len(bench.sent(ViewChange)) == 1


def test_a_primary_that_passes_over_one_client_loses_its_place() -> None:
    bench = Bench(2)
    bench.submit(transaction(1, b"censored"))
    for sequence in range(1, 12):
        bench.now_ms += 200
        item = bench.accept(transaction(sequence, b"favourite"), sequence=sequence)
        bench.prepare_by([0, 1], item)
        (commit,) = bench.sent(Commit)
        bench.commit_by([0, 1], commit.block_hash, sequence=sequence)
    bench.fire(Timer.REQUEST)
    assert len(bench.sent(ViewChange)) == 1


def test_a_backlog_worked_through_in_fair_turns_is_no_reason_to_leave() -> None:
    bench = Bench(2)
    waiting = [transaction(nonce) for nonce in range(100)]
    bench.submit(*waiting)
    for sequence in range(1, 12):
        bench.now_ms += 400
        item = bench.accept(waiting[sequence - 1], sequence=sequence)
        bench.prepare_by([0, 1], item)
        (commit,) = bench.sent(Commit)
        bench.commit_by([0, 1], commit.block_hash, sequence=sequence)
        bench.fire(Timer.REQUEST)
        assert not bench.sent(ViewChange)


def test_after_its_own_view_change_a_replica_neither_prepares_nor_commits_in_older_views() -> None:
    bench = Bench(2)
    item = bench.accept(transaction(1))
    bench.fire(Timer.REQUEST, 2_000)
    assert len(bench.sent(ViewChange)) == 1
    bench.prepare_by([0, 1], item)
    assert not bench.sent(Commit)
    bench.submit(transaction(2))
    bench.hear(0, PrePrepare(view=0, proposal=proposal(2, transaction(2), time_ms=bench.now_ms)))
    assert not bench.sent(Prepare)


def test_a_replica_outside_of_a_view_still_executes_what_a_quorum_committed() -> None:
    twin = Bench(1)
    item = twin.accept(transaction(1))
    twin.prepare_by([0, 2], item)
    (commit,) = twin.sent(Commit)
    bench = Bench(2)
    bench.accept(transaction(1))
    bench.fire(Timer.REQUEST, 2_000)
    bench.commit_by([0, 1, 3], commit.block_hash)
    assert [effect.block.hash for effect in bench.executed] == [commit.block_hash]


@SIZES
def test_f_plus_1_view_changes_are_joined_at_the_smallest_view_and_f_are_not(n: int) -> None:
    bench = Bench(n - 1, n)
    for index in range(f_of(n)):
        bench.hear_signed(view_change(index, 9 - index))
    assert not bench.sent(ViewChange)
    bench.hear_signed(view_change(f_of(n), 4))
    assert [message.view for message in bench.sent(ViewChange)] == [4]


@SIZES
def test_the_new_view_timer_starts_at_2f_plus_1_and_doubles(n: int) -> None:
    bench = Bench(n - 1, n)
    bench.submit(transaction(1))
    bench.fire(Timer.REQUEST, 2_000)
    for index in range(2 * f_of(n) - 1):
        bench.hear_signed(view_change(index, 1))
    assert Timer.NEW_VIEW not in [effect.timer for effect in bench.everything if isinstance(effect, SetTimer)]
    bench.hear_signed(view_change(2 * f_of(n) - 1, 1))
    (first,) = [effect for effect in bench.emitted(SetTimer) if effect.timer is Timer.NEW_VIEW]
    bench.fire(Timer.NEW_VIEW, first.delay_ms)
    assert [message.view for message in bench.sent(ViewChange)] == [2]
    for index in range(2 * f_of(n)):
        bench.hear_signed(view_change(index, 2))
    (second,) = [effect for effect in bench.emitted(SetTimer) if effect.timer is Timer.NEW_VIEW]
    assert second.delay_ms == 2 * first.delay_ms


@SIZES
def test_the_new_primary_announces_with_2f_plus_1_view_changes(n: int) -> None:
    bench = Bench(1, n)
    bench.submit(transaction(1))
    bench.fire(Timer.REQUEST, 2_000)
    others = [index for index in range(n) if index != 1]
    for index in others[: 2 * f_of(n) - 1]:
        bench.hear_signed(view_change(index, 1))
    assert not bench.sent(NewView)
    bench.hear_signed(view_change(others[2 * f_of(n) - 1], 1))
    (message,) = bench.sent(NewView)
    assert len(message.view_changes) == 2 * f_of(n) + 1
    assert bench.replica.active
    assert len(bench.sent(PrePrepare)) == 1


def test_o_takes_the_digest_of_the_highest_view_and_null_for_gaps() -> None:
    low = prepared(0, 3, b"a" * 32, (0, 1, 2))
    high = prepared(2, 3, b"b" * 32, (0, 1, 2))
    first = prepared(1, 1, b"c" * 32, (0, 1, 2))
    changes = [
        ViewChange(view=5, height=0, proof=None, prepared=(low,)),
        ViewChange(view=5, height=0, proof=None, prepared=(first, high)),
        ViewChange(view=5, height=0, proof=None, prepared=()),
    ]
    null = null_proposal(2, 5, 1)
    assert proposals_of(5, changes, 1) == ((1, b"c" * 32), (2, null.digest), (3, b"b" * 32))


def test_a_backup_enters_a_valid_new_view_and_prepares_its_proposals() -> None:
    bench = Bench(2)
    item = bench.accept(transaction(1))
    certificate = prepared(0, 1, item.digest, (0, 1, 2))
    changes = (view_change(0, 1), view_change(1, 1, certificate), view_change(3, 1))
    bench.hear(1, new_view(1, *changes))
    assert bench.sent(Prepare) == [Prepare(view=1, sequence=1, digest=item.digest)]
    assert (bench.replica.view, bench.replica.active) == (1, True)


def test_a_proposal_that_a_new_view_names_is_fetched_when_it_is_missing() -> None:
    bench = Bench(2)
    item = proposal(1, transaction(1), time_ms=NOW_MS - 10_000_000)
    certificate = prepared(0, 1, item.digest, (0, 1, 3))
    bench.hear(1, new_view(1, view_change(0, 1), view_change(1, 1, certificate), view_change(3, 1)))
    assert bench.sent(FetchProposal) == [FetchProposal(sequence=1, digest=item.digest)]
    bench.submit(transaction(1))
    # However old its time is: it was prepared, and a long pause must not block it for ever.
    bench.hear(3, OfferProposal(proposal=item))
    assert bench.sent(Prepare) == [Prepare(view=1, sequence=1, digest=item.digest)]


def test_the_primary_of_a_new_view_may_not_propose_below_its_o_set() -> None:
    bench = Bench(2)
    item = bench.accept(transaction(1))
    certificate = prepared(0, 1, item.digest, (0, 1, 2))
    bench.hear(1, new_view(1, view_change(0, 1), view_change(1, 1, certificate), view_change(3, 1)))
    bench.submit(transaction(2))
    bench.hear(1, PrePrepare(view=1, proposal=proposal(1, transaction(2), view=1)))
    assert not bench.sent(Prepare)


def changes_with(bad: Signed) -> NewView:
    return new_view(1, view_change(0, 1), view_change(1, 1), bad)


def forged_certificate(case: str) -> PreparedCertificate:
    good = prepared(0, 1, b"x" * 32, (0, 1, 2))
    match case:
        case "short":
            return replace(good, votes=good.votes[:2])
        case "one twice":
            return replace(good, votes=(good.votes[0], *good.votes[:2]))
        case "mixed":
            other = prepared(0, 1, b"y" * 32, (2,))
            return replace(good, votes=(*good.votes[:2], other.votes[0]))
        case "stranger":
            return replace(good, votes=(*good.votes[:2], (7, good.votes[2][1])))
        case "value":
            return replace(good, digest=b"z" * 32)
        case "view of the future":
            return prepared(1, 1, b"x" * 32, (0, 1, 2))
    return prepared(0, 300, b"x" * 32, (0, 1, 2))


@pytest.mark.parametrize(
    "case",
    ["short", "one twice", "mixed", "stranger", "value", "view of the future", "above the window"],
)
def test_a_view_change_with_a_false_certificate_does_not_count(case: str) -> None:
    bench = Bench(2)
    bad = view_change(3, 1, forged_certificate(case))
    bench.hear(1, changes_with(bad))
    assert bench.replica.view == 0
    bench.hear_signed(bad)
    bench.hear_signed(view_change(0, 1))
    assert not bench.sent(ViewChange)


def test_a_view_change_that_claims_a_height_without_proof_does_not_count() -> None:
    bench = Bench(2)
    bad = sign(3, ViewChange(view=1, height=5, proof=None, prepared=()))
    bench.hear(1, changes_with(bad))
    assert bench.replica.view == 0


@pytest.mark.parametrize(
    "case",
    ["left out", "other digest", "added", "too few", "one twice", "other view", "forged", "not the primary"],
)
def test_a_tampered_new_view_is_refused(case: str) -> None:
    bench = Bench(2)
    item = bench.accept(transaction(1))
    certificate = prepared(0, 1, item.digest, (0, 1, 2))
    changes = (view_change(0, 1), view_change(1, 1, certificate), view_change(3, 1))
    good = new_view(1, *changes)
    sender = 1
    match case:
        case "left out":
            bad = replace(good, proposals=())
        case "other digest":
            bad = replace(good, proposals=((1, null_proposal(1, 1, 1).digest),))
        case "added":
            bad = replace(good, proposals=(*good.proposals, (2, b"x" * 32)))
        case "too few":
            bad = new_view(1, *changes[:2])
        case "one twice":
            bad = new_view(1, changes[0], changes[1], changes[1])
        case "other view":
            bad = new_view(1, changes[0], changes[1], view_change(3, 2))
        case "forged":
            forged = replace(good.view_changes[2], signature=good.view_changes[0].signature)
            bad = replace(good, view_changes=(*good.view_changes[:2], forged))
        case _:
            bad, sender = good, 3
    bench.hear(sender, bad)
    assert bench.replica.view == 0
    assert open_view_change(good.view_changes[0]) is not None


def test_a_replica_that_missed_the_new_view_is_shown_it() -> None:
    bench = Bench(1)
    bench.submit(transaction(1))
    bench.fire(Timer.REQUEST, 2_000)
    bench.hear_signed(view_change(0, 1))
    bench.hear_signed(view_change(3, 1))
    bench.hear(2, Status(view=0, active=True, height=0, stable_height=0))
    shown = [effect for effect in bench.emitted(Send) if isinstance(effect.signed.message, NewView)]
    assert [effect.replica for effect in shown] == [2]


def test_a_lost_view_change_of_one_that_went_on_does_not_strand_the_others() -> None:
    # Replica 3 has left view 1 for view 2 and its message for view 1 was lost: its leaving still counts.
    bench = Bench(2)
    bench.submit(transaction(1))
    bench.fire(Timer.REQUEST, 2_000)
    bench.hear_signed(view_change(0, 1))
    bench.hear_signed(view_change(3, 2))
    assert Timer.NEW_VIEW in [effect.timer for effect in bench.emitted(SetTimer)]
