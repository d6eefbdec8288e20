"""Best-response quotations in a buyer's or seller's market (green, section 5.3).

Pure functions. In the paper's market one side quotes for a given energy; what a participant gains is
`(price - reserve) * served` for a seller and `(reserve - price) * served` for a buyer. The adaptive iteration
starts from the reserves (the first-round quotations), and lets one after the other answer the others' present
quotations with its best one. It ends in quotations from which nobody gains by deviating alone, a Nash
equilibrium, or says after a limit that none was reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from market.orders import Side
from market.uniform_price import Quotations

SWEEPS_MAX: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoter:
    """One participant of the side that quotes.

    `reserve_micro` is its first-round quotation and minimum price: what a kWh costs or is worth to it. One with
    `fixed` keeps to its quotation.
    """

    name: str
    energy_wh: int
    reserve_micro: int
    fixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotingMarket:
    """Who quotes on which `side` for `wanted_wh`, in ticks of `tick_micro` between two prices."""

    side: Side
    quoters: tuple[Quoter, ...]
    wanted_wh: int
    tick_micro: int = 10_000
    lowest_micro: int = 0
    highest_micro: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What quotations lead to. `ranking` are indices of quoters, best first; `price_micro` None without trade."""

    quotes_micro: tuple[int, ...]
    served_wh: tuple[int, ...]
    price_micro: int | None
    ranking: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """How the quotations moved. `path` starts with the first round and has one outcome a move."""

    path: tuple[Outcome, ...]
    is_equilibrium: bool
    sweeps: int

    @property
    def outcome(self) -> Outcome:
        """Where the iteration ended."""
        return self.path[-1]


def outcome_of(market: QuotingMarket, quotes_micro: Sequence[int]) -> Outcome:
    """Rank and serve. Equal quotations go by the better first-round quotation, then by place."""
    sign = 1 if market.side is Side.SELL else -1
    ranking = sorted(
        (index for index, quoter in enumerate(market.quoters) if quoter.energy_wh > 0),
        key=lambda index: (sign * quotes_micro[index], sign * market.quoters[index].reserve_micro, index),
    )
    energies = [market.quoters[index].energy_wh for index in ranking]
    wanted_wh = min(market.wanted_wh, sum(energies))
    served = [0] * len(market.quoters)
    price_micro = None
    if wanted_wh > 0:
        quotations = Quotations(energies, [quotes_micro[index] for index in ranking])
        price_micro = quotations.price_micro(wanted_wh)
        for index, energy_wh in zip(ranking, quotations.served_wh(wanted_wh), strict=True):
            served[index] = energy_wh
    return Outcome(
        quotes_micro=tuple(quotes_micro),
        served_wh=tuple(served),
        price_micro=price_micro,
        ranking=tuple(ranking),
    )


def utility_nano(market: QuotingMarket, outcome: Outcome, index: int) -> int:
    """What a participant gains, in nano: green, the utilities of eqs. (8) and (9)."""
    if outcome.price_micro is None:
        return 0
    margin_micro = outcome.price_micro - market.quoters[index].reserve_micro
    return (margin_micro if market.side is Side.SELL else -margin_micro) * outcome.served_wh[index]


def best_response(market: QuotingMarket, outcome: Outcome, index: int, *, weak: bool) -> int:
    """The quotation with which participant `index` answers the others' present ones.

    With `weak` a served participant also moves between equally good quotations, to the most extreme one (a seller
    to the highest, a buyer to the lowest), which lets it set the price; otherwise only for a strict gain.
    """
    present = outcome.quotes_micro[index]
    if market.quoters[index].fixed:
        return present
    now_nano = utility_nano(market, outcome, index)
    best, best_nano = present, now_nano
    for quote in _candidates(market, outcome.quotes_micro, index):
        changed = (*outcome.quotes_micro[:index], quote, *outcome.quotes_micro[index + 1 :])
        gain_nano = utility_nano(market, outcome_of(market, changed), index)
        further = quote > best if market.side is Side.SELL else quote < best
        ties = weak and outcome.served_wh[index] > 0
        if gain_nano > best_nano or (gain_nano == best_nano and further and (ties or best_nano > now_nano)):
            best, best_nano = quote, gain_nano
    return best


def _candidates(market: QuotingMarket, quotes_micro: Sequence[int], index: int) -> list[int]:
    """Quotations worth trying: only the place among the others' matters, so one beside each of them.

    Never beyond the own reserve, which would only win energy at a loss.
    """
    reserve = market.quoters[index].reserve_micro
    low, high = market.lowest_micro, market.highest_micro
    low, high = (max(low, reserve), high) if market.side is Side.SELL else (low, min(high, reserve))
    others = [quote for other, quote in enumerate(quotes_micro) if other != index]
    beside = {quote + step for quote in others for step in (-market.tick_micro, 0, market.tick_micro)}
    return sorted(quote for quote in beside | {reserve, low, high} if low <= quote <= high)


def is_equilibrium(market: QuotingMarket, outcome: Outcome) -> bool:
    """Whether nobody gains by quoting anything else while the others stay."""
    return all(
        best_response(market, outcome, index, weak=False) == outcome.quotes_micro[index]
        for index in range(len(market.quoters))
    )


def iterate(market: QuotingMarket, sweeps_max: int = SWEEPS_MAX) -> Iteration:
    """The adaptive iteration from the reserves.

    One sweep in the current ranking lets served participants move between equally good quotations too. When that
    does not end in an equilibrium, it begins again from the reserves with strict gains only: moves between equally
    good quotations in every sweep can chase each other for ever.
    """
    path = [outcome_of(market, [quoter.reserve_micro for quoter in market.quoters])]
    sweeps = 0
    for weak, most in ((True, 1), (False, sweeps_max)):
        if not weak:
            path.append(path[0])
        for _ in range(most):
            sweeps += 1
            moved = _sweep(market, path, weak=weak)
            if is_equilibrium(market, path[-1]):
                return Iteration(path=tuple(path), is_equilibrium=True, sweeps=sweeps)
            if not moved:
                break
    return Iteration(path=tuple(path), is_equilibrium=False, sweeps=sweeps)


def _sweep(market: QuotingMarket, path: list[Outcome], *, weak: bool) -> bool:
    """Let everybody answer once, best ranked first. Returns whether anybody moved."""
    moved = False
    for index in path[-1].ranking:
        quotes = list(path[-1].quotes_micro)
        answer = best_response(market, path[-1], index, weak=weak)
        if answer != quotes[index]:
            quotes[index] = answer
            path.append(outcome_of(market, quotes))
            moved = True
    return moved
