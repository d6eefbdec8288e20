"""A real meter behind all quirks at once, against the energy that truly flowed."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from devices.registers import RegisterLimits, RegisterTrack

LIMITS = RegisterLimits(max_power_w=10_000, stale_after_ms=300_000)
STEP_MS = 10_000

step = st.tuples(
    st.floats(min_value=0, max_value=9_900),  # Power until the next message.
    st.sampled_from(["good"] * 6 + ["zero", "repeat", "old", "spike", "lost", "restart"]),
)


@example(50.0, [(0.0, "zero"), (1.0, "zero"), (0.0, "old")])
@given(st.floats(min_value=0, max_value=1e8), st.lists(step, min_size=1, max_size=60))
def test_dips_spikes_losses_repetitions_and_restarts_never_add_or_lose_energy(
    start_wh: float, steps: list[tuple[float, str]]
) -> None:
    register = RegisterTrack(LIMITS)
    true_wh = start_wh
    register.observe(true_wh, 0, 0)
    last = (true_wh, 0)
    wrong_in_a_row = 0
    for number, (power_w, wanted) in enumerate(steps, start=1):
        at_ms = number * STEP_MS
        before_wh, total_uwh = true_wh, register.total_uwh
        true_wh += power_w * STEP_MS / 3_600_000
        # Three wrong values in a row are another meter, which is another test.
        is_one_too_many = wanted in ("zero", "spike") and wrong_in_a_row >= 2
        quirk = "good" if is_one_too_many else wanted
        if quirk == "zero":
            register.observe(0, at_ms, at_ms)
        elif quirk == "spike":
            register.observe(true_wh + 1e7 + number * 1e6, at_ms, at_ms)
        elif quirk == "repeat":
            register.observe(last[0], at_ms, last[1])
        elif quirk == "old":
            register.observe(max(0, before_wh - 50), at_ms, at_ms - 7 * STEP_MS)
        elif quirk == "restart":
            register = RegisterTrack.from_state(LIMITS, json.loads(json.dumps(register.to_state())))
        elif quirk == "good":
            register.observe(true_wh, at_ms, at_ms)
            last = (true_wh, at_ms)
            wrong_in_a_row = 0
        wrong_in_a_row += quirk in ("zero", "spike")
        assert register.total_uwh >= total_uwh
        assert register.total_uwh <= (true_wh - start_wh) * 1e6 + 2_000_000
    # As soon as the meter is heard again, all of it is there: the register is cumulative.
    end_ms = (len(steps) + 1) * STEP_MS
    register.observe(true_wh, end_ms, end_ms)
    assert abs(register.total_uwh - (true_wh - start_wh) * 1e6) <= 1_100_000


@given(st.lists(st.floats(min_value=0, max_value=1e9), max_size=40))
def test_no_sequence_of_values_books_more_than_the_largest_power_allows(values: list[float]) -> None:
    register = RegisterTrack(LIMITS)
    for number, value in enumerate(values):
        before_uwh = register.total_uwh
        register.observe(value, number * STEP_MS)
        assert register.total_uwh >= before_uwh
        allowed_wh = LIMITS.max_power_w * (number * (STEP_MS + 2_000) * 2) / 3_600_000 + 1_001
        assert register.total_uwh <= allowed_wh * 1e6
