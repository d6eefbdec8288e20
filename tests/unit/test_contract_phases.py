"""Phases of a period and what readings must satisfy in them."""

from __future__ import annotations

import pytest
from market_world import OPERATOR, World, key

from market.events import Phase
from market.receipts import ReasonCode
from market.transactions import ClosePeriod, DeliverPeriod, SettlePeriod


def test_periods_are_delivered_in_order() -> None:
    world = World()
    world.close()
    world.close()
    assert world.code(OPERATOR, DeliverPeriod(period=1, time_ms=0)) is ReasonCode.WRONG_PHASE
    world.deliver(0)
    world.deliver(1)


def test_periods_are_settled_in_order_because_registers_are_cumulative() -> None:
    world = World()
    world.close()
    world.close()
    world.deliver(0)
    world.deliver(1)
    assert world.code(OPERATOR, SettlePeriod(period=1, time_ms=0)) is ReasonCode.WRONG_PHASE
    world.settle(0)
    world.settle(1)


@pytest.mark.parametrize("kind", [ClosePeriod, DeliverPeriod, SettlePeriod])
def test_no_phase_comes_twice(kind: type[ClosePeriod | DeliverPeriod | SettlePeriod]) -> None:
    world = World()
    world.run_period()
    assert world.code(OPERATOR, kind(period=0, time_ms=0)) is ReasonCode.WRONG_PHASE
    assert world.state.phase_of(0) is Phase.SETTLED


@pytest.mark.parametrize(("import_wh", "export_wh"), [(99, 100), (100, 99)])
def test_neither_register_may_go_backwards(import_wh: int, export_wh: int) -> None:
    world = World()
    world.join("ann")
    world.count("ann", 100)
    world.run_period(ann=-100)
    world.close()
    world.deliver(1)
    reading = world.reading("ann", 1, import_wh, export_wh)
    assert world.code(key("meter-ann"), reading) is ReasonCode.REGISTER_DECREASED


@pytest.mark.parametrize(("import_wh", "export_wh"), [(10_001, 0), (0, 10_001)])
def test_neither_register_may_run_faster_than_its_limit(import_wh: int, export_wh: int) -> None:
    world = World()
    world.join("ann")
    world.close()
    world.deliver(0)
    reading = world.reading("ann", 0, import_wh, export_wh)
    assert world.code(key("meter-ann"), reading) is ReasonCode.READING_IMPLAUSIBLE


def test_the_operators_time_may_differ_within_the_bound_and_not_beyond() -> None:
    world = World(operator_skew_ms=500)
    ledger_ms = (world.height + 1) * 1000
    assert world.code(OPERATOR, ClosePeriod(period=0, time_ms=ledger_ms - 501)) is ReasonCode.WRONG_TIME
    assert world.code(OPERATOR, ClosePeriod(period=0, time_ms=ledger_ms + 1000 + 500)) is ReasonCode.OK


def test_the_ledgers_time_never_runs_backwards_in_the_state() -> None:
    world = World()
    for _ in range(5):
        world.block()
    world.height = 0
    world.block()
    assert world.state.head.time_ms == 6000
