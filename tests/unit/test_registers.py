"""Registers of real meters: every quirk has one outcome, and no energy is invented or booked twice."""

from __future__ import annotations

import json

import pytest

from devices.power_integration import PowerIntegrator
from devices.registers import Level, Outcome, RegisterLimits, RegisterTrack

LIMITS = RegisterLimits(max_power_w=10_000, stale_after_ms=300_000)
MINUTE = 60_000
WH = 1_000_000


def track(*values: tuple[float, float], limits: RegisterLimits = LIMITS) -> tuple[RegisterTrack, list[Outcome]]:
    """A register that has seen (minute, Wh) values, and what each did."""
    register = RegisterTrack(limits)
    return register, [register.observe(wh, round(minute * MINUTE)) for minute, wh in values]


def test_energy_counts_from_the_first_value() -> None:
    register, outcomes = track((0, 5_000_000), (1, 5_000_050), (2, 5_000_080.5))
    assert outcomes == [Outcome.BASELINE, Outcome.COUNTED, Outcome.COUNTED]
    assert register.total_uwh == 80_500_000


def test_a_register_that_stands_still_is_alive() -> None:
    register, outcomes = track((0, 100), (4, 100), (8, 100))
    assert outcomes[1:] == [Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert not register.is_stale(12 * MINUTE)
    assert register.is_stale(14 * MINUTE)


def test_the_same_message_again_is_no_sign_of_life() -> None:
    register = RegisterTrack(LIMITS)
    register.observe(100, 0, order_ms=77)
    assert register.observe(100, 4 * MINUTE, order_ms=77) is Outcome.DUPLICATE
    assert register.is_stale(6 * MINUTE)
    assert register.observe(100, 7 * MINUTE, order_ms=78) is Outcome.UNCHANGED


def test_an_older_message_changes_nothing() -> None:
    register = RegisterTrack(LIMITS)
    register.observe(100, 0, order_ms=1_000)
    register.observe(150, MINUTE, order_ms=61_000)
    assert register.observe(120, 2 * MINUTE, order_ms=31_000) is Outcome.OUT_OF_ORDER
    assert register.observe(110, 30_000) is Outcome.OUT_OF_ORDER
    assert register.total_uwh == 50 * WH


def test_a_clock_set_back_an_hour_loses_no_energy() -> None:
    register = RegisterTrack(LIMITS)
    register.observe(100, 0, order_ms=3_600_000)
    assert register.observe(150, MINUTE, order_ms=60_000) is Outcome.COUNTED
    assert register.observe(150, 2 * MINUTE, order_ms=120_000) is Outcome.UNCHANGED


def test_rounding_backwards_is_no_reset() -> None:
    register, outcomes = track((0, 1_000), (1, 1_050), (2, 1_049.5), (3, 1_060))
    assert outcomes[2:] == [Outcome.JITTER, Outcome.COUNTED]
    assert register.total_uwh == 60 * WH


def test_a_transient_zero_loses_nothing() -> None:
    register, outcomes = track((0, 465_000), (1, 465_100), (2, 0), (3, 465_200))
    assert outcomes[2:] == [Outcome.HELD, Outcome.RESUMED]
    assert register.total_uwh == 200 * WH


def test_a_zero_that_lasts_the_night_is_not_a_reset() -> None:
    night = [(10 + minute, 0.0) for minute in range(0, 600, 5)]
    register, outcomes = track((0, 465_000), (5, 465_100), *night, (620, 465_100), (625, 465_150))
    assert set(outcomes[2:-2]) == {Outcome.HELD}
    assert outcomes[-2:] == [Outcome.RESUMED, Outcome.COUNTED]
    assert register.total_uwh == 150 * WH
    assert register.events == []


def test_a_reset_is_confirmed_by_what_follows_and_what_it_counted_is_booked() -> None:
    register, outcomes = track((0, 90_000), (1, 90_050), (2, 20), (3, 40), (4, 60), (5, 80))
    assert outcomes[2:] == [Outcome.HELD, Outcome.HELD, Outcome.RESET, Outcome.COUNTED]
    assert register.total_uwh == (50 + 80) * WH
    assert register.events == [(4 * MINUTE, Outcome.RESET)]


def test_an_announced_reset_is_taken_at_once() -> None:
    register, _ = track((0, 90_000), (1, 90_050))
    register.announce_reset(0, 2 * MINUTE)
    assert register.observe(30, 3 * MINUTE) is Outcome.COUNTED
    assert register.total_uwh == 80 * WH


def test_another_meter_is_a_new_baseline_and_books_nothing() -> None:
    register, outcomes = track((0, 9_000_000), (1, 9_000_100), (2, 4_521_000), (3, 4_521_050), (4, 4_521_100))
    assert outcomes[2:] == [Outcome.HELD, Outcome.HELD, Outcome.SWAPPED]
    assert register.total_uwh == 100 * WH
    assert register.observe(4_521_150, 5 * MINUTE) is Outcome.COUNTED
    assert register.total_uwh == 150 * WH


def test_a_jump_beyond_the_largest_power_is_never_booked() -> None:
    register, outcomes = track((0, 1_000), (1, 1_100), (2, 90_000), (3, 1_200))
    assert outcomes[2:] == [Outcome.HELD, Outcome.RESUMED]
    assert register.total_uwh == 200 * WH
    high, outcomes = track((0, 1_000), (1, 1_100), (2, 90_000), (3, 90_050), (4, 90_100), (5, 90_150))
    assert outcomes[4:] == [Outcome.SWAPPED, Outcome.COUNTED]
    assert high.total_uwh == 150 * WH


def test_a_level_that_comes_back_is_taken_up_where_it_was_left() -> None:
    # The sum of two inverters of which one was out of reach for an hour.
    register, outcomes = track(
        (0, 5_000_000), (1, 5_000_100), (2, 3_000_000), (3, 3_000_020), (4, 3_000_040), (60, 5_000_900)
    )
    assert outcomes[4:] == [Outcome.SWAPPED, Outcome.RESUMED]
    assert register.total_uwh == 900 * WH


@pytest.mark.parametrize(("last_kwh", "limit_wh"), [(9_999.95, None), (99_999.95, None), (7_999.95, 8_000_000)])
def test_a_roll_over_goes_on_counting(last_kwh: float, limit_wh: int | None) -> None:
    limits = RegisterLimits(max_power_w=10_000, stale_after_ms=300_000, roll_over_wh=limit_wh)
    end = last_kwh * 1_000
    register, outcomes = track((0, end - 50), (1, end), (2, 10), (3, 40), (4, 70), limits=limits)
    assert outcomes[2:] == [Outcome.HELD, Outcome.HELD, Outcome.ROLLED_OVER]
    assert register.total_uwh == (50 + 50 + 70) * WH


def test_a_dip_near_a_round_number_is_not_a_roll_over() -> None:
    register, outcomes = track((0, 9_999_900), (1, 9_999_950), (2, 0), (3, 10_000_000))
    assert outcomes[2:] == [Outcome.HELD, Outcome.RESUMED]
    assert register.total_uwh == 100 * WH


def test_a_register_in_steps_of_a_kilowatt_hour_is_believed() -> None:
    # 2 kW: a step every half hour, and the first one seconds after the first value.
    values = [(0.0, 5_000.0), (0.2, 6_000.0)] + [
        (minute, 6_000.0 + minute // 30 * 1_000) for minute in range(1, 121)
    ]
    register, outcomes = track(*values)
    assert Outcome.HELD not in outcomes
    assert register.total_uwh == 5_000 * WH


@pytest.mark.parametrize("value", [-1.0, 1e13, float("inf"), float("nan")])
def test_what_no_register_shows_is_invalid(value: float) -> None:
    register, _ = track((0, 100))
    assert register.observe(value, MINUTE) is Outcome.INVALID
    assert register.at_ms == 0


def test_a_moment_between_two_values_is_interpolated() -> None:
    register, _ = track((0, 0), (4, 400))
    assert register.level_at(MINUTE) == Level(100 * WH, interpolated=True)
    assert register.level_at(0) == Level(0)


def test_between_distant_values_it_is_an_estimate() -> None:
    register, _ = track((0, 0), (60, 6_000))
    assert register.level_at(15 * MINUTE) == Level(1_500 * WH, estimated=True)


def test_nothing_is_known_before_the_first_value_or_long_after_the_last() -> None:
    register, _ = track((10, 0), (11, 100))
    assert register.level_at(9 * MINUTE) is None
    assert register.level_at(17 * MINUTE) is None
    assert register.level_at(12 * MINUTE) == Level(200 * WH, estimated=True)


def test_what_is_booked_is_forgotten_but_for_the_point_to_interpolate_from() -> None:
    register, _ = track((0, 0), (1, 100), (2, 200), (4, 400))
    register.forget_before(round(3 * MINUTE))
    assert [point.at_ms for point in register.points] == [2 * MINUTE, 4 * MINUTE]
    assert register.level_at(3 * MINUTE) == Level(300 * WH, interpolated=True)


def test_memory_is_bounded() -> None:
    register, _ = track(*((second / 60, float(second)) for second in range(5_000)))
    assert len(register.points) <= 1_024
    assert len(register.to_state()["points"]) <= 50  # type: ignore[arg-type]
    assert register.level_at(2_500_000) is not None


def test_a_saved_register_goes_on_as_if_nothing_had_happened() -> None:
    values = [(0.0, 90_000.0), (1, 90_050), (2, 20), (3, 40), (4, 60), (5, 80), (6, 0), (7, 95)]
    whole, _ = track(*values)
    for cut in range(len(values)):
        first, _ = track(*values[:cut])
        saved = json.loads(json.dumps(first.to_state()))
        second = RegisterTrack.from_state(LIMITS, saved)
        for minute, wh in values[cut:]:
            second.observe(wh, round(minute * MINUTE))
        assert second.to_state() == whole.to_state()


def test_power_is_integrated_in_both_directions() -> None:
    imports, exports = RegisterTrack(LIMITS), RegisterTrack(LIMITS)
    integrator = PowerIntegrator(LIMITS)
    for minute, power_w in [(0, 1_000.0), (60, 1_000.0), (120, -1_000.0), (180, -1_000.0)]:
        assert integrator.observe(power_w, minute * MINUTE, imports, exports)
    assert imports.total_uwh == pytest.approx(1_250 * WH)
    assert exports.total_uwh == pytest.approx(1_250 * WH)


def test_power_beyond_the_limit_or_from_the_past_is_refused() -> None:
    imports, exports = RegisterTrack(LIMITS), RegisterTrack(LIMITS)
    integrator = PowerIntegrator(LIMITS)
    integrator.observe(100, MINUTE, imports, exports)
    assert not integrator.observe(50_000, 2 * MINUTE, imports, exports)
    assert not integrator.observe(100, 0, imports, exports)
    assert integrator.at_ms == MINUTE
