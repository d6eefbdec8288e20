"""Quorum sizes, derived from the number of replicas in this one place and in integers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quorums:
    """The sizes that follow from `n = 3f + 1` replicas (Castro and Liskov 1999, section 3).

    Raises ValueError for an `n` of another form: 5 or 6 replicas tolerate no more faults than 4 do, and
    with 2f + 1 of them two quorums need not share a correct replica.
    """

    n: int

    def __post_init__(self) -> None:
        if self.n < 1 or self.n % 3 != 1:
            raise ValueError(f"a committee has 3f + 1 members (1, 4, 7, 10, ...), was {self.n}")

    @property
    def f(self) -> int:
        """How many replicas may be Byzantine."""
        return (self.n - 1) // 3

    @property
    def quorum(self) -> int:
        """2f + 1: any two such sets share a correct replica. Commits, checkpoints, view changes."""
        return 2 * self.f + 1

    @property
    def weak(self) -> int:
        """f + 1: at least one of them is correct. Equal replies, joining a view change, snapshots."""
        return self.f + 1

    @property
    def prepares(self) -> int:
        """2f: prepares of different backups that, with the pre-prepare, make a request prepared."""
        return 2 * self.f
