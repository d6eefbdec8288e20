"""The `Bus` in memory, with a virtual clock: for tests, simulations and parameter sweeps.

One `LocalNetwork` stands for the broker and the wires. Whoever polls any of its buses drives all of
them, on that thread, so a whole market runs in one process with `while not done: bus.poll(0.05)`, and
runs the same way every time. It behaves as a broker with clean sessions and no loss; `deliver_if` adds
the loss that a test wants.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mosquitto.bus import BusMessage, Handler, check_filter, check_topic, matches

DELIVERIES_PER_POLL: Final = 1_000_000
_ROUTES_KEPT: Final = 65_536

TickHook = Callable[[int], None]
"""Called with the virtual time in ms whenever it has moved on."""

DeliveryCheck = Callable[[str, str, BusMessage], bool]
"""(sender's name, receiver's name, message) -> whether the message gets through."""


@dataclass(frozen=True, slots=True)
class _Subscription:
    bus: LocalBus
    topic_filter: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class _Delivery:
    sender: str
    subscription: _Subscription
    message: BusMessage


class LocalNetwork:
    """Endpoints, retained messages, a queue and a clock. Not for several threads.

    `now_ms` is the virtual time. It stands still while messages flow and moves when a poll finds none.
    """

    def __init__(self, start_ms: int = 0) -> None:
        self.now_ms = start_ms
        self.delivered = 0
        self._buses: dict[str, LocalBus] = {}
        self._subscriptions: list[_Subscription] = []
        self._routes: dict[str, tuple[_Subscription, ...]] = {}
        self._retained: dict[str, bytes] = {}
        self._queue: deque[_Delivery] = deque()
        self._tick_hooks: list[TickHook] = []
        self._checks: list[DeliveryCheck] = []
        self._driving = False

    def bus(self, name: str, will: tuple[str, bytes] | None = None) -> LocalBus:
        """Connect an endpoint. A second one of the same name takes over from the first, as in MQTT.

        `will` is the topic and payload that the network publishes, retained, when the endpoint drops.
        """
        if name in self._buses:
            self._buses[name].drop()
        if will is not None:
            check_topic(will[0])
        bus = LocalBus(self, name, will)
        self._buses[name] = bus
        return bus

    def on_tick(self, hook: TickHook) -> None:
        """Call `hook` with the new time each time the clock moves. Hooks run in the order they came."""
        self._tick_hooks.append(hook)

    def deliver_if(self, check: DeliveryCheck) -> None:
        """Let a message through to a receiver only when `check` says so: loss and partitions for tests.

        It is asked on delivery, once for every subscription that the message goes to.
        """
        self._checks.append(check)

    def drive(self, timeout_s: float) -> int:
        """Deliver until quiet; if there was nothing, move the clock by `timeout_s` instead.

        Returns the number of deliveries. Messages that tick hooks publish wait for the next call. A
        conversation without end is cut after DELIVERIES_PER_POLL, the rest stays queued.
        """
        if self._driving:
            raise RuntimeError("poll was called by a handler or a tick hook: it would run handlers inside others")
        self._driving = True
        try:
            if self._queue:
                return self._deliver_queued()
            self._tick(timeout_s)
            return 0
        finally:
            self._driving = False

    def _deliver_queued(self) -> int:
        before = self.delivered
        limit = before + DELIVERIES_PER_POLL
        while self._queue and self.delivered < limit:
            # Taken off first: when its handler raises, this message counts as delivered, the others wait.
            delivery = self._queue.popleft()
            receiver = delivery.subscription.bus
            if not receiver.connected:
                continue
            if all(check(delivery.sender, receiver.name, delivery.message) for check in self._checks):
                self.delivered += 1
                delivery.subscription.handler(delivery.message)
        return self.delivered - before

    def _tick(self, timeout_s: float) -> None:
        if timeout_s <= 0:
            return
        # Rounded up, or a caller that polls for less than a millisecond would stop time.
        self.now_ms += math.ceil(timeout_s * 1000)
        for hook in tuple(self._tick_hooks):
            hook(self.now_ms)

    def _publish(self, sender: str, topic: str, payload: bytes, retain: bool) -> None:
        if retain and payload:
            self._retained[topic] = payload
        elif retain:
            self._retained.pop(topic, None)  # As MQTT has it: an empty retained message forgets the last.
        message = BusMessage(topic, payload)
        self._queue.extend(_Delivery(sender, route, message) for route in self._routes_of(topic))

    def _routes_of(self, topic: str) -> tuple[_Subscription, ...]:
        routes = self._routes.get(topic)
        if routes is None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            routes = tuple(wanted for wanted in self._subscriptions if matches(wanted.topic_filter, topic))
            self._routes[topic] = routes
        return routes

    def _subscribe(self, subscription: _Subscription) -> None:
        self._subscriptions.append(subscription)
        self._routes.clear()
        for topic, payload in self._retained.items():
            if matches(subscription.topic_filter, topic):
                self._queue.append(_Delivery("", subscription, BusMessage(topic, payload, retained=True)))

    def _disconnect(self, bus: LocalBus) -> None:
        self._subscriptions = [wanted for wanted in self._subscriptions if wanted.bus is not bus]
        self._routes.clear()
        if self._buses.get(bus.name) is bus:
            del self._buses[bus.name]


class LocalBus:
    """One endpoint of a `LocalNetwork`; see `mosquitto.bus.Bus`. Made by `LocalNetwork.bus`.

    After `close` or `drop` it is deaf and mute: publishing does nothing, as from a process that died.
    """

    def __init__(self, network: LocalNetwork, name: str, will: tuple[str, bytes] | None) -> None:
        self.network = network
        self.name = name
        self.connected = True
        self._will = will

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Queue for every matching subscription, one's own too. Nothing is lost here, so `qos` is ignored."""
        check_topic(topic)
        if self.connected:
            self.network._publish(self.name, topic, payload, retain)

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Call `handler` for each match; retained messages come first, marked as such."""
        check_filter(topic_filter)
        if self.connected:
            self.network._subscribe(_Subscription(self, topic_filter, handler))

    def poll(self, timeout_s: float) -> int:
        """Drive the whole network; see `LocalNetwork.drive`. Counts the deliveries to all endpoints."""
        return self.network.drive(timeout_s)

    def close(self) -> None:
        """Leave with a goodbye: the last will stays unsaid."""
        if self.connected:
            self.connected = False
            self.network._disconnect(self)

    def drop(self) -> None:
        """Vanish without a goodbye, as a killed process does: the network publishes the last will."""
        if self.connected:
            self.close()
            if self._will is not None:
                self.network._publish(self.name, *self._will, retain=True)
