"""Clearing an order book from a CSV file, without a market around it: what `gridbazaar clear` does."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.errors import BookError, ConfigurationError
from market.clearing import ClearingResult, ClearingRules, clear
from market.errors import MarketError
from market.orders import STANDING_ASK, Order, Side
from market.units import ENERGY_WH_MAX, PRICE_MICRO_MAX, TIME_MS_MAX

COLUMNS: Final = ("order_id", "side", "energy_wh", "price_micro", "issued_ms", "region")
REPUTATION: Final = "reputation_ppm"
"""A column that may be there, for reputation matching: an account's reputation, 1,000,000 for 1."""

REGULATOR: Final = "regulator"
"""How the regulator's standing ask is called in the result."""

REPUTATION_PPM_MAX: Final = 10_000_000

_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Book:
    """Orders with numbers for the market, and the file's own order ids by number."""

    orders: tuple[Order, ...]
    ids: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    order_id: str
    side: Side
    energy_wh: int
    price_micro: int
    issued_ms: int
    region: str
    reputation_ppm: int


def read_book(path: Path) -> Book:
    """Read a CSV file with at least `COLUMNS`; `-` is standard input.

    Equal prices and times go by order id: as numbers when all ids are numbers, else as text. Raises BookError
    that names file, line, column, value and what is right; nothing is skipped in silence.
    """
    name = str(path)
    try:
        if name == "-":
            return _parse(sys.stdin, "standard input")
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(file, name)
    except OSError as error:
        raise BookError(f"{name}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise BookError(f"{name}: not a text file in UTF-8: {error.reason} at byte {error.start}") from None
    except csv.Error as error:
        raise BookError(f"{name}: not a CSV file: {error}") from None


def _parse(file: Iterable[str], name: str) -> Book:
    reader = csv.reader(file)
    heading = [cell.strip() for cell in next(reader, [])]
    missing = [column for column in COLUMNS if column not in heading]
    if missing:
        found = ", ".join(heading) or "nothing"
        raise BookError(f"{name}: line 1: no column {missing[0]!r}, found {found}; expected {','.join(COLUMNS)}")
    doubles = [column for column in COLUMNS if heading.count(column) > 1]
    if doubles:
        raise BookError(f"{name}: line 1: column {doubles[0]!r} stands twice; expected it once")
    lines: list[_Line] = []
    first_seen: dict[str, int] = {}
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        line = _parse_line(f"{name}: line {reader.line_num}", heading, cells, reader.line_num)
        if line.order_id in first_seen:
            raise BookError(
                f"{name}: line {line.number}: order_id = {line.order_id!r} stands on line"
                f" {first_seen[line.order_id]} already; expected an id of its own"
            )
        first_seen[line.order_id] = line.number
        lines.append(line)
    return _number(lines)


def _parse_line(where: str, heading: list[str], cells: list[str], number: int) -> _Line:
    if len(cells) != len(heading):
        raise BookError(f"{where}: {len(cells)} fields; expected {len(heading)}, as the heading has")
    values = dict(zip(heading, (cell.strip() for cell in cells), strict=True))
    if not values["order_id"] or values["order_id"] == REGULATOR:
        raise BookError(f"{where}: order_id = {values['order_id']!r}; expected a name other than {REGULATOR!r}")
    side = _SIDES.get(values["side"].lower())
    if side is None:
        raise BookError(f"{where}: side = {values['side']!r}; expected buy or sell")
    return _Line(
        number=number,
        order_id=values["order_id"],
        side=side,
        energy_wh=_integer(where, "energy_wh", values["energy_wh"], 1, ENERGY_WH_MAX),
        price_micro=_integer(where, "price_micro", values["price_micro"], 0, PRICE_MICRO_MAX),
        issued_ms=_integer(where, "issued_ms", values["issued_ms"], 0, TIME_MS_MAX),
        region=values["region"],
        reputation_ppm=_integer(where, REPUTATION, values.get(REPUTATION, "0"), 0, REPUTATION_PPM_MAX),
    )


def _integer(where: str, column: str, text: str, lowest: int, highest: int) -> int:
    value = int(text) if _INTEGER.fullmatch(text) else None
    if value is None or not lowest <= value <= highest:
        raise BookError(f"{where}: {column} = {text!r}; expected an integer from {lowest} to {highest}")
    return value


def _number(lines: list[_Line]) -> Book:
    """Give orders the numbers that the market breaks its last ties by, in the order of their ids."""
    all_numbers = all(_INTEGER.fullmatch(line.order_id) for line in lines)
    ranked = sorted(line.order_id for line in lines)
    if all_numbers:
        ranked.sort(key=int)
    numbers = {order_id: index for index, order_id in enumerate(ranked, start=1)}
    orders = tuple(
        Order(
            number=numbers[line.order_id],
            side=line.side,
            energy_wh=line.energy_wh,
            price_micro=line.price_micro,
            issued_ms=line.issued_ms,
            region=line.region,
            reputation_ppm=line.reputation_ppm,
        )
        for line in lines
    )
    return Book(orders, {number: order_id for order_id, number in numbers.items()})


def clear_book(book: Book, mechanism: str, rules: ClearingRules) -> ClearingResult:
    """Clear a book. Raises ConfigurationError for an unknown mechanism."""
    try:
        return clear(mechanism, book.orders, rules)
    except MarketError as error:
        raise ConfigurationError(str(error)) from None


def make_rules(
    price_rule: str,
    region_priority: str,
    crossing_fee_micro: int,
    regulator_limit_micro: int,
    revenue_view: str = "provider",
) -> ClearingRules:
    """Rules for `clear_book`. Raises ConfigurationError for values that contradict each other."""
    try:
        return ClearingRules(
            price_rule=price_rule,
            region_priority=region_priority,
            crossing_fee_micro=crossing_fee_micro,
            ask_limit_micro=regulator_limit_micro,
            revenue_view=revenue_view,
        )
    except MarketError as error:
        raise ConfigurationError(str(error)) from None


def result_json(book: Book, result: ClearingResult) -> dict[str, list[dict[str, int | str]]]:
    """The object that `--json` prints: trades in matching order, and what each order has left."""

    def name(number: int) -> str:
        return REGULATOR if number == STANDING_ASK else book.ids[number]

    return {
        "trades": [
            {
                "buy": name(trade.buy),
                "sell": name(trade.sell),
                "energy_wh": trade.energy_wh,
                "price_micro": trade.price_micro,
            }
            for trade in result.trades
        ],
        "unmatched": [
            {"order_id": name(residual.number), "energy_wh": residual.energy_wh} for residual in result.unmatched
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentQuality:
    """How good the contract's own assignment of a book is: served requests, degrees, and what no one can exceed.

    `best_...` is the best one that the solver found, `gap` its distance from the bound as a share of it.
    """

    requests: int
    served: int
    degree_ppm: int
    best_served: int
    best_degree_ppm: int
    gap: float


def assignment_quality(book: Book, rules: ClearingRules) -> AssignmentQuality:
    """Compare the assignment that `matching` uses with what a solver finds off the chain."""
    from agents.matching_solver import solve
    from market.assignment import own_assignment
    from market.reputation_matching import problem_of

    problem = problem_of(book.orders, rules)
    own, best = problem.worth(own_assignment(problem)), solve(problem, NODES_MAX)
    return AssignmentQuality(
        requests=len(problem.requests),
        served=own.served,
        degree_ppm=own.degree_ppm,
        best_served=best.worth.served,
        best_degree_ppm=best.worth.degree_ppm,
        gap=best.gap,
    )


NODES_MAX: Final = 200
"""How many nodes the solver of `assignment_quality` may search."""
