"""What the replica asks of its shell: plain values, to be performed in order.

Two rules bind every shell. What a `Persist` holds is on disk before any later `Broadcast` or `Send` of the
same answer leaves (all the persists of one drain may share one write). And `Execute`, `TakeCheckpoint` and
`InstallSnapshot` are performed at once, their outcome told by `on_executed` and `on_installed` before the
next input.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ledger.application import Admitted
from ledger.blocks import Block, Header
from ledger.certificates import CheckpointCertificate, CommitCertificate
from ledger.messages import Signed
from ledger.records import BodyRecord, VoteRecord


class Timer(IntEnum):
    """The replica's timers; each runs at most once at a time."""

    RESEND = 1
    REQUEST = 2
    NEW_VIEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """Send to all other replicas."""

    signed: Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send to one replica. `signed` may be another replica's message, passed on."""

    replica: int
    signed: Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Persist:
    """Keep votes, and the transactions they depend on, before anything later leaves."""

    votes: tuple[VoteRecord, ...]
    bodies: tuple[BodyRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """The block is final: execute it and keep it."""

    block: Block
    transactions: tuple[Admitted, ...]
    certificate: CommitCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCheckpoint:
    """Take a snapshot of the state after block `height` and hold it until it is stable or overtaken."""

    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepCheckpoint:
    """The checkpoint is stable: keep its snapshot, let go of older ones and of the votes it covers.

    Votes about views before `view` go too: this replica never speaks in one again.
    """

    certificate: CheckpointCertificate
    view: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendBlocks:
    """Answer a replica that fetches blocks from `start` on."""

    replica: int
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSnapshot:
    """Answer a replica that fetches part `index` of the snapshot at `height` (0: the latest kept)."""

    replica: int
    height: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSnapshot:
    """Take over the state if it has the certified root; tell `on_installed` whether it did."""

    header: Header
    certificate: CheckpointCertificate
    snapshot: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Start a timer, or start it anew."""

    timer: Timer
    delay_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTimer:
    """Stop a timer; it may not be running."""

    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEvidence:
    """Two messages of one replica that no correct replica signs both."""

    first: Signed
    second: Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishRecovery:
    """Every vote that a lost file can have held is covered by a stable checkpoint: voting starts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """This replica contradicts what a quorum certified: it must stop and say so, not go on voting."""

    reason: str


Effect = (
    Broadcast
    | Send
    | Persist
    | Execute
    | TakeCheckpoint
    | KeepCheckpoint
    | SendBlocks
    | SendSnapshot
    | InstallSnapshot
    | SetTimer
    | CancelTimer
    | RecordEvidence
    | FinishRecovery
    | Halt
)
