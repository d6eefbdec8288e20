"""Reputation after Cui 2022, eqs. (1) and (2), and the numbers of its figure 4."""

from __future__ import annotations

import pytest
from market_world import World, row_of

from market.reputation import completion_ppm, comprehensive_ppm, current_ppm

ALPHA_PPM = 400_000
CAP_PPM = 1_200_000


def course(completion: int, periods: int) -> list[int]:
    reputation, values = 0, []
    for _ in range(periods):
        reputation = comprehensive_ppm(current_ppm([completion]), reputation, ALPHA_PPM)
        values.append(reputation)
    return values


@pytest.mark.parametrize(
    ("completion", "figure"),
    [
        (1_100_000, [0.44, 0.704, 0.8624, 0.9574, 1.0145, 1.0487, 1.0692, 1.0815, 1.0889, 1.0933]),
        (500_000, [0.2, 0.32, 0.392, 0.4352, 0.4611, 0.4767, 0.486, 0.4916, 0.495, 0.497]),
    ],
)
def test_the_courses_of_figure_4_come_out(completion: int, figure: list[float]) -> None:
    for value, expected in zip(course(completion, 10), figure, strict=True):
        assert abs(value / 1_000_000 - expected) < 0.000_06


def test_an_honest_provider_stays_above_one_from_the_fifth_period_only_by_over_delivering() -> None:
    assert [value > 1_000_000 for value in course(1_100_000, 8)] == [False] * 4 + [True] * 4
    assert all(value < 1_000_000 for value in course(1_000_000, 50))


def test_completion_is_delivered_over_agreed_and_capped() -> None:
    assert completion_ppm(75, 100, CAP_PPM) == 750_000
    assert completion_ppm(900, 100, CAP_PPM) == CAP_PPM
    assert completion_ppm(-5, 100, CAP_PPM) == 0
    assert completion_ppm(1, 3, CAP_PPM) == 333_333


def test_the_current_reputation_is_the_mean_over_trades() -> None:
    assert current_ppm([1_000_000, 500_000]) == 750_000


def market() -> World:
    world = World(ask_limit_micro=0)
    world.join("ann")
    world.join("bob")
    return world


def trade(world: World, energy_wh: int) -> None:
    world.buy("ann", energy_wh, 200_000)
    world.sell("bob", energy_wh, 100_000)


def test_a_sellers_reputation_follows_its_meter() -> None:
    world = market()
    trade(world, 1000)
    _, settlement = world.run_period(ann=-1000, bob=500)
    assert row_of(settlement, "bob").reputation_ppm == 200_000
    trade(world, 1000)
    _, settlement = world.run_period(ann=-1000, bob=500)
    assert row_of(settlement, "bob").reputation_ppm == 320_000


def test_without_trades_or_readings_reputation_does_not_change() -> None:
    world = market()
    trade(world, 1000)
    world.run_period(ann=-1000, bob=1000)
    assert world.account("bob").reputation_ppm == 400_000
    world.run_period(ann=0, bob=5)
    assert world.account("bob").reputation_ppm == 400_000
    trade(world, 1000)
    world.run_period(ann=-1000)
    assert world.account("bob").reputation_ppm == 400_000


def test_buyers_have_no_reputation_to_win() -> None:
    world = market()
    trade(world, 1000)
    world.run_period(ann=-1000, bob=1000)
    assert world.account("ann").reputation_ppm == 0
