"""The array path of high-low matching against the simple one, trade by trade."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from test_clearing_properties import books, rule_sets

from market import high_low_matching
from market.array_matching import array_matching, suits
from market.clearing import clear
from market.clearing_types import ClearingRules
from market.high_low_matching import order_by_order
from market.orders import Order, Side


@settings(max_examples=600)
@given(books(), rule_sets())
def test_arrays_give_the_same_trades_in_the_same_order(book: list[Order], rules: ClearingRules) -> None:
    if suits(book, rules):
        assert array_matching(book, rules) == order_by_order(book, rules)


@settings(max_examples=300)
@given(books(regions="a", restricted=False), rule_sets())
def test_a_book_of_one_region_always_suits_the_arrays(book: list[Order], rules: ClearingRules) -> None:
    assert suits(book, rules)
    assert array_matching(book, rules) == order_by_order(book, rules)


def big_book(seed: int, size: int, regions: int) -> list[Order]:
    rng = random.Random(seed)
    return [
        Order(
            number=number,
            side=rng.choice((Side.BUY, Side.SELL)),
            energy_wh=rng.randrange(0, 5_000),
            price_micro=rng.randrange(50_000, 350_000, 500),
            issued_ms=rng.randrange(1_000),
            region=f"region-{rng.randrange(regions)}",
            region_only=rng.random() < 0.1,
        )
        for number in rng.sample(range(1, 10 * size), size)
    ]


@pytest.mark.parametrize("price_rule", ["midpoint", "bid", "ask", "uniform"])
@pytest.mark.parametrize("seed", range(4))
def test_big_books_take_the_arrays_and_trade_the_same(price_rule: str, seed: int) -> None:
    rules = ClearingRules(
        price_rule=price_rule, crossing_fee_micro=20_000, ask_limit_micro=300_000 if seed % 2 else 0
    )
    book = big_book(seed, 2_000, 7)
    result = clear("hlm", book, rules)
    assert result == order_by_order(book, rules)
    assert len(result.trades) > 500


def test_the_contract_takes_the_arrays_for_big_books(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this, a slip in the choice of path would leave the fast one tested and unused."""
    book = big_book(1, high_low_matching.ARRAYS_FROM, 2)
    expected = clear("hlm", book, ClearingRules())

    def unused(*_: object) -> None:
        raise AssertionError("the simple path was taken")

    monkeypatch.setattr(high_low_matching, "order_by_order", unused)
    assert clear("hlm", book, ClearingRules()) == expected


def test_energies_beyond_64_bits_take_the_simple_path() -> None:
    book = [
        Order(number=1, side=Side.BUY, energy_wh=2**70, price_micro=2),
        Order(number=2, side=Side.SELL, energy_wh=2**71, price_micro=1),
    ]
    assert not suits(book, ClearingRules())
    assert clear("hlm", book, ClearingRules()).trades[0].energy_wh == 2**70
