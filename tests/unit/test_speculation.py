import pytest

from agents.speculation import PriceWindow, Stance, Storage, StoredCost, stance


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ((100.0, 98.9), Stance.BUY),
        ((100.0, 101.1), Stance.SELL),
        ((100.0, 99.1), Stance.WAIT),
        ((100.0, 80.0, 100.5), Stance.WAIT),
        ((100.0,), Stance.WAIT),
        ((), Stance.WAIT),
        ((0.0, 5.0), Stance.WAIT),
    ],
)
def test_it_buys_after_a_fall_and_sells_after_a_rise_beyond_the_threshold(
    prices: tuple[float, ...], expected: Stance
) -> None:
    assert stance(prices, 0.01) is expected


def test_the_window_spans_as_many_periods_as_it_says() -> None:
    window = PriceWindow(2)
    for price in (1.0, 2.0, 3.0, 4.0):
        window.add(price)
    assert window.prices_micro == (2.0, 3.0, 4.0)
    assert window.last_micro == 4.0


def storage(charge_wh: float) -> Storage:
    return Storage(capacity_wh=10_000, power_w=4_000, efficiency=0.9, floor_wh=1_000, charge_wh=charge_wh)


def test_a_battery_takes_what_power_and_room_allow() -> None:
    assert storage(5_000).takes_wh(0.25) == 1_000
    assert storage(9_550).takes_wh(0.25) == pytest.approx(500)
    assert storage(10_000).takes_wh(0.25) == 0


def test_a_battery_gives_what_power_and_charge_above_the_floor_allow() -> None:
    assert storage(5_000).gives_wh(0.25) == 1_000
    assert storage(1_500).gives_wh(0.25) == pytest.approx(450)
    assert storage(900).gives_wh(0.25) == 0


def test_stored_energy_costs_the_mean_of_what_was_paid_for_it() -> None:
    cost = StoredCost(0, 80_000)
    cost.bought(100, 100_000)
    cost.bought(300, 200_000)
    assert cost.mean_micro == pytest.approx(175_000)


def test_selling_leaves_the_mean_cost_and_an_empty_battery_remembers_it() -> None:
    cost = StoredCost(0, 80_000)
    cost.bought(1_000, 100_000)
    cost.sold(405, 0.81)
    assert cost.mean_micro == pytest.approx(100_000)
    cost.sold(10_000, 0.81)
    assert cost.mean_micro == pytest.approx(100_000)
