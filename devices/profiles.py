"""Load and generation series: a measured year in quarter hours, cut and scaled to sites and periods.

The series are shares of their peak from SimBench (see `data/README.md`). They are steps: constant within a
quarter hour. A period of any length gets the mean over it, exactly, so its energy is right whether the
market runs every 5, 15 or 60 minutes. After 31 December the year begins again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import islice, product
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.errors import ProfileError
from devices.sites import HOUSEHOLD_SHAPES, HouseholdConfig

Watts = NDArray[np.float64]

DATA_FILE: Final = Path(__file__).parent / "data" / "simbench_2016.npz"
YEAR: Final = 2016
DAYS: Final = 366
QUARTERS_PER_DAY: Final = 96
QUARTERS: Final = DAYS * QUARTERS_PER_DAY
QUARTER_MINUTES: Final = 15
_SCALE: Final = 32_767
_ENVELOPE_DAYS: Final = 15

SPRING_DAY: Final = date(2016, 5, 18)
"""A Wednesday on which the eight roofs make 3.3 kWh a kWp (the clearest day of that May: 4.1), with clouds
that cross them at different hours, some wind and little water."""


@dataclass(frozen=True, slots=True)
class ProfileCalendar:
    """Which part of the measured year the market's periods run over.

    Period 0 begins at 0:00 of `day`; every period lasts `period_minutes`.
    """

    day: date = SPRING_DAY
    period_minutes: int = 15

    def __post_init__(self) -> None:
        if self.day.year != YEAR:
            raise ProfileError(f"day = {self.day}: the profiles hold the year {YEAR}")
        if not 1 <= self.period_minutes <= 1440:
            raise ProfileError(f"period_minutes = {self.period_minutes}: expected 1 to 1440")

    @classmethod
    def from_text(cls, day: str, period_minutes: int = 15) -> ProfileCalendar:
        """From an ISO date such as `2016-05-18`. Raises ProfileError."""
        try:
            return cls(date.fromisoformat(day), period_minutes)
        except ValueError:
            raise ProfileError(f"day = {day!r}: expected a date such as {SPRING_DAY}") from None

    @property
    def hours(self) -> float:
        """The length of a period in hours."""
        return self.period_minutes / 60

    def first_quarter(self) -> int:
        """The row of the data at which period 0 begins."""
        return (self.day - date(YEAR, 1, 1)).days * QUARTERS_PER_DAY

    def edges(self, start_period: int, periods: int) -> NDArray[np.float64]:
        """The `periods + 1` limits of the periods, in quarter hours since 1 January 0:00."""
        step = self.period_minutes / QUARTER_MINUTES
        return self.first_quarter() + step * np.arange(start_period, start_period + periods + 1, dtype=np.float64)


@dataclass(frozen=True)
class ProfileLibrary:
    """The measured series, and their means over periods."""

    shares: dict[str, NDArray[np.float64]]
    _sums: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    _sky: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: Path = DATA_FILE) -> ProfileLibrary:
        """Read the extract that comes with the package; the same object for the same file. Raises ProfileError."""
        return _load(path)

    def share(self, shape: str) -> NDArray[np.float64]:
        """The year of one shape in quarter hours, as shares of its peak. Raises ProfileError."""
        try:
            return self.shares[shape]
        except KeyError:
            raise ProfileError(f"no profile {shape!r}, there are {', '.join(sorted(self.shares))}") from None

    def full_load_hours(self, shape: str) -> float:
        """How many hours at its peak give the shape's energy of the year."""
        return float(self.share(shape).mean()) * DAYS * 24

    def mean_share(
        self, shape: str, calendar: ProfileCalendar, start_period: int, periods: int, shift_quarters: int = 0
    ) -> NDArray[np.float64]:
        """Mean share of the peak in each of `periods` periods, the series read `shift_quarters` later."""
        if start_period < 0 or periods < 0:
            raise ProfileError(f"periods {start_period} to {start_period + periods}: expected 0 or later")
        at_edges = self._energy_until(shape, calendar.edges(start_period, periods) + shift_quarters)
        means: NDArray[np.float64] = np.diff(at_edges) / (calendar.period_minutes / QUARTER_MINUTES)
        return means

    def clear_sky_index(self, shape: str) -> NDArray[np.float64]:
        """How much of a cloudless sky's sun came through in each quarter hour of the year, 0 to 1.

        Cloudless is taken as the best value at the same time of day within 15 days before and after, which
        the series itself knows; at night, when nothing is known and nothing matters, the index is 0.
        """
        if shape not in self._sky:
            by_day = self.share(shape).reshape(DAYS, QUARTERS_PER_DAY)
            span = range(-_ENVELOPE_DAYS, _ENVELOPE_DAYS + 1)
            envelope = np.max([np.roll(by_day, shift, axis=0) for shift in span], axis=0)
            index = np.zeros_like(by_day)
            np.divide(by_day, envelope, out=index, where=envelope > 0)
            self._sky[shape] = index.reshape(QUARTERS)
        return self._sky[shape]

    def household_load_w(
        self, household: HouseholdConfig, calendar: ProfileCalendar, start_period: int, periods: int
    ) -> Watts:
        """Mean power that a home draws in each period, in W; a whole year sums to its `annual_kwh`."""
        shift = household.week_shift * 7 * QUARTERS_PER_DAY + household.quarter_shift
        share = self.mean_share(household.shape, calendar, start_period, periods, shift)
        return share * (household.annual_kwh * 1_000 / self.full_load_hours(household.shape))

    def _energy_until(self, shape: str, quarters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the shares from 1 January to each point in time, which may lie outside the year."""
        sums = self._sums.get(shape)
        if sums is None:
            sums = np.concatenate(([0.0], np.cumsum(self.share(shape))))
            self._sums[shape] = sums
        years, within = np.divmod(quarters, QUARTERS)
        until: NDArray[np.float64] = years * sums[-1] + np.interp(within, np.arange(QUARTERS + 1), sums)
        return until


@lru_cache(maxsize=2)
def _load(path: Path) -> ProfileLibrary:
    try:
        with np.load(path, allow_pickle=False) as archive:
            shares = {name: archive[name].astype(np.float64) / _SCALE for name in archive.files}
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path}: not a profile extract: {error}") from None
    for name, share in shares.items():
        if share.shape != (QUARTERS,):
            raise ProfileError(f"{path}: {name} has {share.shape} values, expected {QUARTERS}")
        share.setflags(write=False)
    return ProfileLibrary(shares)


def distinct_households(count: int) -> tuple[tuple[str, int, int], ...]:
    """`count` different (shape, week_shift, quarter_shift), no two alike, the most natural ones first.

    Shifts of up to six weeks come first, since they keep the season; then a day that begins up to two
    hours earlier or later; then the rest of the year. Raises ProfileError above 24,960.
    """
    found = tuple(islice(_household_variants(), count))
    if len(found) < count:
        raise ProfileError(f"{count} homes: only {len(found)} different ones can be made")
    return found


def _household_variants() -> Iterator[tuple[str, int, int]]:
    seen: set[tuple[str, int, int]] = set()
    for weeks, quarters in ((6, 0), (6, 8), (26, 8), (26, 48)):
        week_shifts = sorted(range(-min(weeks, 25), weeks + 1), key=lambda shift: (abs(shift), shift))
        quarter_shifts = sorted(range(-min(quarters, 47), quarters + 1), key=lambda shift: (abs(shift), shift))
        for quarter_shift, week_shift, shape in product(quarter_shifts, week_shifts, HOUSEHOLD_SHAPES):
            variant = (shape, week_shift, quarter_shift)
            if variant not in seen:
                seen.add(variant)
                yield variant
