"""Transactions that wait for a block: bounded, and shared fairly among senders.

Refused is not seen: what did not fit leaves no trace here, so it may come again. When the pool is full, a
newcomer takes the place of the newest transaction of whoever holds the most, so a flood of one sender
costs that sender alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass

from ledger.application import Admitted


@dataclass(slots=True)
class Waiting:
    """A transaction in the pool, with what fairness is measured by.

    `seen_ms` and `executed_before` (transactions executed until then) restart with every view, since a new
    primary must not pay for its predecessor. `place` is how many of the same sender were ahead of it, `ahead`
    how many of all, which may have been under way.
    """

    admitted: Admitted
    seen_ms: int
    executed_before: int
    place: int
    ahead: int
    relayed: bool = False


class Pool:
    """The waiting transactions, in order of arrival, by sender."""

    def __init__(self, *, count_max: int, bytes_max: int, per_sender_max: int) -> None:
        self.count_max = count_max
        self.bytes_max = bytes_max
        self.per_sender_max = per_sender_max
        self.bytes = 0
        self.refused: Counter[str] = Counter()
        self._all: dict[bytes, Waiting] = {}
        self._by_sender: dict[bytes, dict[bytes, Waiting]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, transaction_id: bytes) -> bool:
        return transaction_id in self._all

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._all.values())

    @property
    def sender_count(self) -> int:
        """How many senders wait."""
        return len(self._by_sender)

    def get(self, transaction_id: bytes) -> Admitted | None:
        """The transaction with this id."""
        waiting = self._all.get(transaction_id)
        return waiting.admitted if waiting is not None else None

    def add(self, admitted: Admitted, now_ms: int, executed: int) -> bool:
        """Take a transaction in. False when it is here already or does not fit (counted in `refused`)."""
        if admitted.id in self._all:
            return False
        own = self._by_sender.get(admitted.sender, {})
        if len(own) >= self.per_sender_max:
            self.refused["sender has too many waiting"] += 1
            return False
        if not self._make_room(len(admitted.transaction), len(own)):
            self.refused["pool is full"] += 1
            return False
        waiting = Waiting(
            admitted=admitted,
            seen_ms=now_ms,
            executed_before=executed,
            place=len(own),
            ahead=len(self._all),
        )
        self._all[admitted.id] = waiting
        self._by_sender.setdefault(admitted.sender, own)[admitted.id] = waiting
        self.bytes += len(admitted.transaction)
        return True

    def remove(self, transaction_id: bytes) -> None:
        """Let go of a transaction, if it is here."""
        waiting = self._all.pop(transaction_id, None)
        if waiting is None:
            return
        self.bytes -= len(waiting.admitted.transaction)
        own = self._by_sender[waiting.admitted.sender]
        del own[transaction_id]
        if not own:
            del self._by_sender[waiting.admitted.sender]

    def expire(self, period: int) -> None:
        """Let go of everything that no block may hold any more."""
        for waiting in list(self._all.values()):
            if waiting.admitted.valid_until_period < period:
                self.remove(waiting.admitted.id)

    def restart_waits(self, now_ms: int, executed: int) -> None:
        """Measure every wait from now on, for a new primary."""
        for waiting in self._all.values():
            waiting.seen_ms = now_ms
            waiting.executed_before = executed
            waiting.ahead = len(self._all)
            waiting.relayed = False

    def select(self, exclude: Set[bytes], count_max: int, bytes_max: int) -> list[Admitted]:
        """A batch in turns: the oldest of each sender, then the second of each, and so on.

        `exclude` holds the ids that are in flight already.
        """
        batch: list[Admitted] = []
        size = 0
        queues = [iter(own.values()) for own in self._by_sender.values()]
        while queues and len(batch) < count_max:
            going_on = []
            for queue in queues:
                found = next((item.admitted for item in queue if item.admitted.id not in exclude), None)
                if found is None:
                    continue
                if len(batch) == count_max or size + len(found.transaction) > bytes_max:
                    return batch
                batch.append(found)
                size += len(found.transaction)
                going_on.append(queue)
            queues = going_on
        return batch

    def _make_room(self, size: int, own_count: int) -> bool:
        while len(self._all) >= self.count_max or self.bytes + size > self.bytes_max:
            largest = max(self._by_sender.values(), key=len, default=None)
            if largest is None or len(largest) <= own_count + 1:
                return False
            self.remove(next(reversed(largest)))
        return True
