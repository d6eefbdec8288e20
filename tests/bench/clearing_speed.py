"""How long clearing takes: python tests/bench/clearing_speed.py [ORDERS ...]

CPU seconds of one clearing of one double auction, best of three: the simple path, the array path with its
orders and trades as objects (what the contract runs), and the array path on columns alone.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from market.array_matching import BookColumns, array_matching, match_columns
from market.clearing_types import ClearingRules
from market.high_low_matching import order_by_order
from market.orders import Order, Side

SIZES = (1_000, 10_000, 100_000)


def book_of(orders: int, seed: int = 1) -> list[Order]:
    """Random bids and asks of one region that cross in the middle."""
    rng = random.Random(seed)
    return [
        Order(
            number=number,
            side=rng.choice((Side.BUY, Side.SELL)),
            energy_wh=rng.randrange(1, 5_000),
            price_micro=rng.randrange(50_000, 350_000),
            issued_ms=rng.randrange(10**6),
        )
        for number in range(1, orders + 1)
    ]


def cpu_seconds(work: Callable[[], object]) -> float:
    """The best of three, so that a busy machine shows less."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or list(SIZES)
    rules = ClearingRules()
    print(f"{'orders':>9} {'simple':>9} {'arrays':>9} {'columns':>9}   CPU seconds")
    for size in sizes:
        book = book_of(size)
        columns = BookColumns.of(book)
        assert array_matching(book, rules) == order_by_order(book, rules)
        times = (
            cpu_seconds(lambda book=book: order_by_order(book, rules)),  # type: ignore[misc]
            cpu_seconds(lambda book=book: array_matching(book, rules)),  # type: ignore[misc]
            cpu_seconds(lambda columns=columns: match_columns(columns, rules)),  # type: ignore[misc]
        )
        print(f"{size:>9,} " + " ".join(f"{seconds:>9.4f}" for seconds in times))


if __name__ == "__main__":
    main()
