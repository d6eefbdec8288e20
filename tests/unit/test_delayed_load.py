"""Demand that can wait, in the device and in the market."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.market_agents import Consumer
from agents.model import MarketModel
from agents.scenario import Scenario
from devices.delayed_load import DelayedLoad, deadline, is_deadline

SCENARIO = Path(__file__).parents[2] / "scenarios" / "delayed-demand.toml"


@given(st.lists(st.tuples(st.floats(0, 5_000), st.floats(0, 9_000)), min_size=1, max_size=40), st.integers(2, 6))
def test_all_demand_is_satisfied_by_its_deadline(periods: list[tuple[float, float]], delay: int) -> None:
    load = DelayedLoad(0.4, delay)
    wanted = used = 0.0
    for period, (load_wh, bought_wh) in enumerate(periods):
        used_now = load.run(load_wh, bought_wh, period)
        wanted, used = wanted + load_wh, used + used_now
        assert used_now >= 0.6 * load_wh - 1e-6
        assert used <= wanted + 1e-6
        if is_deadline(period, delay):
            assert used == pytest.approx(wanted)
            assert load.backlog_wh == pytest.approx(0, abs=1e-9)


def test_what_waits_runs_when_it_was_bought() -> None:
    load = DelayedLoad(0.5, 4)
    assert load.run(1_000, 500, 0) == 500
    assert load.run(1_000, 500, 1) == 500
    assert load.run(1_000, 1_800, 2) == 1_800
    assert load.run(1_000, 0, 3) == pytest.approx(1_200)


@pytest.mark.parametrize(("period", "last"), [(0, 3), (2, 3), (3, 3), (4, 7)])
def test_a_deadline_is_the_end_of_a_window(period: int, last: int) -> None:
    assert deadline(period, 4) == last
    assert is_deadline(last, 4)


def test_a_day_uses_the_same_energy_and_some_of_it_later() -> None:
    model = MarketModel(Scenario.load(SCENARIO), "direct")
    waiting = [a for a in model.traders if isinstance(a, Consumer) and a.participant.site.household is not None]
    later = filled_late = 0
    while model.running:
        model.step()
        later += sum(order.expiry_period > order.period for agent in waiting for order in agent.orders)
        clearing = model.exchange.wait_clearing(model.period)
        sent_now = sum(order.energy_wh for agent in waiting for order in agent.orders)
        bought = sum(t.energy_wh for t in clearing.trades if t.buyer in {agent.key.public for agent in waiting})
        filled_late += bought > sent_now
    assert len(waiting) == 8
    assert later > 100
    assert filled_late >= 3
    sites = {site.simulated.config.name: site.simulated for site in model.exchange._sites}  # type: ignore[attr-defined]
    for agent in waiting:
        site = sites[agent.name]
        assert site.delayed is not None
        used_wh = (site.meter.import_wh - site.meter.export_wh) + site.delayed.backlog_wh
        assert used_wh == pytest.approx(sum(site.series.load_wh(period) for period in range(24)), abs=30)
