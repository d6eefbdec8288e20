"""Which provider serves which request: the assignment problem of Cui 2022, eq. (5), in integers.

Each request has at most one provider, and what a provider is given stays within its capacity. (As printed the
capacity bounds each pair alone, which would sell the same energy several times.) More served requests count
before a higher sum of matching degrees, and that before a lower sum of bills.

Finding the best assignment is a generalised assignment problem, too hard for every replica to solve. So replicas
value assignments that somebody else found, and `own_assignment` here is what stands without any: a greedy choice
improved by moves and exchanges, with a limit on steps and none on time, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from market.errors import FormError
from market.matching_degree import Pair, allowed_pairs
from market.orders import Order, Side

STEPS_MAX: Final = 1_000_000
"""How many moves and exchanges the improvement may try."""


class Worth(NamedTuple):
    """What an assignment is worth; the larger tuple is better."""

    served: int
    degree_ppm: int
    minus_bill_nano: int


Assignment = tuple[tuple[int, int], ...]
"""Pairs of numbers, request and offer, in the order of requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The requests and offers of one period and what each allowed pair is worth, by their indices."""

    requests: tuple[Order, ...]
    offers: tuple[Order, ...]
    pairs: dict[tuple[int, int], Pair]

    @classmethod
    def of(cls, book: Sequence[Order], crossing_fee_micro: int, view: str) -> Problem:
        """The problem of a book: bids are requests, asks are offers, both by issue time, then number."""
        open_orders = sorted((order for order in book if order.energy_wh > 0), key=_place)
        requests = tuple(order for order in open_orders if order.side is Side.BUY)
        offers = tuple(order for order in open_orders if order.side is Side.SELL)
        return cls(
            requests=requests,
            offers=offers,
            pairs=allowed_pairs(requests, offers, crossing_fee_micro, view),
        )

    def worth(self, chosen: dict[int, int]) -> Worth:
        """What a feasible choice is worth: offer by request, as indices."""
        pairs = [self.pairs[pair] for pair in chosen.items()]
        return Worth(len(pairs), sum(pair.degree_ppm for pair in pairs), -sum(pair.bill_nano for pair in pairs))

    def choice(self, assignment: Iterable[tuple[int, int]]) -> dict[int, int]:
        """Numbers to indices. Raises FormError for an assignment that is not feasible, and says why."""
        request_at = {order.number: index for index, order in enumerate(self.requests)}
        offer_at = {order.number: index for index, order in enumerate(self.offers)}
        room = [offer.energy_wh for offer in self.offers]
        chosen: dict[int, int] = {}
        for request, offer in assignment:
            if request not in request_at or offer not in offer_at:
                raise FormError(f"assignment: no request {request} with an offer {offer}")
            i, j = request_at[request], offer_at[offer]
            if i in chosen:
                raise FormError(f"assignment: request {request} stands twice")
            if (i, j) not in self.pairs:
                raise FormError(f"assignment: request {request} may not be served by offer {offer}")
            room[j] -= self.requests[i].energy_wh
            if room[j] < 0:
                raise FormError(f"assignment: offer {offer} is given more than it has")
            chosen[i] = j
        return chosen

    def still_possible(self, assignment: Iterable[tuple[int, int]]) -> dict[int, int]:
        """What of an assignment holds on this book: orders may have gone since it was made."""
        kept: list[tuple[int, int]] = []
        for pair in assignment:
            try:
                self.choice([*kept, pair])
            except FormError:
                continue
            kept.append(pair)
        return self.choice(kept)

    def numbers(self, chosen: dict[int, int]) -> Assignment:
        """Indices to numbers."""
        return tuple((self.requests[i].number, self.offers[j].number) for i, j in sorted(chosen.items()))


def _place(order: Order) -> tuple[int, int]:
    return (order.issued_ms, order.number)


def own_assignment(problem: Problem) -> dict[int, int]:
    """The contract's own assignment: greedy, then improved until nothing helps or the steps are used up."""
    return improve(problem, greedy(problem))


def greedy(problem: Problem) -> dict[int, int]:
    """Take pairs by matching degree, then lower bill a kWh, then issue, as far as capacity allows."""
    room = [offer.energy_wh for offer in problem.offers]
    chosen: dict[int, int] = {}
    for i, j in sorted(problem.pairs, key=lambda place: _rank(problem, *place)):
        energy_wh = problem.requests[i].energy_wh
        if i not in chosen and energy_wh <= room[j]:
            chosen[i] = j
            room[j] -= energy_wh
    return chosen


def _rank(problem: Problem, i: int, j: int) -> tuple[int, int, int, int]:
    pair = problem.pairs[i, j]
    return (-pair.degree_ppm, pair.bill_nano // problem.requests[i].energy_wh, i, j)


def improve(problem: Problem, chosen: dict[int, int], steps_max: int = STEPS_MAX) -> dict[int, int]:
    """Local improvement; never worse than `chosen`.

    Tried in turn: give an unserved request to an offer with room; make room for it by moving another request on;
    move a request to a better offer; let two requests change places; serve an unserved request instead of another.
    """
    return _Improvement(problem, chosen, steps_max).run()


class _Improvement:
    def __init__(self, problem: Problem, chosen: dict[int, int], steps_max: int) -> None:
        self._problem = problem
        self._steps = steps_max
        self._at: list[int | None] = [chosen.get(i) for i in range(len(problem.requests))]
        self._need = [request.energy_wh for request in problem.requests]
        self._room = [offer.energy_wh for offer in problem.offers]
        self._guests: list[list[int]] = [[] for _ in problem.offers]
        self._may: list[list[int]] = [[] for _ in problem.requests]
        for i, j in sorted(problem.pairs, key=lambda place: _rank(problem, *place)):
            self._may[i].append(j)
        for i, j in sorted(chosen.items()):
            self._put(i, j)

    def run(self) -> dict[int, int]:
        """Improve until nothing helps any more or the steps are used up; the provider of each served request."""
        improved = True
        while improved and self._steps > 0:
            improved = False
            for i in range(len(self._at)):
                if self._at[i] is None:
                    improved |= self._serve(i) or self._make_room(i) or self._replace(i)
                else:
                    improved |= self._move(i) or self._exchange(i)
                if self._steps <= 0:
                    break
        return {i: j for i, j in enumerate(self._at) if j is not None}

    def _put(self, i: int, j: int) -> None:
        self._at[i] = j
        self._room[j] -= self._need[i]
        self._guests[j].append(i)

    def _take(self, i: int) -> int:
        j = self._at[i]
        assert j is not None
        self._at[i] = None
        self._room[j] += self._need[i]
        self._guests[j].remove(i)
        return j

    def _gain(self, i: int, j: int) -> tuple[int, int]:
        pair = self._problem.pairs[i, j]
        return pair.degree_ppm, -pair.bill_nano

    def _serve(self, i: int) -> bool:
        for j in self._may[i]:
            self._steps -= 1
            if self._need[i] <= self._room[j]:
                self._put(i, j)
                return True
        return False

    def _make_room(self, i: int) -> bool:
        """Move one request to another offer, so that its place is large enough for `i`."""
        for j in self._may[i]:
            for guest in tuple(self._guests[j]):
                if self._need[i] > self._room[j] + self._need[guest]:
                    continue
                for other in self._may[guest]:
                    self._steps -= 1
                    if other != j and self._need[guest] <= self._room[other]:
                        self._take(guest)
                        self._put(guest, other)
                        self._put(i, j)
                        return True
        return False

    def _replace(self, i: int) -> bool:
        """Serve `i` in the place of a request that is worth less there."""
        for j in self._may[i]:
            for guest in tuple(self._guests[j]):
                self._steps -= 1
                fits = self._need[i] <= self._room[j] + self._need[guest]
                if fits and self._gain(i, j) > self._gain(guest, j):
                    self._take(guest)
                    self._put(i, j)
                    return True
        return False

    def _move(self, i: int) -> bool:
        now = self._at[i]
        assert now is not None
        for j in self._may[i]:
            self._steps -= 1
            if j != now and self._need[i] <= self._room[j] and self._gain(i, j) > self._gain(i, now):
                self._take(i)
                self._put(i, j)
                return True
        return False

    def _exchange(self, i: int) -> bool:
        """Let `i` and another served request change places."""
        now = self._at[i]
        assert now is not None
        pairs = self._problem.pairs
        for j in self._may[i]:
            if j == now:
                continue
            for guest in self._guests[j]:
                self._steps -= 1
                if (guest, now) not in pairs:
                    continue
                if self._need[i] > self._room[j] + self._need[guest]:
                    continue
                if self._need[guest] > self._room[now] + self._need[i]:
                    continue
                after = _sum(self._gain(i, j), self._gain(guest, now))
                if after > _sum(self._gain(i, now), self._gain(guest, j)):
                    self._take(i)
                    self._take(guest)
                    self._put(i, j)
                    self._put(guest, now)
                    return True
        return False


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
