"""Records that single mechanisms need. Changed only through `Table.edit`, as those of `records.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.offer_transactions import PAIRS_MAX, parse_pairs
from market.supervision_transactions import parse_ids
from market.units import INTEGER_MAX, MONEY_NANO_MAX, PERIOD_MAX
from market.values import ID_BYTES, KEY_BYTES, FieldReader, Value

CONVICTIONS_MAX: Final = 64
"""Proofs kept against one member: more would say nothing new, and a liar must not make the state grow."""


@dataclass(slots=True, kw_only=True)
class Proposal:
    """An assignment that somebody submitted for the open period. `order` counts the submissions."""

    order: int
    pairs: tuple[tuple[int, int], ...]

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (self.order, self.pairs)

    @classmethod
    def from_values(cls, values: Value) -> Proposal:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "proposal")
        proposal = cls(
            order=reader.integer("order", 0, INTEGER_MAX), pairs=parse_pairs(reader.array("pairs", PAIRS_MAX))
        )
        reader.end()
        return proposal


@dataclass(slots=True, kw_only=True)
class HeldPayment:
    """A part of a trade's bill that waits, locked at the buyer, because the meters disagree beyond the tolerance.

    `release_period`: with the settlement of this period the seller gets it, unless one of the two has disputed it
    (`disputed_by`, empty until then). `evidence`: ids of the transactions with the readings of both sides.
    """

    period: int
    buyer: bytes
    seller: bytes
    amount_nano: int
    agreed_wh: int
    provided_wh: int
    received_wh: int
    release_period: int
    evidence: tuple[bytes, ...] = ()
    disputed_by: bytes = b""

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (
            self.period,
            self.buyer,
            self.seller,
            self.amount_nano,
            self.agreed_wh,
            self.provided_wh,
            self.received_wh,
            self.release_period,
            self.evidence,
            (self.disputed_by,) if self.disputed_by else (),
        )

    @classmethod
    def from_values(cls, values: Value) -> HeldPayment:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "held payment")
        held = cls(
            period=reader.integer("period", 0, PERIOD_MAX),
            buyer=reader.data("buyer", KEY_BYTES),
            seller=reader.data("seller", KEY_BYTES),
            amount_nano=reader.integer("amount_nano", 0, MONEY_NANO_MAX),
            agreed_wh=reader.integer("agreed_wh", 0, INTEGER_MAX),
            provided_wh=reader.integer("provided_wh", 0, INTEGER_MAX),
            received_wh=reader.integer("received_wh", 0, INTEGER_MAX),
            release_period=reader.integer("release_period", 0, PERIOD_MAX * 2),
            evidence=parse_ids(reader.array("evidence", 256)),
            disputed_by=b"".join(parse_ids(reader.array("disputed_by", 1))),
        )
        reader.end()
        return held


@dataclass(slots=True, kw_only=True)
class Certificate:
    """A green certificate: 1,000 kWh of metered renewable generation of `origin`, held by `owner`."""

    owner: bytes
    origin: bytes
    period: int

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (self.owner, self.origin, self.period)

    @classmethod
    def from_values(cls, values: Value) -> Certificate:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "certificate")
        certificate = cls(
            owner=reader.data("owner", KEY_BYTES),
            origin=reader.data("origin", KEY_BYTES),
            period=reader.integer("period", 0, PERIOD_MAX),
        )
        reader.end()
        return certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """Where in the consensus protocol a member said two things. The proof stands in transaction `tx_id`."""

    kind: int
    view: int
    sequence: int
    tx_id: bytes

    @property
    def place(self) -> tuple[int, int, int]:
        """An honest member says one thing only at each."""
        return self.kind, self.view, self.sequence


@dataclass(slots=True, kw_only=True)
class MemberRecord:
    """What the ledger holds against a member of the committee, in the order in which it was proven."""

    convictions: tuple[Conviction, ...] = ()

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return tuple((item.kind, item.view, item.sequence, item.tx_id) for item in self.convictions)

    @classmethod
    def from_values(cls, values: Value) -> MemberRecord:
        """Read plain values. Raises FormError."""
        rows = FieldReader((values,), "member").array("convictions", CONVICTIONS_MAX)
        return cls(convictions=tuple(_conviction(row) for row in rows))


def _conviction(values: Value) -> Conviction:
    reader = FieldReader(values, "conviction")
    conviction = Conviction(
        kind=reader.integer("kind", 0, 255),
        view=reader.integer("view", 0, INTEGER_MAX),
        sequence=reader.integer("sequence", 0, INTEGER_MAX),
        tx_id=reader.data("tx_id", ID_BYTES),
    )
    reader.end()
    return conviction
