"""Transactions: one frozen dataclass a type, one append-only table of tags.

A call is `[tag, valid_until_period, nonce, *fields]`. `valid_until_period` is the last period during whose
trading it may execute; the market remembers its id until then, so a replay does nothing. `nonce` only makes
two otherwise equal calls differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from market.errors import FormError, TransactionError
from market.offer_transactions import (
    RequestSupply,
    SubmitAssignment,
    TakeOffer,
    parse_request_supply,
    parse_submit_assignment,
    parse_take_offer,
)
from market.orders import Role, Side
from market.readings import TAG_SUBMIT_READING, Reading
from market.receipts import ReasonCode
from market.supervision_transactions import (
    Accredit,
    Dispute,
    ReportEquivocation,
    ResolveDispute,
    RetireCertificates,
    SetPriceCap,
    TransferCertificates,
    parse_accredit,
    parse_dispute,
    parse_report_equivocation,
    parse_resolve_dispute,
    parse_retire_certificates,
    parse_set_price_cap,
    parse_transfer_certificates,
)
from market.units import (
    AMOUNT_NANO_MAX,
    ENERGY_WH_MAX,
    INTEGER_MAX,
    METER_WH_MAX,
    PERIOD_MAX,
    PRICE_MICRO_MAX,
    REGISTER_WH_MAX,
    TIME_MS_MAX,
)
from market.values import KEY_BYTES, FieldReader, Value

METERS_MAX: Final = 16
TEXT_MAX: Final = 128
REGION_ONLY: Final = 1
HARD: Final = 2
CONDITIONS_MAX: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRegistration:
    """A meter as its owner registers it.

    `key` signs its readings: the meter's own or its gateway's. `max_import_wh` and `max_export_wh` are what it
    can measure at most in one period: they bound what is believed, and the export what may be sold.
    `import_wh` and `export_wh` are its registers at registration; a first reading marked `RESET` sets them too.
    """

    meter_id: str
    key: bytes
    max_import_wh: int
    max_export_wh: int
    import_wh: int = 0
    export_wh: int = 0

    def to_values(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (
            self.meter_id,
            self.key,
            self.max_import_wh,
            self.max_export_wh,
            self.import_wh,
            self.export_wh,
        )

    @classmethod
    def from_values(cls, values: Value) -> MeterRegistration:
        """Read the fields. Raises FormError."""
        reader = FieldReader(values, "meter")
        meter = cls(
            meter_id=reader.name("meter_id"),
            key=reader.data("key", KEY_BYTES),
            max_import_wh=reader.integer("max_import_wh", 0, METER_WH_MAX),
            max_export_wh=reader.integer("max_export_wh", 0, METER_WH_MAX),
            import_wh=reader.integer("import_wh", 0, REGISTER_WH_MAX),
            export_wh=reader.integer("export_wh", 0, REGISTER_WH_MAX),
        )
        reader.end()
        return meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Ask for an account. The signer's key becomes its id; the regulator reviews it.

    `name_hash` is a salted hash: the name itself stays off the chain. `settlement_account` is where
    withdrawals are paid out.
    """

    name_hash: bytes
    role: Role
    region: str
    settlement_account: str
    meters: tuple[MeterRegistration, ...] = ()

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        meters = tuple(meter.to_values() for meter in self.meters)
        return (self.name_hash, int(self.role), self.region, self.settlement_account, meters)


def _parse_register(reader: FieldReader) -> Register:
    register = Register(
        name_hash=reader.data("name_hash", 32),
        role=Role(reader.integer("role", Role.PRODUCER, Role.REGULATOR)),
        region=reader.name("region"),
        settlement_account=reader.text("settlement_account", TEXT_MAX),
        meters=tuple(MeterRegistration.from_values(meter) for meter in reader.array("meters", METERS_MAX)),
    )
    if len({meter.meter_id for meter in register.meters}) != len(register.meters):
        raise FormError("register: a meter is named twice")
    return register


class Decision(IntEnum):
    """What the regulator decides about an account. `APPROVE` also lifts a freeze. Append only."""

    APPROVE = 1
    REFUSE = 2
    FREEZE = 3
    DELIST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The regulator's decision about an account."""

    account: bytes
    decision: Decision
    reason: str = ""

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.account, int(self.decision), self.reason)


def _parse_review(reader: FieldReader) -> Review:
    return Review(
        account=reader.data("account", KEY_BYTES),
        decision=Decision(reader.integer("decision", Decision.APPROVE, Decision.DELIST)),
        reason=reader.text("reason", TEXT_MAX),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """The cashier credits money that arrived from outside."""

    account: bytes
    amount_nano: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.account, self.amount_nano)


def _parse_deposit(reader: FieldReader) -> Deposit:
    return Deposit(
        account=reader.data("account", KEY_BYTES), amount_nano=reader.integer("amount_nano", 1, AMOUNT_NANO_MAX)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Take free money out, to the settlement account."""

    amount_nano: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.amount_nano,)


def _parse_withdraw(reader: FieldReader) -> Withdraw:
    return Withdraw(amount_nano=reader.integer("amount_nano", 1, AMOUNT_NANO_MAX))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """Offer to buy or sell energy.

    The order stands in every clearing from `period` to `expiry_period`, and what it trades is delivered in
    the period whose clearing traded it. `price_micro` of a bid is the most the buyer pays in all, a crossing
    fee included. `region_only`: trade inside the own region alone. `hard`: a bid that expires unserved is
    served at the regulator's limit price, whatever it bid (Huang 2022, section 2.2 (4)).
    """

    side: Side
    energy_wh: int
    price_micro: int
    period: int
    expiry_period: int
    region_only: bool = False
    hard: bool = False

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order; the conditions travel as bits of one integer."""
        conditions = (REGION_ONLY if self.region_only else 0) | (HARD if self.hard else 0)
        return (
            int(self.side),
            self.energy_wh,
            self.price_micro,
            self.period,
            self.expiry_period,
            conditions,
        )


def _parse_place_order(reader: FieldReader) -> PlaceOrder:
    side = Side(reader.integer("side", Side.BUY, Side.SELL))
    energy_wh = reader.integer("energy_wh", 1, ENERGY_WH_MAX)
    price_micro = reader.integer("price_micro", 0, PRICE_MICRO_MAX)
    period = reader.integer("period", 0, PERIOD_MAX)
    expiry_period = reader.integer("expiry_period", 0, PERIOD_MAX)
    conditions = reader.integer("conditions", 0, CONDITIONS_MAX)
    hard = bool(conditions & HARD)
    if conditions & ~(REGION_ONLY | HARD) or (hard and side is Side.SELL):
        raise TransactionError(ReasonCode.CONDITION_UNSUPPORTED, f"order conditions {conditions} on side {side}")
    return PlaceOrder(
        side=side,
        energy_wh=energy_wh,
        price_micro=price_micro,
        period=period,
        expiry_period=expiry_period,
        region_only=bool(conditions & REGION_ONLY),
        hard=hard,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Take back what is left of an open order, by the number its receipt gave."""

    order: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.order,)


def _parse_cancel_order(reader: FieldReader) -> CancelOrder:
    return CancelOrder(order=reader.integer("order", 1, INTEGER_MAX))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosePeriod:
    """The operator ends trading for `period`: the contract clears it and opens the next."""

    period: int
    time_ms: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.period, self.time_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverPeriod:
    """The operator states that the time of delivery of `period` is over: meters may report."""

    period: int
    time_ms: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.period, self.time_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlePeriod:
    """The operator ends the wait for readings of `period`: the contract settles it."""

    period: int
    time_ms: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.period, self.time_ms)


def _parse_close(reader: FieldReader) -> ClosePeriod:
    period, time_ms = _parse_phase(reader)
    return ClosePeriod(period=period, time_ms=time_ms)


def _parse_deliver(reader: FieldReader) -> DeliverPeriod:
    period, time_ms = _parse_phase(reader)
    return DeliverPeriod(period=period, time_ms=time_ms)


def _parse_settle(reader: FieldReader) -> SettlePeriod:
    period, time_ms = _parse_phase(reader)
    return SettlePeriod(period=period, time_ms=time_ms)


def _parse_phase(reader: FieldReader) -> tuple[int, int]:
    return reader.integer("period", 0, PERIOD_MAX), reader.integer("time_ms", 0, TIME_MS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReading:
    """A meter's reading, signed by the key registered for the meter."""

    reading: Reading

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return self.reading.to_fields()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimits:
    """The regulator's price limits, from the next clearing on.

    `ask_limit_micro` is the price S_r of its unlimited ask, 0 for none; orders outside `lowest_micro` to
    `highest_micro` are refused.
    """

    ask_limit_micro: int
    lowest_micro: int
    highest_micro: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.ask_limit_micro, self.lowest_micro, self.highest_micro)


def _parse_set_limits(reader: FieldReader) -> SetLimits:
    return SetLimits(
        ask_limit_micro=reader.integer("ask_limit_micro", 0, PRICE_MICRO_MAX),
        lowest_micro=reader.integer("lowest_micro", 0, PRICE_MICRO_MAX),
        highest_micro=reader.integer("highest_micro", 0, PRICE_MICRO_MAX),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceOperator:
    """A committee member's vote for operator term `term`, the one after the current: f + 1 votes begin it."""

    term: int

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.term,)


def _parse_replace_operator(reader: FieldReader) -> ReplaceOperator:
    return ReplaceOperator(term=reader.integer("term", 1, INTEGER_MAX))


Transaction = (
    Register
    | Review
    | Deposit
    | Withdraw
    | PlaceOrder
    | CancelOrder
    | ClosePeriod
    | DeliverPeriod
    | SettlePeriod
    | SubmitReading
    | SetLimits
    | ReplaceOperator
    | TakeOffer
    | RequestSupply
    | Dispute
    | SubmitAssignment
    | ResolveDispute
    | SetPriceCap
    | Accredit
    | TransferCertificates
    | RetireCertificates
    | ReportEquivocation
)

TAGS: Final[dict[type[Transaction], int]] = {
    Register: 1,
    Review: 2,
    Deposit: 3,
    Withdraw: 4,
    PlaceOrder: 5,
    CancelOrder: 6,
    TakeOffer: 7,
    RequestSupply: 8,
    ClosePeriod: 9,
    DeliverPeriod: 10,
    SettlePeriod: 11,
    SubmitReading: TAG_SUBMIT_READING,
    SetLimits: 13,
    ReplaceOperator: 14,
    Dispute: 15,
    SubmitAssignment: 16,
    ResolveDispute: 17,
    SetPriceCap: 18,
    Accredit: 19,
    TransferCertificates: 20,
    RetireCertificates: 21,
    ReportEquivocation: 22,
}
"""Append only: a changed transaction is a new tag."""

_PARSERS: Final[dict[int, Callable[[FieldReader], Transaction]]] = {
    1: _parse_register,
    2: _parse_review,
    3: _parse_deposit,
    4: _parse_withdraw,
    5: _parse_place_order,
    6: _parse_cancel_order,
    7: parse_take_offer,
    8: parse_request_supply,
    9: _parse_close,
    10: _parse_deliver,
    11: _parse_settle,
    13: _parse_set_limits,
    14: _parse_replace_operator,
    15: parse_dispute,
    16: parse_submit_assignment,
    17: parse_resolve_dispute,
    18: parse_set_price_cap,
    19: parse_accredit,
    20: parse_transfer_certificates,
    21: parse_retire_certificates,
    22: parse_report_equivocation,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A decoded call: the transaction, and how long it may execute."""

    valid_until_period: int
    nonce: int
    transaction: Transaction


def encode_call(transaction: Transaction, valid_until_period: int, nonce: int) -> tuple[Value, ...]:
    """The body of a call as plain values, ready for the wire codec."""
    return (TAGS[type(transaction)], valid_until_period, nonce, *transaction.to_fields())


def parse_header(fields: Value) -> tuple[int, int, int]:
    """Tag, valid_until_period and nonce of a call. Raises TransactionError when not even these can be read."""
    try:
        reader = FieldReader(fields, "call")
        return (
            reader.integer("tag", 0, INTEGER_MAX),
            reader.integer("valid_until_period", 0, PERIOD_MAX),
            reader.integer("nonce", 0, INTEGER_MAX),
        )
    except FormError as error:
        raise TransactionError(ReasonCode.MALFORMED, str(error)) from None


def parse_call(fields: Value) -> Call:
    """Read `[tag, valid_until_period, nonce, *fields]`. Raises TransactionError for anything else."""
    tag, valid_until_period, nonce = parse_header(fields)
    assert isinstance(fields, tuple)
    try:
        if tag == TAG_SUBMIT_READING:
            transaction: Transaction = SubmitReading(reading=Reading.from_fields(fields[3:]))
        elif tag in _PARSERS:
            reader = FieldReader(fields[3:], f"transaction {tag}")
            transaction = _PARSERS[tag](reader)
            reader.end()
        else:
            raise TransactionError(ReasonCode.UNKNOWN_TYPE, f"there is no transaction with tag {tag}")
    except TransactionError:
        raise
    except FormError as error:
        raise TransactionError(ReasonCode.MALFORMED, str(error)) from None
    return Call(valid_until_period=valid_until_period, nonce=nonce, transaction=transaction)


def parse_transaction(fields: Value) -> Transaction:
    """The transaction of a call. Raises TransactionError, which carries the reason code."""
    return parse_call(fields).transaction
