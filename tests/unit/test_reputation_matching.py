"""Reputation matching: revenue, degree, one provider a request, and submitted assignments."""

from __future__ import annotations

from market_world import REGULATOR, World, key

from market.assignment import Problem, Worth, greedy, improve, own_assignment
from market.clearing import ClearingRules, clear
from market.matching_degree import allowed_pairs, degree_ppm, revenue_nano
from market.offer_transactions import RequestSupply, SubmitAssignment
from market.orders import STANDING_ASK, Order, Side
from market.receipts import ReasonCode


def request(number: int, energy_wh: int, price_micro: int = 300_000, region: str = "east", **more: bool) -> Order:
    return Order(number=number, side=Side.BUY, energy_wh=energy_wh, price_micro=price_micro, region=region, **more)


def offer(number: int, energy_wh: int, price_micro: int, reputation: float, region: str = "east") -> Order:
    return Order(
        number=number,
        side=Side.SELL,
        energy_wh=energy_wh,
        price_micro=price_micro,
        region=region,
        reputation_ppm=round(reputation * 1e6),
    )


def problem(*book: Order, fee_micro: int = 0, view: str = "provider") -> Problem:
    return Problem.of(book, fee_micro, view)


def served(book: list[Order], rules: ClearingRules | None = None) -> dict[int, int]:
    return {trade.buy: trade.sell for trade in clear("matching", book, rules or ClearingRules()).trades}


def test_the_degree_is_the_half_harmonic_mean_of_revenue_and_reputation() -> None:
    assert degree_ppm(1_000_000, 1_000_000) == 500_000
    assert degree_ppm(600_000, 300_000) == 200_000


def test_a_degree_of_nothing_and_nothing_is_nothing() -> None:
    assert degree_ppm(0, 0) == 0


def test_revenue_is_the_bill_less_the_crossing_fee() -> None:
    one, ask = request(1, 1_000), offer(2, 5_000, 200_000, 1.0)
    assert revenue_nano(one, ask, 40_000, "provider") == 1_000 * 160_000
    assert revenue_nano(one, ask, 40_000, "user") == 1_000 * 60_000


def test_the_unit_of_the_currency_does_not_change_the_degrees() -> None:
    def degrees(scale: int) -> list[int]:
        requests = [request(1, 500, 3_000 * scale), request(2, 900, 3_000 * scale)]
        offers = [offer(3, 2_000, 1_000 * scale, 0.9), offer(4, 2_000, 2_000 * scale, 0.4)]
        return [pair.degree_ppm for pair in allowed_pairs(requests, offers, 0, "provider").values()]

    assert degrees(1) == degrees(100)


def test_a_pair_with_negative_revenue_is_forbidden_and_the_others_stay() -> None:
    book = [request(1, 100, region="west"), request(2, 100), offer(3, 500, 30_000, 1.0)]
    assert served(book, ClearingRules(crossing_fee_micro=40_000)) == {2: 3}


def test_a_provider_serves_several_requests_within_its_capacity_and_not_beyond() -> None:
    book = [request(1, 400), request(2, 400), request(3, 400), offer(4, 1_000, 100_000, 1.0)]
    assert served(book) == {1: 4, 2: 4}


def test_a_request_is_served_whole_by_one_provider_or_not_at_all() -> None:
    book = [request(1, 1_000), offer(2, 600, 100_000, 1.0), offer(3, 600, 100_000, 1.0)]
    result = clear("matching", book, ClearingRules())
    assert result.trades == ()
    assert len(result.unmatched) == 3


def test_the_better_reputation_wins_at_an_equal_price() -> None:
    assert served([request(1, 100), offer(2, 500, 100_000, 0.3), offer(3, 500, 100_000, 0.9)]) == {1: 3}


def test_the_providers_view_favours_the_dearest_and_the_users_the_cheapest() -> None:
    book = [request(1, 100), offer(2, 500, 100_000, 0.9), offer(3, 500, 250_000, 0.9)]
    assert served(book) == {1: 3}
    assert served(book, ClearingRules(revenue_view="user")) == {1: 2}


def test_newcomers_without_reputation_are_served_by_price_then_number() -> None:
    book = [request(1, 100), offer(2, 500, 200_000, 0.0), offer(4, 500, 100_000, 0.0), offer(3, 500, 100_000, 0.0)]
    assert served(book) == {1: 3}


def test_more_served_requests_count_before_a_higher_degree() -> None:
    # Request 2 fits only offer 3; the best degree would put request 1 there.
    book = [request(1, 300), request(2, 900), offer(3, 1_000, 200_000, 1.0), offer(4, 300, 90_000, 0.1)]
    assert served(book) == {1: 4, 2: 3}


def test_an_unserved_request_is_left_to_the_regulator() -> None:
    book = [request(1, 1_000), offer(2, 500, 100_000, 1.0)]
    result = clear("matching", book, ClearingRules(ask_limit_micro=280_000))
    assert [(trade.sell, trade.price_micro) for trade in result.trades] == [(STANDING_ASK, 280_000)]


def test_improvement_never_makes_an_assignment_worse_and_stops_at_its_limit() -> None:
    book = [request(n, 100 * n) for n in range(1, 8)]
    book += [offer(10 + n, 900, 50_000 * n, 0.2 * n) for n in range(1, 5)]
    one = problem(*book)
    start = greedy(one)
    assert one.worth(improve(one, start, steps_max=3)) >= one.worth(start)
    assert one.worth(own_assignment(one)) >= one.worth(start)


def test_worth_compares_served_then_degree_then_the_lower_bill() -> None:
    assert Worth(2, 1, -9) > Worth(1, 9, -1)
    assert Worth(2, 2, -9) > Worth(2, 1, -1)
    assert Worth(2, 2, -1) > Worth(2, 2, -9)


def matching_world() -> World:
    """Two requests and two offers where greed alone is not best."""
    world = World(mechanism="matching", crossing_fee_micro=0)
    for name in ("ann", "bob", "cat", "dan"):
        world.join(name)
    world.state.accounts.edit(key("cat")).reputation_ppm = 1_000_000
    world.state.accounts.edit(key("dan")).reputation_ppm = 900_000
    world.buy("ann", 1_000, 300_000)
    world.buy("bob", 900, 300_000)
    world.sell("cat", 1_000, 200_000)
    world.sell("dan", 1_000, 190_000)
    return world


def test_the_contracts_own_assignment_stands_when_nobody_submits() -> None:
    clearing = matching_world().close()
    assert clearing.solver == b""
    assert clearing.degree_ppm == clearing.own_degree_ppm > 0
    assert len([trade for trade in clearing.trades if trade.sell_order]) == 2


def test_a_worse_submission_changes_nothing() -> None:
    world, plain = matching_world(), matching_world()
    world.done(REGULATOR, SubmitAssignment(period=0, pairs=((1, 4),)))
    assert world.close().trades == plain.close().trades


def test_an_assignment_is_refused_when_it_overbooks_or_repeats() -> None:
    world = matching_world()
    for pairs in (((1, 3), (2, 3)), ((1, 3), (1, 4)), ((3, 1),), ((1, 99),)):
        code = world.code(REGULATOR, SubmitAssignment(period=0, pairs=pairs))
        assert code is ReasonCode.ASSIGNMENT_INFEASIBLE


def test_the_receipt_says_what_the_contract_counted() -> None:
    world = matching_world()
    receipt = world.done(REGULATOR, SubmitAssignment(period=0, pairs=((1, 3), (2, 4))))
    assert receipt.detail > 0


def hard_problem_world() -> tuple[World, tuple[tuple[int, int], ...]]:
    """A book on which the contract's own search stays below the best, and that best assignment."""
    import random

    from agents.matching_solver import solve
    from market.books import book_of
    from market.reputation_matching import problem_of

    rng = random.Random(5)
    world = World(mechanism="matching", crossing_fee_micro=20_000, ask_limit_micro=0)
    for n in range(14):
        world.join(f"user{n}", region=rng.choice(("east", "west")))
        world.buy(f"user{n}", rng.randrange(200, 2_000), rng.randrange(200_000, 300_000))
    for n in range(6):
        world.join(f"mill{n}", region=rng.choice(("east", "west")))
        world.state.accounts.edit(key(f"mill{n}")).reputation_ppm = rng.randrange(1_200_000)
        world.sell(f"mill{n}", rng.randrange(1_500, 4_000), rng.randrange(80_000, 250_000))
    rules = world.config.clearing_rules(0)
    return world, solve(problem_of(book_of(world.state, 0), rules)).assignment


def test_a_better_submission_wins_and_its_solver_is_named() -> None:
    world, best = hard_problem_world()
    world.done(REGULATOR, SubmitAssignment(period=0, pairs=best))
    clearing = world.close()
    assert clearing.solver == REGULATOR
    assert clearing.degree_ppm > clearing.own_degree_ppm
    assert {(trade.buy_order, trade.sell_order) for trade in clearing.trades} == set(best)


def test_of_an_assignment_whose_orders_have_gone_the_rest_counts() -> None:
    world, best = hard_problem_world()
    world.done(REGULATOR, SubmitAssignment(period=0, pairs=best))
    gone = best[0][0]
    owner = world.state.orders[gone].account
    world.cancel(owner.rstrip(b".").decode(), gone)
    clearing = world.close()
    assert all(trade.buy_order != gone for trade in clearing.trades)
    assert len(clearing.trades) >= len(best) - 1


def test_submissions_are_forgotten_with_their_period() -> None:
    world = matching_world()
    world.done(REGULATOR, SubmitAssignment(period=0, pairs=((1, 3),)))
    world.close()
    assert len(world.state.proposals) == 0
    assert world.code(REGULATOR, SubmitAssignment(period=0, pairs=())) is ReasonCode.PERIOD_CLOSED


def test_strangers_may_not_submit() -> None:
    world = matching_world()
    assert world.code(key("eve"), SubmitAssignment(period=0, pairs=())) is ReasonCode.NOT_APPROVED


def test_a_request_is_a_hard_bid() -> None:
    world = matching_world()
    world.join("eve")
    world.done(key("eve"), RequestSupply(energy_wh=9_000, price_micro=200_000, period=0))
    clearing = world.close()
    assert [(t.price_micro, t.energy_wh) for t in clearing.trades if t.buyer == key("eve")] == [(300_000, 9_000)]


def test_reputation_earned_by_delivery_decides_the_next_period() -> None:
    world = World(mechanism="matching", price_rule="ask", reputation_alpha_ppm=400_000)
    for name in ("ann", "cat", "dan"):
        world.join(name)
    world.buy("ann", 1_000, 300_000)
    world.sell("cat", 1_000, 200_000)
    world.run_period(ann=-1_000, cat=500, dan=0)
    assert world.account("cat").reputation_ppm == 200_000
    world.state.accounts.edit(key("dan")).reputation_ppm = 400_000
    world.buy("ann", 1_000, 300_000)
    world.sell("cat", 1_000, 200_000)
    world.sell("dan", 1_000, 200_000)
    assert [trade.seller for trade in world.close().trades] == [key("dan")]
