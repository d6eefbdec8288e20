"""A meter that tells power alone: its two registers, integrated. Coarse, and marked as such in every reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.registers import RegisterLimits, RegisterTrack

_WH_PER_W_MS: Final = 1 / 3_600_000


@dataclass(slots=True)
class PowerIntegrator:
    """Import and export in Wh from power in W, import positive, straight lines between values.

    Power beyond the meter's largest is refused. A gap is bridged by the same straight line: its points lie far
    apart, so the registers made of it say "estimated" there.
    """

    limits: RegisterLimits
    import_wh: float = 0.0
    export_wh: float = 0.0
    power_w: float | None = None
    at_ms: int = 0

    def observe(self, power_w: float, at_ms: int, imports: RegisterTrack, exports: RegisterTrack) -> bool:
        """Take one value and move both registers. False when it is older than the last, or beyond the limit."""
        if abs(power_w) > self.limits.max_power_w or at_ms < self.at_ms:
            return False
        if self.power_w is not None:
            hours_wh = (at_ms - self.at_ms) * _WH_PER_W_MS
            self.import_wh += _positive_part(self.power_w, power_w) * hours_wh
            self.export_wh += _positive_part(-self.power_w, -power_w) * hours_wh
        self.power_w, self.at_ms = power_w, at_ms
        imports.observe(self.import_wh, at_ms)
        exports.observe(self.export_wh, at_ms)
        return True


def _positive_part(first: float, last: float) -> float:
    """The mean of the positive part of a straight line from `first` to `last`."""
    if first >= 0 and last >= 0:
        return (first + last) / 2
    if first <= 0 and last <= 0:
        return 0.0
    high = max(first, last)
    return high * high / (2 * abs(last - first))
