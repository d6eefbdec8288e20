"""How long transactions take from the bus to f + 1 equal receipts.

Measured by an observer: the time begins when the transaction passes on the bus and ends when the receipt
that completes the agreement arrives, both on the observer's clock. Pure: time is a parameter.
"""

from __future__ import annotations

import statistics
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Final

PENDING_MAX: Final = 100_000
RECENT: Final = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """A transaction that passed on the bus: what kind, when (ms), and in which open period."""

    kind: str
    seen_ms: int
    period: int


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """`transactions` of one kind, seen together, that took `latency_ms`; None: never receipted."""

    period: int
    kind: str
    seen_ms: int
    latency_ms: int | None
    transactions: int


class LatencyTracker:
    """Remembers what was seen until it is receipted. Bounded: beyond `pending_max` the oldest count as lost."""

    def __init__(self, pending_max: int = PENDING_MAX) -> None:
        self.pending_max = pending_max
        self._pending: OrderedDict[bytes, Seen] = OrderedDict()
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._lost: Counter[Seen] = Counter()

    def seen(self, transaction_id: bytes, kind: str, now_ms: int, period: int) -> None:
        """A transaction passed on the bus. Sent again, it keeps its first time."""
        if transaction_id in self._pending:
            return
        self._pending[transaction_id] = Seen(kind, now_ms, period)
        if len(self._pending) > self.pending_max:
            _, oldest = self._pending.popitem(last=False)
            self._lost[oldest] += 1

    def receipted(self, transaction_ids: list[bytes], now_ms: int) -> list[LatencyRow]:
        """Transactions were receipted alike by f + 1 nodes: one row for each group seen together."""
        groups: Counter[Seen] = Counter()
        for transaction_id in transaction_ids:
            seen = self._pending.pop(transaction_id, None)
            if seen is not None:
                groups[seen] += 1
                self._recent.append(now_ms - seen.seen_ms)
        return [
            LatencyRow(seen.period, seen.kind, seen.seen_ms, now_ms - seen.seen_ms, count)
            for seen, count in groups.items()
        ]

    def lost(self, now_ms: int, patience_ms: int) -> list[LatencyRow]:
        """Take out what has waited longer than `patience_ms`, and what was pushed out: one row a group."""
        while self._pending:
            transaction_id, seen = next(iter(self._pending.items()))
            if now_ms - seen.seen_ms <= patience_ms:
                break
            del self._pending[transaction_id]
            self._lost[seen] += 1
        rows = [
            LatencyRow(seen.period, seen.kind, seen.seen_ms, None, count) for seen, count in self._lost.items()
        ]
        self._lost.clear()
        return rows

    def recent_median_ms(self) -> float | None:
        """The median of the last receipted transactions; None before the first."""
        return statistics.median(self._recent) if self._recent else None
