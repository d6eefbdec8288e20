"""`gridbazaar clear` with each mechanism, and the bugs that other markets' clearing has had."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from agents import cli
from market.clearing import MECHANISMS, ClearingRules, clear
from market.errors import FormError
from market.orders import Order, Side

HEADING = "order_id,side,energy_wh,price_micro,issued_ms,region,reputation_ppm\n"
LINES = (
    "b1,buy,1000,300000,3,east,0\n"
    "b2,buy,600,250000,4,west,0\n"
    "s1,sell,900,100000,1,east,900000\n"
    "s2,sell,1200,150000,2,east,300000\n"
)

EXPECTED = {
    "hlm": [("b1", "s1", 900, 200_000), ("b1", "s2", 100, 225_000), ("b2", "s2", 600, 200_000)],
    "uniform": [("b1", "s1", 900, 150_000), ("b1", "s2", 100, 150_000), ("b2", "s2", 600, 150_000)],
    "matching": [("b1", "s2", 1_000, 150_000), ("b2", "s1", 600, 100_000)],
    "listing": [("b1", "s1", 900, 100_000), ("b1", "s2", 100, 150_000), ("b2", "s2", 600, 150_000)],
}


@pytest.mark.parametrize("mechanism", EXPECTED)
def test_each_mechanism_clears_a_file(mechanism: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = tmp_path / "book.csv"
    book.write_text(HEADING + LINES)
    assert cli.run(["clear", str(book), "--mechanism", mechanism, "--json"]) == cli.DONE
    result = json.loads(capsys.readouterr().out)
    found = [(t["buy"], t["sell"], t["energy_wh"], t["price_micro"]) for t in result["trades"]]
    assert found == EXPECTED[mechanism]


def test_solving_says_how_far_the_assignment_is_from_the_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book.csv"
    book.write_text(HEADING + LINES)
    assert cli.run(["clear", str(book), "--mechanism", "matching", "--solve", "--json"]) == cli.DONE
    quality = json.loads(capsys.readouterr().out)["assignment"]
    assert quality["served"] == quality["best_served"] == 2
    assert quality["best_degree_ppm"] >= quality["degree_ppm"] > 0
    assert quality["gap"] == pytest.approx(0, abs=1e-9)


def test_the_users_view_prefers_the_cheap_provider(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = tmp_path / "book.csv"
    book.write_text(
        HEADING + "b,buy,5,300000,1,east,0\ns,sell,9,90000,1,east,500000\nd,sell,9,200000,1,east,500000\n"
    )
    for view, seller in (("provider", "d"), ("user", "s")):
        assert cli.run(["clear", str(book), "--mechanism", "matching", "--revenue-view", view, "--json"]) == 0
        assert [t["sell"] for t in json.loads(capsys.readouterr().out)["trades"]] == [seller]


def order(number: int, side: Side, energy_wh: int, price_micro: int, **more: int) -> Order:
    return Order(number=number, side=side, energy_wh=energy_wh, price_micro=price_micro, **more)


each_mechanism = pytest.mark.parametrize("mechanism", list(MECHANISMS))


@each_mechanism
def test_an_offer_is_sold_once_however_many_want_it(mechanism: str) -> None:
    book = [order(9, Side.SELL, 100, 10)] + [order(n, Side.BUY, 100, 20, issued_ms=n) for n in range(1, 6)]
    assert sum(trade.energy_wh for trade in clear(mechanism, book, ClearingRules()).trades) == 100


@each_mechanism
def test_neither_of_two_identical_orders_is_lost(mechanism: str) -> None:
    book = [order(1, Side.SELL, 50, 10), order(2, Side.SELL, 50, 10), order(3, Side.BUY, 50, 20, issued_ms=1)]
    book.append(order(4, Side.BUY, 50, 20, issued_ms=1))
    traded = Counter(
        number for trade in clear(mechanism, book, ClearingRules()).trades for number in (trade.buy, trade.sell)
    )
    assert set(traded) == {1, 2, 3, 4}


@each_mechanism
def test_ties_are_broken_alike_every_time(mechanism: str) -> None:
    book = [order(n, Side.SELL, 50, 10) for n in range(1, 9)]
    book += [order(n, Side.BUY, 70, 20, issued_ms=1) for n in range(9, 12)]
    first = clear(mechanism, book, ClearingRules())
    assert all(clear(mechanism, book[::-1], ClearingRules()).trades == first.trades for _ in range(20))


@each_mechanism
def test_an_order_of_a_region_that_nobody_else_is_in_stands_in_the_result(mechanism: str) -> None:
    book = [order(1, Side.SELL, 50, 10), order(2, Side.BUY, 50, 20)]
    lonely = Order(number=3, side=Side.BUY, energy_wh=7, price_micro=9, region="island", region_only=True)
    assert 3 in {left.number for left in clear(mechanism, [*book, lonely], ClearingRules()).unmatched}


@each_mechanism
def test_a_broken_book_raises_and_is_no_empty_result(mechanism: str) -> None:
    with pytest.raises(FormError):
        clear(mechanism, [order(1, Side.SELL, 5, 1), order(1, Side.BUY, 5, 2)], ClearingRules())


@each_mechanism
def test_an_empty_book_clears_to_nothing(mechanism: str) -> None:
    result = clear(mechanism, [], ClearingRules(ask_limit_micro=5))
    assert (result.trades, result.unmatched) == ((), ())
