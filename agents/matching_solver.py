"""The best assignment of requests to providers, found off the chain (Cui 2022, eq. (5)).

A mixed-integer programme for HiGHS. Its limit counts nodes of the search tree, never seconds: a faster machine
finds nothing else. Whoever runs it submits the result; the contract values it and believes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.assignment import Assignment, Problem, Worth, greedy, improve

NODES_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """An assignment, its worth, and what no assignment can exceed.

    `bound_degree` bounds served requests and degrees together: one for a served request plus its degree as a
    share of the largest possible sum, so that it compares with `objective`. `gap` is the relative distance.
    `is_optimal` says that the search ended by itself.
    """

    assignment: Assignment
    worth: Worth
    objective: float
    bound: float
    is_optimal: bool

    @property
    def gap(self) -> float:
        """How far the assignment can be from the best one, as a share of the bound."""
        return max(0.0, self.bound - self.objective) / self.bound if self.bound > 0 else 0.0


def solve(problem: Problem, nodes_max: int = NODES_MAX) -> Solution:
    """The best assignment within the limit on nodes, never worse than greedy with improvement."""
    own = improve(problem, greedy(problem))
    places = sorted(problem.pairs)
    if not places:
        return Solution(assignment=(), worth=Worth(0, 0, 0), objective=0.0, bound=0.0, is_optimal=True)
    weights = _weights(problem, places)
    chosen, bound, is_optimal = _highs(problem, places, weights, nodes_max)
    found = improve(problem, chosen) if chosen is not None else own
    best = max(own, found, key=problem.worth)
    by_place = dict(zip(places, weights, strict=True))
    return Solution(
        assignment=problem.numbers(best),
        worth=problem.worth(best),
        objective=sum(by_place[place] for place in best.items()),
        bound=bound,
        is_optimal=is_optimal,
    )


def _weights(problem: Problem, places: list[tuple[int, int]]) -> list[float]:
    """One for serving, and a degree so small that all degrees together stay below one more served request."""
    best: dict[int, int] = {}
    for i, j in places:
        best[i] = max(best.get(i, 0), problem.pairs[i, j].degree_ppm)
    total = sum(best.values()) + 1
    return [1 + problem.pairs[place].degree_ppm / total for place in places]


def _highs(
    problem: Problem, places: list[tuple[int, int]], weights: list[float], nodes_max: int
) -> tuple[dict[int, int] | None, float, bool]:
    # Imported here: SciPy takes a while, and only a solver needs it.
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    columns = np.arange(len(places))
    request = np.array([i for i, _ in places])
    offer = np.array([j for _, j in places]) + len(problem.requests)
    need = np.array([float(problem.requests[i].energy_wh) for i, _ in places])
    rows = len(problem.requests) + len(problem.offers)
    matrix = coo_array(
        (
            np.concatenate([np.ones(len(places)), need]),
            (np.concatenate([request, offer]), np.concatenate([columns, columns])),
        ),
        shape=(rows, len(places)),
    )
    most = [1.0] * len(problem.requests) + [float(entry.energy_wh) for entry in problem.offers]
    result = milp(
        -np.array(weights),
        constraints=LinearConstraint(matrix.tocsr(), ub=np.array(most)),
        integrality=np.ones(len(places)),
        bounds=Bounds(0, 1),
        options={"node_limit": nodes_max, "mip_rel_gap": 0.0},
    )
    highest = sum({i: 2.0 for i, _ in places}.values())
    bound = -float(result.mip_dual_bound) if result.mip_dual_bound is not None else highest
    if result.x is None:
        return None, bound, False
    picked = {places[column][0]: places[column][1] for column in np.flatnonzero(result.x > 0.5)}
    return _feasible(problem, picked), bound, result.status == 0


def _feasible(problem: Problem, picked: dict[int, int]) -> dict[int, int] | None:
    """The solver's floats made integers; None should rounding have overbooked an offer."""
    return picked if problem.still_possible(problem.numbers(picked)) == picked else None
