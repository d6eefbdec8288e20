import pytest

from agents.battery_plan import look_ahead, plan_with_battery, plan_without_battery
from agents.speculation import Storage

EVENING = [-900] * 6
"""More than a full battery gives."""


def storage(charge_wh: float, capacity_wh: float = 4_000) -> Storage:
    return Storage(capacity_wh=capacity_wh, power_w=4_000, efficiency=1.0, floor_wh=0, charge_wh=charge_wh)


def test_without_a_battery_the_surplus_is_sold_and_the_deficit_bought() -> None:
    assert plan_without_battery(300).sell_wh == 300
    assert plan_without_battery(-300).need_wh == 300


def test_a_battery_serves_the_own_deficit_first() -> None:
    plan = plan_with_battery(storage(1_000), [-400, -300, -300], 0.25)
    assert (plan.sell_wh, plan.need_wh) == (0, 0)


def test_what_the_battery_cannot_give_is_bought() -> None:
    assert plan_with_battery(storage(100), [-400], 0.25).need_wh == 300


def test_charge_that_own_use_will_never_need_is_spare() -> None:
    reserve = look_ahead(storage(3_000), [-500, -500], 0.25)
    assert reserve.spare_wh == 2_000
    assert reserve.wanted_wh == 0


def test_charge_is_spare_as_far_as_the_sun_would_fill_the_battery_again() -> None:
    assert look_ahead(storage(3_000), [-500, 1_000, 1_000, *EVENING], 0.25).spare_wh == 500
    assert look_ahead(storage(3_000), [-500, *[1_000] * 6, *EVENING], 0.25).spare_wh == 2_500


def test_charge_is_not_spare_when_it_is_needed_before_the_sun() -> None:
    assert look_ahead(storage(1_000), [-600, -600, 1_000], 0.25).spare_wh == 0


def test_room_is_wanted_for_what_must_be_bought_later() -> None:
    reserve = look_ahead(storage(0), [-600, -600], 0.25)
    assert reserve.wanted_wh == 1_200
    assert reserve.spare_wh == 0


def test_no_more_is_wanted_than_there_is_room_for() -> None:
    assert look_ahead(storage(3_500), [-1_000] * 8, 0.25).wanted_wh == 500


def test_room_that_own_sun_will_fill_is_not_wanted() -> None:
    assert look_ahead(storage(0), [1_000] * 4 + [-900] * 6, 0.25).wanted_wh == 0
    assert look_ahead(storage(0), [-300] + [1_000] * 4 + [-900] * 6, 0.25).wanted_wh == 300


def test_the_battery_fills_in_the_sunniest_periods_and_earlier_surplus_is_sold() -> None:
    day = [200, 700, 800, 700, *EVENING]
    # Room for 2,100; the sunnier periods are trusted for nine tenths of their 2,200, the rest is taken now.
    assert plan_with_battery(storage(1_900), day, 0.25).sell_wh == pytest.approx(80)
    assert plan_with_battery(storage(2_100), day, 0.25).sell_wh == pytest.approx(200 + 0.9 * 300)
    assert plan_with_battery(storage(2_500), day[2:], 0.25).sell_wh == pytest.approx(0)


def test_a_battery_that_the_sun_fills_anyway_sells_in_the_morning_too() -> None:
    plan = plan_with_battery(storage(3_000), [200, 900, 1_000, 900, -400], 0.25)
    assert plan.sell_wh == pytest.approx(200 + 0.9 * 1_000)


def test_a_full_battery_sells_all_surplus_and_what_later_surplus_brings_again() -> None:
    assert plan_with_battery(storage(4_000), [700, *EVENING], 0.25).sell_wh == 700
    plan = plan_with_battery(storage(4_000), [700, 600, *EVENING], 0.25)
    assert plan.sell_wh == pytest.approx(700 + 0.9 * 600)


def test_spare_charge_is_sold_at_night_with_some_caution() -> None:
    plan = plan_with_battery(storage(3_000), [-100, -100] + [1_000] * 8, 0.25)
    assert plan.sell_wh == pytest.approx(0.9 * 900)
    assert plan_with_battery(storage(200), [-100, -100, 1_000], 0.25).sell_wh == 0


def test_nobody_is_told_to_buy_and_sell_at_once() -> None:
    for charge in range(0, 4_001, 250):
        for surplus in range(-1_500, 1_501, 100):
            plan = plan_with_battery(storage(charge), [surplus, 300, -800, -800], 0.25)
            assert not (plan.sell_wh > 0 and (plan.need_wh > 0 or plan.charge_wh > 0))
            assert min(plan.sell_wh, plan.need_wh, plan.charge_wh) >= 0
