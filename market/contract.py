"""The market contract: `apply` executes a block on the state.

Deterministic: the outcome follows from configuration, state and block alone. Total: whatever the calls hold,
each gets a receipt and nothing raises. Every handler makes all its checks before its first write, so a
refused call changes nothing (but that its id is remembered).
"""

from __future__ import annotations

from dataclasses import dataclass

from market import certificates, convictions, escrow, participants, phases
from market.accounts import Bank
from market.assigning import submit_assignment
from market.config import MarketConfig
from market.context import Context
from market.errors import TransactionError
from market.events import Event, Status
from market.listing import offer_list, take_offer
from market.metering import submit_reading
from market.offer_transactions import RequestSupply, SubmitAssignment, TakeOffer
from market.receipts import ReasonCode, Receipt
from market.state import MarketState, genesis_state
from market.supervision_transactions import (
    Accredit,
    Dispute,
    ReportEquivocation,
    ResolveDispute,
    RetireCertificates,
    SetPriceCap,
    TransferCertificates,
)
from market.trading import cancel_order, place_order, request_supply
from market.transactions import (
    Call,
    CancelOrder,
    ClosePeriod,
    DeliverPeriod,
    Deposit,
    PlaceOrder,
    Register,
    ReplaceOperator,
    Review,
    SetLimits,
    SettlePeriod,
    SubmitReading,
    Transaction,
    Withdraw,
    encode_call,
    parse_call,
    parse_header,
)
from market.units import TIME_MS_MAX
from market.values import Value

__all__ = ["BlockInput", "BlockOutcome", "SignedCall", "admit", "apply", "encode_call", "genesis_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCall:
    """A call whose signature by `sender` has been checked.

    `fields` is the decoded body `[tag, valid_until_period, nonce, *fields]`, or None when the body cannot be
    decoded.
    """

    tx_id: bytes
    sender: bytes
    fields: tuple[Value, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockInput:
    """A block as the contract sees it: calls in ledger order, and the time the ledger agreed on."""

    height: int
    time_ms: int
    calls: tuple[SignedCall, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOutcome:
    """One receipt a call, in order; what the block announces; the state's root after it."""

    receipts: tuple[Receipt, ...]
    events: tuple[Event, ...]
    state_root: bytes


def apply(config: MarketConfig, state: MarketState, block: BlockInput) -> BlockOutcome:
    """Execute a block. Changes `state` and nothing else; never raises for anything a call contains."""
    # The ledger's time never runs backwards; here it cannot either, whatever a block says.
    state.head.time_ms = min(max(state.head.time_ms, block.time_ms), TIME_MS_MAX)
    bank = Bank(config, state)
    events: list[Event] = []
    receipts = tuple(_execute(config, state, bank, events, call) for call in block.calls)
    if config.mechanism == "listing" and block.calls:
        context = Context(config=config, state=state, bank=bank, tx_id=b"", sender=b"")
        events.append(offer_list(context, block.height))
    return BlockOutcome(receipts=receipts, events=tuple(events), state_root=state.state_root())


def _execute(
    config: MarketConfig, state: MarketState, bank: Bank, events: list[Event], signed: SignedCall
) -> Receipt:
    refusal, valid_until_period = _validity(config, state, signed)
    if refusal:
        return Receipt(tx_id=signed.tx_id, code=refusal)
    # Remembered whatever becomes of it: a refused order must not come alive when its owner has money again.
    state.remember(signed.tx_id, valid_until_period)
    context = Context(
        config=config, state=state, bank=bank, tx_id=signed.tx_id, sender=signed.sender, events=events
    )
    try:
        call = parse_call(signed.fields or ())
    except TransactionError as error:
        return Receipt(tx_id=signed.tx_id, code=error.code)
    code = _dispatch(context, call.transaction)
    return Receipt(tx_id=signed.tx_id, code=code, detail=context.detail)


def _validity(config: MarketConfig, state: MarketState, signed: SignedCall) -> tuple[ReasonCode, int]:
    """Whether a call may execute now, and its last period. Replays, late and endless calls may not."""
    if signed.fields is None:
        return ReasonCode.MALFORMED, 0
    try:
        _, valid_until_period, _ = parse_header(signed.fields)
    except TransactionError as error:
        return error.code, 0
    if valid_until_period < state.open_period:
        return ReasonCode.EXPIRED, 0
    if valid_until_period > state.open_period + config.validity_periods:
        return ReasonCode.VALID_TOO_LONG, 0
    if state.knows(signed.tx_id):
        return ReasonCode.REPLAYED, 0
    return ReasonCode.OK, valid_until_period


def _dispatch(context: Context, transaction: Transaction) -> ReasonCode:
    match transaction:
        case PlaceOrder():
            return place_order(context, transaction)
        case CancelOrder():
            return cancel_order(context, transaction)
        case TakeOffer():
            return take_offer(context, transaction)
        case RequestSupply():
            return request_supply(context, transaction)
        case SubmitAssignment():
            return submit_assignment(context, transaction)
        case SubmitReading():
            return submit_reading(context, transaction)
        case ClosePeriod() | DeliverPeriod() | SettlePeriod() | ReplaceOperator():
            return _dispatch_phase(context, transaction)
        case Register() | Review() | Deposit() | Withdraw() | SetLimits() | SetPriceCap():
            return _dispatch_registry(context, transaction)
        case Dispute():
            return escrow.dispute(context, transaction)
        case ResolveDispute():
            return escrow.resolve_dispute(context, transaction)
        case Accredit() | TransferCertificates() | RetireCertificates():
            return _dispatch_certificates(context, transaction)
        case ReportEquivocation():
            return convictions.report_equivocation(context, transaction)


def _dispatch_phase(
    context: Context, transaction: ClosePeriod | DeliverPeriod | SettlePeriod | ReplaceOperator
) -> ReasonCode:
    match transaction:
        case ClosePeriod():
            return phases.close_period(context, transaction)
        case DeliverPeriod():
            return phases.deliver_period(context, transaction)
        case SettlePeriod():
            return phases.settle(context, transaction)
        case ReplaceOperator():
            return phases.replace_operator(context, transaction)


def _dispatch_registry(
    context: Context, transaction: Register | Review | Deposit | Withdraw | SetLimits | SetPriceCap
) -> ReasonCode:
    match transaction:
        case Register():
            return participants.register(context, transaction)
        case Review():
            return participants.review(context, transaction)
        case Deposit():
            return participants.deposit(context, transaction)
        case Withdraw():
            return participants.withdraw(context, transaction)
        case SetLimits():
            return participants.set_limits(context, transaction)
        case SetPriceCap():
            return participants.set_price_cap(context, transaction)


def _dispatch_certificates(
    context: Context, transaction: Accredit | TransferCertificates | RetireCertificates
) -> ReasonCode:
    match transaction:
        case Accredit():
            return certificates.accredit(context, transaction)
        case TransferCertificates():
            return certificates.transfer(context, transaction)
        case RetireCertificates():
            return certificates.retire(context, transaction)


def admit(config: MarketConfig, state: MarketState, signed: SignedCall) -> ReasonCode:
    """Whether a call is worth ordering: readable, valid now, not seen, from somebody who may send its type.

    For the pool, so that rubbish never takes a place in a block. OK is no promise that it will execute.
    """
    refusal, _ = _validity(config, state, signed)
    if refusal:
        return refusal
    try:
        call = parse_call(signed.fields or ())
    except TransactionError as error:
        return error.code
    return _sender_refusal(config, state, signed.sender, call) or ReasonCode.OK


def _sender_refusal(config: MarketConfig, state: MarketState, sender: bytes, call: Call) -> ReasonCode | None:
    match call.transaction:
        case Review() | SetLimits() | ResolveDispute() | SetPriceCap() | Accredit():
            return None if sender == config.regulator else ReasonCode.NOT_REGULATOR
        case Deposit():
            return None if sender == config.cashier else ReasonCode.NOT_CASHIER
        case ClosePeriod() | DeliverPeriod() | SettlePeriod():
            # Any member: the operator may change before the call executes.
            return None if sender in config.committee else ReasonCode.NOT_OPERATOR
        case ReplaceOperator():
            return None if sender in config.committee else ReasonCode.NOT_COMMITTEE
        case ReportEquivocation() as report:
            known = sender in config.committee or sender == config.regulator
            return convictions.objection_to(state, report) if known else ReasonCode.NOT_COMMITTEE
        case SubmitReading(reading=reading):
            meter = state.meters.get(reading.meter_id)
            if meter is None:
                return ReasonCode.UNKNOWN_METER
            return None if meter.key == sender else ReasonCode.NOT_METER_KEY
        case Register():
            return ReasonCode.ALREADY_REGISTERED if sender in state.accounts else None
        case SubmitAssignment() if sender == config.regulator or sender in config.committee:
            return None
        case (
            PlaceOrder()
            | CancelOrder()
            | Withdraw()
            | TakeOffer()
            | RequestSupply()
            | SubmitAssignment()
            | Dispute()
            | TransferCertificates()
            | RetireCertificates()
        ):
            account = state.accounts.get(sender)
            if account is None:
                return ReasonCode.UNKNOWN_ACCOUNT
            return ReasonCode.NOT_APPROVED if account.status is Status.PENDING else None
