"""The `Bus` over MQTT 3.1.1: one broker or several.

Everything happens inside `poll`, on the caller's thread (see mqtt_link.py for why). Messages arrive at
least once: QoS 1 repeats after a reconnect, and readers must take a repetition for what it is. They can be
lost on their way to a reader with a clean session that is away, and by a broker that dies with them in
memory; protocols above send again.
"""

from __future__ import annotations

import hashlib
import logging
import math
import select
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from mosquitto.access import BrokerAccess
from mosquitto.address import BrokerAddress
from mosquitto.bus import PAYLOAD_BYTES_MAX, BusMessage, Handler, check_filter, check_topic, covers, matches
from mosquitto.errors import BrokerError
from mosquitto.mqtt_link import BusStats, LinkOptions, LinkState, MqttLink, Outgoing

__all__ = ["BrokerAddress", "BusStats", "CopyFilter", "MqttBus"]

log = logging.getLogger("mosquitto.bus")

PACKETS_PER_TURN: Final = 256
"""Read from one broker before handlers run: more would make answers wait, fewer would cost more calls."""

INBOX_MAX: Final = 10_000
CLOSE_LIMIT_S: Final = 2.0
_ROUTES_KEPT: Final = 65_536


class CopyFilter:
    """Tells the second broker's copy of a message from the same message sent twice.

    For equal bytes on one topic it counts what each broker brought; only what exceeds the largest count so
    far is new. So a message sent twice and brought by both brokers is delivered twice, whatever the order.
    A broker that was away has missed some: from its return on, its copies count as new, since a repetition
    is harmless and a loss is not. Remembers `entries` messages for `seconds`; a copy that comes later
    still is a repetition.
    """

    def __init__(self, brokers: int, entries: int = 50_000, seconds: float = 60.0) -> None:
        self._brokers = brokers
        self._entries = entries
        self._seconds = seconds
        self._counts: OrderedDict[bytes, tuple[float, list[int]]] = OrderedDict()

    def is_new(self, broker: int, topic: str, payload: bytes, now_s: float) -> bool:
        """Count one arrival from `broker` (its index); whether it is to be delivered."""
        while self._counts and (
            len(self._counts) >= self._entries or next(iter(self._counts.values()))[0] < now_s - self._seconds
        ):
            self._counts.popitem(last=False)
        digest = hashlib.blake2b(topic.encode() + b"\0" + payload, digest_size=16).digest()
        counts = self._counts.setdefault(digest, (now_s, [0] * self._brokers))[1]
        counts[broker] += 1
        return all(counts[broker] > count for index, count in enumerate(counts) if index != broker)

    def broker_returned(self, broker: int) -> None:
        """Do not hold against a broker what it missed while it was away."""
        for _, counts in self._counts.values():
            counts[broker] = max(counts)


class MqttBus:
    """One client of one or more brokers; see `mosquitto.bus.Bus`. Not for several threads.

    With several brokers it publishes to all and delivers one copy. It connects on its own, also when a
    broker is absent at the start, and again after every loss; meanwhile QoS 1 messages wait, bounded by
    `queue_messages` and `queue_bytes` for each broker (the oldest are dropped and counted). `will` is the
    topic and payload that brokers publish, retained, when this client vanishes. `clean=False` makes the
    broker keep QoS 1 messages for this `client_id` while it is away. `access` says how to enter them, else
    the environment does.

    A client that does not poll for one and a half `keepalive_s` is taken for dead by the broker.
    """

    def __init__(
        self,
        brokers: Sequence[BrokerAddress],
        client_id: str,
        *,
        will: tuple[str, bytes] | None = None,
        clean: bool = True,
        keepalive_s: int = 60,
        queue_messages: int = 20_000,
        queue_bytes: int = 64_000_000,
        access: BrokerAccess | None = None,
    ) -> None:
        if not brokers:
            raise BrokerError("a bus needs at least one broker address")
        if will is not None:
            check_topic(will[0])
        self.stats = BusStats()
        options = LinkOptions(
            client_id=client_id,
            will=will,
            clean=clean,
            keepalive_s=keepalive_s,
            queue_messages=queue_messages,
            queue_bytes=queue_bytes,
            access=access,
        )
        self._links = [MqttLink(address, options, self.stats, self._receive) for address in brokers]
        self._connections = [0] * len(self._links)
        self._copies = CopyFilter(len(self._links)) if len(self._links) > 1 else None
        self._subscriptions: list[tuple[str, Handler]] = []
        self._routes: dict[str, tuple[Handler, ...]] = {}
        self._inbox: deque[tuple[Handler, BusMessage]] = deque()
        self._reconnect_hooks: list[Callable[[], None]] = []
        self._polling = False
        self._closed = False
        for link in self._links:
            link.tend()

    @property
    def is_connected(self) -> bool:
        """Whether at least one broker is there and has confirmed every subscription."""
        return any(link.is_ready for link in self._links)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Send to every broker; see `Bus.publish`. After `close` it does nothing.

        A payload above PAYLOAD_BYTES_MAX is refused with a log line: brokers would drop it without one.
        """
        check_topic(topic)
        if self._closed:
            return
        if len(payload) > PAYLOAD_BYTES_MAX:
            self.stats.refused += 1
            log.error("message too large", extra={"fields": {"topic": topic, "bytes": len(payload)}})
            return
        self.stats.published += 1
        message = Outgoing(topic, payload, qos, retain)
        for link in self._links:
            link.publish(message)

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Call `handler` for each match, once a message even where filters of this bus overlap."""
        check_filter(topic_filter)
        self._subscriptions.append((topic_filter, handler))
        self._routes.clear()
        wanted = dict.fromkeys(known for known, _ in self._subscriptions)
        widest = [one for one in wanted if not any(other != one and covers(other, one) for other in wanted)]
        for link in self._links:
            link.set_filters(widest, topic_filter)

    def on_reconnect(self, hook: Callable[[], None]) -> None:
        """Call `hook`, inside `poll`, when a broker is back: it may have lost what was said meanwhile."""
        self._reconnect_hooks.append(hook)

    def poll(self, timeout_s: float) -> int:
        """Deliver what has arrived, waiting up to `timeout_s` for the first. Returns how many calls were made."""
        if self._polling:
            raise RuntimeError("poll was called by a handler: it would run handlers inside others")
        self._polling = True
        try:
            self._await_inbox(timeout_s)
            return self._deliver_inbox()
        finally:
            self._polling = False

    def wait_connected(self, timeout_s: float, *, every: bool = False) -> bool:
        """Wait until a broker (`every`: each of them) is there and has confirmed the subscriptions.

        Runs no handler; what arrives meanwhile waits for the next `poll`. Returns whether it came so far.
        """
        quorum = all if every else any
        deadline_s = time.monotonic() + timeout_s
        while not quorum(link.is_ready for link in self._links):
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0 or self._closed:
                return False
            self._exchange(remaining_s)
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until a broker has acknowledged everything that was published. Runs no handler."""
        deadline_s = time.monotonic() + timeout_s
        while all(link.has_unsent for link in self._links):
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0 or self._closed:
                return False
            self._exchange(remaining_s)
        return True

    def describe(self) -> str:
        """One line on each broker and how the connection stands, for messages to people."""
        return "; ".join(
            f"{link.address}: {link.state.value}" + (f" ({link.failure})" if link.failure else "")
            for link in self._links
        )

    def close(self) -> None:
        """Send what waits, for at most two seconds, say goodbye and disconnect."""
        if self._closed:
            return
        if any(link.state is LinkState.UP for link in self._links):
            self.flush(CLOSE_LIMIT_S)
        self._closed = True
        deadline_s = time.monotonic() + CLOSE_LIMIT_S
        for link in self._links:
            link.close(deadline_s)

    def _await_inbox(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        remaining_s = timeout_s
        if len(self._inbox) < INBOX_MAX:
            self._exchange(0 if self._inbox else remaining_s)
        while not self._inbox and (remaining_s := deadline_s - time.monotonic()) > 0 and not self._closed:
            self._exchange(remaining_s)

    def _deliver_inbox(self) -> int:
        delivered = 0
        while self._inbox:
            handler, message = self._inbox.popleft()
            delivered += 1
            self.stats.delivered += 1
            handler(message)
        return delivered

    def _exchange(self, timeout_s: float) -> None:
        """Wait for the sockets, then read and write what they allow, once."""
        waiter = select.poll()
        watched: dict[int, MqttLink] = {}
        for link in self._links:
            link.tend()
            timeout_s = min(timeout_s, link.sleep_limit_s())
            if (watch := link.socket_to_watch()) is not None:
                sock, for_writing = watch
                waiter.register(sock.fileno(), select.POLLIN | (select.POLLOUT if for_writing else 0))
                watched[sock.fileno()] = link
        # Rounded up to the next millisecond, else the last one of a wait would be spent spinning.
        for descriptor, events in waiter.poll(max(0, math.ceil(timeout_s * 1000))):
            link = watched[descriptor]
            if events & ~select.POLLOUT:
                link.read(PACKETS_PER_TURN)
            if events & select.POLLOUT:
                link.write()
        self._notice_returns()

    def _notice_returns(self) -> None:
        for index, link in enumerate(self._links):
            if link.is_ready and link.connections != self._connections[index]:
                returned = self._connections[index] > 0
                self._connections[index] = link.connections
                if returned and self._copies is not None:
                    self._copies.broker_returned(index)
                if returned:
                    self._inbox.extend((_as_handler(hook), _NOTICE) for hook in self._reconnect_hooks)

    def _receive(self, link: MqttLink, message: BusMessage) -> None:
        self.stats.received += 1
        if self._copies is not None:
            broker = self._links.index(link)
            if not self._copies.is_new(broker, message.topic, message.payload, time.monotonic()):
                self.stats.duplicates += 1
                return
        self._inbox.extend((handler, message) for handler in self._handlers_of(message.topic))

    def _handlers_of(self, topic: str) -> tuple[Handler, ...]:
        handlers = self._routes.get(topic)
        if handlers is None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()  # Topics are named by whoever publishes: the memory of them is bounded.
            handlers = tuple(handler for known, handler in self._subscriptions if matches(known, topic))
            self._routes[topic] = handlers
        return handlers


_NOTICE: Final = BusMessage("", b"")


def _as_handler(hook: Callable[[], None]) -> Handler:
    return lambda message: hook()
