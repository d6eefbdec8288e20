"""Settlement from escrow (Cui 2022, section 5.2): what a delivery earns, and what waits for a dispute.

Before delivery the buyer has locked the bill, the crossing fee and the reward of full delivery: R r t tokens in
the paper, at t tokens per unit of the currency. Money and tokens are one ledger here: a token is locked money,
so that what is conserved is conserved once.

Two meters say what happened to a trade of R: rho at the provider, gamma at the user, tau is the loss that may
occur between them. A provider serves several users through one meter, and a user's meter cannot tell whose
energy it is, so each trade gets its share of both, and gamma never counts more than rho by itself: what a
provider did not send, the grid company did.

| case | reward | bill |
| --- | --- | --- |
| gamma >= R | all | R r |
| rho >= R, R - tau <= gamma < R | half | R r |
| rho >= R, gamma < R - tau | none | R r, of which what exceeds the tolerable loss is held |
| rho < R | none | R r less r (R - gamma), which goes back to the user |
| gamma > rho | none | R r less r (R - rho); what gamma exceeds rho by is held |

The paper leaves the third and the fifth case open. A held payment goes to the seller after some periods, unless
one of the two disputes it with the ids of signed readings; then the regulator divides it. One that the regulator
leaves undecided is halved in the end, so that nothing is held for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from market.context import Context
from market.market_events import EscrowCase, EscrowLine, HeldChange
from market.market_records import HeldPayment
from market.receipts import ReasonCode
from market.records import OpenTrade
from market.supervision_transactions import Dispute, ResolveDispute
from market.units import PPM


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How the deposit of a trade is divided, in Wh to be paid: `paid_wh + held_wh + refunded_wh` is R."""

    case: EscrowCase
    paid_wh: int
    held_wh: int
    refunded_wh: int
    reward_half_shares: int

    @property
    def delivered_wh(self) -> int:
        """What counts as delivered, for both parties' imbalances."""
        return self.paid_wh + self.held_wh


def split_of(agreed_wh: int, provided_wh: int, received_wh: int, loss_wh: int) -> Split:
    """Cui 2022, eqs. (6) and (7), completed as the head of this module says.

    `agreed_wh` is R, `provided_wh` rho, `received_wh` gamma, `loss_wh` tau. `reward_half_shares` is 2 for the full
    reward, 1 for half, 0 for none.
    """
    if received_wh > provided_wh and provided_wh < agreed_wh:
        held_wh = min(received_wh, agreed_wh) - provided_wh
        return Split(
            case=EscrowCase.METERS_DISAGREE,
            paid_wh=provided_wh,
            held_wh=held_wh,
            refunded_wh=agreed_wh - provided_wh - held_wh,
            reward_half_shares=0,
        )
    if received_wh >= agreed_wh:
        return Split(case=EscrowCase.DELIVERED, paid_wh=agreed_wh, held_wh=0, refunded_wh=0, reward_half_shares=2)
    if provided_wh < agreed_wh:
        return Split(
            case=EscrowCase.SHORT,
            paid_wh=received_wh,
            held_wh=0,
            refunded_wh=agreed_wh - received_wh,
            reward_half_shares=0,
        )
    if received_wh >= agreed_wh - loss_wh:
        return Split(
            case=EscrowCase.WITHIN_LOSS, paid_wh=agreed_wh, held_wh=0, refunded_wh=0, reward_half_shares=1
        )
    held_wh = agreed_wh - loss_wh - received_wh
    return Split(
        case=EscrowCase.EXCESS_LOSS,
        paid_wh=agreed_wh - held_wh,
        held_wh=held_wh,
        refunded_wh=0,
        reward_half_shares=0,
    )


def estimated_split(agreed_wh: int) -> Split:
    """A silent meter is settled as if it had shown what was agreed, but earns nobody a reward."""
    return Split(case=EscrowCase.ESTIMATED, paid_wh=agreed_wh, held_wh=0, refunded_wh=0, reward_half_shares=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the meters of a trade's two parties say about it.

    `evidence`: ids of the transactions with their readings.
    """

    provided_wh: int
    received_wh: int
    estimated: bool
    evidence: tuple[bytes, ...]


def share_wh(agreed_wh: int, metered_wh: int, position_wh: int) -> int:
    """A trade's share of what a meter shows, at most what was agreed: every trade gets the same part."""
    if metered_wh >= position_wh:
        return agreed_wh
    return max(0, metered_wh) * agreed_wh // position_wh


def settle_trade(context: Context, trade: OpenTrade, delivery: Delivery) -> tuple[Split, EscrowLine]:
    """Pay a trade from what its buyer has locked; nothing of it is left over and nothing is added."""
    bank, config = context.bank, context.config
    if delivery.estimated:
        split = estimated_split(trade.energy_wh)
    else:
        loss_wh = trade.energy_wh * config.loss_ppm // PPM
        split = split_of(trade.energy_wh, delivery.provided_wh, delivery.received_wh, loss_wh)
    deposit_nano = trade.lock_nano
    bill_nano = split.paid_wh * trade.price_micro
    reward_nano = trade.energy_wh * trade.reward_micro * split.reward_half_shares // 2
    fee_nano = split.delivered_wh * trade.fee_micro
    held_nano = split.held_wh * trade.price_micro
    bank.take_locked(trade.buyer, bill_nano + reward_nano + fee_nano)
    bank.credit(trade.seller, bill_nano + reward_nano)
    bank.credit(config.grid_account, fee_nano)
    # The held part stays locked at the buyer; the rest of the deposit is free again.
    bank.unlock(trade.buyer, deposit_nano - bill_nano - reward_nano - fee_nano - held_nano)
    if held_nano:
        context.state.held.add(
            trade.number,
            HeldPayment(
                period=trade.period,
                buyer=trade.buyer,
                seller=trade.seller,
                amount_nano=held_nano,
                agreed_wh=trade.energy_wh,
                provided_wh=delivery.provided_wh,
                received_wh=delivery.received_wh,
                release_period=trade.period + config.dispute_periods,
                evidence=delivery.evidence,
            ),
        )
    line = EscrowLine(
        trade=trade.number,
        buyer=trade.buyer,
        seller=trade.seller,
        agreed_wh=trade.energy_wh,
        provided_wh=delivery.provided_wh,
        received_wh=delivery.received_wh,
        case=split.case,
        deposit_nano=deposit_nano,
        deposit_tokens_nano=deposit_nano * config.tokens_per_unit,
        bill_nano=bill_nano,
        reward_nano=reward_nano,
        fee_nano=fee_nano,
        held_nano=held_nano,
    )
    return split, line


def release_due(context: Context, period: int) -> None:
    """With the settlement of `period`, pay out what nobody has disputed in time, or nobody decided."""
    held = context.state.held
    for number in held.keys():  # noqa: SIM118 - a Table
        payment = held[number]
        if payment.release_period > period:
            continue
        if not payment.disputed_by:
            _pay_out(context, number, 0, "undisputed")
        elif payment.release_period + context.config.decision_periods <= period:
            _pay_out(context, number, payment.amount_nano // 2, "undecided")


def dispute(context: Context, dispute: Dispute) -> ReasonCode:
    """Stop the release of a held payment. Evidence must be readings of this trade's own meters."""
    payment = context.state.held.get(dispute.trade)
    if payment is None:
        return ReasonCode.NOTHING_HELD
    if context.sender not in (payment.buyer, payment.seller):
        return ReasonCode.NOT_PARTY
    if payment.disputed_by:
        return ReasonCode.ALREADY_DISPUTED
    if not dispute.evidence or any(tx_id not in payment.evidence for tx_id in dispute.evidence):
        return ReasonCode.EVIDENCE_UNKNOWN
    context.state.held.edit(dispute.trade).disputed_by = context.sender
    context.events.append(
        HeldChange(trade=dispute.trade, to_buyer_nano=0, to_seller_nano=0, reason=dispute.reason)
    )
    return ReasonCode.OK


def resolve_dispute(context: Context, resolve: ResolveDispute) -> ReasonCode:
    """The regulator divides a disputed payment between the two."""
    if context.sender != context.config.regulator:
        return ReasonCode.NOT_REGULATOR
    payment = context.state.held.get(resolve.trade)
    if payment is None:
        return ReasonCode.NOTHING_HELD
    if not payment.disputed_by:
        return ReasonCode.NOT_DISPUTED
    _pay_out(context, resolve.trade, payment.amount_nano * resolve.buyer_ppm // PPM, resolve.reason)
    return ReasonCode.OK


def _pay_out(context: Context, number: int, to_buyer_nano: int, reason: str) -> None:
    payment = context.state.held.remove(number)
    to_seller_nano = payment.amount_nano - to_buyer_nano
    context.bank.unlock(payment.buyer, to_buyer_nano)
    context.bank.take_locked(payment.buyer, to_seller_nano)
    context.bank.credit(payment.seller, to_seller_nano)
    context.events.append(
        HeldChange(trade=number, to_buyer_nano=to_buyer_nano, to_seller_nano=to_seller_nano, reason=reason)
    )
