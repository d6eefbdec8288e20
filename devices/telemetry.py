"""What an inverter tells of itself after each period, signed by the key of its site's meter."""

from __future__ import annotations

from dataclasses import dataclass

from mosquitto.codec import decode, encode
from mosquitto.envelope import Envelope, Kind, open_envelope, sign
from mosquitto.errors import EnvelopeError
from mosquitto.keys import KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """State of an inverter at the end of a period. Energies are those of the period, rounded to whole Wh.

    `pv_wh` is what all generators of the site gave, after curtailment; `soc_wh` the energy stored now;
    `charged_wh` and `discharged_wh` what flowed at the battery's terminals.
    """

    device_id: str
    period: int
    pv_wh: int
    soc_wh: int
    charged_wh: int
    discharged_wh: int
    measured_ms: int

    def seal(self, key: KeyPair, chain_id: str) -> bytes:
        """The signed message to publish."""
        body = encode(
            (
                self.device_id,
                self.period,
                self.pv_wh,
                self.soc_wh,
                self.charged_wh,
                self.discharged_wh,
                self.measured_ms,
            )
        )
        return sign(key, Kind.TELEMETRY, chain_id, body).encode()


def open_telemetry(payload: bytes, chain_id: str) -> tuple[Envelope, Telemetry]:
    """Read a message and check its signature. Raises CodecError or EnvelopeError.

    The caller decides whether the signer may speak for that device.
    """
    envelope = open_envelope(payload, chain_id)
    if envelope.kind is not Kind.TELEMETRY:
        raise EnvelopeError(f"expected telemetry, was {envelope.kind.name}")
    match decode(envelope.body):
        case (
            str(device_id),
            int(period),
            int(pv_wh),
            int(soc_wh),
            int(charged_wh),
            int(discharged_wh),
            int(measured_ms),
        ):
            return envelope, Telemetry(
                device_id=device_id,
                period=period,
                pv_wh=pv_wh,
                soc_wh=soc_wh,
                charged_wh=charged_wh,
                discharged_wh=discharged_wh,
                measured_ms=measured_ms,
            )
        case _:
            raise EnvelopeError("not telemetry: expected seven positional values")
