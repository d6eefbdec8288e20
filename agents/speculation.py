"""When a speculator buys and sells: Huang 2022, section 2.2 (3).

The paper's two sentences contradict each other. Followed here is the one that makes sense of storage: buy
after the price has fallen by more than the threshold over the window, sell after it has risen by more.
The limits of the storage and the prices of the orders are our own: the paper names neither.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Stance(Enum):
    """What the price's movement suggests."""

    BUY = "buy"
    SELL = "sell"
    WAIT = "wait"


def stance(prices_micro: Sequence[float], threshold: float) -> Stance:
    """Judge the relative change from the first to the last price of the window.

    `threshold` is the paper's TH, a positive share (0.01 for 1 %). Fewer than two prices, or a first
    price of zero, tell nothing.
    """
    if len(prices_micro) < 2 or prices_micro[0] <= 0:
        return Stance.WAIT
    change = prices_micro[-1] / prices_micro[0] - 1
    if change < -threshold:
        return Stance.BUY
    return Stance.SELL if change > threshold else Stance.WAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What a battery's owner knows of it: its plate, and its state from telemetry.

    `efficiency` is that of one way. `floor_wh` is the charge it does not go below.
    """

    capacity_wh: float
    power_w: float
    efficiency: float
    floor_wh: float
    charge_wh: float

    def takes_wh(self, hours: float) -> float:
        """Energy that it can draw from the meter in a period: by power and by room."""
        room_wh = max(0.0, self.capacity_wh - self.charge_wh)
        return min(self.power_w * hours, room_wh / self.efficiency)

    def gives_wh(self, hours: float) -> float:
        """Energy that it can deliver to the meter in a period: by power and by charge."""
        stored_wh = max(0.0, self.charge_wh - self.floor_wh)
        return min(self.power_w * hours, stored_wh * self.efficiency)

    @property
    def round_trip(self) -> float:
        """The part of bought energy that can be sold again."""
        return self.efficiency * self.efficiency


class PriceWindow:
    """The last prices within a window of periods, oldest first."""

    def __init__(self, periods: int) -> None:
        if periods < 1:
            raise ValueError(f"a price window covers at least 1 period, was {periods}")
        # A change over n periods lies between n + 1 prices.
        self._prices_micro: deque[float] = deque(maxlen=periods + 1)

    def add(self, price_micro: float) -> None:
        """Take the price of one more period."""
        self._prices_micro.append(price_micro)

    @property
    def prices_micro(self) -> tuple[float, ...]:
        """What is remembered."""
        return tuple(self._prices_micro)

    @property
    def last_micro(self) -> float | None:
        """The newest price. None before the first."""
        return self._prices_micro[-1] if self._prices_micro else None


class StoredCost:
    """What the energy in a battery has cost on average, as an owner keeps it in a notebook.

    Energy counted as sold is taken out at the average, so the average changes by purchases alone.
    """

    def __init__(self, first_wh: float, first_micro: float) -> None:
        self._energy_wh = max(0.0, first_wh)
        self._cost_nano = self._energy_wh * first_micro
        self._last_micro = first_micro

    def bought(self, energy_wh: float, price_micro: float) -> None:
        """Energy that came in at the meter, and its price."""
        self._energy_wh += energy_wh
        self._cost_nano += energy_wh * price_micro
        self._last_micro = self.mean_micro

    def sold(self, energy_wh: float, round_trip: float) -> None:
        """Energy that left at the meter; `round_trip` says how much had to be bought for it."""
        bought_wh = min(self._energy_wh, energy_wh / round_trip)
        self._cost_nano -= bought_wh * self.mean_micro
        self._energy_wh -= bought_wh

    @property
    def mean_micro(self) -> float:
        """Average price of the bought energy that is still stored; the last one known when none is."""
        return self._cost_nano / self._energy_wh if self._energy_wh > 1e-6 else self._last_micro
