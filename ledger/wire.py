"""Consensus messages on the bus: `[recipient, [envelope, ...]]` on the sender's own topic.

All that one drain of a replica produced travels in few packets, since a broker's cost is per packet. The
recipient is a hint that saves others the work of looking inside; it is not signed and gives no right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mosquitto.batch import BATCH_BYTES, ENVELOPES_MAX
from mosquitto.codec import decode, encode
from mosquitto.errors import CodecError

EVERYONE: Final = -1


@dataclass(frozen=True, slots=True)
class Packet:
    """Envelopes, not yet opened, and whom they are for."""

    recipient: int
    envelopes: tuple[bytes, ...]


def encode_packets(outgoing: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    """Packets from (recipient, envelope) pairs, in order for each recipient, each packet of a bounded size."""
    by_recipient: dict[int, list[bytes]] = {}
    for recipient, envelope in outgoing:
        by_recipient.setdefault(recipient, []).append(envelope)
    for recipient, envelopes in by_recipient.items():
        packet: list[bytes] = []
        size = 0
        for envelope in envelopes:
            if packet and size + len(envelope) > BATCH_BYTES:
                yield encode((recipient, packet))
                packet, size = [], 0
            packet.append(envelope)
            size += len(envelope)
        yield encode((recipient, packet))


def decode_packet(payload: bytes) -> Packet:
    """Read a packet. Raises CodecError."""
    match decode(payload):
        case (int(recipient), tuple(items)) if len(items) <= ENVELOPES_MAX:
            envelopes = tuple(item for item in items if isinstance(item, bytes))
            if len(envelopes) == len(items):
                return Packet(recipient, envelopes)
    raise CodecError("not a consensus packet: expected [recipient, [envelope, ...]]")
