"""The regulator as a Mesa agent: reviews registrations by rule, sets the limits, credits deposits.

Its unlimited ask at the limit price S_r is the contract's own (Huang 2022, section 2.2 (4)); here are its
decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

import mesa

from market.orders import Role
from market.supervision_transactions import SetPriceCap
from market.transactions import Decision, Register, Review, SetLimits

if TYPE_CHECKING:
    from agents.model import MarketModel
    from market.events import Clearing
    from mosquitto.keys import KeyPair


class Regulator(mesa.Agent):  # type: ignore[misc]  # Mesa ships no types.
    """Approves who fits the rules, and says why when it refuses."""

    def __init__(self, model: MarketModel, key: KeyPair, cashier: KeyPair) -> None:
        super().__init__(model)
        self.market: MarketModel = model
        self.name = "regulator"
        self.role = "regulator"
        self.region = ""
        self.key = key
        self.cashier = cashier
        self.reviewed: Counter[str] = Counter()
        self.served_wh = 0
        self.caps = 0
        self._dear_periods = 0
        self._capped_until = -1

    def limits(self) -> SetLimits:
        """The price limits that the scenario gives it."""
        market = self.market.scenario.market
        return SetLimits(
            ask_limit_micro=market.regulator_limit_micro,
            lowest_micro=market.lowest_price_micro,
            highest_micro=market.highest_price_micro,
        )

    def review(self, account: bytes, registration: Register) -> Review:
        """Decide about one registration."""
        objection = objection_to(registration, self.market.scenario.region_names)
        self.reviewed["refused" if objection else "approved"] += 1
        decision = Decision.REFUSE if objection else Decision.APPROVE
        return Review(account=account, decision=decision, reason=objection)

    def hear_clearing(self, clearing: Clearing) -> None:
        """Take note of how much the standing ask had to serve."""
        self.served_wh = sum(trade.energy_wh for trade in clearing.trades if trade.sell_order == 0)

    def emergency(self, clearing: Clearing) -> SetPriceCap | None:
        """The cap that the scenario's rule asks for after this clearing, or None.

        The first periods of a new window are those that still take orders.
        """
        rule = self.market.scenario.market.emergency
        if not rule.trigger_micro:
            return None
        local = [trade for trade in clearing.trades if trade.sell_order]
        energy_wh = sum(trade.energy_wh for trade in local)
        value_nano = sum(trade.energy_wh * trade.price_micro for trade in local)
        is_dear = energy_wh > 0 and value_nano > rule.trigger_micro * energy_wh
        self._dear_periods = self._dear_periods + 1 if is_dear else 0
        if self._dear_periods < rule.after_periods or clearing.period < self._capped_until:
            return None
        self._dear_periods = 0
        self._capped_until = clearing.period + rule.for_periods
        self.caps += 1
        return SetPriceCap(
            cap_micro=rule.cap_micro,
            first_period=clearing.period + 1,
            last_period=clearing.period + rule.for_periods,
            reason=f"mean price above {rule.trigger_micro} for {rule.after_periods} periods",
        )


def objection_to(registration: Register, regions: Collection[str]) -> str:
    """Why a registration cannot be approved; empty when it can.

    A participant needs a region of this market, somewhere to be paid, and meters that can show what its
    role does: a seller's must be able to export, a buyer's to import.
    """
    if registration.region not in regions:
        return "no such region"
    if not registration.settlement_account:
        return "no settlement account"
    role = registration.role
    if role in (Role.REGULATOR, Role.GRID):
        return "role is reserved"
    if not registration.meters:
        return "no meter"
    imports = sum(meter.max_import_wh for meter in registration.meters)
    exports = sum(meter.max_export_wh for meter in registration.meters)
    if role in (Role.CONSUMER, Role.PROSUMER, Role.SPECULATOR) and not imports:
        return "a buyer's meters must measure import"
    if role in (Role.PRODUCER, Role.PROSUMER, Role.SPECULATOR) and not exports:
        return "a seller's meters must measure export"
    return ""
