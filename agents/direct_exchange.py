"""The contract applied directly: no ledger, no bus, no signatures. For sweeps over strategies and mechanisms.

Same contract, same devices, same agents as a deployment; what is left out is what makes it trustworthy
among strangers. Results equal those of one replica in memory.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from agents.deployment_builder import market_config_of
from agents.key_ring import KeyRing
from agents.population import Population
from agents.scenario import Scenario
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.simulated_site import SimulatedSite
from devices.telemetry import Telemetry
from market.contract import BlockInput, BlockOutcome, SignedCall, apply, genesis_state
from market.events import Clearing, Settlement
from market.market_events import OfferList
from market.receipts import ReasonCode, Receipt
from market.transactions import (
    ClosePeriod,
    DeliverPeriod,
    SettlePeriod,
    SubmitReading,
    Transaction,
    encode_call,
)
from mosquitto.codec import encode

if TYPE_CHECKING:
    from mosquitto.keys import KeyPair

_RESULTS_KEPT: Final = 8

_Event = TypeVar("_Event", Clearing, Settlement)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    simulated: SimulatedSite
    owner: bytes
    meter_key: bytes


class DirectExchange:
    """`agents.exchange_api.Exchange` for one model on one thread.

    `periods` close, are delivered and settled as soon as somebody waits for it. Every transaction passes
    through the contract's `apply` as in a block of its own batch.
    """

    def __init__(self, scenario: Scenario, population: Population, keys: KeyRing) -> None:
        self._operator = keys.key(scenario.ledger.nodes[0]).public
        self._config = market_config_of(scenario, keys, [self._operator], scenario.first_period_ms)
        self.state = genesis_state(self._config)
        self._height = 0
        self._time_ms = scenario.first_period_ms
        self._period_ms = scenario.period_ms
        self._nonces = itertools.count(1)
        self._clearings: OrderedDict[int, Clearing] = OrderedDict()
        self._settlements: OrderedDict[int, Settlement] = OrderedDict()
        self._telemetry: dict[str, Telemetry] = {}
        self._offers: OfferList | None = None
        library = ProfileLibrary.load()
        calendar = ProfileCalendar(scenario.profiles.day, scenario.market.period_minutes)
        self._sites = [
            _Site(
                simulated=SimulatedSite(participant.site, library, calendar),
                owner=keys.key(participant.name).public,
                meter_key=keys.key(participant.site.meter_id).public,
            )
            for participant in population.participants
        ]

    @property
    def open_period(self) -> int:
        """The period that takes orders."""
        return self.state.open_period

    def submit(
        self, calls: Sequence[tuple[KeyPair, Transaction]], *, once_in: int | None = None
    ) -> list[Receipt | None]:
        """Apply one block of these transactions. Nothing is ever sent twice here, so `once_in` changes nothing."""
        return list(self._apply([(key.public, transaction) for key, transaction in calls]).receipts)

    def ready(self, period: int, phase: str) -> None:
        """Nothing to wait for: nobody else is here."""

    def wait_clearing(self, period: int) -> Clearing:
        """Close `period` if it is open. Raises TimeoutError for one that lies ahead, or long back."""
        if period == self.open_period:
            self._phase(ClosePeriod(period=period, time_ms=self._time_ms))
        if period not in self._clearings:
            raise TimeoutError(f"clearing of period {period}: the open period is {self.open_period}")
        return self._clearings[period]

    def wait_settlement(self, period: int) -> Settlement:
        """Live through `period`, read all meters and settle. Raises TimeoutError as `wait_clearing` does."""
        if period not in self._settlements:
            clearing = self.wait_clearing(period)
            self._phase(DeliverPeriod(period=period, time_ms=self._time_ms))
            self._measure(clearing)
            self._phase(SettlePeriod(period=period, time_ms=self._time_ms))
        return self._settlements[period]

    def offers(self) -> OfferList:
        """What stands in the list now. Raises TimeoutError before the first block of a market that lists."""
        if self._offers is None:
            raise TimeoutError("offers: this market has listed none")
        return self._offers

    def latest_telemetry(self, device_id: str) -> Telemetry | None:
        """The last state of an inverter."""
        return self._telemetry.get(device_id)

    def _phase(self, transaction: ClosePeriod | DeliverPeriod | SettlePeriod) -> None:
        outcome = self._apply([(self._operator, transaction)])
        assert outcome.receipts[0].code is ReasonCode.OK, outcome.receipts[0].code.sentence

    def _measure(self, clearing: Clearing) -> None:
        """Every site lives through the period; its meter's reading becomes a transaction."""
        positions_wh = clearing.positions_wh()
        calls: list[tuple[bytes, Transaction]] = []
        self._time_ms += self._period_ms
        for site in self._sites:
            simulated = site.simulated
            flows = simulated.run(positions_wh.get(site.owner, 0))
            telemetry = simulated.telemetry(flows, clearing.period, self._time_ms)
            self._telemetry[telemetry.device_id] = telemetry
            reading = simulated.meter.read(clearing.period, self._time_ms)
            calls.append((site.meter_key, SubmitReading(reading=reading)))
        for receipt in self._apply(calls).receipts:
            assert receipt.code is ReasonCode.OK, receipt.code.sentence

    def _apply(self, calls: Sequence[tuple[bytes, Transaction]]) -> BlockOutcome:
        signed = tuple(self._call(sender, transaction) for sender, transaction in calls)
        self._height += 1
        self._time_ms += 1
        block = BlockInput(height=self._height, time_ms=self._time_ms, calls=signed)
        outcome = apply(self._config, self.state, block)
        for event in outcome.events:
            if isinstance(event, Clearing):
                _keep(self._clearings, event.period, event)
            elif isinstance(event, Settlement):
                _keep(self._settlements, event.period, event)
            elif isinstance(event, OfferList):
                self._offers = event
        return outcome

    def _call(self, sender: bytes, transaction: Transaction) -> SignedCall:
        fields = encode_call(transaction, self.open_period + 1, next(self._nonces))
        tx_id = hashlib.blake2b(encode((sender, fields)), digest_size=32).digest()
        return SignedCall(tx_id=tx_id, sender=sender, fields=fields)


def _keep(results: OrderedDict[int, _Event], period: int, event: _Event) -> None:
    results[period] = event
    if len(results) > _RESULTS_KEPT:
        results.popitem(last=False)
