"""The wall clock of a process. The only place that asks for it; everything below takes time as a value."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
