"""What a node says about itself: counters of a running driver, in a form that can be shown and compared."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

_LATENCIES_KEPT: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One moment of a ledger node. `commit_latency_ms`: from a block's proposal to its execution here."""

    name: str
    view: int
    active: bool
    primary: str
    height: int
    block_hash: bytes
    state_root: bytes
    period: int
    stable_height: int
    recovering: bool
    halted: str
    pool_count: int
    pool_bytes: int
    log_entries: int
    transactions_executed: int
    commit_latency_ms_median: int
    commit_latency_ms_max: int
    evidence_count: int
    refused: dict[str, int]
    counters: dict[str, int]

    def as_dict(self) -> dict[str, str | int | bool | dict[str, int]]:
        """The status with hashes as hexadecimal text, for JSON."""
        return {
            "name": self.name,
            "view": self.view,
            "active": self.active,
            "primary": self.primary,
            "height": self.height,
            "block_hash": self.block_hash.hex(),
            "state_root": self.state_root.hex(),
            "period": self.period,
            "stable_height": self.stable_height,
            "recovering": self.recovering,
            "halted": self.halted,
            "pool_count": self.pool_count,
            "pool_bytes": self.pool_bytes,
            "log_entries": self.log_entries,
            "transactions_executed": self.transactions_executed,
            "commit_latency_ms_median": self.commit_latency_ms_median,
            "commit_latency_ms_max": self.commit_latency_ms_max,
            "evidence_count": self.evidence_count,
            "refused": self.refused,
            "counters": self.counters,
        }


class Latencies:
    """The last commit latencies."""

    def __init__(self) -> None:
        self._last: deque[int] = deque(maxlen=_LATENCIES_KEPT)

    def add(self, latency_ms: int) -> None:
        """Note one block's latency; clocks of different machines may differ, so never below zero."""
        self._last.append(max(0, latency_ms))

    @property
    def median_ms(self) -> int:
        """Median of the last ones, 0 without any."""
        ordered = sorted(self._last)
        return ordered[len(ordered) // 2] if ordered else 0

    @property
    def max_ms(self) -> int:
        """Greatest of the last ones."""
        return max(self._last, default=0)
