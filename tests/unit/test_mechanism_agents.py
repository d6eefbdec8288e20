"""Agents under each mechanism: rounds of listing, requests and submitted assignments, escrow, supervision."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agents.direct_exchange import DirectExchange
from agents.listing_rounds import ROUNDS, Wish
from agents.model import MarketModel
from agents.scenario import Scenario
from market import invariants
from market.market_events import EscrowCase, ListedOffer, OfferList
from market.orders import STANDING_ASK, Side
from market.transactions import PlaceOrder

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def model_of(name: str, periods: int, exchange: str = "direct") -> MarketModel:
    return MarketModel(Scenario.load(SCENARIOS / f"{name}.toml"), exchange, periods=periods)


def state_of(model: MarketModel) -> object:
    assert isinstance(model.exchange, DirectExchange)
    invariants.check(model.exchange.state)
    return model.exchange.state


def offers(*rows: tuple[int, int, int, str]) -> OfferList:
    return OfferList(
        height=1,
        period=0,
        offers=tuple(
            ListedOffer(
                number=number,
                side=Side.SELL,
                energy_wh=energy_wh,
                price_micro=price_micro,
                region=region,
                region_only=False,
            )
            for number, energy_wh, price_micro, region in rows
        ),
    )


class Buyer:
    region = "north"


def wish(missing_wh: int, price_micro: int) -> Wish:
    order = PlaceOrder(side=Side.BUY, energy_wh=missing_wh, price_micro=price_micro, period=0, expiry_period=0)
    return Wish(agent=Buyer(), order=order, missing_wh=missing_wh)  # type: ignore[arg-type]


def test_a_buyer_takes_what_is_cheapest_delivered_and_only_what_it_needs() -> None:
    list_ = offers((1, 500, 100_000, "south"), (2, 400, 110_000, "north"), (3, 900, 150_000, "north"))
    takes = wish(1_000, 200_000).choose(list_, 40_000)
    assert [(take.order, take.energy_wh) for take in takes] == [(2, 400), (1, 500), (3, 100)]


def test_a_buyer_leaves_what_is_above_its_limit_with_the_fee() -> None:
    list_ = offers((1, 500, 100_000, "south"), (2, 400, 210_000, "north"))
    assert wish(1_000, 130_000).choose(list_, 40_000) == []


def test_a_day_of_listing_has_late_comers_and_ends_whole() -> None:
    model = model_of("listing", 12)
    while model.running:
        model.step()
    state_of(model)
    assert model.refusals["OFFER_TOO_SMALL"] + model.refusals["UNKNOWN_ORDER"] > 10
    assert set(model.refusals) <= {"OFFER_TOO_SMALL", "UNKNOWN_ORDER", "OTHER_SIDE_OPEN"}
    assert ROUNDS > 1


def test_listing_agrees_on_the_bus_with_the_contract_alone() -> None:
    """The list travels: what was browsed over four hops is what the contract listed."""
    direct, bus = model_of("listing", 4), model_of("listing", 4, "local")
    for model in (direct, bus):
        while model.running:
            model.step()
    assert bus.exchange.offers().height > 0
    assert bus.trades > 0
    assert (bus.trades, bus.traded_wh) == (direct.trades, direct.traded_wh)


def test_each_request_has_one_provider_and_the_solvers_assignment_is_used_when_it_is_better() -> None:
    model = model_of("matching", 12)
    winners: Counter[bool] = Counter()
    while model.running:
        model.step()
        clearing = model.exchange.wait_clearing(model.period)
        local = [trade for trade in clearing.trades if trade.sell_order != STANDING_ASK]
        assert len({trade.buy_order for trade in local}) == len(local)
        winners[bool(clearing.solver)] += 1
        assert clearing.degree_ppm >= clearing.own_degree_ppm or clearing.solver
        assert model.solved is not None
        assert model.solved.accepted
        assert 0 <= model.solved.gap < 0.2
        assert model.solved.objective <= model.solved.bound + 1e-9
    state_of(model)
    assert winners[True] > 0


def test_escrow_pays_by_delivery_and_everything_is_released_in_the_end() -> None:
    model = model_of("escrow", 24)
    cases: Counter[EscrowCase] = Counter()
    while model.running:
        model.step()
        for line in model.exchange.wait_settlement(model.period).escrow:
            cases[line.case] += 1
            assert line.bill_nano + line.reward_nano + line.fee_nano + line.held_nano <= line.deposit_nano
    state_of(model)
    assert min(cases[case] for case in (EscrowCase.DELIVERED, EscrowCase.WITHIN_LOSS, EscrowCase.SHORT)) > 10


def test_the_regulator_caps_prices_by_rule_and_nothing_trades_above() -> None:
    model = model_of("supervision", 24)
    capped = []
    while model.running:
        cap = model.exchange.state.head.cap_in(model.exchange.open_period) if model.enrolled else None  # type: ignore[attr-defined]
        model.step()
        if cap is not None:
            capped.append(model.period)
            trades = model.exchange.wait_clearing(model.period).trades
            assert all(trade.price_micro + trade.fee_micro <= cap for trade in trades)
    assert model.regulator is not None
    assert model.regulator.caps >= 1
    assert len(capped) >= 3


def test_accredited_generators_earn_certificates() -> None:
    model = model_of("supervision", 24)
    while model.running:
        model.step()
    state = model.exchange.state  # type: ignore[attr-defined]
    invariants.check(state)
    river = next(agent for agent in model.traders if agent.name == "river-south")
    account = state.accounts[river.key.public]
    assert account.certificates == account.generated_wh // 1_000_000 >= 1
    assert state.head.next_certificate - 1 == account.certificates


@pytest.mark.parametrize("name", ["uniform", "matching", "listing", "escrow", "supervision"])
def test_every_scenario_of_a_mechanism_is_repeatable(name: str) -> None:
    runs = []
    for _ in range(2):
        model = model_of(name, 3)
        figures = []
        while model.running:
            model.step()
            figures.append((model.trades, model.traded_wh, model.price_micro, model.import_wh))
        runs.append(figures)
    assert runs[0] == runs[1]
