"""Two runs with the same seed, on real processes and a real broker, trade the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_harness import STREET, Ended, LiveRun, assert_ended_well, live_run, require_one_view

pytestmark = pytest.mark.e2e

# Keys and the chain's name are new in each run, and times are the clock's.
TABLES = {
    "trades": (),
    "settlements": (),
    "prices": (),
    "orders": ("height",),
    "telemetry": (),
    "periods": ("closed_ms", "settled_ms"),
}


def table(run: LiveRun, name: str, without: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Rows as a set would hold them: the order of rows of one period follows from random keys."""
    return sorted(tuple(value for column, value in row.items() if column not in without) for row in run.rows(name))


def test_the_same_seed_gives_the_same_trades_and_payments(finished: tuple[LiveRun, Ended], tmp_path: Path) -> None:
    first, _ = finished
    with live_run(tmp_path / "again", "--periods", "8") as second:
        assert_ended_well(second.finish(), 8)
        require_one_view(first, second)
        assert second.rows("trades") == first.rows("trades")
        for name, without in TABLES.items():
            assert table(second, name, without) == table(first, name, without), name


def test_another_seed_gives_other_trades(tmp_path: Path) -> None:
    with (
        live_run(tmp_path / "one", "--periods", "3", "--seed", "1", scenario=STREET) as one,
        live_run(tmp_path / "two", "--periods", "3", "--seed", "2", scenario=STREET) as two,
    ):
        assert_ended_well(one.finish(), 3)
        assert_ended_well(two.finish(), 3)
        assert one.rows("trades") != two.rows("trades")
