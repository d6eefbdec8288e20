"""Transactions of supervision and proof: disputes, the price cap, green certificates, convicted ledger nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.units import INTEGER_MAX, PERIOD_MAX, PPM, PRICE_MICRO_MAX
from market.values import ID_BYTES, KEY_BYTES, FieldReader, Value

EVIDENCE_MAX: Final = 16
REASON_MAX: Final = 128
CERTIFICATES_MAX: Final = 1_000
PROOF_BYTES_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """Buyer or seller disputes a held payment (Cui 2022, section 5.2).

    `evidence`: ids of the transactions with the signed readings that the party relies on. They stand in the
    ledger, so anybody can prove them; the contract checks that they are readings of this trade's meters.
    """

    trade: int
    evidence: tuple[bytes, ...]
    reason: str = ""

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.trade, self.evidence, self.reason)


def parse_dispute(reader: FieldReader) -> Dispute:
    """Read the fields. Raises FormError."""
    return Dispute(
        trade=reader.integer("trade", 1, INTEGER_MAX),
        evidence=parse_ids(reader.array("evidence", EVIDENCE_MAX)),
        reason=reader.text("reason", REASON_MAX),
    )


def parse_ids(values: tuple[Value, ...]) -> tuple[bytes, ...]:
    """Transaction ids. Raises FormError."""
    reader = FieldReader(values, "ids")
    return tuple(reader.data("id", ID_BYTES) for _ in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveDispute:
    """The regulator's decision: `buyer_ppm` of the held payment goes back to the buyer, the rest to the seller."""

    trade: int
    buyer_ppm: int
    reason: str = ""

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.trade, self.buyer_ppm, self.reason)


def parse_resolve_dispute(reader: FieldReader) -> ResolveDispute:
    """Read the fields. Raises FormError."""
    return ResolveDispute(
        trade=reader.integer("trade", 1, INTEGER_MAX),
        buyer_ppm=reader.integer("buyer_ppm", 0, PPM),
        reason=reader.text("reason", REASON_MAX),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPriceCap:
    """The regulator's emergency cap: nothing trades above `cap_micro` in `first_period` to `last_period`."""

    cap_micro: int
    first_period: int
    last_period: int
    reason: str = ""

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.cap_micro, self.first_period, self.last_period, self.reason)


def parse_set_price_cap(reader: FieldReader) -> SetPriceCap:
    """Read the fields. Raises FormError."""
    return SetPriceCap(
        cap_micro=reader.integer("cap_micro", 0, PRICE_MICRO_MAX),
        first_period=reader.integer("first_period", 0, PERIOD_MAX),
        last_period=reader.integer("last_period", 0, PERIOD_MAX),
        reason=reader.text("reason", REASON_MAX),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accredit:
    """The regulator states whether what an account's meters export is renewable generation of its own."""

    account: bytes
    renewable: bool

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.account, int(self.renewable))


def parse_accredit(reader: FieldReader) -> Accredit:
    """Read the fields. Raises FormError."""
    return Accredit(account=reader.data("account", KEY_BYTES), renewable=reader.flag("renewable"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCertificates:
    """Give green certificates, by their serial numbers, to another account."""

    serials: tuple[int, ...]
    receiver: bytes

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.serials, self.receiver)


def parse_transfer_certificates(reader: FieldReader) -> TransferCertificates:
    """Read the fields. Raises FormError."""
    return TransferCertificates(serials=_serials(reader), receiver=reader.data("receiver", KEY_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireCertificates:
    """Use green certificates up: they are claimed for consumption and never change hands again."""

    serials: tuple[int, ...]

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.serials,)


def parse_retire_certificates(reader: FieldReader) -> RetireCertificates:
    """Read the fields. Raises FormError."""
    return RetireCertificates(serials=_serials(reader))


def _serials(reader: FieldReader) -> tuple[int, ...]:
    values = reader.array("serials", CERTIFICATES_MAX)
    inner = FieldReader(values, "serials")
    return tuple(inner.integer("serial", 1, INTEGER_MAX) for _ in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEquivocation:
    """A committee member shows that another signed two things of which an honest one signs only one.

    `accused` is the liar's key; `kind`, `view` and `sequence` say where in the consensus protocol it happened.
    `proof` holds the two messages. The contract does not read them: a call whose proof does not hold never
    reaches it.
    """

    accused: bytes
    kind: int
    view: int
    sequence: int
    proof: bytes

    def to_fields(self) -> tuple[Value, ...]:
        """The fields in wire order."""
        return (self.accused, self.kind, self.view, self.sequence, self.proof)


def parse_report_equivocation(reader: FieldReader) -> ReportEquivocation:
    """Read the fields. Raises FormError."""
    return ReportEquivocation(
        accused=reader.data("accused", KEY_BYTES),
        kind=reader.integer("kind", 0, 255),
        view=reader.integer("view", 0, INTEGER_MAX),
        sequence=reader.integer("sequence", 0, INTEGER_MAX),
        proof=reader.blob("proof", PROOF_BYTES_MAX),
    )
