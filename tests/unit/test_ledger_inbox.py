"""A node's inbox: votes first, transactions in turns of their topics, bounded at the cost of the fullest."""

from __future__ import annotations

from ledger.inbox import Inbox
from mosquitto.bus import BusMessage


def batch(topic: str, number: int, size: int = 10) -> BusMessage:
    return BusMessage(topic, bytes([number]) * size)


def drained(inbox: Inbox) -> list[tuple[str, int]]:
    found = []
    while (message := inbox.next_batch()) is not None:
        found.append((message.topic, message.payload[0]))
    return found


def test_topics_take_turns_and_each_keeps_its_order() -> None:
    inbox = Inbox()
    for number in range(3):
        inbox.put_batch(batch("flood", number))
    inbox.put_batch(batch("clock", 7))
    inbox.put_batch(batch("home", 8))
    assert drained(inbox) == [("flood", 0), ("clock", 7), ("home", 8), ("flood", 1), ("flood", 2)]
    assert not inbox
    assert inbox.bytes == 0


def test_votes_do_not_wait_in_the_queue_of_transactions() -> None:
    inbox = Inbox()
    inbox.put_batch(batch("home", 1))
    inbox.put_packet(batch("pbft", 2))
    assert [message.topic for message in inbox.take_packets()] == ["pbft"]
    assert inbox.take_packets() == []
    assert inbox.has_batches


def test_what_does_not_fit_is_the_newest_of_the_fullest_topic() -> None:
    inbox = Inbox(bytes_max=50)
    for number in range(4):
        assert inbox.put_batch(batch("flood", number)) is None
    assert inbox.put_batch(batch("home", 8)) is None
    dropped = inbox.put_batch(batch("clock", 9))
    assert dropped is not None
    assert (dropped.topic, dropped.payload[0]) == ("flood", 3)
    dropped = inbox.put_batch(batch("flood", 4))
    assert dropped is not None
    assert (dropped.topic, dropped.payload[0]) == ("flood", 4)
    assert inbox.bytes == 50
    assert sorted(drained(inbox)) == [("clock", 9), ("flood", 0), ("flood", 1), ("flood", 2), ("home", 8)]


def test_one_message_larger_than_all_the_room_is_dropped_alone() -> None:
    inbox = Inbox(bytes_max=50)
    assert inbox.put_batch(batch("home", 1)) is None
    dropped = inbox.put_batch(batch("flood", 2, size=51))
    assert dropped is not None
    assert dropped.topic == "flood"
    assert drained(inbox) == [("home", 1)]


def test_invented_topics_share_one_queue_beyond_the_bound() -> None:
    inbox = Inbox(topics_max=3)
    for number in range(20):
        inbox.put_batch(batch(f"invented-{number}", number))
    inbox.put_batch(batch("invented-0", 99))
    order = [number for _, number in drained(inbox)]
    assert order.index(99) < 6
    assert sorted(order) == [*range(20), 99]
