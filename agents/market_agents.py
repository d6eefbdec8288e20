"""Producers, consumers and prosumers as Mesa agents.

An agent knows what a participant would: public prices, its own receipts, trades, settlement and telemetry,
and its own forecast. In each period the model asks it to `decide`, tells it the `clearing` and then the
settlement, from which it learns by the rules of `strategies.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import mesa

from agents.battery_plan import PeriodPlan, plan_with_battery, plan_without_battery
from agents.population import Participant
from agents.speculation import Storage
from agents.strategies import ConsumerState, Outcome, ProducerState, next_consumer, next_producer
from devices.delayed_load import deadline, is_deadline
from devices.sites import BatteryConfig
from market.orders import Side
from market.receipts import ReasonCode
from market.transactions import PlaceOrder

if TYPE_CHECKING:
    from agents.model import MarketModel
    from devices.forecast import SiteForecast
    from devices.telemetry import Telemetry
    from market.events import SettlementRow, Trade
    from market.receipts import Receipt
    from mosquitto.keys import KeyPair

HORIZON_H: Final = 24
"""How far ahead the owner of a battery looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariffs:
    """What the grid charges and pays, and the regulator's limit: the prices that bracket every rational order."""

    retail_micro: int
    feed_in_micro: int
    crossing_fee_micro: int
    limit_micro: int


class Outlook:
    """A site's expected surplus, period by period, as far as its owner looks ahead."""

    def __init__(self, forecast: SiteForecast, periods: int) -> None:
        self.forecast = forecast
        self._surplus_wh: deque[float] = deque(maxlen=max(1, periods))
        self._first = -1

    def surplus_wh(self, period: int) -> list[float]:
        """Expected generation less demand of `period` and the periods after it, in Wh."""
        length = self._surplus_wh.maxlen or 1
        if period != self._first + 1 or len(self._surplus_wh) < length:
            self._surplus_wh.extend(self.forecast.surplus_wh(period + ahead) for ahead in range(length))
        else:
            self._surplus_wh.append(self.forecast.surplus_wh(period + length - 1))
        self._first = period
        return list(self._surplus_wh)


class MarketAgent(mesa.Agent):  # type: ignore[misc]  # Mesa ships no types.
    """What all participants share: an account, a site, orders, and what became of them.

    The attributes that end in units are those of the last period and are what the model collects.
    """

    def __init__(self, model: MarketModel, participant: Participant, key: KeyPair, forecast: SiteForecast) -> None:
        super().__init__(model)
        self.market: MarketModel = model
        self.participant = participant
        self.name = participant.name
        self.role = participant.role
        self.region = participant.region
        self.key = key
        self.approved = False
        self.orders: list[PlaceOrder] = []
        self.side = ""
        self.ordered_wh = 0
        self.price_micro = 0
        self.forecast_wh = 0
        self.traded_wh = 0
        self.traded_price_micro = 0
        self.metered_wh = 0
        self.balance_nano = 0
        self.charge_wh = _first_charge_wh(participant.site.battery)
        self.reputation_ppm = 0
        self._outlook = Outlook(forecast, self._periods_ahead())

    def decide(self) -> None:
        """Choose the orders of the open period."""
        self._read_telemetry()
        self.orders = self.choose_orders(self.market.period) if self.approved else []
        self.side = self.orders[0].side.name.lower() if self.orders else ""
        self.ordered_wh = sum(order.energy_wh for order in self.orders)
        self.price_micro = self.orders[0].price_micro if self.orders else 0

    def choose_orders(self, period: int) -> list[PlaceOrder]:
        """The orders for `period`. Each role has its own."""
        raise NotImplementedError

    def hear_receipts(self, receipts: Sequence[Receipt | None]) -> None:
        """Drop the orders that the ledger refused, or never receipted."""
        answered = zip(self.orders, receipts, strict=True)
        self.orders = [
            order for order, receipt in answered if receipt is not None and receipt.code is ReasonCode.OK
        ]

    def hear_clearing(self, trades: Sequence[Trade]) -> None:
        """Take note of the own trades of the period."""
        self.traded_wh = sum(
            trade.energy_wh if trade.seller == self.key.public else -trade.energy_wh for trade in trades
        )
        paid = _mean_paid_micro(trades, self.key.public)
        self.traded_price_micro = round(paid.price_micro)
        self.learn(trades)

    def learn(self, trades: Sequence[Trade]) -> None:
        """Adjust the strategy to what the last orders brought."""

    def hear_settlement(self, row: SettlementRow | None) -> None:
        """Take note of what the meter said and what the account holds."""
        if row is not None:
            self.metered_wh = row.metered_wh
            self.balance_nano = row.balance_nano
            self.reputation_ppm = row.reputation_ppm

    def storage(self) -> Storage | None:
        """The own battery as it stands now, by its last telemetry."""
        battery = self.participant.site.battery
        if battery is None:
            return None
        return Storage(
            capacity_wh=battery.capacity_wh * battery.soc_max,
            power_w=battery.power_w,
            efficiency=battery.efficiency,
            floor_wh=battery.capacity_wh * battery.soc_min,
            charge_wh=self.charge_wh,
        )

    def sell(self, energy_wh: float, price_micro: float, period: int) -> list[PlaceOrder]:
        """A sell order of what the meter is registered for, at no more than the regulator asks."""
        most_wh = self.participant.max_export_wh(self.market.hours)
        return _order(Side.SELL, min(energy_wh, most_wh), min(price_micro, self._highest_micro()), period)

    def buy(self, energy_wh: float, price_micro: float, period: int, *, hard: bool) -> list[PlaceOrder]:
        """A buy order, at no more than retail. `hard` demand is served by the regulator when nobody else does."""
        price_micro = min(price_micro, self.market.tariffs.retail_micro)
        return _order(Side.BUY, energy_wh, price_micro, period, hard=hard)

    def _highest_micro(self) -> int:
        tariffs = self.market.tariffs
        return min(tariffs.retail_micro, tariffs.limit_micro or tariffs.retail_micro)

    def _read_telemetry(self) -> None:
        telemetry: Telemetry | None = None
        if self.participant.site.battery is not None:
            telemetry = self.market.exchange.latest_telemetry(self.participant.site.device_id)
        if telemetry is not None:
            self.charge_wh = telemetry.soc_wh

    def _periods_ahead(self) -> int:
        return round(HORIZON_H / self.market.hours) if self.participant.site.battery else 1


class Producer(MarketAgent):
    """Sells what it expects to generate, learning price and quantity: Huang 2022, eqs. (1) to (3)."""

    def __init__(self, model: MarketModel, participant: Participant, key: KeyPair, forecast: SiteForecast) -> None:
        super().__init__(model, participant, key, forecast)
        margin_micro = model.scenario.strategy.first_margin_micro
        self.state = ProducerState(ask_micro=float(participant.cost_micro + margin_micro))

    def choose_orders(self, period: int) -> list[PlaceOrder]:
        """One sell order of a learnt share of the expected generation."""
        expected_wh = self._outlook.surplus_wh(period)[0]
        self.forecast_wh = round(expected_wh)
        return self.sell(expected_wh * self.state.share, self.state.ask_micro, period)

    def learn(self, trades: Sequence[Trade]) -> None:
        """Huang 2022, eq. (3). Without an order there was nothing to learn from."""
        if self.orders:
            outcome = _mean_paid_micro(trades, self.key.public)
            self.state = next_producer(
                self.state, outcome, self.participant.cost_micro, self.market.rules, self.market.rng
            )


class Consumer(MarketAgent):
    """Buys what it expects to use, learning its price: Huang 2022, eqs. (4) and (5)."""

    def __init__(self, model: MarketModel, participant: Participant, key: KeyPair, forecast: SiteForecast) -> None:
        super().__init__(model, participant, key, forecast)
        margin_micro = model.scenario.strategy.first_margin_micro
        self.state = ConsumerState(bid_micro=float(model.tariffs.retail_micro - margin_micro))

    def choose_orders(self, period: int) -> list[PlaceOrder]:
        """One buy order; demand is hard (Huang 2022, section 2.2 (2)): nobody sits in the dark for a price.

        Where part of the demand can wait, a second order bids less for it and stands until its deadline.
        """
        surplus_wh = self._outlook.surplus_wh(period)[0]
        self.forecast_wh = round(surplus_wh)
        home = self.participant.site.household
        if home is None or not home.flexible_share or is_deadline(period, home.delay_periods):
            return self.buy(-surplus_wh, self.state.bid_micro, period, hard=True)
        waiting_wh = -surplus_wh * home.flexible_share
        orders = self.buy(-surplus_wh - waiting_wh, self.state.bid_micro, period, hard=True)
        patient_micro = (self.market.tariffs.feed_in_micro + self.state.bid_micro) / 2
        last = min(deadline(period, home.delay_periods), self.market.scenario.market.periods - 1)
        orders += [
            replace(order, expiry_period=max(period, last))
            for order in self.buy(waiting_wh, patient_micro, period, hard=True)
        ]
        return orders

    def learn(self, trades: Sequence[Trade]) -> None:
        """Huang 2022, eq. (5), from what the own bid won."""
        if self.orders:
            outcome = _won(self.orders, trades)
            self.state = next_consumer(
                self.state, outcome, self.market.tariffs.retail_micro, self.market.rules, self.market.rng
            )


class Prosumer(MarketAgent):
    """Buyer or seller, one side each period, by its forecast and the plan for its battery.

    It learns an ask as a producer and a bid as a consumer, each from the periods on that side. Its panels'
    cost is the feed-in tariff that a sale forgoes. The quantity is its surplus: it withholds nothing.
    """

    def __init__(self, model: MarketModel, participant: Participant, key: KeyPair, forecast: SiteForecast) -> None:
        super().__init__(model, participant, key, forecast)
        margin_micro = model.scenario.strategy.first_margin_micro
        self.seller = ProducerState(ask_micro=float(participant.cost_micro + margin_micro))
        self.buyer = ConsumerState(bid_micro=float(model.tariffs.retail_micro - margin_micro))
        self.plan = PeriodPlan()

    def choose_orders(self, period: int) -> list[PlaceOrder]:
        """Sell what is left over, or buy what is missing and what the battery takes when it is cheap."""
        surplus_wh = self._outlook.surplus_wh(period)
        self.forecast_wh = round(surplus_wh[0])
        storage = self.storage()
        if storage is None:
            self.plan = plan_without_battery(surplus_wh[0])
        else:
            self.plan = plan_with_battery(storage, surplus_wh, self.market.hours)
        if self.plan.sell_wh > 0:
            return self.sell(self.plan.sell_wh, self.seller.ask_micro, period)
        orders = self.buy(self.plan.need_wh, self.buyer.bid_micro, period, hard=True)
        if storage is not None and self.plan.charge_wh > 0:
            # A stored kWh saves retail later, less what the battery loses; dearer than that it is no gain.
            worth_micro = self.market.tariffs.retail_micro * storage.round_trip - _STORING_GAIN_MICRO
            bid_micro = min(self.buyer.bid_micro, worth_micro)
            orders += self.buy(self.plan.charge_wh, bid_micro, period, hard=False)
        return orders

    def learn(self, trades: Sequence[Trade]) -> None:
        """Huang 2022, eq. (3) on the selling side, eq. (5) on the buying side."""
        if not self.orders:
            return
        if self.orders[0].side is Side.SELL:
            outcome = _mean_paid_micro(trades, self.key.public)
            cost_micro = self.participant.cost_micro
            learnt = next_producer(self.seller, outcome, cost_micro, self.market.rules, self.market.rng)
            self.seller = learnt
        else:
            value_micro = self.market.tariffs.retail_micro
            outcome = _won(self.orders, trades)
            self.buyer = next_consumer(self.buyer, outcome, value_micro, self.market.rules, self.market.rng)


_STORING_GAIN_MICRO: Final = 10_000
"""The least that buying for the battery must promise to save a kWh."""


def _order(
    side: Side, energy_wh: float, price_micro: float, period: int, *, hard: bool = False
) -> list[PlaceOrder]:
    """An order in whole units, or none when nothing is left after rounding."""
    whole_wh = int(energy_wh)
    if whole_wh < 1:
        return []
    return [
        PlaceOrder(
            side=side,
            energy_wh=whole_wh,
            price_micro=max(0, round(price_micro)),
            period=period,
            expiry_period=period,
            hard=hard,
        )
    ]


def _mean_paid_micro(trades: Sequence[Trade], account: bytes) -> Outcome:
    """Energy of an account's trades and their mean price: what a seller gets, or a buyer pays with the fee."""
    energy_wh = sum(trade.energy_wh for trade in trades)
    if not energy_wh:
        return Outcome(energy_wh=0)
    value = sum(
        trade.energy_wh * (trade.price_micro + (trade.fee_micro if trade.buyer == account else 0))
        for trade in trades
    )
    return Outcome(energy_wh=energy_wh, price_micro=value / energy_wh)


def _won(orders: Sequence[PlaceOrder], trades: Sequence[Trade]) -> Outcome:
    """What bids won by their own price.

    Hard demand that the regulator served above the bid is not among it: to the strategy it was unserved.
    """
    highest_micro = max(order.price_micro for order in orders)
    won = [trade for trade in trades if trade.price_micro + trade.fee_micro <= highest_micro]
    energy_wh = sum(trade.energy_wh for trade in won)
    if not energy_wh:
        return Outcome(energy_wh=0)
    value = sum(trade.energy_wh * (trade.price_micro + trade.fee_micro) for trade in won)
    return Outcome(energy_wh=energy_wh, price_micro=value / energy_wh)


def _first_charge_wh(battery: BatteryConfig | None) -> float:
    return battery.capacity_wh * battery.soc_start if battery else 0.0
