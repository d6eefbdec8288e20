"""What a handler of a transaction works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from market.accounts import Bank
from market.config import MarketConfig
from market.events import Event
from market.state import MarketState


@dataclass(slots=True, kw_only=True)
class Context:
    """One call under execution: who sent it, and the state it may change once every check has passed.

    `detail` goes into the receipt, `events` are collected over the whole block.
    """

    config: MarketConfig
    state: MarketState
    bank: Bank
    tx_id: bytes
    sender: bytes
    events: list[Event] = field(default_factory=list)
    detail: int = 0

    def operator(self) -> bytes:
        """The key of the committee member that drives the phases in this term."""
        return self.config.committee[self.state.head.operator_term % len(self.config.committee)]
