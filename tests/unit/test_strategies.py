"""Huang 2022, eqs. (1) to (5), a sentence a test."""

import random

import pytest

from agents.scenario_sections import StrategySection
from agents.strategies import (
    PRESETS,
    ConsumerState,
    Outcome,
    ProducerState,
    StrategyRules,
    Sums,
    consumer_profit_nano,
    next_consumer,
    next_producer,
    producer_profit_nano,
)

COST = 20_000.0
VALUE = 50_000.0


class Draws:
    """Chance that is known beforehand."""

    def __init__(self, *draws: float) -> None:
        self.draws = list(draws)

    def random(self) -> float:
        return self.draws.pop(0)


def rules(preset: str = "paper", sigma: float = 500.0) -> StrategyRules:
    return StrategyRules(
        preset=PRESETS[preset], price_step_micro=1_500.0, profit_tolerance_nano=1_000.0, idle_loss_nano=sigma
    )


def producer(ask: float = 30_000.0, profit: float | None = None, **fields: object) -> ProducerState:
    return ProducerState(ask_micro=ask, profit_nano=profit, **fields)  # type: ignore[arg-type]


SOLD = Outcome(energy_wh=100, price_micro=35_000)
UNSOLD = Outcome(energy_wh=0)


def test_profit_is_the_sold_quantity_times_own_ask_less_cost() -> None:
    assert producer_profit_nano(producer(30_000), SOLD, COST, rules()) == 100 * (30_000 - 20_000)


def test_true_surplus_counts_what_the_trade_paid() -> None:
    assert producer_profit_nano(producer(30_000), SOLD, COST, rules("true-surplus")) == 100 * (35_000 - 20_000)


def test_a_producer_that_sold_nothing_loses_sigma() -> None:
    assert producer_profit_nano(producer(), UNSOLD, COST, rules(sigma=500)) == -500


def test_rising_profit_raises_the_ask_by_one_step_and_is_collected() -> None:
    state = next_producer(producer(30_000, 100.0), SOLD, COST, rules(), Draws(0.9, 0.9))
    assert state.ask_micro == 31_500
    assert state.price_sums == Sums(up_nano=1_000_000.0)


def test_falling_profit_lowers_the_ask_by_one_step_and_is_collected_on_the_other_side() -> None:
    state = next_producer(producer(30_000, 2_000_000.0), SOLD, COST, rules(), Draws(0.1, 0.1))
    assert state.ask_micro == 28_500
    assert state.price_sums == Sums(down_nano=1_000_000.0)


def test_level_profit_moves_up_by_a_part_of_a_step_when_the_draw_is_below_the_chance() -> None:
    sums = Sums(up_nano=3.0, down_nano=1.0)
    before = producer(30_000, 1_000_500.0, price_sums=sums)
    assert sums.chance_up == 0.75
    assert next_producer(before, SOLD, COST, rules(), Draws(0.7, 0.5)).ask_micro == 30_000 + 0.7 * 1_500
    assert next_producer(before, SOLD, COST, rules(), Draws(0.75, 0.5)).ask_micro == 30_000 - 0.75 * 1_500


def test_the_chance_is_even_before_anything_was_collected() -> None:
    assert Sums().chance_up == 0.5


def test_the_first_step_has_no_change_of_profit_and_moves_by_chance() -> None:
    state = next_producer(producer(30_000, None), SOLD, COST, rules(), Draws(0.2, 0.2))
    assert state.ask_micro == 30_000 + 0.2 * 1_500
    assert state.price_sums == Sums()


def test_losses_are_never_collected_but_by_the_literal_reading() -> None:
    before = producer(30_000, 1_000_000.0)
    paper = next_producer(before, UNSOLD, COST, rules("paper"), Draws(0.5, 0.5))
    literal = next_producer(before, UNSOLD, COST, rules("literal"), Draws(0.5, 0.5))
    assert paper.price_sums.down_nano == 0
    assert literal.price_sums.down_nano == -500


@pytest.mark.parametrize(
    ("preset", "ask"), [("paper", 25_000), ("true-surplus", 25_000), ("full-reset", 20_000), ("literal", 20_000)]
)
def test_an_unsold_ask_goes_back_towards_cost_as_far_as_the_preset_says(preset: str, ask: float) -> None:
    state = next_producer(producer(30_000, 1_000_000.0), UNSOLD, COST, rules(preset), Draws(0.5, 0.5))
    assert state.ask_micro == ask


def test_quantity_moves_with_the_price_by_two_percent_and_within_its_limits() -> None:
    rising = next_producer(producer(share=0.9, profit=100.0), SOLD, COST, rules(), Draws(0.5, 0.5))
    assert rising.share == pytest.approx(0.92)
    falling = next_producer(producer(share=0.705, profit=2e6), SOLD, COST, rules(), Draws(0.5, 0.5))
    assert falling.share == 0.7
    full = next_producer(producer(share=1.0, profit=100.0), SOLD, COST, rules(), Draws(0.5, 0.5))
    assert full.share == 1.0


def test_the_literal_reading_has_no_floor_under_the_quantity() -> None:
    state = producer(share=0.05, profit=2e6)
    for _ in range(4):
        state = next_producer(state, UNSOLD, COST, rules("literal", sigma=1e9), Draws(0.9, 0.9))
    assert state.share < 0.05


def test_price_and_quantity_have_draws_of_their_own() -> None:
    state = next_producer(producer(share=0.9), SOLD, COST, rules(), Draws(0.4, 0.6))
    assert state.ask_micro == 30_000 + 0.4 * 1_500
    assert state.share == pytest.approx(0.9 - 0.6 * 0.02)


def test_a_consumers_profit_is_the_received_energy_times_value_less_price() -> None:
    assert consumer_profit_nano(Outcome(energy_wh=10, price_micro=40_000), VALUE) == 100_000


@pytest.mark.parametrize(("before", "move"), [(0.0, 1_500), (1e9, -1_500)])
def test_a_consumers_bid_follows_its_profit(before: float, move: float) -> None:
    state = ConsumerState(bid_micro=40_000, profit_nano=before)
    served = Outcome(energy_wh=10, price_micro=40_000)
    assert next_consumer(state, served, VALUE, rules(), Draws(0.5, 0.5)).bid_micro == 40_000 + move


@pytest.mark.parametrize(("coin", "sign"), [(0.4, 1), (0.6, -1)])
def test_the_random_move_of_a_bid_has_a_fair_sign(coin: float, sign: int) -> None:
    state = ConsumerState(bid_micro=40_000, profit_nano=100_000.0)
    served = Outcome(energy_wh=10, price_micro=40_000)
    assert next_consumer(state, served, VALUE, rules(), Draws(0.3, coin)).bid_micro == 40_000 + sign * 0.3 * 1_500


def test_an_unserved_consumer_bids_its_value() -> None:
    state = ConsumerState(bid_micro=30_000, profit_nano=100.0)
    assert next_consumer(state, UNSOLD, VALUE, rules(), Draws(0.5, 0.5)).bid_micro == VALUE
    literal = next_consumer(state, UNSOLD, VALUE, rules("literal"), Draws(0.5, 0.5))
    assert literal.bid_micro < 30_001


def test_a_bid_never_exceeds_the_value() -> None:
    state = ConsumerState(bid_micro=49_900, profit_nano=0.0)
    served = Outcome(energy_wh=1000, price_micro=40_000)
    assert next_consumer(state, served, VALUE, rules(), Draws(0.5, 0.5)).bid_micro == VALUE


def test_the_literal_reading_bids_above_value_until_a_loss_brings_it_back() -> None:
    state = ConsumerState(bid_micro=49_900, profit_nano=0.0)
    above = next_consumer(
        state, Outcome(energy_wh=1000, price_micro=40_000), VALUE, rules("literal"), Draws(0.5, 0.5)
    )
    assert above.bid_micro == 51_400
    paid_too_much = Outcome(energy_wh=1000, price_micro=51_000)
    assert next_consumer(above, paid_too_much, VALUE, rules("literal"), Draws(0.5, 0.5)).bid_micro == VALUE


def test_asks_stay_above_cost_and_bids_below_value_whatever_happens() -> None:
    rng = random.Random(3)
    seller, buyer = producer(21_000), ConsumerState(bid_micro=49_000)
    for _ in range(2_000):
        outcome = Outcome(energy_wh=rng.choice((0, 50, 100)), price_micro=rng.uniform(20_000, 50_000))
        seller = next_producer(seller, outcome, COST, rules(), rng)
        buyer = next_consumer(buyer, outcome, VALUE, rules(), rng)
        assert seller.ask_micro >= COST
        assert 0 <= buyer.bid_micro <= VALUE
        assert 0.7 <= seller.share <= 1
        assert 0 <= seller.price_sums.chance_up <= 1


def test_a_scenario_says_its_constants_in_its_own_units() -> None:
    section = StrategySection(preset="full-reset", price_step_micro=2_000, quantity_step_ppm=30_000)
    made = StrategyRules.of(section)
    assert made.preset.reset_ppm == 1_000_000
    assert (made.price_step_micro, made.quantity_step) == (2_000.0, 0.03)
