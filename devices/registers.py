"""One register of a real meter: what its numbers add up to, whatever happens to them on the way.

`RegisterTrack` turns the raw values of a register (which reset, roll over, dip to zero, jump, repeat and come
late) into a total that never goes back and in which no energy is booked that cannot have flowed. Pure: time
comes in as an argument, everything it knows can be saved and restored.

The rule behind all cases: energy is booked only between two values that one meter can have shown one after the
other at no more than its largest power. Anything else waits until later values say what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

UWH_PER_WH: Final = 1_000_000
REGISTER_WH_MAX: Final = 10**12
"""A TWh: no home's register shows more."""

CONFIRMATIONS: Final = 3
"""So many values in a row on a new level are a new level."""

FIRST_STEP_UWH: Final = 1_000 * UWH_PER_WH
"""Registers may count in whole kWh: one step was under way when the first value came."""

POINTS_MAX: Final = 1_024
SAVED_POINTS_MAX: Final = 48
_CLOCK_SLACK_MS: Final = 2_000
_JITTER_UWH: Final = 1_000 * 1_000
"""A step back of at most 1 Wh is rounding on the way, and no new register."""

_ROLL_OVERS_WH: Final = (10**7, 10**8, 10**9, 2**32, 2**32 // 1000)
"""Where registers begin anew: 4 to 6 digits of kWh, 32 bits of Wh."""


class Outcome(StrEnum):
    """What a value did to its register."""

    BASELINE = "baseline"  # The first value: energy counts from here.
    COUNTED = "counted"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"  # The same message again: not a sign of life either.
    OUT_OF_ORDER = "out-of-order"  # Older than what is known: changes nothing.
    JITTER = "jitter"  # A step back within rounding: changes nothing.
    HELD = "held"  # Cannot follow on the last value: waits for what comes next.
    RESUMED = "resumed"  # After a dip or a spike, the old level again: nothing was lost.
    RESET = "reset"  # Began anew at zero; what it shows was counted since.
    SWAPPED = "swapped"  # Another level for good: a new baseline, the energy in between is unknown.
    ROLLED_OVER = "rolled-over"
    INVALID = "invalid"  # Beyond all measure.


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterLimits:
    """What can be believed of a meter: its largest power, when it is silent for too long, where it rolls over."""

    max_power_w: int
    stale_after_ms: int
    roll_over_wh: int | None = None

    def possible_uwh(self, elapsed_ms: int) -> int:
        """The most energy that can have flowed in a time."""
        return self.max_power_w * (max(0, elapsed_ms) + _CLOCK_SLACK_MS) * 1_000 // 3_600


@dataclass(frozen=True, slots=True)
class Point:
    """The register's total at a moment."""

    at_ms: int
    total_uwh: int


@dataclass(slots=True)
class _Suspect:
    """A level that does not follow on the last value, and how often it has been seen."""

    raw_uwh: int
    at_ms: int
    first_uwh: int
    first_ms: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Level:
    """The total at a moment, and how it is known: `interpolated` between two values close to each other,
    `estimated` between distant ones or from the last one's trend."""

    total_uwh: int
    interpolated: bool = False
    estimated: bool = False


@dataclass(slots=True)
class RegisterTrack:
    """One register. `total_uwh` counts from the first value; `points` is its course since the last booking.

    `events` are resets, swaps and roll-overs with their time, until `forget_before`.
    """

    limits: RegisterLimits
    total_uwh: int = 0
    raw_uwh: int | None = None
    at_ms: int = 0
    points: list[Point] = field(default_factory=list)
    events: list[tuple[int, Outcome]] = field(default_factory=list)
    _changeable_since_ms: int = 0
    _has_stepped: bool = False
    _order_ms: int | None = None
    _suspect: _Suspect | None = None
    _left: tuple[int, int, int] | None = None
    """The level that was left by a swap or reset: raw, time and total, should it come back."""

    def observe(self, raw_wh: float, at_ms: int, order_ms: int | None = None) -> Outcome:
        """Take one value. `order_ms`: the device's own time in whatever zone, to tell old from new."""
        if not 0 <= raw_wh <= REGISTER_WH_MAX:
            return Outcome.INVALID
        raw_uwh = round(raw_wh * UWH_PER_WH)
        if self.raw_uwh is None:
            self._begin(raw_uwh, at_ms, order_ms)
            return Outcome.BASELINE
        if order_ms is not None and order_ms == self._order_ms and raw_uwh == self.raw_uwh:
            return Outcome.DUPLICATE
        is_older = at_ms < self.at_ms
        if order_ms is not None and self._order_ms is not None:
            is_older = is_older or order_ms < self._order_ms
        # Older and higher is a clock that was set back; older and equal says nothing new, but that it lives.
        if is_older and raw_uwh < self.raw_uwh:
            return Outcome.OUT_OF_ORDER
        at_ms = max(at_ms, self.at_ms)
        outcome = self._judge(raw_uwh, at_ms)
        if outcome not in (Outcome.HELD, Outcome.JITTER):
            self._order_ms = order_ms
        return outcome

    def announce_reset(self, raw_wh: float, at_ms: int) -> None:
        """The device says that its register was set to `raw_wh`: nothing to find out."""
        if self.raw_uwh is not None and 0 <= raw_wh <= REGISTER_WH_MAX:
            self._left = None
            self._move_to(round(raw_wh * UWH_PER_WH), max(at_ms, self.at_ms), self.total_uwh)
            self.events.append((self.at_ms, Outcome.RESET))

    def level_at(self, moment_ms: int) -> Level | None:
        """The total at a moment; None before the first value, and too long after the last."""
        before = next((point for point in reversed(self.points) if point.at_ms <= moment_ms), None)
        after = next((point for point in self.points if point.at_ms >= moment_ms), None)
        if before is None:
            return None
        if after is None:
            return self._trend(before, moment_ms)
        span_ms = after.at_ms - before.at_ms
        if span_ms == 0 or after.total_uwh == before.total_uwh:
            return Level(before.total_uwh)
        grown_uwh = (after.total_uwh - before.total_uwh) * (moment_ms - before.at_ms) // span_ms
        is_close = span_ms <= self.limits.stale_after_ms
        return Level(before.total_uwh + grown_uwh, interpolated=is_close, estimated=not is_close)

    def is_stale(self, now_ms: int) -> bool:
        """Whether the last value is older than the meter may be silent."""
        return self.raw_uwh is None or now_ms - self.at_ms > self.limits.stale_after_ms

    def forget_before(self, moment_ms: int) -> None:
        """Drop what lies before a booked moment, but for the last point there, from which to interpolate."""
        keep = max((index for index, point in enumerate(self.points) if point.at_ms <= moment_ms), default=0)
        del self.points[:keep]
        self.events = [event for event in self.events if event[0] > moment_ms]

    def to_state(self) -> dict[str, object]:
        """Everything it knows, as JSON values."""
        suspect = self._suspect
        return {
            "total_uwh": self.total_uwh,
            "raw_uwh": self.raw_uwh,
            "at_ms": self.at_ms,
            "order_ms": self._order_ms,
            "changeable_since_ms": self._changeable_since_ms,
            "has_stepped": self._has_stepped,
            "left": self._left,
            "suspect": suspect
            and [suspect.raw_uwh, suspect.at_ms, suspect.first_uwh, suspect.first_ms, suspect.count],
            "points": [[point.at_ms, point.total_uwh] for point in _thinned(self.points, SAVED_POINTS_MAX)],
            "events": [[at_ms, str(outcome)] for at_ms, outcome in self.events],
        }

    @classmethod
    def from_state(cls, limits: RegisterLimits, state: Mapping[str, object]) -> RegisterTrack:
        """The register that `to_state` described. Raises KeyError, TypeError or ValueError for anything else."""
        track = cls(limits)
        track.total_uwh = _integer(state["total_uwh"])
        track.raw_uwh = None if state["raw_uwh"] is None else _integer(state["raw_uwh"])
        track.at_ms = _integer(state["at_ms"])
        track._order_ms = None if state["order_ms"] is None else _integer(state["order_ms"])
        track._changeable_since_ms = _integer(state["changeable_since_ms"])
        track._has_stepped = bool(state["has_stepped"])
        left, suspect = _row(state["left"]), _row(state["suspect"])
        track._left = (left[0], left[1], left[2]) if left else None
        track._suspect = _Suspect(*suspect) if suspect else None
        track.points = [Point(*_row(point)) for point in _list(state["points"])]
        for at_ms, outcome in (_list(event) for event in _list(state["events"])):
            track.events.append((_integer(at_ms), Outcome(str(outcome))))
        return track

    def _begin(self, raw_uwh: int, at_ms: int, order_ms: int | None) -> None:
        self.raw_uwh, self.at_ms, self._order_ms = raw_uwh, at_ms, order_ms
        self._changeable_since_ms = at_ms
        self.points.append(Point(at_ms, self.total_uwh))

    def _judge(self, raw_uwh: int, at_ms: int) -> Outcome:
        assert self.raw_uwh is not None
        if raw_uwh == self.raw_uwh:
            was_held = self._suspect is not None
            self._move_to(raw_uwh, at_ms, self.total_uwh)
            return Outcome.RESUMED if was_held else Outcome.UNCHANGED
        grown_uwh = raw_uwh - self.raw_uwh
        if 0 < grown_uwh <= self._possible_growth_uwh(at_ms):
            was_held = self._suspect is not None
            self._move_to(raw_uwh, at_ms, self.total_uwh + grown_uwh)
            return Outcome.RESUMED if was_held else Outcome.COUNTED
        if -_JITTER_UWH <= grown_uwh < 0 and raw_uwh > 0:
            self.at_ms = at_ms
            self._add_point(at_ms)
            return Outcome.JITTER
        if self._comes_back(raw_uwh, at_ms):
            return Outcome.RESUMED
        return self._suspicion(raw_uwh, at_ms)

    def _possible_growth_uwh(self, at_ms: int) -> int:
        # Energy gathers since the register last changed, not since it was last seen: a register in steps of a
        # kWh stands still for an hour and then grows by a kWh at once.
        possible_uwh = self.limits.possible_uwh(at_ms - self._changeable_since_ms)
        return possible_uwh if self._has_stepped else possible_uwh + FIRST_STEP_UWH

    def _move_to(self, raw_uwh: int, at_ms: int, total_uwh: int) -> None:
        """Stand on a new value, with everything before it explained."""
        if raw_uwh != self.raw_uwh:
            self._changeable_since_ms = self.at_ms
            self._has_stepped = True
        self.raw_uwh, self.at_ms, self.total_uwh = raw_uwh, at_ms, total_uwh
        self._suspect = None
        self._add_point(at_ms)

    def _add_point(self, at_ms: int) -> None:
        point = Point(at_ms, self.total_uwh)
        if len(self.points) >= 2 and self.points[-1].total_uwh == self.points[-2].total_uwh == point.total_uwh:
            self.points[-1] = point  # A flat stretch needs its ends only.
            return
        self.points.append(point)
        if len(self.points) > POINTS_MAX:
            self.points = _thinned(self.points, POINTS_MAX // 2)

    def _modulus_uwh(self, first_uwh: int, first_ms: int) -> int | None:
        """Where the register has rolled over before it showed `first_uwh`; None when it cannot have."""
        assert self.raw_uwh is not None
        own = self.limits.roll_over_wh
        possible_uwh = self.limits.possible_uwh(first_ms - self._changeable_since_ms)
        for modulus_uwh in (wh * UWH_PER_WH for wh in (_ROLL_OVERS_WH if own is None else (own,))):
            if self.raw_uwh < modulus_uwh and modulus_uwh - self.raw_uwh + first_uwh <= possible_uwh:
                return modulus_uwh
        return None

    def _comes_back(self, raw_uwh: int, at_ms: int) -> bool:
        """Whether this is the level that was left: then the time between was a mistake of somebody's."""
        if self._left is None:
            return False
        raw_then_uwh, then_ms, total_then_uwh = self._left
        grown_uwh = raw_uwh - raw_then_uwh
        if not 0 <= grown_uwh <= self.limits.possible_uwh(at_ms - then_ms):
            return False
        self._left = None
        # What was counted meanwhile on the other level is part of the same energy, not more of it.
        self._move_to(raw_uwh, at_ms, max(self.total_uwh, total_then_uwh + grown_uwh))
        return True

    def _suspicion(self, raw_uwh: int, at_ms: int) -> Outcome:
        """Hold the value; once enough follow on it, stand on its level."""
        held = self._suspect
        if held is None or not 0 <= raw_uwh - held.raw_uwh <= self.limits.possible_uwh(at_ms - held.at_ms):
            self._suspect = _Suspect(raw_uwh, at_ms, raw_uwh, at_ms)
            return Outcome.HELD
        held.raw_uwh, held.at_ms, held.count = raw_uwh, at_ms, held.count + 1
        # A register that stays at zero is a device that has not heard its meter yet, for a whole night.
        if held.count < CONFIRMATIONS or raw_uwh == 0:
            return Outcome.HELD
        return self._settle_on(held, raw_uwh, at_ms)

    def _settle_on(self, held: _Suspect, raw_uwh: int, at_ms: int) -> Outcome:
        """Stand on a new level that has been confirmed, and tell roll-over, reset and swap apart."""
        assert self.raw_uwh is not None
        left = (self.raw_uwh, self.at_ms, self.total_uwh)
        is_lower = held.first_uwh < self.raw_uwh
        modulus_uwh = self._modulus_uwh(held.first_uwh, held.first_ms) if is_lower else None
        if modulus_uwh is not None:
            outcome, counted_uwh = Outcome.ROLLED_OVER, modulus_uwh - self.raw_uwh + raw_uwh
        elif is_lower and held.first_uwh <= self.limits.possible_uwh(held.first_ms - self.at_ms):
            outcome, counted_uwh = Outcome.RESET, raw_uwh
        else:
            outcome, counted_uwh = Outcome.SWAPPED, 0
        self._move_to(raw_uwh, at_ms, self.total_uwh + counted_uwh)
        self._left = None if outcome is Outcome.ROLLED_OVER else left
        self.events.append((at_ms, outcome))
        return outcome

    def _trend(self, last: Point, moment_ms: int) -> Level | None:
        """The last value carried on by the slope before it, for as long as the meter may be silent."""
        elapsed_ms = moment_ms - last.at_ms
        if elapsed_ms > self.limits.stale_after_ms:
            return None
        first = next(
            (point for point in self.points if point.at_ms >= last.at_ms - self.limits.stale_after_ms), last
        )
        if elapsed_ms == 0 or first.at_ms == last.at_ms:
            return Level(last.total_uwh, estimated=elapsed_ms > 0)
        grown_uwh = (last.total_uwh - first.total_uwh) * elapsed_ms // (last.at_ms - first.at_ms)
        return Level(last.total_uwh + grown_uwh, estimated=True)


def _thinned(points: list[Point], count: int) -> list[Point]:
    """At most about `count` of the points: the first, the last ones, and every so manieth between."""
    if len(points) <= count:
        return list(points)
    recent = count // 2
    older = points[:-recent]
    step = -(-len(older) // (count - recent))
    return older[::step] + points[-recent:]


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"expected an integer, was {value!r:.40}")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list, was {value!r:.40}")
    return list(value)


def _row(value: object) -> list[int]:
    return [] if value is None else [_integer(item) for item in _list(value)]
