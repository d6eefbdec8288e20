"""Demand that can wait: a part of a household's consumption runs when it was bought, at the latest at a deadline.

Huang 2022, section 2.2 (2): consumption "can have a certain degree of delay", but all of it must be satisfied.
The flexible part of each period joins a backlog. As the inverter makes the meter show what was traded, so here:
what was bought beyond the consumption that cannot wait is used for the backlog. At the end of each window of
`delay_periods` whatever is left runs in any case.
"""

from __future__ import annotations


class DelayedLoad:
    """The backlog of one household. `share` of its load is flexible."""

    __slots__ = ("backlog_wh", "delay_periods", "share")

    def __init__(self, share: float, delay_periods: int) -> None:
        self.share = share
        self.delay_periods = delay_periods
        self.backlog_wh = 0.0

    def run(self, load_wh: float, bought_wh: float, period: int) -> float:
        """What is consumed in `period`, in Wh: `load_wh` is what would be without any delay."""
        fixed_wh = load_wh * (1 - self.share)
        self.backlog_wh += load_wh - fixed_wh
        if is_deadline(period, self.delay_periods):
            runs_wh = self.backlog_wh
        else:
            runs_wh = min(self.backlog_wh, max(0.0, bought_wh - fixed_wh))
        self.backlog_wh -= runs_wh
        return fixed_wh + runs_wh


def is_deadline(period: int, delay_periods: int) -> bool:
    """Whether nothing may wait beyond `period`."""
    return (period + 1) % delay_periods == 0


def deadline(period: int, delay_periods: int) -> int:
    """The period in which the flexible consumption of `period` runs at the latest."""
    return period + delay_periods - 1 - period % delay_periods
