"""The Mesa model: one step is one trading period, from decisions to what the meters settled.

The model drives agents and nothing else. The market is behind an `Exchange`: four ledger nodes over MQTT,
one replica in memory, or the contract applied directly; the code here is the same, and so are the
agents' decisions for the same seed.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import mesa

from agents.agent_records import AgentRecords
from agents.collector import BoundedDataCollector
from agents.enrolment import enrol
from agents.green_agents import GreenAgent, QuotingRules, quote_all
from agents.host_memory import HostMemory
from agents.key_ring import KeyRing, SimulatedKeys
from agents.listing_rounds import trade_from_list
from agents.market_agents import Consumer, MarketAgent, Producer, Prosumer, Tariffs
from agents.matching_rounds import Accepted, SolvedPeriod, as_request, solve_period
from agents.population import CASHIER, REGULATOR, Participant, Population, populate
from agents.regulator_agent import Regulator
from agents.scenario import Scenario
from agents.scenario_sections import Preset
from agents.speculator_agent import Speculator
from agents.strategies import StrategyRules
from devices.forecast import ForecastConfig, SiteForecast
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.site_series import SiteSeries
from market.clearing_types import ClearingRules
from market.orders import STANDING_ASK
from market.receipts import ReasonCode

if TYPE_CHECKING:
    from agents.exchange_api import Exchange
    from agents.nash import Iteration
    from market.events import Clearing, Settlement, Trade
    from market.receipts import Receipt
    from market.transactions import PlaceOrder, Transaction

log = logging.getLogger(__name__)

HISTORY_MAX: Final = 10_000
"""Periods whose model-wide figures are kept, so that a market that runs for years stays small."""

AGENT_HISTORY: Final = 96
"""Periods whose figures are kept for every agent; `agents.csv` has them all."""

NO_RECEIPT: Final = "NO_RECEIPT"

_CLASSES: Final[dict[str, type[MarketAgent]]] = {
    "producer": Producer,
    "consumer": Consumer,
    "prosumer": Prosumer,
    "speculator": Speculator,
}

_MODEL_FIGURES: Final = (
    "period",
    "price_micro",
    "lowest_micro",
    "highest_micro",
    "trades",
    "traded_wh",
    "regulator_wh",
    "bid_wh",
    "offered_wh",
    "import_wh",
    "export_wh",
    "refused",
)

# Collected as `agent_...`: `batch_run` puts them into one row with the model's, where names must differ.
_AGENT_FIGURES: Final = (
    "name",
    "role",
    "side",
    "forecast_wh",
    "ordered_wh",
    "price_micro",
    "traded_wh",
    "metered_wh",
    "balance_nano",
    "charge_wh",
    "reputation_ppm",
)


def tiny_scenario() -> Scenario:
    """A community small enough for a look: six homes, a turbine, shared storage, one ledger node."""
    return Scenario.from_values(
        {
            "scenario": {"name": "tiny"},
            "ledger": {"nodes": ["node"]},
            "region": [{"name": "street"}],
            "homes": [{"name": "home", "region": "street", "count": 6, "with_pv": 3, "with_battery": 1}],
            "producer": [
                {"name": "turbine", "region": "street", "kind": "wind", "power_kw": 3.0, "cost_micro": 70_000}
            ],
            "speculator": [
                {
                    "name": "storage",
                    "region": "street",
                    "battery": {"capacity_kwh": 10.0, "power_kw": 5.0, "first_charge": 0.1},
                }
            ],
        }
    )


class MarketModel(mesa.Model):  # type: ignore[misc]  # Mesa ships no types.
    """All agents of one host, and their market.

    `scenario`: a Scenario, the path of one, or None for a tiny community. `exchange`: where to trade, or
    `"local"` (a replica in memory) or `"direct"` (the contract alone, the fastest), built for this model.
    `rng`: a seed that stands in for the scenario's own. `keys`: who signs with what; derived from the
    seed when not given. `periods` and `preset` stand in for the scenario's, for sweeps. `regions`: run the
    participants of these regions only; `authority`: whether the regulator is run here. `records`: where to
    write `agents.csv`. `memory`: what to keep for a host that is started again.

    The first step registers everybody. `running` turns False after the scenario's last period.
    """

    def __init__(
        self,
        scenario: Scenario | Path | str | None = None,
        exchange: Exchange | str = "local",
        rng: int | None = None,
        *,
        keys: KeyRing | None = None,
        periods: int | None = None,
        preset: Preset | None = None,
        regions: Collection[str] | None = None,
        authority: bool = True,
        records: Path | None = None,
        memory: HostMemory | None = None,
    ) -> None:
        self.scenario = _scenario(scenario, rng, periods, preset)
        seed = self.scenario.scenario.seed
        super().__init__(rng=seed)
        self.population: Population = populate(self.scenario)
        self.keys: KeyRing = keys or SimulatedKeys(seed)
        self.memory = memory or HostMemory()
        market = self.scenario.market
        self.hours = self.scenario.period_hours
        self.rules = StrategyRules.of(self.scenario.strategy)
        self.tariffs = Tariffs(
            retail_micro=market.retail_micro,
            feed_in_micro=market.feed_in_micro,
            crossing_fee_micro=market.crossing_fee_micro,
            limit_micro=market.regulator_limit_micro,
        )
        self.exchange: Exchange = self._exchange(exchange) if isinstance(exchange, str) else exchange
        self.regulator = Regulator(self, self.keys.key(REGULATOR), self.keys.key(CASHIER)) if authority else None
        forecasts = self._forecasts()
        self.traders: list[MarketAgent] = [
            self._class_of(participant)(self, participant, self.keys.key(participant.name), forecasts(participant))
            for participant in self.population.participants
            if regions is None or participant.region in regions
        ]
        self._by_account = {agent.key.public: agent for agent in self.traders}
        self._records = AgentRecords(records) if records is not None else None
        self._start_figures()
        self.datacollector = BoundedDataCollector(
            model_reporters={figure: figure for figure in _MODEL_FIGURES},
            agent_reporters={f"agent_{figure}": figure for figure in _AGENT_FIGURES},
            model_history=max(1, min(market.periods + 1, HISTORY_MAX)),
            agent_history=AGENT_HISTORY,
        )

    def _start_figures(self) -> None:
        """What the collector reads, before the first period."""
        self.enrolled = False
        self.period = self.exchange.open_period
        self.refusals: Counter[str] = Counter()
        self.price_micro: int | None = None
        self.lowest_micro: int | None = None
        self.highest_micro: int | None = None
        self.trades = self.traded_wh = self.regulator_wh = self.bid_wh = self.offered_wh = 0
        self.import_wh = self.export_wh = self.refused = 0
        self._unsettled: deque[int] = deque()
        self.iterations: list[Iteration] = []
        self.solved: SolvedPeriod | None = None

    def step(self) -> None:
        """One trading period: decide, order, wait for the clearing and the settlement, learn, collect."""
        if not self.enrolled:
            enrol(self)
            self.enrolled = True
        self.period = self.exchange.open_period
        if self.period >= self.scenario.market.periods:
            # Started again after the last period closed: nothing is left to do but to see it settled.
            self.exchange.wait_settlement(self.scenario.market.periods - 1)
            self.running = False
            return
        self._order()
        self.exchange.ready(self.period, "open")
        self._hear_clearing(self.exchange.wait_clearing(self.period))
        self._settle()
        self.datacollector.collect(self)
        if self._records is not None:
            self._records.append(self.period, self.traders)
        if self.period + 1 >= self.scenario.market.periods:
            self.running = False

    def close(self) -> None:
        """Close `agents.csv`. The exchange belongs to whoever made it."""
        if self._records is not None:
            self._records.close()

    def _order(self) -> None:
        """Let everybody decide, and send all orders as one batch.

        The order of the batch decides between equal prices, so it is drawn anew in each period: nobody is
        first by birth.
        """
        self.refused = 0
        if not self.memory.orders_in(self.period):
            log.info("ordered before this host was started again", extra={"fields": {"period": self.period}})
            return
        traders = list(self.traders)
        self.random.shuffle(traders)
        for agent in traders:
            agent.decide()
        self._quote(traders)
        mechanism = self.scenario.market.mechanism
        if mechanism == "listing":
            receipts = trade_from_list(self.exchange, traders, self.tariffs.crossing_fee_micro)
            self.refused = self.count_refusals(receipts)
            return
        shape = as_request if mechanism == "matching" else _as_it_is
        orders = [(agent, order) for agent in traders for order in agent.orders]
        receipts = self.exchange.submit([(agent.key, shape(order)) for agent, order in orders]) if orders else []
        self.refused = self.count_refusals(receipts)
        if mechanism == "matching":
            self._solve([(*entry, receipt) for entry, receipt in zip(orders, receipts, strict=True)])
        start = 0
        for agent in traders:
            end = start + len(agent.orders)
            agent.hear_receipts(receipts[start:end])
            start = end

    def _solve(self, orders: Sequence[tuple[MarketAgent, PlaceOrder, Receipt | None]]) -> None:
        """Where the authority is run, look for a better assignment than the contract's own."""
        self.solved = None
        if self.regulator is None:
            return
        accepted = [
            Accepted(agent=agent, order=order, number=receipt.detail)
            for agent, order, receipt in orders
            if receipt is not None and receipt.code is ReasonCode.OK
        ]
        market = self.scenario.market
        rules = ClearingRules(
            crossing_fee_micro=market.crossing_fee_micro,
            ask_limit_micro=market.regulator_limit_micro,
            revenue_view=market.revenue_view,
        )
        self.solved = solve_period(self.exchange, self.regulator.key, rules, self.period, accepted)

    def _quote(self, traders: Sequence[MarketAgent]) -> None:
        """Where quotations are answered by best response, let all answer before anything is sent."""
        if self.scenario.strategy.bidding == "nash":
            market = self.scenario.market
            rules = QuotingRules(
                tariffs=self.tariffs,
                tick_micro=self.scenario.strategy.tick_micro,
                by_region=market.region_priority == "strict",
            )
            self.iterations = quote_all(traders, rules)

    def _class_of(self, participant: Participant) -> type[MarketAgent]:
        if self.scenario.strategy.bidding == "nash" and participant.role != "speculator":
            return GreenAgent
        return _CLASSES[participant.role]

    def count_refusals(self, receipts: Sequence[Receipt | None]) -> int:
        """Count by reason what the ledger refused or never answered; the first of each reason is logged."""
        refused = 0
        for receipt in receipts:
            if receipt is not None and receipt.code is ReasonCode.OK:
                continue
            reason = NO_RECEIPT if receipt is None else receipt.code.name
            refused += 1
            self.refusals[reason] += 1
            if self.refusals[reason] == 1:
                log.warning("transaction refused", extra={"fields": {"reason": reason, "period": self.period}})
        return refused

    def _hear_clearing(self, clearing: Clearing) -> None:
        own: dict[bytes, list[Trade]] = {}
        for trade in clearing.trades:
            for account in (trade.buyer, trade.seller):
                if account in self._by_account:
                    own.setdefault(account, []).append(trade)
        for agent in self.traders:
            agent.hear_clearing(own.get(agent.key.public, ()))
            if isinstance(agent, Speculator):
                agent.hear_prices(clearing)
        if self.regulator is not None:
            self.regulator.hear_clearing(clearing)
            cap = self.regulator.emergency(clearing)
            if cap is not None:
                self.count_refusals(self.exchange.submit([(self.regulator.key, cap)]))
        self._take_prices(clearing)

    def _take_prices(self, clearing: Clearing) -> None:
        """The period's figures. Prices are those between participants: the standing ask is known anyway."""
        local = [trade for trade in clearing.trades if trade.sell_order != STANDING_ASK]
        self.trades = len(local)
        self.traded_wh = sum(trade.energy_wh for trade in local)
        self.regulator_wh = sum(trade.energy_wh for trade in clearing.trades) - self.traded_wh
        self.bid_wh, self.offered_wh = clearing.bid_wh, clearing.offered_wh
        value = sum(trade.energy_wh * trade.price_micro for trade in local)
        self.price_micro = value // self.traded_wh if self.traded_wh else None
        self.lowest_micro = min((trade.price_micro for trade in local), default=None)
        self.highest_micro = max((trade.price_micro for trade in local), default=None)

    def _hear_settlement(self, settlement: Settlement) -> None:
        rows = {row.account: row for row in settlement.rows}
        for agent in self.traders:
            agent.hear_settlement(rows.get(agent.key.public))
        own = [rows[account] for account in self._by_account if account in rows]
        self.import_wh = sum(row.import_wh for row in own)
        self.export_wh = sum(row.export_wh for row in own)

    def _settle(self) -> None:
        """Wait for the settlements that are due: in lockstep this period's.

        On the clock a period is delivered while the next one trades, so waiting for its settlement would
        miss that trade: only those before are due, and at the end all.
        """
        self._unsettled.append(self.period)
        is_last = self.period + 1 >= self.scenario.market.periods
        lag = 0 if is_last or self.scenario.market.pace == "lockstep" else 1
        while len(self._unsettled) > lag:
            self._hear_settlement(self.exchange.wait_settlement(self._unsettled.popleft()))

    def _forecasts(self) -> Callable[[Participant], SiteForecast]:
        section = self.scenario.forecast
        config = ForecastConfig(
            load_error=section.load_error,
            generation_error=section.generation_error,
            correlation=section.correlation,
        )
        library = ProfileLibrary.load()
        calendar = ProfileCalendar(self.scenario.profiles.day, self.scenario.market.period_minutes)
        seed = self.scenario.scenario.seed
        return lambda participant: SiteForecast(SiteSeries(participant.site, library, calendar), config, seed)

    def _exchange(self, kind: str) -> Exchange:
        # Imported here: over MQTT neither is needed, and a sweep needs only one.
        if kind == "direct":
            from agents.direct_exchange import DirectExchange

            return DirectExchange(self.scenario, self.population, self.keys)
        if kind == "local":
            from agents.local_market import local_exchange

            return local_exchange(self.scenario, self.keys)
        raise ValueError(f'exchange = {kind!r}: expected an Exchange, "local" or "direct"')


def _as_it_is(order: PlaceOrder) -> Transaction:
    return order


def _scenario(
    scenario: Scenario | Path | str | None, seed: int | None, periods: int | None, preset: Preset | None
) -> Scenario:
    if scenario is None:
        scenario = tiny_scenario()
    elif not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    # NumPy's integers come from sweeps over `numpy.arange`.
    return scenario.changed(
        seed=None if seed is None else int(seed), periods=None if periods is None else int(periods), preset=preset
    )
