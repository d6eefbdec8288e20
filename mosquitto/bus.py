"""The `Bus`: publish, subscribe, poll. The same for a real broker and in memory.

Handlers run on the thread that calls `poll`, and only there, so a component is single-threaded whatever
carries its messages. `MqttBus` (mqtt_bus.py) is the real one, `LocalBus` (local_bus.py) the one for
tests and parameter sweeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mosquitto.codec import WIRE_LIMITS
from mosquitto.errors import TopicError

TOPIC_BYTES_MAX: Final = 65_535
PAYLOAD_BYTES_MAX: Final = WIRE_LIMITS.size_bytes
"""A larger payload is not sent: brokers drop what they find too large without a word, and readers refuse it."""


@dataclass(frozen=True, slots=True)
class BusMessage:
    """One delivered message. `retained` says that the broker kept it: its arrival time means nothing."""

    topic: str
    payload: bytes
    retained: bool = False


Handler = Callable[[BusMessage], None]


class Bus(Protocol):
    """What every component knows of the network."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Send. Returns at once; QoS 1 is sent again after a reconnect until the broker has it."""
        ...

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Call `handler`, inside `poll`, for each message that matches the filter."""
        ...

    def poll(self, timeout_s: float) -> int:
        """Deliver what has arrived, waiting up to `timeout_s` for the first. Returns how many.

        An exception that a handler raises passes through `poll`; what was queued stays queued.
        """
        ...

    def close(self) -> None:
        """Send what is waiting, say goodbye (no last will) and disconnect."""
        ...


def matches(topic_filter: str, topic: str) -> bool:
    """Whether `topic` falls under an MQTT filter with `+` and a closing `#`."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False  # The broker's own topics ($SYS) are for those who name them.
    wanted = topic_filter.split("/")
    have = topic.split("/")
    for index, part in enumerate(wanted):
        if part == "#":
            return True
        if index >= len(have) or part not in ("+", have[index]):
            return False
    return len(wanted) == len(have)


def covers(wider: str, narrower: str) -> bool:
    """Whether every topic that matches filter `narrower` matches filter `wider` as well."""
    if narrower.startswith("$") and wider[:1] in ("+", "#"):
        return False
    outer, inner = wider.split("/"), narrower.split("/")
    for index, part in enumerate(outer):
        if part == "#":
            return True
        if index >= len(inner) or inner[index] == "#" or part not in ("+", inner[index]):
            return False
    return len(outer) == len(inner)


def check_topic(topic: str) -> None:
    """Raise TopicError for a topic that cannot be published to: empty, with a wildcard, or too long."""
    if not topic or any(character in topic for character in "+#\0") or len(topic.encode()) > TOPIC_BYTES_MAX:
        raise TopicError(f"not a topic to publish to: {topic!r}")


def check_filter(topic_filter: str) -> None:
    """Raise TopicError for a malformed filter: a wildcard that is not a whole level, `#` before the end."""
    levels = topic_filter.split("/")
    for index, part in enumerate(levels):
        whole = part in ("+", "#") or not any(character in part for character in "+#\0")
        if not topic_filter or not whole or (part == "#" and index < len(levels) - 1):
            raise TopicError(f"not a topic filter: {topic_filter!r}")
