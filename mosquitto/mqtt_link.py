"""One connection to one broker, driven by its owner's `poll`. No thread but for connecting.

The owner waits on the socket and calls `read`, `write` and `tend`. So a component's messages, timers and
keep-alives live on one thread: there is no hand-over between threads to wait for (Python switches every
5 ms under load), a component that is busy lets the broker queue instead of filling its own memory, and
one that hangs misses its keep-alives, so that its last will tells the truth.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from mosquitto.access import BrokerAccess
from mosquitto.address import BrokerAddress
from mosquitto.bus import BusMessage

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

log = logging.getLogger("mosquitto.link")

BACKOFF_FIRST_S: Final = 0.1
BACKOFF_LAST_S: Final = 2.0
UNACKNOWLEDGED_MAX: Final = 1000
"""QoS 1 messages on their way. More wait here, where they are counted and bounded; paho's queue is not."""

_CONNECT_LIMIT_S: Final = 5.0
_ANSWER_LIMIT_S: Final = 10.0
_STEADY_S: Final = 5.0
_TOLD_MAX: Final = 100
_UNSPECIFIED_ERROR: Final = 0x80


class LinkState(Enum):
    """Where a connection stands. Messages flow in UP only."""

    AWAY = "away"
    CONNECTING = "connecting"
    GREETING = "greeting"
    UP = "up"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(slots=True)
class BusStats:
    """What a bus has counted since it was made.

    `delivered`: calls of handlers. `duplicates`: copies from a second broker, not delivered. `dropped`: what
    did not fit into the outgoing queue of a broker, and QoS 0 messages while it was away. `refused`: larger
    than brokers take. `reconnects`: connections after the first to each broker.
    """

    received: int = 0
    delivered: int = 0
    duplicates: int = 0
    published: int = 0
    dropped: int = 0
    refused: int = 0
    reconnects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How to connect. `queue_messages` and `queue_bytes` bound what waits for the broker.

    `access`: password and certificates; those of the environment when None.
    """

    client_id: str
    will: tuple[str, bytes] | None = None
    clean: bool = True
    keepalive_s: int = 60
    queue_messages: int = 20_000
    queue_bytes: int = 64_000_000
    access: BrokerAccess | None = None


@dataclass(slots=True)
class _Waiting:
    """Messages that wait for the broker. When full, the oldest go: the newest are worth most to a market."""

    messages: deque[Outgoing] = field(default_factory=deque)
    bytes: int = 0

    def push(self, message: Outgoing) -> None:
        self.messages.append(message)
        self.bytes += len(message.payload)

    def pop(self) -> Outgoing:
        message = self.messages.popleft()
        self.bytes -= len(message.payload)
        return message

    def put_back(self, message: Outgoing) -> None:
        self.messages.appendleft(message)
        self.bytes += len(message.payload)


class MqttLink:
    """A connection that keeps coming back. `deliver(link, message)` takes what arrives, on the poll thread."""

    def __init__(
        self,
        address: BrokerAddress,
        options: LinkOptions,
        stats: BusStats,
        deliver: Callable[[MqttLink, BusMessage], None],
    ) -> None:
        self.address = address
        self.state = LinkState.AWAY
        self.failure = "not tried yet"
        self.connections = 0
        self._options = options
        self._stats = stats
        self._deliver = deliver
        self._filters: list[str] = []
        self._waiting = _Waiting()
        self._unacknowledged: set[int] = set()
        self._subscribing: set[int] = set()
        self._attempt: threading.Thread | None = None
        self._attempt_failure = ""
        self._since_s = 0.0
        self._next_attempt_s = 0.0
        self._backoff_s = BACKOFF_FIRST_S
        self._told: set[str] = set()
        self._client = self._make_client()

    @property
    def is_ready(self) -> bool:
        """Whether it is up and the broker has confirmed every subscription."""
        return self.state is LinkState.UP and not self._subscribing

    @property
    def has_unsent(self) -> bool:
        """Whether something waits for the broker to take or acknowledge it."""
        return bool(self._waiting.messages or self._unacknowledged or self._client.want_write())

    def socket_to_watch(self) -> tuple[SocketLike, bool] | None:
        """The socket to wait on and whether for writing too; None while there is none."""
        sock = self._client.socket() if self.state in (LinkState.GREETING, LinkState.UP) else None
        return None if sock is None else (sock, self._client.want_write())

    def sleep_limit_s(self) -> float:
        """How long the owner may sleep before calling `tend` again."""
        now_s = time.monotonic()
        match self.state:
            case LinkState.AWAY:
                return max(0.0, self._next_attempt_s - now_s)
            case LinkState.CONNECTING:
                # Loopback answers at once, a far host in its time: look often first, then less.
                return min(0.05, 0.001 + (now_s - self._since_s) / 4)
            case _:
                return 1.0

    def publish(self, message: Outgoing) -> None:
        """Send now if the broker takes it, else queue within the bounds. QoS 0 never waits for a connection."""
        if message.qos == 0 and self.state is not LinkState.UP:
            self._stats.dropped += 1
            return
        self._waiting.push(message)
        self._send_waiting()
        options = self._options
        while len(self._waiting.messages) > options.queue_messages or self._waiting.bytes > options.queue_bytes:
            self._waiting.pop()
            self._stats.dropped += 1
            self._tell_once(logging.ERROR, "queue for the broker is full, the oldest messages are dropped")

    def set_filters(self, filters: Iterable[str], fresh: str) -> None:
        """Hold exactly these subscriptions. `fresh` is the newest wish: its retained messages are asked for."""
        before, self._filters = self._filters, list(filters)
        if self.state is not LinkState.UP:
            return  # All are subscribed on connecting.
        self._subscribe(fresh)
        # A wider filter brings what a narrower one brings; holding both, some brokers send all of it twice.
        for topic_filter in {*before, fresh} - set(self._filters):
            self._client.unsubscribe(topic_filter)

    def read(self, packets: int) -> None:
        """Take some `packets` packets off the socket, which is known to have something."""
        for _ in range(packets):
            self._client.loop_read()
            if not self._has_more():
                return

    def write(self) -> None:
        """Go on with what the socket did not take before."""
        self._client.loop_write()
        self._send_waiting()

    def tend(self) -> None:
        """Do what time asks for: connect, give up waiting, keep alive, send what waits."""
        now_s = time.monotonic()
        match self.state:
            case LinkState.AWAY if now_s >= self._next_attempt_s:
                self._start_attempt()
            case LinkState.CONNECTING:
                self._end_attempt()
            case LinkState.GREETING if now_s - self._since_s > _ANSWER_LIMIT_S:
                self._lost("it accepts connections and does not answer")
            case LinkState.UP:
                self._client.loop_misc()
                self._send_waiting()
            case _:
                pass

    def close(self, deadline_s: float) -> None:
        """Say goodbye, so that the broker keeps the last will to itself."""
        if self.has_unsent:
            unsent = len(self._waiting.messages) + len(self._unacknowledged)
            log.warning(
                "closed with messages unsent", extra={"fields": {"broker": str(self.address), "unsent": unsent}}
            )
        attempt, self.state = self._attempt, LinkState.CLOSED
        if attempt is not None:
            attempt.join(max(0.0, deadline_s - time.monotonic()))
        self._client.disconnect()
        while self._client.want_write() and time.monotonic() < deadline_s and self._client.socket() is not None:
            self._client.loop_write()
            if self._client.want_write():
                time.sleep(0.001)

    def _make_client(self) -> paho.Client:
        options, address = self._options, self.address
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=options.clean,
            protocol=paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # The window is kept in `_send_waiting`.
        client.connect_timeout = _CONNECT_LIMIT_S
        if options.will is not None:
            client.will_set(options.will[0], options.will[1], qos=1, retain=True)
        access = options.access or BrokerAccess.from_environment()
        if address.user is not None:
            client.username_pw_set(address.user, access.password)
        if address.tls:
            client.tls_set_context(access.tls_context())
        client.on_socket_open = _disable_nagle
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.connect_async(address.host, address.port, options.keepalive_s)
        return client

    def _start_attempt(self) -> None:
        self.state = LinkState.CONNECTING
        self._since_s = time.monotonic()
        self._attempt_failure = ""
        # Names are looked up and handshakes made in a thread, because paho waits for them; nobody else
        # touches the client meanwhile.
        self._attempt = threading.Thread(target=self._connect, name=f"connect {self.address}", daemon=True)
        self._attempt.start()

    def _connect(self) -> None:
        try:
            self._client.reconnect()
        except (OSError, ValueError) as error:
            self._attempt_failure = str(error) or type(error).__name__
        if self.state is LinkState.CLOSED:
            self._client.disconnect()  # Closed while we were connecting: no last will, please.

    def _end_attempt(self) -> None:
        if self._attempt is None or self._attempt.is_alive():
            return
        self._attempt = None
        if self._attempt_failure or self._client.socket() is None:
            self._lost(self._attempt_failure or "the connection broke at once")
        else:
            self.state = LinkState.GREETING
            self._since_s = time.monotonic()

    def _lost(self, why: str) -> None:
        now_s = time.monotonic()
        steady = self.state is LinkState.UP and now_s - self._since_s > _STEADY_S
        self._backoff_s = BACKOFF_FIRST_S if steady else min(self._backoff_s * 2, BACKOFF_LAST_S)
        if self.state is LinkState.UP:
            self._told.clear()
            log.warning("broker lost", extra={"fields": {"broker": str(self.address), "reason": why}})
        else:
            self._tell_once(logging.WARNING, f"no connection to the broker: {why}")
        self.state = LinkState.AWAY
        self.failure = why
        self._next_attempt_s = now_s + self._backoff_s
        self._subscribing.clear()

    def _send_waiting(self) -> None:
        # Only while the socket takes everything: what it does not take, paho would keep without a bound.
        while (
            self._waiting.messages
            and self.state is LinkState.UP
            and len(self._unacknowledged) < UNACKNOWLEDGED_MAX
            and not self._client.want_write()
        ):
            message = self._waiting.pop()
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
            if info.rc is MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                self._waiting.put_back(message)  # Its packet number is still in use; the next one may be free.
                return
            if message.qos > 0:
                self._unacknowledged.add(info.mid)  # Also when it did not leave: paho sends it on reconnecting.

    def _subscribe(self, topic_filter: str) -> None:
        result, mid = self._client.subscribe(topic_filter, qos=1)
        if result is MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None:
            self._subscribing.add(mid)

    def _has_more(self) -> bool:
        sock = self._client.socket()
        if sock is None or self.state not in (LinkState.GREETING, LinkState.UP):
            return False
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True  # Decrypted already, so the socket itself looks empty.
        waiter = select.poll()
        waiter.register(sock, select.POLLIN)
        return bool(waiter.poll(0))

    def _tell_once(self, level: int, what: str) -> None:
        if what not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(what)
            log.log(level, what, extra={"fields": {"broker": str(self.address)}})

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: paho.ConnectFlags, code: ReasonCode, more: object
    ) -> None:
        if code.is_failure:
            self._lost(f"the broker refuses us: {code}")
            return
        self.state = LinkState.UP
        self._since_s = time.monotonic()
        self._told.clear()
        self.failure = ""
        self._stats.reconnects += self.connections > 0
        self.connections += 1
        for topic_filter in self._filters:
            self._subscribe(topic_filter)
        log.info("broker connected", extra={"fields": {"broker": str(self.address), "times": self.connections}})

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        more: object,
    ) -> None:
        if self.state in (LinkState.GREETING, LinkState.UP):
            # paho says "Unspecified error" for nearly everything; the log of the broker knows more.
            self._lost(str(code) if code.value != _UNSPECIFIED_ERROR else "the connection broke")

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, codes: list[ReasonCode], more: object
    ) -> None:
        self._subscribing.discard(mid)
        if any(code.is_failure for code in codes):
            self._tell_once(logging.ERROR, "the broker refuses a subscription: see its access rules")

    def _on_publish(self, client: paho.Client, userdata: object, mid: int, code: ReasonCode, more: object) -> None:
        self._unacknowledged.discard(mid)

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # A foreign client's topic that is not UTF-8; no topic of ours.
        self._deliver(self, BusMessage(topic, bytes(message.payload), message.retain))


def _disable_nagle(client: paho.Client, userdata: object, sock: SocketLike) -> None:
    # Nagle's algorithm holds small messages back until the last one is acknowledged: 40 ms stalls.
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
