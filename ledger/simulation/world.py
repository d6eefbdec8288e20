"""Virtual time and the virtual network: one heap of events, streams of chance, one trace."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ledger.messages import Signed
from ledger.simulation.journal import Journal

Action = Callable[[], None]
Receiver = Callable[[int, tuple[Signed, ...]], None]


@dataclass(slots=True, kw_only=True)
class Weather:
    """How the network behaves now; rates are shares of packets, delays in ms.

    `blocked`: (sender, receiver) pairs between which nothing passes, so partitions may be asymmetric.
    """

    delay_ms_min: int = 1
    delay_ms_max: int = 5
    loss: float = 0.0
    duplication: float = 0.0
    straggling: float = 0.0
    straggling_ms_max: int = 2_000
    blocked: frozenset[tuple[int, int]] = frozenset()

    def calm(self) -> None:
        """End every fault of the network."""
        self.loss = self.duplication = self.straggling = 0.0
        self.delay_ms_min, self.delay_ms_max = 1, 5
        self.blocked = frozenset()


class World:
    """Events in order of time, ties in order of creation.

    Chance comes in streams: each link, fault, order and liar draws from its own, so that leaving one of them
    out of a run (`shrink`) changes as little as possible of the others. One seed decides all of them.
    """

    def __init__(self, seed: int, journal: Journal | None = None) -> None:
        self.now_ms = 1_000_000
        self.start_ms = self.now_ms
        self.seed = seed
        self.weather = Weather()
        self.counts: Counter[str] = Counter()
        self.events = 0
        self.journal = journal
        self._links: dict[tuple[int, int], random.Random] = {}
        self._heap: list[tuple[int, int, Action]] = []
        self._order = 0
        self._receivers: dict[int, Receiver] = {}
        self._trace = hashlib.blake2b(digest_size=16)

    @property
    def trace(self) -> str:
        """Digest of all that happened so far, for comparing two runs of one seed."""
        return self._trace.hexdigest()

    @property
    def age_ms(self) -> int:
        """Time since the run began."""
        return self.now_ms - self.start_ms

    def stream(self, name: str) -> random.Random:
        """A new stream of chance: the seed and the name decide what it draws."""
        return random.Random(f"{self.seed}/{name}")

    def note(self, *what: int | str | bytes) -> None:
        """Add to the trace."""
        self._trace.update(repr((self.now_ms, *what)).encode())

    def tell(self, words: str) -> None:
        """Add a line to the journal, if one is kept."""
        if self.journal is not None:
            self.journal.tell(self.age_ms, words)

    def at(self, delay_ms: int, action: Action) -> None:
        """Do something later."""
        self._order += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._order, action))

    def run_until(self, end_ms: int, done: Callable[[], bool] | None = None) -> None:
        """Let events happen until `end_ms`, or until `done` says so (asked between events)."""
        while self._heap and self._heap[0][0] <= end_ms:
            if done is not None and done():
                return
            self.now_ms, _, action = heapq.heappop(self._heap)
            self.events += 1
            action()
        self.now_ms = max(self.now_ms, end_ms)

    def attach(self, replica: int, receiver: Receiver) -> None:
        """Let a replica receive packets."""
        self._receivers[replica] = receiver

    def send(self, sender: int, receiver: int, packet: tuple[Signed, ...]) -> None:
        """Send a packet through the weather of this moment."""
        weather, chance = self.weather, self._link(sender, receiver)
        self.counts["messages"] += len(packet)
        if (sender, receiver) in weather.blocked:
            self.counts["blocked"] += 1
            return
        if weather.loss and chance.random() < weather.loss:
            self.counts["lost"] += 1
            return
        copies = 1
        if weather.duplication and chance.random() < weather.duplication:
            self.counts["duplicated"] += 1
            copies = 2
        for _ in range(copies):
            delay_ms = chance.randint(weather.delay_ms_min, weather.delay_ms_max)
            if weather.straggling and chance.random() < weather.straggling:
                self.counts["reordered"] += 1
                delay_ms += chance.randint(1, weather.straggling_ms_max)
            self.at(delay_ms, lambda: self._deliver(sender, receiver, packet))

    def _link(self, sender: int, receiver: int) -> random.Random:
        link = self._links.get((sender, receiver))
        if link is None:
            link = self._links[sender, receiver] = self.stream(f"link/{sender}/{receiver}")
        return link

    def _deliver(self, sender: int, receiver: int, packet: tuple[Signed, ...]) -> None:
        for signed in packet:
            self._trace.update(signed.signature)
        self.note(sender, receiver)
        if self.journal is not None:
            self.journal.delivered(self.age_ms, sender, receiver, packet)
        self._receivers[receiver](sender, packet)
