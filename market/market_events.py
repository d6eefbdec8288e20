"""Events of single mechanisms: escrow lines, held payments, the price cap, certificates, listed offers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from market.orders import Side
from market.units import INTEGER_MAX, PERIOD_MAX, PRICE_MICRO_MAX
from market.values import ID_BYTES, KEY_BYTES, FieldReader, Value

OFFERS_MAX = 10_000


class EscrowCase(IntEnum):
    """How a trade's delivery turned out (Cui 2022, eqs. (6) and (7)). Append only."""

    DELIVERED = 1  # The user got all of it: full reward.
    WITHIN_LOSS = 2  # All of it was provided, and the loss is tolerable: half the reward.
    EXCESS_LOSS = 3  # All of it was provided, and more was lost than is tolerable: what is beyond it is held.
    SHORT = 4  # Less was provided: the bill shrinks by what did not arrive.
    METERS_DISAGREE = 5  # The user's meter shows more than was provided: the difference is held.
    ESTIMATED = 6  # A meter was silent: paid as agreed, without reward.


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowLine:
    """One trade's settlement from escrow.

    `deposit_nano` was locked before delivery; of it `bill_nano` and `reward_nano` went to the seller, `fee_nano`
    to the grid company, `held_nano` waits, and the rest went back to the buyer. `deposit_tokens_nano` is the
    deposit at the token's price: R r t of the paper.
    """

    trade: int
    buyer: bytes
    seller: bytes
    agreed_wh: int
    provided_wh: int
    received_wh: int
    case: EscrowCase
    deposit_nano: int
    deposit_tokens_nano: int
    bill_nano: int
    reward_nano: int
    fee_nano: int
    held_nano: int

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (
            self.trade,
            self.buyer,
            self.seller,
            self.agreed_wh,
            self.provided_wh,
            self.received_wh,
            int(self.case),
            self.deposit_nano,
            self.deposit_tokens_nano,
            self.bill_nano,
            self.reward_nano,
            self.fee_nano,
            self.held_nano,
        )

    @classmethod
    def from_values(cls, values: Value) -> EscrowLine:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "escrow line")

        def amount(name: str) -> int:
            return reader.integer(name, 0, INTEGER_MAX)

        line = cls(
            trade=amount("trade"),
            buyer=reader.data("buyer", KEY_BYTES),
            seller=reader.data("seller", KEY_BYTES),
            agreed_wh=amount("agreed_wh"),
            provided_wh=amount("provided_wh"),
            received_wh=amount("received_wh"),
            case=EscrowCase(reader.integer("case", EscrowCase.DELIVERED, EscrowCase.ESTIMATED)),
            deposit_nano=amount("deposit_nano"),
            deposit_tokens_nano=amount("deposit_tokens_nano"),
            bill_nano=amount("bill_nano"),
            reward_nano=amount("reward_nano"),
            fee_nano=amount("fee_nano"),
            held_nano=amount("held_nano"),
        )
        reader.end()
        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldChange:
    """A held payment was disputed (both amounts 0) or paid out, to buyer and seller."""

    trade: int
    to_buyer_nano: int
    to_seller_nano: int
    reason: str

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (self.trade, self.to_buyer_nano, self.to_seller_nano, self.reason)

    @classmethod
    def from_values(cls, values: Value) -> HeldChange:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "held change")
        change = cls(
            trade=reader.integer("trade", 1, INTEGER_MAX),
            to_buyer_nano=reader.integer("to_buyer_nano", 0, INTEGER_MAX),
            to_seller_nano=reader.integer("to_seller_nano", 0, INTEGER_MAX),
            reason=reader.text("reason", 128),
        )
        reader.end()
        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class CapChange:
    """The regulator has set an emergency price cap. `tx_id` names the transaction."""

    cap_micro: int
    first_period: int
    last_period: int
    reason: str
    tx_id: bytes

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (self.cap_micro, self.first_period, self.last_period, self.reason, self.tx_id)

    @classmethod
    def from_values(cls, values: Value) -> CapChange:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "cap change")
        change = cls(
            cap_micro=reader.integer("cap_micro", 0, PRICE_MICRO_MAX),
            first_period=reader.integer("first_period", 0, PERIOD_MAX),
            last_period=reader.integer("last_period", 0, PERIOD_MAX),
            reason=reader.text("reason", 128),
            tx_id=reader.data("tx_id", ID_BYTES),
        )
        reader.end()
        return change


class CertificateAct(IntEnum):
    """What happened to certificates. Append only."""

    ISSUED = 1
    TRANSFERRED = 2
    RETIRED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChange:
    """Certificates `first_serial` to `last_serial` were issued to, transferred to or retired by `account`."""

    act: CertificateAct
    account: bytes
    first_serial: int
    last_serial: int

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (int(self.act), self.account, self.first_serial, self.last_serial)

    @classmethod
    def from_values(cls, values: Value) -> CertificateChange:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "certificate change")
        change = cls(
            act=CertificateAct(reader.integer("act", CertificateAct.ISSUED, CertificateAct.RETIRED)),
            account=reader.data("account", KEY_BYTES),
            first_serial=reader.integer("first_serial", 1, INTEGER_MAX),
            last_serial=reader.integer("last_serial", 1, INTEGER_MAX),
        )
        reader.end()
        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedOffer:
    """An order that may be taken now."""

    number: int
    side: Side
    energy_wh: int
    price_micro: int
    region: str
    region_only: bool

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (
            self.number,
            int(self.side),
            self.energy_wh,
            self.price_micro,
            self.region,
            int(self.region_only),
        )

    @classmethod
    def from_values(cls, values: Value) -> ListedOffer:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "listed offer")
        offer = cls(
            number=reader.integer("number", 1, INTEGER_MAX),
            side=Side(reader.integer("side", Side.BUY, Side.SELL)),
            energy_wh=reader.integer("energy_wh", 1, INTEGER_MAX),
            price_micro=reader.integer("price_micro", 0, PRICE_MICRO_MAX),
            region=reader.name("region"),
            region_only=reader.flag("region_only"),
        )
        reader.end()
        return offer


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferList:
    """All offers that may be taken in the open period after block `height`, asks from the cheapest, then bids."""

    height: int
    period: int
    offers: tuple[ListedOffer, ...]

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (self.height, self.period, tuple(offer.to_values() for offer in self.offers))

    @classmethod
    def from_values(cls, values: Value) -> OfferList:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "offer list")
        offers = cls(
            height=reader.integer("height", 0, INTEGER_MAX),
            period=reader.integer("period", 0, PERIOD_MAX),
            offers=tuple(ListedOffer.from_values(offer) for offer in reader.array("offers", OFFERS_MAX)),
        )
        reader.end()
        return offers


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """Transaction `tx_id` proves that the committee's member `accused` said two things at one place.

    For the regulator, who decides what follows. `kind`, `view` and `sequence` are the place, `count` how many
    proofs there are against this member now.
    """

    accused: bytes
    reporter: bytes
    kind: int
    view: int
    sequence: int
    count: int
    tx_id: bytes

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (self.accused, self.reporter, self.kind, self.view, self.sequence, self.count, self.tx_id)

    @classmethod
    def from_values(cls, values: Value) -> Equivocation:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "equivocation")
        event = cls(
            accused=reader.data("accused", KEY_BYTES),
            reporter=reader.data("reporter", KEY_BYTES),
            kind=reader.integer("kind", 0, 255),
            view=reader.integer("view", 0, INTEGER_MAX),
            sequence=reader.integer("sequence", 0, INTEGER_MAX),
            count=reader.integer("count", 1, INTEGER_MAX),
            tx_id=reader.data("tx_id", ID_BYTES),
        )
        reader.end()
        return event
