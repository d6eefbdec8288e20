"""What the ledger knows of the application that it replicates: a deterministic state machine over bytes.

`agents/` joins a contract to this protocol. Everything here must be a function of the executed blocks and
of the arguments: no clock, no randomness, no dependence on the process. Nothing here may raise because of
bytes that a client chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A transaction that is well formed and rightly signed.

    `id`: 32 bytes that name its content, without the signature. `sender`: whose share of the pool it
    takes. `valid_until_period`: the last period in which a block may hold it.
    """

    id: bytes
    sender: bytes
    valid_until_period: int
    transaction: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a transaction is not taken: a constant reason in a few words, for counters and logs."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What executing one block gave.

    `receipts`: one for each transaction, in order, refused ones included. `events`: what the application
    wants published. `state_root`: 32 bytes that bind the whole state. `period`: the trading period now.
    """

    receipts: tuple[bytes, ...]
    events: tuple[bytes, ...]
    state_root: bytes
    period: int


class Rules(Protocol):
    """What the replica asks about transactions while it orders them."""

    def check(self, transaction: bytes) -> Admitted | Refused:
        """Whether the bytes are a transaction of this chain with a signature that holds.

        It must not depend on the state: replicas that are a few blocks apart have to agree whether a
        proposal may be prepared. Business rules are for `execute`, which answers with a refused receipt.
        """
        ...

    def screen(self, transaction: Admitted) -> Refused | None:
        """Whether this replica lets the transaction into its pool, by the present state; None means yes.

        It keeps transactions out that are bound to be refused (unknown sender, expired). Replicas may
        differ in their answer for a moment; nothing that is agreed on depends on it.
        """
        ...

    def knows(self, transaction_id: bytes) -> bool:
        """Whether a transaction with this id was executed, as long as it could still be valid."""
        ...


class Application(Rules, Protocol):
    """The replicated state machine."""

    def execute(self, height: int, time_ms: int, transactions: Sequence[bytes]) -> Execution:
        """Apply one block. Total: a bad transaction gives a refused receipt."""
        ...

    def snapshot(self) -> bytes:
        """The whole state, also the ids that `knows` answers for."""
        ...

    def restore(self, snapshot: bytes, state_root: bytes) -> bool:
        """Take over a snapshot if its state has this root; otherwise change nothing and say False.

        The bytes may come from a liar; the root is certified. Whatever `check`, `knows` and `execute`
        depend on must follow from bytes that the root binds.
        """
        ...

    def state_root(self) -> bytes:
        """Root of the present state."""
        ...

    def period(self) -> int:
        """The present trading period."""
        ...
