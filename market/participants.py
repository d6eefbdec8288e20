"""Registration, review, deposits, withdrawals and the regulator's limits."""

from __future__ import annotations

from market.context import Context
from market.events import AccountChange, LimitsChange, Status
from market.market_events import CapChange
from market.orders import Role
from market.receipts import ReasonCode
from market.records import Account, Meter
from market.state import MarketState
from market.supervision_transactions import SetPriceCap
from market.trading import cancel_all_orders
from market.transactions import Decision, Deposit, Register, Review, SetLimits, Withdraw
from market.units import MONEY_NANO_MAX


def register(context: Context, register: Register) -> ReasonCode:
    """Ask for an account. Meters are bound at approval, so an applicant cannot squat on another's."""
    state, config = context.state, context.config
    if context.sender in (config.regulator, config.cashier, config.grid_account, *config.committee):
        return ReasonCode.RESERVED_KEY
    if context.sender in state.accounts:
        return ReasonCode.ALREADY_REGISTERED
    if register.region not in config.regions:
        return ReasonCode.UNKNOWN_REGION
    if len(state.accounts) >= config.accounts_max or state.head.pending_count >= config.pending_max:
        return ReasonCode.REGISTRY_FULL
    account = Account(
        key=context.sender,
        name_hash=register.name_hash,
        role=register.role,
        region=register.region,
        settlement_account=register.settlement_account,
        status=Status.PENDING,
        requested_meters=register.meters,
        reputation_ppm=config.reputation_start_ppm,
    )
    state.accounts.add(account.key, account)
    state.head.pending_count += 1
    context.events.append(AccountChange(account=account.key, status=Status.PENDING, reason=""))
    return ReasonCode.OK


def review(context: Context, review: Review) -> ReasonCode:
    """The regulator approves or refuses a pending account, freezes or delists an approved one."""
    if context.sender != context.config.regulator:
        return ReasonCode.NOT_REGULATOR
    account = context.state.accounts.get(review.account)
    if account is None or account.role is Role.GRID:
        return ReasonCode.UNKNOWN_ACCOUNT
    match (review.decision, account.status):
        case (Decision.APPROVE, Status.PENDING):
            code = _admit(context, account)
        case (Decision.APPROVE, Status.FROZEN):
            code = _set_status(context, account, Status.APPROVED)
        case (Decision.REFUSE, Status.PENDING):
            code = _refuse(context, account)
        case (Decision.FREEZE, Status.APPROVED):
            cancel_all_orders(context, account.key)
            code = _set_status(context, account, Status.FROZEN)
        case (Decision.DELIST, Status.APPROVED | Status.FROZEN):
            cancel_all_orders(context, account.key)
            code = _set_status(context, account, Status.DELISTED)
            free_meters_of_delisted(context.state, account.key)
        case _:
            return ReasonCode.WRONG_STATUS
    if code is ReasonCode.OK:
        now = context.state.accounts.get(review.account)
        status = Status.REFUSED if now is None else now.status
        context.events.append(AccountChange(account=review.account, status=status, reason=review.reason))
    return code


def _set_status(context: Context, account: Account, status: Status) -> ReasonCode:
    context.state.accounts.edit(account.key).status = status
    return ReasonCode.OK


def _refuse(context: Context, account: Account) -> ReasonCode:
    context.state.accounts.remove(account.key)
    context.state.head.pending_count -= 1
    return ReasonCode.OK


def _admit(context: Context, account: Account) -> ReasonCode:
    state = context.state
    if any(meter.meter_id in state.meters for meter in account.requested_meters):
        return ReasonCode.METER_TAKEN
    for asked in account.requested_meters:
        meter = Meter(
            meter_id=asked.meter_id,
            account=account.key,
            key=asked.key,
            max_import_wh=asked.max_import_wh,
            max_export_wh=asked.max_export_wh,
            booked_import_wh=asked.import_wh,
            booked_export_wh=asked.export_wh,
            last_import_wh=asked.import_wh,
            last_export_wh=asked.export_wh,
            last_period=state.open_period - 1,
        )
        state.add_meter(meter)
    account = state.accounts.edit(account.key)
    account.meters = tuple(meter.meter_id for meter in account.requested_meters)
    account.requested_meters = ()
    account.since_period = state.open_period
    account.status = Status.APPROVED
    state.head.pending_count -= 1
    return ReasonCode.OK


def free_meters_of_delisted(state: MarketState, key: bytes) -> None:
    """Let a delisted account's meters go, once nothing it traded waits for their readings."""
    account = state.accounts[key]
    if account.status is not Status.DELISTED or not account.meters:
        return
    if any((period, key) in state.positions for period in state.live_periods()):
        return
    for meter_id in account.meters:
        state.remove_meter(meter_id)
    state.accounts.edit(key).meters = ()


def deposit(context: Context, deposit: Deposit) -> ReasonCode:
    """The cashier credits money from outside: arrears first, the rest is free."""
    if context.sender != context.config.cashier:
        return ReasonCode.NOT_CASHIER
    account = context.state.accounts.get(deposit.account)
    if account is None:
        return ReasonCode.UNKNOWN_ACCOUNT
    if account.status not in (Status.APPROVED, Status.FROZEN):
        return ReasonCode.NOT_APPROVED
    head = context.state.head
    inside_nano = head.deposits_nano - head.withdrawals_nano
    if inside_nano + deposit.amount_nano > MONEY_NANO_MAX or head.deposits_nano + deposit.amount_nano >= 2**63:
        return ReasonCode.TOO_MUCH_MONEY
    head.deposits_nano += deposit.amount_nano
    context.bank.credit(deposit.account, deposit.amount_nano)
    context.bank.pay_debts_of_grid()
    return ReasonCode.OK


def withdraw(context: Context, withdraw: Withdraw) -> ReasonCode:
    """Take free money out. Not from a frozen account, nor while a silent meter may still cost something."""
    account = context.state.accounts.get(context.sender)
    if account is None:
        return ReasonCode.UNKNOWN_ACCOUNT
    if account.status not in (Status.APPROVED, Status.DELISTED):
        return ReasonCode.NOT_APPROVED
    if account.estimated_periods:
        return ReasonCode.READINGS_MISSING
    if withdraw.amount_nano > account.free_nano:
        return ReasonCode.NOT_ENOUGH_MONEY
    context.bank.debit(context.sender, withdraw.amount_nano)
    context.state.head.withdrawals_nano += withdraw.amount_nano
    return ReasonCode.OK


def set_limits(context: Context, limits: SetLimits) -> ReasonCode:
    """The regulator's limits. Orders already in the book keep their price."""
    if context.sender != context.config.regulator:
        return ReasonCode.NOT_REGULATOR
    if limits.lowest_micro > limits.highest_micro:
        return ReasonCode.LIMITS_CONTRADICT
    head = context.state.head
    head.ask_limit_micro = limits.ask_limit_micro
    head.lowest_micro = limits.lowest_micro
    head.highest_micro = limits.highest_micro
    context.events.append(
        LimitsChange(
            ask_limit_micro=limits.ask_limit_micro,
            lowest_micro=limits.lowest_micro,
            highest_micro=limits.highest_micro,
            tx_id=context.tx_id,
        )
    )
    return ReasonCode.OK


def set_price_cap(context: Context, cap: SetPriceCap) -> ReasonCode:
    """The regulator's emergency cap over a window of periods. A later one replaces it."""
    head = context.state.head
    if context.sender != context.config.regulator:
        return ReasonCode.NOT_REGULATOR
    if cap.last_period < cap.first_period or cap.last_period < head.open_period:
        return ReasonCode.WRONG_WINDOW
    head.cap_micro, head.cap_first, head.cap_last = cap.cap_micro, cap.first_period, cap.last_period
    context.events.append(
        CapChange(
            cap_micro=cap.cap_micro,
            first_period=cap.first_period,
            last_period=cap.last_period,
            reason=cap.reason,
            tx_id=context.tx_id,
        )
    )
    return ReasonCode.OK
