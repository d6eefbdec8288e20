"""The pool: bounded, fair, and without memory of what it refused."""

from __future__ import annotations

from replica_bench import transaction

from ledger.pool import Pool


def pool(count_max: int = 100, bytes_max: int = 100_000, per_sender_max: int = 50) -> Pool:
    return Pool(count_max=count_max, bytes_max=bytes_max, per_sender_max=per_sender_max)


def test_a_batch_takes_senders_in_turns() -> None:
    waiting = pool()
    flood = [transaction(nonce, b"flood") for nonce in range(40)]
    for item in flood:
        waiting.add(item, 0, 0)
    lone = transaction(1, b"lone")
    waiting.add(lone, 0, 0)
    assert [item.id for item in waiting.select(frozenset(), 3, 10_000)] == [flood[0].id, lone.id, flood[1].id]


def test_what_is_in_flight_is_not_selected_again() -> None:
    waiting = pool()
    items = [transaction(nonce) for nonce in range(3)]
    for item in items:
        waiting.add(item, 0, 0)
    assert waiting.select(frozenset({items[0].id}), 2, 10_000) == items[1:]


def test_a_batch_is_bounded_in_count_and_bytes() -> None:
    waiting = pool()
    for nonce in range(10):
        waiting.add(transaction(nonce), 0, 0)
    size = len(transaction(0).transaction)
    assert len(waiting.select(frozenset(), 4, 10_000)) == 4
    assert len(waiting.select(frozenset(), 10, 2 * size)) == 2


def test_one_sender_cannot_have_more_than_its_share() -> None:
    waiting = pool(per_sender_max=5)
    assert [waiting.add(transaction(nonce), 0, 0) for nonce in range(7)] == [True] * 5 + [False] * 2


def test_refused_is_not_seen() -> None:
    waiting = pool(per_sender_max=1)
    waiting.add(transaction(1), 0, 0)
    assert not waiting.add(transaction(2), 0, 0)
    waiting.remove(transaction(1).id)
    assert waiting.add(transaction(2), 0, 0)


def test_in_a_full_pool_a_newcomer_displaces_the_newest_of_the_largest_sender() -> None:
    waiting = pool(count_max=10)
    for nonce in range(10):
        waiting.add(transaction(nonce, b"flood"), 0, 0)
    assert waiting.add(transaction(1, b"lone"), 0, 0)
    assert len(waiting) == 10
    assert transaction(9, b"flood").id not in waiting
    assert not waiting.add(transaction(10, b"flood"), 0, 0)


def test_bytes_are_bounded_and_counted_back() -> None:
    size = len(transaction(1).transaction)
    waiting = pool(bytes_max=2 * size)
    assert waiting.add(transaction(1), 0, 0)
    assert waiting.add(transaction(2), 0, 0)
    assert not waiting.add(transaction(3), 0, 0)
    waiting.remove(transaction(1).id)
    waiting.remove(transaction(2).id)
    assert waiting.bytes == 0
    assert waiting.sender_count == 0


def test_what_no_block_may_hold_any_more_goes() -> None:
    waiting = pool()
    waiting.add(transaction(1), 0, 0)
    waiting.expire(100)
    assert len(waiting) == 1
    waiting.expire(101)
    assert len(waiting) == 0
