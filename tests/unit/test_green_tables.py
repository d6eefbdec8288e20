"""Tables 2 and 3 of the green-electricity paper come out to the last digit."""

from __future__ import annotations

import pytest

from agents.green_case import TABLE_2, TABLE_3, GreenMarket, battery_before_grid, play, reserve_micro
from agents.nash import is_equilibrium
from market.orders import Side

# name: equilibrium quote, market, battery, grid (kWh), state of charge after (%), as printed.
PRINTED_2 = {
    "A": (0.68, 0, 4, 0, 52),
    "B": (0.69, 11, 0, 0, 42),
    "C": (0.65, 0, 6, 0, 52),
    "D": (0.68, 5, 5, 0, 48),
}
PRINTED_3 = {
    "E": (0.64, 10, 2, 0, 90),
    "F": (0.64, 0, 13, 0, 92),
    "G": (0.74, 0, 1, 0, 54),
    "H": (0.50, 3, 0, 0, 100),
}


@pytest.mark.parametrize(
    ("table", "printed", "price"), [(TABLE_2, PRINTED_2, 680_000), (TABLE_3, PRINTED_3, 640_000)]
)
def test_the_printed_equilibrium_comes_out(
    table: GreenMarket, printed: dict[str, tuple[float, int, int, int, int]], price: int
) -> None:
    iteration, rows = play(table)
    assert iteration.is_equilibrium
    assert iteration.outcome.price_micro == price
    found = {
        row.name: (
            row.quote_micro / 1e6,
            row.market_wh // 1_000,
            row.battery_wh // 1_000,
            row.grid_wh // 1_000,
            round(row.soc_after * 100),
        )
        for row in rows
    }
    assert found == printed


@pytest.mark.parametrize("table", [TABLE_2, TABLE_3])
def test_all_eight_reserves_follow_from_the_state_of_charge(table: GreenMarket) -> None:
    for row in table.participants:
        assert reserve_micro(table.side, row.soc) == row.printed_reserve_micro


def test_the_first_round_of_table_2_serves_b_and_d_as_the_text_says() -> None:
    first = play(TABLE_2)[0].path[0]
    assert first.served_wh == (0, 11_000, 0, 5_000)
    assert first.price_micro == 690_000


def test_the_first_round_of_table_3_serves_e_and_h_at_one_half() -> None:
    first = play(TABLE_3)[0].path[0]
    assert first.served_wh == (10_000, 0, 0, 3_000)
    assert first.price_micro == 500_000


def test_the_first_round_is_no_equilibrium() -> None:
    from agents.green_case import quoting_market

    assert not is_equilibrium(quoting_market(TABLE_2), play(TABLE_2)[0].path[0])


def test_a_battery_takes_what_fits_and_the_grid_the_rest() -> None:
    assert battery_before_grid(Side.SELL, 10_000, 0.9) == (5_000, 5_000, pytest.approx(1.0))


def test_a_battery_gives_down_to_its_floor_and_the_grid_the_rest() -> None:
    assert battery_before_grid(Side.BUY, 10_000, 0.4) == (5_000, 5_000, pytest.approx(0.3))
