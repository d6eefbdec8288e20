"""Receipts: what became of a transaction, as a reason code with a sentence that a person understands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class ReasonCode(IntEnum):
    """What became of a transaction. Append only: codes travel and are stored."""

    OK = 0
    MALFORMED = 1
    UNKNOWN_TYPE = 2
    REPLAYED = 3
    EXPIRED = 4
    VALID_TOO_LONG = 5
    UNKNOWN_ACCOUNT = 6
    NOT_APPROVED = 7
    ALREADY_REGISTERED = 8
    UNKNOWN_REGION = 9
    METER_TAKEN = 10
    REGISTRY_FULL = 11
    RESERVED_KEY = 12
    NOT_REGULATOR = 13
    WRONG_STATUS = 14
    NOT_CASHIER = 15
    TOO_MUCH_MONEY = 16
    NOT_ENOUGH_MONEY = 17
    READINGS_MISSING = 18
    ROLE_FORBIDS_SIDE = 19
    PRICE_OUTSIDE_LIMITS = 20
    PERIOD_CLOSED = 21
    PERIOD_TOO_FAR = 22
    EXPIRY_BEFORE_PERIOD = 23
    TOO_MANY_ORDERS = 24
    OTHER_SIDE_OPEN = 25
    NOT_ENOUGH_ENERGY = 26
    UNKNOWN_ORDER = 27
    NOT_OWNER = 28
    NOT_OPERATOR = 29
    WRONG_PHASE = 30
    TOO_MANY_UNSETTLED = 31
    WRONG_TIME = 32
    UNKNOWN_METER = 33
    NOT_METER_KEY = 34
    COUNTER_NOT_INCREASING = 35
    REGISTER_DECREASED = 36
    READING_IMPLAUSIBLE = 37
    READING_DUPLICATE = 38
    READING_TOO_EARLY = 39
    READING_TOO_LATE = 40
    RESET_TOO_SOON = 41
    LIMITS_CONTRADICT = 42
    NOT_COMMITTEE = 43
    WRONG_TERM = 44
    ALREADY_VOTED = 45
    CONDITION_UNSUPPORTED = 46
    MECHANISM_FORBIDS = 47
    ASSIGNMENT_INFEASIBLE = 48
    TOO_MANY_ASSIGNMENTS = 49
    OFFER_TOO_SMALL = 50
    OFFER_DIFFERS = 51
    OWN_OFFER = 52
    REGION_FORBIDS = 53
    NOTHING_HELD = 54
    EVIDENCE_UNKNOWN = 55
    NOT_PARTY = 56
    ALREADY_DISPUTED = 57
    NOT_DISPUTED = 58
    WRONG_WINDOW = 59
    UNKNOWN_CERTIFICATE = 60
    NOT_CERTIFICATE_OWNER = 61
    NOT_A_GENERATOR = 62
    UNKNOWN_MEMBER = 63
    ALREADY_CONVICTED = 64
    TOO_MANY_CONVICTIONS = 65

    @property
    def sentence(self) -> str:
        """The reason, for a person."""
        return _SENTENCES[self]


_SENTENCES: Final[dict[ReasonCode, str]] = {
    ReasonCode.OK: "Done.",
    ReasonCode.MALFORMED: "A field of the transaction is missing, too many, of the wrong type or out of range.",
    ReasonCode.UNKNOWN_TYPE: "There is no transaction of this type.",
    ReasonCode.REPLAYED: "This very transaction was executed before.",
    ReasonCode.EXPIRED: "The last period in which the transaction is valid has closed.",
    ReasonCode.VALID_TOO_LONG: "The transaction would be valid for more periods than the market remembers it.",
    ReasonCode.UNKNOWN_ACCOUNT: "There is no account of this key.",
    ReasonCode.NOT_APPROVED: "The account is not approved: it is pending, frozen or delisted.",
    ReasonCode.ALREADY_REGISTERED: "This key has an account already.",
    ReasonCode.UNKNOWN_REGION: "The market has no such region.",
    ReasonCode.METER_TAKEN: "One of the meters belongs to another account.",
    ReasonCode.REGISTRY_FULL: "The market takes no more registrations for now.",
    ReasonCode.RESERVED_KEY: "This key belongs to an authority and cannot trade.",
    ReasonCode.NOT_REGULATOR: "Only the regulator may do this.",
    ReasonCode.WRONG_STATUS: "The account's status does not allow this decision.",
    ReasonCode.NOT_CASHIER: "Only the cashier may credit deposits.",
    ReasonCode.TOO_MUCH_MONEY: "The market would hold more money than it can count.",
    ReasonCode.NOT_ENOUGH_MONEY: "The account's free money does not cover this.",
    ReasonCode.READINGS_MISSING: "The account was settled by estimate: its silent meters must be read first.",
    ReasonCode.ROLE_FORBIDS_SIDE: "The account's role does not trade on this side.",
    ReasonCode.PRICE_OUTSIDE_LIMITS: "The price is outside the limits that the regulator has set.",
    ReasonCode.PERIOD_CLOSED: "The period takes no more orders.",
    ReasonCode.PERIOD_TOO_FAR: "The period or the expiry is too far ahead.",
    ReasonCode.EXPIRY_BEFORE_PERIOD: "The order would expire before its first period.",
    ReasonCode.TOO_MANY_ORDERS: "The account has as many open orders as it may have.",
    ReasonCode.OTHER_SIDE_OPEN: "The account has an open order on the other side for one of these periods.",
    ReasonCode.NOT_ENOUGH_ENERGY: "Beside other sell orders, the account's meters may not export this much.",
    ReasonCode.UNKNOWN_ORDER: "There is no such open order.",
    ReasonCode.NOT_OWNER: "The order belongs to another account.",
    ReasonCode.NOT_OPERATOR: "Only the current market operator may move periods on.",
    ReasonCode.WRONG_PHASE: "The period is not in the phase that must come before.",
    ReasonCode.TOO_MANY_UNSETTLED: "Too many periods wait for settlement.",
    ReasonCode.WRONG_TIME: "The operator's time is too far from the ledger's.",
    ReasonCode.UNKNOWN_METER: "The meter is not registered.",
    ReasonCode.NOT_METER_KEY: "The reading is not signed by the key that is registered for the meter.",
    ReasonCode.COUNTER_NOT_INCREASING: "The meter has sent this counter or a later one before.",
    ReasonCode.REGISTER_DECREASED: "A register went backwards without a reset.",
    ReasonCode.READING_IMPLAUSIBLE: "The meter cannot have measured this much since its last reading.",
    ReasonCode.READING_DUPLICATE: "The meter has a reading for this period already.",
    ReasonCode.READING_TOO_EARLY: "The period has not been delivered yet.",
    ReasonCode.READING_TOO_LATE: "The period is settled, or lies before the meter's registration or last reading.",
    ReasonCode.RESET_TOO_SOON: "The meter reports another register reset too soon after the last.",
    ReasonCode.LIMITS_CONTRADICT: "The lowest price must not be above the highest.",
    ReasonCode.NOT_COMMITTEE: "Only members of the committee may do this.",
    ReasonCode.WRONG_TERM: "The vote is not for the next term.",
    ReasonCode.ALREADY_VOTED: "This member has voted for the next term already.",
    ReasonCode.CONDITION_UNSUPPORTED: "The order carries a condition that this market does not offer.",
    ReasonCode.MECHANISM_FORBIDS: "The market's mechanism or way of settlement does not offer this.",
    ReasonCode.ASSIGNMENT_INFEASIBLE: "The assignment repeats, overbooks or invents an order.",
    ReasonCode.TOO_MANY_ASSIGNMENTS: "The market compares no more assignments in this period.",
    ReasonCode.OFFER_TOO_SMALL: "The offer has less energy left than that.",
    ReasonCode.OFFER_DIFFERS: "The offer's price is not the one that was named.",
    ReasonCode.OWN_OFFER: "Nobody takes an offer of his own.",
    ReasonCode.REGION_FORBIDS: "The offer stays inside its own region.",
    ReasonCode.NOTHING_HELD: "No payment of this trade is held.",
    ReasonCode.EVIDENCE_UNKNOWN: "The evidence must name signed readings of this trade's meters.",
    ReasonCode.NOT_PARTY: "Only the buyer or the seller of the trade may do this.",
    ReasonCode.ALREADY_DISPUTED: "The payment is disputed already.",
    ReasonCode.NOT_DISPUTED: "The payment is not disputed: it is released by itself.",
    ReasonCode.WRONG_WINDOW: "The window ends before it begins, or has passed.",
    ReasonCode.UNKNOWN_CERTIFICATE: "There is no such certificate, or it stands twice.",
    ReasonCode.NOT_CERTIFICATE_OWNER: "The certificate belongs to another account.",
    ReasonCode.NOT_A_GENERATOR: "Only producers and prosumers can be accredited.",
    ReasonCode.UNKNOWN_MEMBER: "The committee has no such member.",
    ReasonCode.ALREADY_CONVICTED: "The ledger holds a proof against this member for this place already.",
    ReasonCode.TOO_MANY_CONVICTIONS: "The ledger holds proofs enough against this member.",
}
assert len(_SENTENCES) == len(ReasonCode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of the transaction `tx_id`. `detail` is the order's number when one was placed, else 0."""

    tx_id: bytes
    code: ReasonCode
    detail: int = 0
