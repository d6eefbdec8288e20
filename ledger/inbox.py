"""What has arrived and waits to be handled: votes apart from transactions, and every topic in its turn.

Under more load than the machine can carry, votes that waited behind transactions would slow the consensus
that is to work them off; and whoever floods one topic would silence all others. Bounded: what does not fit is
dropped from the topic that holds the most, and its sender sends again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from mosquitto.bus import BusMessage

BYTES_MAX: Final = 32_000_000
TOPICS_MAX: Final = 4_096
"""So many topics have a queue of their own; the others share one."""

_SHARED: Final = ""


@dataclass(slots=True)
class _Queue:
    messages: deque[BusMessage] = field(default_factory=deque)
    bytes: int = 0


class Inbox:
    """Waiting messages. `put_packet` for consensus, `put_batch` for transactions."""

    def __init__(self, bytes_max: int = BYTES_MAX, topics_max: int = TOPICS_MAX) -> None:
        self.bytes_max = bytes_max
        self.topics_max = topics_max
        self.bytes = 0
        self._packets: list[BusMessage] = []
        self._topics: OrderedDict[str, _Queue] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._packets or self._topics)

    @property
    def has_batches(self) -> bool:
        """Whether transactions wait."""
        return bool(self._topics)

    def put_packet(self, message: BusMessage) -> None:
        """Keep a consensus message: all are handled at the next drain."""
        self._packets.append(message)

    def take_packets(self) -> list[BusMessage]:
        """All consensus messages, in order of arrival."""
        packets, self._packets = self._packets, []
        return packets

    def put_batch(self, message: BusMessage) -> BusMessage | None:
        """Keep a batch of transactions. Returns what had to be dropped: this one, or one of a fuller topic."""
        known = message.topic in self._topics or len(self._topics) < self.topics_max
        queue = self._topics.setdefault(message.topic if known else _SHARED, _Queue())
        queue.messages.append(message)
        queue.bytes += len(message.payload)
        self.bytes += len(message.payload)
        return self._drop() if self.bytes > self.bytes_max else None

    def next_batch(self) -> BusMessage | None:
        """The oldest batch of the topic whose turn it is."""
        if not self._topics:
            return None
        topic, queue = self._topics.popitem(last=False)
        message = queue.messages.popleft()
        queue.bytes -= len(message.payload)
        self.bytes -= len(message.payload)
        if queue.messages:
            self._topics[topic] = queue
        return message

    def _drop(self) -> BusMessage:
        topic, queue = max(self._topics.items(), key=lambda item: item[1].bytes)
        message = queue.messages.pop()
        queue.bytes -= len(message.payload)
        self.bytes -= len(message.payload)
        if not queue.messages:
            del self._topics[topic]
        return message
