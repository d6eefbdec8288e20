"""Latencies as an observer measures them."""

from __future__ import annotations

from agents.latency_tracker import LatencyRow, LatencyTracker


def test_transactions_seen_together_and_receipted_together_make_one_row() -> None:
    tracker = LatencyTracker()
    for name in (b"a", b"b"):
        tracker.seen(name, "place_order", 1_000, 4)
    tracker.seen(b"c", "submit_reading", 1_010, 4)
    assert tracker.receipted([b"a", b"b", b"c", b"unknown"], 1_050) == [
        LatencyRow(4, "place_order", 1_000, 50, 2),
        LatencyRow(4, "submit_reading", 1_010, 40, 1),
    ]
    assert tracker.recent_median_ms() == 50
    assert tracker.receipted([b"a"], 1_060) == []


def test_a_transaction_sent_again_keeps_its_first_time() -> None:
    tracker = LatencyTracker()
    tracker.seen(b"a", "place_order", 1_000, 0)
    tracker.seen(b"a", "place_order", 2_500, 1)
    assert tracker.receipted([b"a"], 2_600) == [LatencyRow(0, "place_order", 1_000, 1_600, 1)]


def test_only_what_has_waited_long_enough_is_lost_and_only_once() -> None:
    tracker = LatencyTracker()
    tracker.seen(b"old", "place_order", 0, 0)
    tracker.seen(b"new", "place_order", 900, 0)
    assert tracker.lost(1_000, patience_ms=500) == [LatencyRow(0, "place_order", 0, None, 1)]
    assert tracker.lost(1_000, patience_ms=500) == []
    assert tracker.receipted([b"old"], 1_100) == []
    assert len(tracker.receipted([b"new"], 1_100)) == 1


def test_a_flood_does_not_fill_the_memory_and_what_it_pushes_out_is_counted() -> None:
    tracker = LatencyTracker(pending_max=10)
    for number in range(1_000):
        tracker.seen(number.to_bytes(4, "big"), "place_order", 5, 0)
    assert sum(row.transactions for row in tracker.lost(5, patience_ms=100)) == 990
    assert (
        sum(row.transactions for row in tracker.receipted([n.to_bytes(4, "big") for n in range(1_000)], 6)) == 10
    )
