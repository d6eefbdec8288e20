"""A bus that can listen and nothing else: the observer's identity."""

from __future__ import annotations

from mosquitto.bus import Bus, Handler


class ReadOnlyBusError(Exception):
    """Somebody tried to publish as the observer: a bug, since an observer has nothing to say."""


class ReadOnlyBus:
    """`mosquitto.bus.Bus` around another, without its voice."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Raises ReadOnlyBusError, always."""
        raise ReadOnlyBusError(f"an observer does not publish, was about to on {topic}")

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Call `handler`, inside `poll`, for each message that matches the filter."""
        self._bus.subscribe(topic_filter, handler)

    def poll(self, timeout_s: float) -> int:
        """Deliver what has arrived. Returns how many."""
        return self._bus.poll(timeout_s)

    def close(self) -> None:
        """Disconnect."""
        self._bus.close()
