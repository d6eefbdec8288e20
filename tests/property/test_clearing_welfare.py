"""Welfare of the mechanisms against the optimum of a linear programme, which knows nothing of matching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import linprog
from test_clearing_properties import books

from market.clearing import ClearingResult, clear
from market.clearing_types import ClearingRules
from market.orders import Order, Side


def welfare(book: list[Order], result: ClearingResult) -> int:
    """What buyers value the energy at, less what sellers ask for it and what crossing costs."""
    price = {order.number: order.price_micro for order in book}
    return sum(t.energy_wh * (price[t.buy] - price[t.sell] - t.fee_micro) for t in result.trades)


def optimum(book: list[Order], fee_micro: int) -> float:
    """The most welfare that any trades could bring."""
    bids = [order for order in book if order.side is Side.BUY]
    asks = [order for order in book if order.side is Side.SELL]
    if not bids or not asks:
        return 0.0
    gains, columns = [], []
    for i, bid in enumerate(bids):
        for j, ask in enumerate(asks):
            crosses = bid.region != ask.region
            if crosses and (bid.region_only or ask.region_only):
                continue
            gains.append(bid.price_micro - ask.price_micro - (fee_micro if crosses else 0))
            columns.append((i, len(bids) + j))
    if not gains:
        return 0.0
    usage = np.zeros((len(bids) + len(asks), len(gains)))
    for column, rows in enumerate(columns):
        usage[list(rows), column] = 1
    bounds = [order.energy_wh for order in (*bids, *asks)]
    solved = linprog(-np.array(gains), A_ub=usage, b_ub=bounds, method="highs")
    assert solved.success
    return float(-solved.fun)


@settings(max_examples=100, deadline=None)
@given(books(regions="a", restricted=False))
def test_high_low_matching_reaches_the_optimum_in_one_region(book: list[Order]) -> None:
    assert welfare(book, clear("hlm", book, ClearingRules())) == pytest.approx(optimum(book, 0))


@settings(max_examples=100, deadline=None)
@given(books(restricted=False))
def test_one_book_without_a_fee_reaches_the_optimum_over_regions(book: list[Order]) -> None:
    rules = ClearingRules(region_priority="tie")
    assert welfare(book, clear("hlm", book, rules)) == pytest.approx(optimum(book, 0))


@pytest.mark.parametrize("mechanism", ["hlm", "uniform"])
def test_no_mechanism_is_better_than_the_optimum(mechanism: str) -> None:
    reached = []

    @settings(max_examples=100, deadline=None)
    @given(books())
    def check(book: list[Order]) -> None:
        rules = ClearingRules(crossing_fee_micro=2)
        best, found = optimum(book, 2), welfare(book, clear(mechanism, book, rules))
        assert 0 <= found <= best + 1e-6
        if best > 0:
            reached.append(found / best)

    check()
    # A mechanism that hardly ever trades would pass everything above.
    assert sum(reached) / len(reached) > 0.6
