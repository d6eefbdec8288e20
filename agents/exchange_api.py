"""What a Mesa model knows of the market: the `Exchange`.

The same few calls whether four ledger nodes answer over MQTT, one replica in memory, or the contract
applied directly. Nothing here says how an answer became trustworthy; an implementation that hears
replicas returns only what f + 1 of them say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from devices.telemetry import Telemetry
    from market.events import Clearing, Settlement
    from market.market_events import OfferList
    from market.receipts import Receipt
    from market.transactions import Transaction
    from mosquitto.keys import KeyPair

OPEN = "open"
CLOSED = "closed"
DELIVERED = "delivered"
SETTLED = "settled"


class Exchange(Protocol):
    """A participant's way to the market."""

    @property
    def open_period(self) -> int:
        """The one period that takes orders, as far as this side has heard."""
        ...

    def submit(
        self, calls: Sequence[tuple[KeyPair, Transaction]], *, once_in: int | None = None
    ) -> list[Receipt | None]:
        """Sign, send as one batch, and wait until f + 1 replicas receipted each.

        The answers stand in the order of `calls`. None where the limit passed without a receipt: the
        transaction may still be executed, or never.

        `once_in`: a period from which these transactions are valid a few more, and which makes equal calls
        the same transaction however often they are sent, also by a host that was started again.
        """
        ...

    def ready(self, period: int, phase: str) -> None:
        """The lockstep barrier: this host needs nothing more before `phase` of `period` ends."""
        ...

    def wait_clearing(self, period: int) -> Clearing:
        """The agreed clearing of `period`, waiting for it. Raises TimeoutError when it does not come."""
        ...

    def wait_settlement(self, period: int) -> Settlement:
        """The agreed settlement of `period`, waiting for it. Raises TimeoutError when it does not come."""
        ...

    def offers(self) -> OfferList:
        """Where the market lists offers: those that stood after everything receipted so far.

        Raises TimeoutError when the list does not come.
        """
        ...

    def latest_telemetry(self, device_id: str) -> Telemetry | None:
        """The last state that an inverter published: generation, state of charge. None before the first."""
        ...
