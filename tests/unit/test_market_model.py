"""The Mesa model on the contract itself: same agents and same code as over MQTT."""

import csv
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import mesa
import pytest

from agents.collector import BoundedDataCollector
from agents.direct_exchange import DirectExchange
from agents.key_ring import SimulatedKeys
from agents.market_agents import MarketAgent
from agents.model import MarketModel, tiny_scenario
from agents.population import populate
from agents.scenario import Scenario
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.reference import run_community
from devices.telemetry import Telemetry
from market.events import Clearing, Settlement, Trade
from market.receipts import Receipt
from market.transactions import PlaceOrder, Transaction
from mosquitto.keys import KeyPair

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "scenarios" / "neighbourhood.toml"


class Watched:
    """An exchange that notes what passes through it, and may lose receipts."""

    def __init__(self, scenario: Scenario) -> None:
        self.inner = DirectExchange(scenario, populate(scenario), SimulatedKeys(scenario.scenario.seed))
        self.clearings: list[Clearing] = []
        self.settlements: list[Settlement] = []
        self.submitted: list[tuple[KeyPair, Transaction]] = []
        self.said_ready: list[tuple[int, str]] = []
        self.waits: list[tuple[str, int]] = []
        self.loses_receipts = False

    @property
    def open_period(self) -> int:
        return self.inner.open_period

    def submit(
        self, calls: Sequence[tuple[KeyPair, Transaction]], *, once_in: int | None = None
    ) -> list[Receipt | None]:
        self.submitted += calls
        receipts = self.inner.submit(calls, once_in=once_in)
        return [None for _ in receipts] if self.loses_receipts else receipts

    def ready(self, period: int, phase: str) -> None:
        self.said_ready.append((period, phase))

    def wait_clearing(self, period: int) -> Clearing:
        self.waits.append(("clearing", period))
        self.clearings.append(self.inner.wait_clearing(period))
        return self.clearings[-1]

    def wait_settlement(self, period: int) -> Settlement:
        self.waits.append(("settlement", period))
        self.settlements.append(self.inner.wait_settlement(period))
        return self.settlements[-1]

    def latest_telemetry(self, device_id: str) -> Telemetry | None:
        return self.inner.latest_telemetry(device_id)

    @property
    def trades(self) -> list[Trade]:
        return [trade for clearing in self.clearings for trade in clearing.trades]

    @property
    def local_trades(self) -> list[Trade]:
        return [trade for trade in self.trades if trade.sell_order]


def run(scenario: Scenario) -> tuple[MarketModel, Watched]:
    exchange = Watched(scenario)
    model = MarketModel(scenario, exchange)
    while model.running:
        model.step()
    return model, exchange


@pytest.fixture(scope="module")
def day() -> tuple[MarketModel, Watched]:
    return run(Scenario.load(DEFAULT))


def changed(**sections: dict[str, object]) -> Scenario:
    values = Scenario.load(DEFAULT).model_dump(by_alias=True)
    for key, section in sections.items():
        values[key].update(section)
    return Scenario.from_values(values)


@pytest.mark.parametrize("arguments", [{}, {"exchange": "direct"}])
def test_a_model_needs_no_arguments_and_steps(arguments: dict[str, str]) -> None:
    model = MarketModel(**arguments)  # type: ignore[arg-type]
    for _ in range(10):
        model.step()
    assert model.period == 9
    assert len(model.datacollector.get_model_vars_dataframe()) == 10
    assert len(model.traders) == 8


def test_the_same_seed_gives_the_same_trades_and_another_seed_gives_others() -> None:
    first, again, other = (run(tiny_scenario().changed(seed=seed, periods=24))[1].clearings for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert sum(len(clearing.trades) for clearing in first) > 10


def test_a_replica_in_memory_and_the_contract_alone_come_to_the_same() -> None:
    """Ledger, bus, signatures and device host change nothing about who trades what at which price."""
    frames = []
    for exchange in ("local", "direct", "local"):
        model = MarketModel(exchange=exchange, rng=5, periods=40)
        while model.running:
            model.step()
        frames.append(model.datacollector.get_model_vars_dataframe().to_csv())
    assert frames[0] == frames[1] == frames[2]
    assert model.traded_wh > 0


def test_the_order_of_hashing_has_no_say_in_the_trades() -> None:
    digests = set()
    for seed in ("1", "2"):
        code = "import sys; sys.path.insert(0, 'tests/unit'); import test_market_model as t; print(t.digest())"
        answer = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(answer.stdout.strip())
    assert len(digests) == 1


def digest() -> str:
    """What a subprocess tells of its trades."""
    _, exchange = run(tiny_scenario().changed(periods=12))
    values = [clearing.to_values() for clearing in exchange.clearings]
    return hashlib.blake2b(repr(values).encode()).hexdigest()


def test_a_whole_day_of_the_neighbourhood_is_traded_and_settled(day: tuple[MarketModel, Watched]) -> None:
    model, exchange = day
    assert len(exchange.settlements) == 96
    assert not model.refusals
    assert sum(trade.energy_wh for trade in exchange.local_trades) > 100_000
    assert len({trade.seller for trade in exchange.local_trades}) > 15
    assert any(trade.fee_micro for trade in exchange.local_trades)


def test_local_prices_lie_between_what_the_grid_pays_and_what_it_charges(day: tuple[MarketModel, Watched]) -> None:
    model, exchange = day
    tariffs = model.tariffs
    plants = {agent.key.public for agent in model.traders if agent.role == "producer"}
    for trade in exchange.local_trades:
        # A plant's own cost may lie below the feed-in tariff, and so may its price.
        assert trade.seller in plants or trade.price_micro >= tariffs.feed_in_micro
        assert trade.price_micro + trade.fee_micro <= tariffs.retail_micro


def test_power_is_cheaper_at_midday_than_in_the_evening(day: tuple[MarketModel, Watched]) -> None:
    prices = day[0].datacollector.get_model_vars_dataframe()["price_micro"].astype(float)
    assert prices[44:60].mean() < prices[72:88].mean() - 10_000


def test_nobody_pays_more_than_without_a_market_but_for_forecast_errors(day: tuple[MarketModel, Watched]) -> None:
    model, exchange = day
    gains = [gain for _, gain in bills(model, exchange)]
    assert sum(gains) > 10
    assert min(gains) > -0.05


def test_trade_alone_saves_the_tariffs_difference_for_each_kwh() -> None:
    """Each traded kWh replaces one sold to and one bought from the grid; across regions the fee is due."""
    values = changed(forecast={"load_error": 0.0, "generation_error": 0.0}).model_dump(by_alias=True)
    values["speculator"] = []
    for group in values["homes"]:
        group["with_battery"] = 0
    model, exchange = run(Scenario.from_values(values))
    gain = sum(gain for _, gain in bills(model, exchange))
    local, market = exchange.local_trades, model.scenario.market
    spread_micro = market.retail_micro - market.feed_in_micro
    expected_nano = sum(trade.energy_wh * (spread_micro - trade.fee_micro) for trade in local)
    assert expected_nano > 10**10
    assert gain == pytest.approx(expected_nano / 1e9, rel=0.005)


def bills(model: MarketModel, exchange: Watched) -> list[tuple[MarketAgent, float]]:
    """What everybody gained against plain self-consumption with the grid alone, in the currency."""
    scenario = model.scenario
    calendar = ProfileCalendar(scenario.profiles.day, scenario.market.period_minutes)
    flows = run_community(model.population.sites, ProfileLibrary.load(), calendar, scenario.market.periods)
    gains = []
    for index, agent in enumerate(model.traders):
        reference_nano = int(flows.export_wh[index].sum()) * scenario.market.feed_in_micro
        reference_nano -= int(flows.import_wh[index].sum()) * scenario.market.retail_micro
        rows = [row for settled in exchange.settlements if (row := settled.row(agent.key.public))]
        market_nano = sum(
            row.sold_nano
            - row.bought_nano
            - row.fee_nano
            + row.imbalance_nano
            - row.penalty_nano
            + row.reward_nano
            for row in rows
        )
        gains.append((agent, (market_nano - reference_nano) / 1e9))
    return gains


def test_speculators_trade_within_the_physics_of_their_batteries(day: tuple[MarketModel, Watched]) -> None:
    model, exchange = day
    for agent in model.traders:
        if agent.role != "speculator":
            continue
        rows = [row for settled in exchange.settlements if (row := settled.row(agent.key.public))]
        bought, sold = sum(row.bought_wh for row in rows), sum(row.sold_wh for row in rows)
        assert bought > 10_000
        assert sold > 5_000
        # What it promised is what its meter showed, to the rounding of the registers.
        assert max(abs(row.imbalance_wh) for row in rows) <= 2
        assert max(max(row.bought_wh, row.sold_wh) for row in rows) <= 20_000 / 4 + 1


def test_an_agent_stands_on_one_side_a_period(day: tuple[MarketModel, Watched]) -> None:
    sides: dict[tuple[bytes, int], set[int]] = {}
    for key, transaction in day[1].submitted:
        if isinstance(transaction, PlaceOrder):
            sides.setdefault((key.public, transaction.period), set()).add(transaction.side)
    assert len(sides) > 3_000
    assert all(len(both) == 1 for both in sides.values())


def test_homes_take_both_sides_over_the_day(day: tuple[MarketModel, Watched]) -> None:
    home = next(agent for agent in day[0].traders if agent.role == "prosumer" and not agent.storage())
    sides = {
        int(transaction.side)
        for key, transaction in day[1].submitted
        if key.public == home.key.public and isinstance(transaction, PlaceOrder)
    }
    assert sides == {1, 2}


def test_learning_moves_prices_away_from_where_they_began(day: tuple[MarketModel, Watched]) -> None:
    model, exchange = day
    first = {agent.key.public for agent in model.traders if agent.role == "consumer"}
    prices: dict[bytes, set[int]] = {}
    for key, transaction in exchange.submitted:
        if key.public in first and isinstance(transaction, PlaceOrder):
            prices.setdefault(key.public, set()).add(transaction.price_micro)
    assert len(prices) == 20
    assert all(len(seen) > 10 for seen in prices.values())


def test_everybody_is_ready_once_a_period_before_the_clearing(day: tuple[MarketModel, Watched]) -> None:
    assert day[1].said_ready == [(period, "open") for period in range(96)]


def test_orders_without_a_receipt_are_forgotten_and_counted() -> None:
    scenario = tiny_scenario()
    exchange = Watched(scenario)
    model = MarketModel(scenario, exchange)
    model.step()
    exchange.loses_receipts = True
    model.step()
    assert model.refused > 0
    assert model.refusals["NO_RECEIPT"] == model.refused
    assert all(not agent.orders for agent in model.traders)
    exchange.loses_receipts = False
    model.step()
    assert model.refused == 0


def test_a_host_that_starts_again_goes_on_without_a_second_deposit() -> None:
    scenario = tiny_scenario()
    exchange = Watched(scenario)
    first = MarketModel(scenario, exchange)
    for _ in range(3):
        first.step()
    second = MarketModel(scenario, exchange)
    second.step()
    assert second.period == 3
    assert all(agent.approved for agent in second.traders)
    assert sum(isinstance(transaction, PlaceOrder) for _, transaction in exchange.submitted[-20:]) > 0
    deposits = [t for _, t in exchange.submitted if type(t).__name__ == "Deposit"]
    assert len(deposits) == len(first.traders)


def test_on_the_clock_nobody_waits_for_a_settlement_while_the_next_period_trades() -> None:
    values = tiny_scenario().changed(periods=3).model_dump(by_alias=True)
    values["market"]["pace"] = "live"
    _, exchange = run(Scenario.from_values(values))
    assert exchange.waits == [
        ("clearing", 0),
        ("clearing", 1),
        ("settlement", 0),
        ("clearing", 2),
        ("settlement", 1),
        ("settlement", 2),
    ]


def test_a_host_may_run_the_participants_of_one_region_alone() -> None:
    model = MarketModel(Scenario.load(DEFAULT), "direct", regions=["south"], authority=False)
    assert {agent.region for agent in model.traders} == {"south"}
    assert model.regulator is None


def test_figures_are_collected_within_bounds() -> None:
    model = MarketModel(exchange="direct", periods=20)
    model.datacollector = BoundedDataCollector(
        model_reporters={"period": "period"}, agent_reporters={"name": "name"}, model_history=5, agent_history=2
    )
    while model.running:
        model.step()
    assert model.datacollector.get_model_vars_dataframe()["period"].tolist() == [15, 16, 17, 18, 19]
    steps = model.datacollector.get_agent_vars_dataframe().index.get_level_values("Step")
    assert sorted(set(steps)) == [19, 20]


def test_agents_csv_has_a_row_for_each_agent_and_period(tmp_path: Path) -> None:
    model = MarketModel(exchange="direct", periods=3, records=tmp_path / "agents.csv")
    while model.running:
        model.step()
    model.close()
    with (tmp_path / "agents.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(model.traders)
    assert {row["account"] for row in rows} == {agent.name for agent in model.traders}
    assert any(int(row["traded_wh"]) > 0 for row in rows)
    assert all(row["side"] in ("", "buy", "sell") for row in rows)


def test_batch_run_sweeps_over_seeds_and_presets_in_processes_of_its_own() -> None:
    parameters = {"exchange": "direct", "rng": [1, 2], "preset": ["paper", "true-surplus"], "periods": 6}
    results = mesa.batch_run(MarketModel, parameters, number_processes=2, display_progress=False)
    runs = {row["RunId"]: row for row in results}
    assert len(runs) == 4
    assert all(row["traded_wh"] >= 0 and row["period"] == 5 for row in runs.values())
    assert len({row["bid_wh"] for row in runs.values()}) > 1
    assert {row["agent_role"] for row in results} >= {"consumer", "prosumer", "producer", "speculator"}


def test_an_unknown_kind_of_exchange_is_named() -> None:
    with pytest.raises(ValueError, match=r"exchange = 'carrier-pigeon': expected"):
        MarketModel(exchange="carrier-pigeon")
