"""Registration at the start: everybody registers, the regulator decides, the cashier credits deposits.

Each of the three is one batch. A host that was started again finds its accounts registered and goes on:
only who is approved by this run gets a deposit, so nobody is credited twice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from agents.population import Participant, name_hash
from market.orders import Role
from market.receipts import ReasonCode
from market.transactions import Deposit, MeterRegistration, Register

if TYPE_CHECKING:
    from agents.key_ring import KeyRing
    from agents.market_agents import MarketAgent
    from agents.model import MarketModel
    from agents.regulator_agent import Regulator

log = logging.getLogger(__name__)

_REGISTERED: Final = (ReasonCode.OK, ReasonCode.ALREADY_REGISTERED)


def registration(participant: Participant, keys: KeyRing, hours: float, seed: int) -> Register:
    """The registration of a participant whose meter is new: its registers stand at 0."""
    site = participant.site
    hashed = name_hash(seed, participant.name)
    return Register(
        name_hash=hashed,
        role=Role[participant.role.upper()],
        region=participant.region,
        # Only a reference: the bank account itself has no business on a chain.
        settlement_account=f"account-{hashed[:6].hex()}",
        meters=(
            MeterRegistration(
                meter_id=site.meter_id,
                key=keys.key(site.meter_id).public,
                max_import_wh=participant.max_import_wh(hours),
                max_export_wh=participant.max_export_wh(hours),
            ),
        ),
    )


def enrol(model: MarketModel) -> None:
    """Register the participants of this host; where the authority runs, review them and credit deposits."""
    seed = model.scenario.scenario.seed
    asked = [(agent, registration(agent.participant, model.keys, model.hours, seed)) for agent in model.traders]
    receipts = model.exchange.submit([(agent.key, register) for agent, register in asked])
    model.count_refusals(receipts)
    answered = zip(asked, receipts, strict=True)
    registered = [entry for entry, receipt in answered if receipt is not None and receipt.code in _REGISTERED]
    if model.regulator is None:
        # Another host's regulator decides: until it has, orders are refused with a reason and cost nothing.
        for agent, _ in registered:
            agent.approved = True
        return
    approved = _review(model, model.regulator, registered)
    _open_accounts(model, model.regulator, approved)
    log.info("enrolled", extra={"fields": {"registered": len(registered), "approved": len(approved)}})


def _review(
    model: MarketModel, regulator: Regulator, registered: list[tuple[MarketAgent, Register]]
) -> list[MarketAgent]:
    """Decide about everybody; returns who was approved just now."""
    reviews = [(agent, regulator.review(agent.key.public, register)) for agent, register in registered]
    receipts = model.exchange.submit([(regulator.key, review) for _, review in reviews])
    approved = []
    for (agent, review), receipt in zip(reviews, receipts, strict=True):
        # WRONG_STATUS: approved before this host was started again.
        agent.approved = (
            not review.reason
            and receipt is not None
            and receipt.code
            in (
                ReasonCode.OK,
                ReasonCode.WRONG_STATUS,
            )
        )
        if agent.approved and receipt is not None and receipt.code is ReasonCode.OK:
            approved.append(agent)
    return approved


def _open_accounts(model: MarketModel, regulator: Regulator, approved: list[MarketAgent]) -> None:
    """Credit the deposits and set the limits."""
    deposits = [
        (regulator.cashier, Deposit(account=agent.key.public, amount_nano=agent.participant.deposit_nano))
        for agent in approved
        if agent.participant.deposit_nano
    ]
    receipts = model.exchange.submit([(regulator.key, regulator.limits()), *deposits])
    model.count_refusals(receipts)
    for agent in approved:
        agent.balance_nano = agent.participant.deposit_nano
