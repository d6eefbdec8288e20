from __future__ import annotations

import pytest

from mosquitto.bus import BusMessage
from mosquitto.errors import TopicError
from mosquitto.local_bus import LocalNetwork


def test_a_message_reaches_every_matching_subscription_once() -> None:
    network = LocalNetwork()
    heard: list[tuple[str, BusMessage]] = []
    sender, receiver = network.bus("sender"), network.bus("receiver")
    receiver.subscribe("gb/c/tx/+/+", lambda message: heard.append(("tx", message)))
    receiver.subscribe("gb/c/#", lambda message: heard.append(("all", message)))
    sender.subscribe("gb/c/block/+", lambda message: heard.append(("block", message)))
    sender.publish("gb/c/tx/north/host", b"order")
    assert sender.poll(0) == 2
    message = BusMessage("gb/c/tx/north/host", b"order")
    assert heard == [("tx", message), ("all", message)]


def test_nothing_is_delivered_before_a_poll() -> None:
    network = LocalNetwork()
    heard: list[bytes] = []
    bus = network.bus("a")
    bus.subscribe("t", lambda message: heard.append(message.payload))
    bus.publish("t", b"1")
    assert heard == []
    bus.poll(0)
    assert heard == [b"1"]


def test_one_poll_delivers_answers_too_in_the_order_sent() -> None:
    network = LocalNetwork()
    a, b = network.bus("a"), network.bus("b")
    heard: list[bytes] = []
    b.subscribe("question", lambda message: b.publish("answer", message.payload + b"!"))
    a.subscribe("answer", lambda message: heard.append(message.payload))
    a.publish("question", b"1")
    a.publish("question", b"2")
    assert a.poll(0.1) == 4
    assert heard == [b"1!", b"2!"]
    assert network.now_ms == 0, "time stands still while messages flow"


def test_a_quiet_poll_moves_the_clock_and_calls_the_hooks() -> None:
    network = LocalNetwork(start_ms=1_000)
    times: list[int] = []
    network.on_tick(times.append)
    bus = network.bus("a")
    assert bus.poll(0.05) == 0
    assert bus.poll(0.0001) == 0
    assert bus.poll(0) == 0
    assert times == [1_050, 1_051]
    assert network.now_ms == 1_051


def test_a_late_subscriber_gets_the_retained_message_marked_as_such() -> None:
    network = LocalNetwork()
    heard: list[BusMessage] = []
    bus = network.bus("a")
    bus.publish("price/north", b"old", retain=True)
    bus.publish("price/north", b"new", retain=True)
    bus.publish("price/south", b"x", retain=True)
    bus.publish("price/south", b"", retain=True)
    bus.subscribe("price/+", heard.append)
    bus.poll(0)
    assert heard == [BusMessage("price/north", b"new", retained=True)]


def test_the_last_will_is_said_by_a_drop_and_not_by_a_close() -> None:
    network = LocalNetwork()
    watcher = network.bus("watcher")
    heard: list[str] = []
    watcher.subscribe("status/+", lambda message: heard.append(message.topic))
    network.bus("polite", will=("status/polite", b"offline")).close()
    network.bus("killed", will=("status/killed", b"offline")).drop()
    watcher.poll(0)
    assert heard == ["status/killed"]
    late: list[BusMessage] = []
    watcher.subscribe("status/killed", late.append)
    watcher.poll(0)
    assert [message.retained for message in late] == [True]


def test_a_dropped_endpoint_is_deaf_and_mute() -> None:
    network = LocalNetwork()
    heard: list[bytes] = []
    dead, alive = network.bus("dead"), network.bus("alive")
    dead.subscribe("t", lambda message: heard.append(b"dead heard"))
    alive.subscribe("t", lambda message: heard.append(message.payload))
    alive.publish("t", b"before")
    dead.drop()
    dead.publish("t", b"from the grave")
    alive.poll(0)
    assert heard == [b"before"]


def test_a_second_endpoint_of_the_same_name_takes_over() -> None:
    network = LocalNetwork()
    first = network.bus("node")
    second = network.bus("node")
    assert not first.connected
    assert second.connected


def test_a_raising_handler_loses_only_its_own_delivery() -> None:
    network = LocalNetwork()
    heard: list[bytes] = []
    bus = network.bus("a")

    def handler(message: BusMessage) -> None:
        if message.payload == b"bad":
            raise KeyError("bad")
        heard.append(message.payload)

    bus.subscribe("t", handler)
    for payload in (b"1", b"bad", b"2"):
        bus.publish("t", payload)
    with pytest.raises(KeyError):
        bus.poll(0)
    assert bus.poll(0) == 1
    assert heard == [b"1", b"2"]


def test_polling_inside_a_handler_or_a_hook_is_refused() -> None:
    network = LocalNetwork()
    bus = network.bus("a")
    bus.subscribe("t", lambda message: bus.poll(0) and None)
    bus.publish("t", b"1")
    with pytest.raises(RuntimeError, match="poll"):
        bus.poll(0)
    network.on_tick(lambda now_ms: bus.poll(0) and None)
    with pytest.raises(RuntimeError, match="poll"):
        bus.poll(0.1)


def test_a_partition_stops_only_what_crosses_it() -> None:
    network = LocalNetwork()
    heard: list[str] = []
    a, b, c = (network.bus(name) for name in "abc")
    b.subscribe("t", lambda message: heard.append("b"))
    c.subscribe("t", lambda message: heard.append("c"))
    network.deliver_if(lambda sender, receiver, message: {sender, receiver} != {"a", "b"})
    a.publish("t", b"1")
    c.publish("t", b"2")
    assert a.poll(0) == 3
    assert heard == ["c", "b", "c"]


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "nul\0", "x" * 65_536])
def test_topics_with_wildcards_cannot_be_published_to(topic: str) -> None:
    with pytest.raises(TopicError):
        LocalNetwork().bus("a").publish(topic, b"")


@pytest.mark.parametrize("topic_filter", ["", "a+/b", "#/a", "a#"])
def test_malformed_filters_are_refused(topic_filter: str) -> None:
    with pytest.raises(TopicError):
        LocalNetwork().bus("a").subscribe(topic_filter, lambda message: None)
