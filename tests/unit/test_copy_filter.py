from __future__ import annotations

from mosquitto.mqtt_bus import CopyFilter


def arrivals(filter_: CopyFilter, order: str, at_s: float = 0.0) -> list[bool]:
    return [filter_.is_new("ab".index(broker), "t", b"same", at_s) for broker in order]


def test_the_second_brokers_copy_is_dropped_whoever_is_first() -> None:
    assert arrivals(CopyFilter(2), "ab") == [True, False]
    assert arrivals(CopyFilter(2), "ba") == [True, False]


def test_a_message_sent_twice_is_delivered_twice_in_every_order_of_arrival() -> None:
    for order in ("aabb", "abab", "abba", "baab", "baba", "bbaa"):
        assert sum(arrivals(CopyFilter(2), order)) == 2, order


def test_a_copy_that_one_broker_lost_comes_from_the_other() -> None:
    assert arrivals(CopyFilter(2), "aba") == [True, False, True]
    assert arrivals(CopyFilter(2), "abb") == [True, False, True]


def test_after_its_return_a_broker_is_not_taken_to_repeat_what_it_missed() -> None:
    copies = CopyFilter(2)
    assert arrivals(copies, "aa") == [True, True]
    copies.broker_returned(1)
    assert arrivals(copies, "b") == [True]


def test_topics_are_told_apart() -> None:
    copies = CopyFilter(2)
    assert copies.is_new(0, "a", b"x", 0)
    assert copies.is_new(1, "b", b"x", 0)


def test_memory_is_bounded_in_entries_and_time() -> None:
    copies = CopyFilter(2, entries=100, seconds=60)
    for number in range(1000):
        copies.is_new(0, "t", b"%d" % number, 0)
    assert copies.is_new(1, "t", b"999", 0) is False
    assert copies.is_new(1, "t", b"1", 0) is True, "forgotten, so a late copy counts as a repetition"
    assert len(copies._counts) <= 100
    copies.is_new(0, "t", b"later", 61)
    assert len(copies._counts) == 1
