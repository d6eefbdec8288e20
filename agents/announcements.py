"""What ledger nodes publish of their work, and how readers believe it.

Phases, clearings and settlements are the contract's own events (`market/events.py`); here are the two
that only the application layer knows: receipts and block announcements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mosquitto.codec import decode, encode
from mosquitto.errors import CodecError

NOT_IN_A_BLOCK = 0
"""Height of a receipt for a transaction that a node refused before consensus."""


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """What became of one transaction: a code of `market.receipts.ReasonCode`, and its detail."""

    transaction_id: bytes
    code: int
    detail: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAnnouncement:
    """An executed block, as a replica tells it."""

    height: int
    block_hash: bytes
    state_root: bytes
    time_ms: int
    period: int
    transaction_count: int
    view: int

    def encode(self) -> bytes:
        """The body of a BLOCK envelope."""
        return encode(
            (
                self.height,
                self.block_hash,
                self.state_root,
                self.time_ms,
                self.period,
                self.transaction_count,
                self.view,
            )
        )

    @classmethod
    def parse(cls, body: bytes) -> BlockAnnouncement:
        """Read the body of a BLOCK envelope. Raises CodecError."""
        match decode(body):
            case (
                int(height),
                bytes(block_hash),
                bytes(state_root),
                int(time_ms),
                int(period),
                int(transaction_count),
                int(view),
            ):
                return cls(
                    height=height,
                    block_hash=block_hash,
                    state_root=state_root,
                    time_ms=time_ms,
                    period=period,
                    transaction_count=transaction_count,
                    view=view,
                )
            case _:
                raise CodecError("not a block announcement: expected seven positional values")


def encode_receipts(height: int, lines: Sequence[ReceiptLine]) -> bytes:
    """The body of a RECEIPTS envelope: everything that became of the transactions of one block."""
    return encode((height, tuple((line.transaction_id, line.code, line.detail) for line in lines)))


def parse_receipts(body: bytes) -> tuple[int, tuple[ReceiptLine, ...]]:
    """Read the body of a RECEIPTS envelope: height and lines. Raises CodecError."""
    match decode(body):
        case (int(height), tuple(items)):
            lines = []
            for item in items:
                match item:
                    case (bytes(transaction_id), int(code), int(detail)):
                        lines.append(ReceiptLine(transaction_id, code, detail))
                    case _:
                        raise CodecError("not a receipt: expected [transaction id, code, detail]")
            return height, tuple(lines)
        case _:
            raise CodecError("not receipts: expected [height, [receipt, ...]]")
