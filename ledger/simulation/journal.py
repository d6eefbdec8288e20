"""What happened in a run, in lines that a person reads: kept only when somebody will."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.messages import (
    Blocks,
    Checkpoint,
    Commit,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Signed,
    Status,
    ViewChange,
)

_DIGEST_DIGITS = 6


class Journal:
    """The lines of one run, each with the time in ms since it began."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, age_ms: int, words: str) -> None:
        """Add a line."""
        self.lines.append(f"{age_ms:>7} ms  {words}")

    def delivered(self, age_ms: int, sender: int, receiver: int, packet: Iterable[Signed]) -> None:
        """A packet has arrived. Statuses say nothing about the protocol and are left out."""
        words = [
            describe(signed.message) + (f" of {signed.replica}" if signed.replica != sender else "")
            for signed in packet
            if not isinstance(signed.message, Status)
        ]
        if words:
            self.tell(age_ms, f"{sender} -> {receiver}: " + ", ".join(words))


def describe(message: Message) -> str:
    """A message in a few words: kind, view `v`, number `n`, the first digits of what it names."""
    match message:
        case PrePrepare():
            count = len(message.proposal.transaction_ids)
            return f"pre-prepare v{message.view} n{message.sequence} {_short(message.digest)} ({count} orders)"
        case Prepare():
            return f"prepare v{message.view} n{message.sequence} {_short(message.digest)}"
        case Commit():
            return f"commit v{message.view} n{message.sequence} {_short(message.block_hash)}"
        case Checkpoint():
            return f"checkpoint n{message.sequence} {_short(message.state_root)}"
        case ViewChange():
            prepared = ", ".join(f"n{item.sequence} of v{item.view}" for item in message.prepared)
            return f"view-change to v{message.view} (final to n{message.height}; prepared: {prepared or 'none'})"
        case NewView():
            numbers = ", ".join(f"n{sequence} {_short(digest)}" for sequence, digest in message.proposals)
            return f"new-view v{message.view} (O: {numbers or 'empty'})"
        case Blocks():
            heights = [block.height for block, _ in message.blocks]
            return f"blocks {heights[0]} to {heights[-1]}" if heights else "no blocks"
    return type(message).__name__


def _short(digest: bytes) -> str:
    return digest.hex()[:_DIGEST_DIGITS]
