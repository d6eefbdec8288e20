"""All topics of the bus. No other module spells one.

`gb/<chain>/tx/<region>/<who>` and so on: the chain id stands first, so many chains share one broker.
Names that become topic levels are checked here: a household called `a/#` would otherwise publish
into, or listen to, its neighbours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mosquitto.errors import TopicError

ROOT: Final = "gb"
_LEVEL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def level(name: str) -> str:
    """`name` when it can stand as one topic level on every broker. Raises TopicError otherwise."""
    if not _LEVEL.fullmatch(name):
        raise TopicError(f"not usable as one topic level: {name!r} (1 to 64 of A-Z a-z 0-9 _ -)")
    return name


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one chain. Methods named `every_...` give subscription filters."""

    chain_id: str

    def __post_init__(self) -> None:
        level(self.chain_id)

    def _topic(self, *levels: str) -> str:
        return "/".join((ROOT, self.chain_id, *levels))

    def transactions(self, region: str, who: str) -> str:
        """Where the agent host `who` of a region sends batches of signed transactions."""
        return self._topic("tx", level(region), level(who))

    def every_transactions(self) -> str:
        """All agent hosts' transactions."""
        return self._topic("tx", "+", "+")

    def consensus(self, replica: str) -> str:
        """Where a replica sends its consensus messages."""
        return self._topic("pbft", level(replica))

    def every_consensus(self) -> str:
        """All replicas' consensus messages."""
        return self._topic("pbft", "+")

    def receipts(self, replica: str) -> str:
        """A replica's receipts of the transactions in a block."""
        return self._topic("receipt", level(replica))

    def every_receipts(self) -> str:
        """All replicas' receipts."""
        return self._topic("receipt", "+")

    def blocks(self, replica: str) -> str:
        """A replica's announcement of each executed block."""
        return self._topic("block", level(replica))

    def every_blocks(self) -> str:
        """All replicas' block announcements."""
        return self._topic("block", "+")

    def clearings(self, replica: str) -> str:
        """A replica's clearing results."""
        return self._topic("clearing", level(replica))

    def every_clearings(self) -> str:
        """All replicas' clearing results."""
        return self._topic("clearing", "+")

    def settlements(self, replica: str) -> str:
        """A replica's settlements."""
        return self._topic("settlement", level(replica))

    def every_settlements(self) -> str:
        """All replicas' settlements."""
        return self._topic("settlement", "+")

    def phases(self, replica: str) -> str:
        """A replica's announcement that a period has changed its phase."""
        return self._topic("phase", level(replica))

    def every_phases(self) -> str:
        """All replicas' phase announcements."""
        return self._topic("phase", "+")

    def offers(self, replica: str) -> str:
        """A replica's list of the offers that may be taken, where the market lists offers."""
        return self._topic("offers", level(replica))

    def every_offers(self) -> str:
        """All replicas' lists of offers."""
        return self._topic("offers", "+")

    def equivocations(self, replica: str) -> str:
        """A replica's announcement that the ledger holds a proof against a member of the committee."""
        return self._topic("equivocation", level(replica))

    def every_equivocations(self) -> str:
        """All replicas' announcements of proofs against members."""
        return self._topic("equivocation", "+")

    def price(self, region: str) -> str:
        """Last period's prices of a region, retained: for displays; agents believe f + 1 clearings."""
        return self._topic("price", level(region))

    def clock(self) -> str:
        """Where the market operator sends its signed phase transactions."""
        return self._topic("clock")

    def reading(self, meter_id: str) -> str:
        """A meter's signed readings."""
        return self._topic("reading", level(meter_id))

    def every_reading(self) -> str:
        """All meters' readings."""
        return self._topic("reading", "+")

    def telemetry(self, device_id: str) -> str:
        """An inverter's signed state: generation, state of charge."""
        return self._topic("telemetry", level(device_id))

    def every_telemetry(self) -> str:
        """All inverters' states."""
        return self._topic("telemetry", "+")

    def status(self, component: str) -> str:
        """A component's retained status; its last will says `offline`."""
        return self._topic("status", level(component))

    def every_status(self) -> str:
        """All components' statuses."""
        return self._topic("status", "+")

    def everything(self) -> str:
        """The whole chain, for observers."""
        return self._topic("#")

    def sender(self, topic: str) -> str:
        """The last level of a topic: who published it, or says it did. It gives no authority."""
        return topic.rsplit("/", 1)[-1]
