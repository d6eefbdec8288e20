"""The speculator as a Mesa agent: shared storage that buys on falling and sells on rising prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agents.market_agents import MarketAgent
from agents.population import Participant
from agents.speculation import PriceWindow, Stance, Storage, StoredCost, stance
from market.orders import Side
from market.transactions import PlaceOrder

if TYPE_CHECKING:
    from agents.model import MarketModel
    from devices.forecast import SiteForecast
    from market.events import Clearing, Trade
    from mosquitto.keys import KeyPair

_CROSS_SHARE: Final = 0.05
"""How far past the last price it goes to be served: bids this much above, asks this much below."""


class Speculator(MarketAgent):
    """Huang 2022, section 2.2 (3), within the physics of its battery.

    It bids a little above the last price of its region, never more than what it can sell again for retail
    after losses; it asks a little below, never less than what the stored energy has cost with losses.
    """

    def __init__(self, model: MarketModel, participant: Participant, key: KeyPair, forecast: SiteForecast) -> None:
        super().__init__(model, participant, key, forecast)
        self.window = PriceWindow(participant.window_periods)
        storage = self._battery()
        self.cost = StoredCost(max(0.0, storage.charge_wh - storage.floor_wh), model.tariffs.feed_in_micro)

    def choose_orders(self, period: int) -> list[PlaceOrder]:
        """Buy, sell or wait, by the price's change over the window."""
        self.forecast_wh = 0
        storage, last_micro = self._battery(), self.window.last_micro
        tariffs, hours = self.market.tariffs, self.market.hours
        if last_micro is None:
            return []
        match stance(self.window.prices_micro, self.participant.threshold):
            case Stance.BUY:
                worth_micro = tariffs.retail_micro * storage.round_trip - tariffs.crossing_fee_micro
                bid_micro = max(tariffs.feed_in_micro, last_micro * (1 + _CROSS_SHARE))
                return self.buy(storage.takes_wh(hours), min(bid_micro, worth_micro), period, hard=False)
            case Stance.SELL:
                floor_micro = max(tariffs.feed_in_micro, self.cost.mean_micro / storage.round_trip)
                ask_micro = max(floor_micro, last_micro * (1 - _CROSS_SHARE))
                return self.sell(storage.gives_wh(hours), ask_micro, period)
            case Stance.WAIT:
                return []

    def learn(self, trades: Sequence[Trade]) -> None:
        """Keep the books of what the stored energy cost."""
        storage = self._battery()
        for trade in trades:
            if trade.buyer == self.key.public:
                self.cost.bought(trade.energy_wh, trade.price_micro + trade.fee_micro)
            else:
                self.cost.sold(trade.energy_wh, storage.round_trip)

    def hear_prices(self, clearing: Clearing) -> None:
        """Add the region's mean price. A period without trade has none."""
        for price in clearing.prices:
            if price.region == self.region and price.volume_wh:
                self.window.add(price.mean_micro)

    @property
    def is_buying(self) -> bool:
        """Whether its last order was a bid."""
        return bool(self.orders) and self.orders[0].side is Side.BUY

    def _battery(self) -> Storage:
        storage = self.storage()
        assert storage is not None, "the scenario gives every speculator a battery"
        return storage
