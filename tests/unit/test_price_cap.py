"""The regulator's emergency price cap over a window of periods."""

from __future__ import annotations

import pytest
from market_world import REGULATOR, World, key

from market.events import Clearing
from market.market_events import CapChange
from market.offer_transactions import TakeOffer
from market.receipts import ReasonCode
from market.supervision_transactions import SetPriceCap

CAP = 150_000


def capped(mechanism: str = "hlm", first: int = 0, last: int = 1, **changes: object) -> World:
    world = World(mechanism=mechanism, **changes)
    for name in ("ann", "bob", "cat"):
        world.join(name)
    world.done(REGULATOR, SetPriceCap(cap_micro=CAP, first_period=first, last_period=last, reason="storm"))
    return world


@pytest.mark.parametrize("mechanism", ["hlm", "uniform", "matching"])
def test_nothing_trades_above_the_cap(mechanism: str) -> None:
    world = capped(mechanism, price_rule="bid", ask_limit_micro=0)
    world.buy("ann", 900, 290_000)
    world.sell("bob", 500, 100_000 if mechanism != "matching" else CAP)
    world.sell("cat", 900, 200_000 if mechanism != "matching" else 140_000)
    clearing = world.close()
    assert clearing.trades
    assert max(trade.price_micro + trade.fee_micro for trade in clearing.trades) <= CAP


def test_an_ask_above_the_cap_waits_until_the_window_is_over() -> None:
    world = capped(last=0)
    world.sell("cat", 900, 200_000, last=1)
    world.buy("ann", 900, 290_000, last=0)
    assert all(trade.sell_order != 1 for trade in world.close().trades)
    world.buy("ann", 900, 290_000)
    assert [trade.sell_order for trade in world.close().trades] == [1]


def test_the_regulators_own_ask_comes_down_to_the_cap() -> None:
    world = capped()
    world.buy("ann", 500, 290_000)
    clearing = world.close()
    assert isinstance(clearing, Clearing)
    assert [(trade.sell_order, trade.price_micro) for trade in clearing.trades] == [(0, CAP)]
    assert clearing.ask_limit_micro == CAP


def test_a_listed_offer_above_the_cap_cannot_be_taken() -> None:
    world = capped("listing")
    number = world.sell("bob", 500, 200_000)
    take = TakeOffer(order=number, energy_wh=1, price_micro=200_000)
    assert world.code(key("ann"), take) is ReasonCode.PRICE_OUTSIDE_LIMITS


def test_outside_the_window_nothing_changes() -> None:
    world = capped(first=1, last=1, ask_limit_micro=0)
    world.buy("ann", 500, 290_000)
    world.sell("bob", 500, 200_000)
    assert [trade.price_micro for trade in world.close().trades] == [245_000]


def test_the_cap_is_on_record_with_its_reason_and_its_transaction() -> None:
    world = capped()
    receipt = world.done(
        REGULATOR, SetPriceCap(cap_micro=CAP, first_period=0, last_period=3, reason="turbine lost")
    )
    assert world.outcome.events == (
        CapChange(cap_micro=CAP, first_period=0, last_period=3, reason="turbine lost", tx_id=receipt.tx_id),
    )


def test_a_window_that_has_passed_or_runs_backwards_is_refused() -> None:
    world = capped()
    world.close()
    for first, last in ((0, 0), (5, 4)):
        cap = SetPriceCap(cap_micro=CAP, first_period=first, last_period=last)
        assert world.code(REGULATOR, cap) is ReasonCode.WRONG_WINDOW


def test_nobody_but_the_regulator_sets_it() -> None:
    world = capped()
    cap = SetPriceCap(cap_micro=1, first_period=0, last_period=9)
    assert world.code(key("ann"), cap) is ReasonCode.NOT_REGULATOR
