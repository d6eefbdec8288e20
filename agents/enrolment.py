"""Registration at the start: everybody registers, the regulator decides, the cashier credits deposits.

Each of the three is one batch. A host that was started again finds its accounts registered and approved and
goes on. It sends the deposits again, for it cannot know how far it had come; but as the very transactions of
the first time, so nobody is credited twice. A host without that memory credits only whom it sees approved.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from agents.host_memory import NEVER
from agents.population import Participant, name_hash
from market.orders import Role
from market.receipts import ReasonCode
from market.supervision_transactions import Accredit
from market.transactions import Deposit, MeterRegistration, Register, Transaction

if TYPE_CHECKING:
    from agents.key_ring import KeyRing
    from agents.market_agents import MarketAgent
    from agents.model import MarketModel
    from agents.regulator_agent import Regulator

log = logging.getLogger(__name__)

_REGISTERED: Final = (ReasonCode.OK, ReasonCode.ALREADY_REGISTERED)
# WRONG_STATUS: approved before this host was started again.
_APPROVED: Final = (ReasonCode.OK, ReasonCode.WRONG_STATUS)
# Credited before this host was started again; when it was away for long, the chain says expired.
_CREDITED_BEFORE: Final = (ReasonCode.REPLAYED, ReasonCode.EXPIRED)


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
    is_first = model.memory.enrolled_in == NEVER
    once_in = model.memory.enrols_in(model.exchange.open_period)
    approved, funded = _review(model, model.regulator, registered)
    _open_accounts(model, model.regulator, funded if is_first else approved, once_in)
    log.info("enrolled", extra={"fields": {"registered": len(registered), "approved": len(approved)}})


def _review(
    model: MarketModel, regulator: Regulator, registered: list[tuple[MarketAgent, Register]]
) -> tuple[list[MarketAgent], list[MarketAgent]]:
    """Decide about everybody; returns who is approved, and who of them was just now."""
    reviews = [(agent, regulator.review(agent.key.public, register)) for agent, register in registered]
    receipts = model.exchange.submit([(regulator.key, review) for _, review in reviews])
    just_now = []
    for (agent, review), receipt in zip(reviews, receipts, strict=True):
        agent.approved = not review.reason and receipt is not None and receipt.code in _APPROVED
        if agent.approved and receipt is not None and receipt.code is ReasonCode.OK:
            just_now.append(agent)
    return [agent for agent, _ in reviews if agent.approved], just_now


def _accreditations(model: MarketModel, owners: list[MarketAgent]) -> list[Accredit]:
    """Where green certificates are issued: all who generate. What a battery sends back never counts."""
    if not model.scenario.market.green_certificates:
        return []
    generators = [agent for agent in owners if agent.participant.site.generates]
    return [Accredit(account=agent.key.public, renewable=True) for agent in generators]


def _open_accounts(model: MarketModel, regulator: Regulator, owners: list[MarketAgent], once_in: int) -> None:
    """Set the limits and credit the deposits."""
    funded = [agent for agent in owners if agent.participant.deposit_nano]
    deposits = [
        (regulator.cashier, Deposit(account=agent.key.public, amount_nano=agent.participant.deposit_nano))
        for agent in funded
    ]
    rules: list[Transaction] = [regulator.limits(), *_accreditations(model, owners)]
    model.count_refusals(model.exchange.submit([(regulator.key, rule) for rule in rules]))
    receipts = model.exchange.submit(deposits, once_in=once_in)
    model.count_refusals([it for it in receipts if it is None or it.code not in _CREDITED_BEFORE])
    for agent, receipt in zip(funded, receipts, strict=True):
        if receipt is not None and receipt.code is ReasonCode.OK:
            agent.balance_nano = agent.participant.deposit_nano
