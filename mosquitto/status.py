"""What a component says of itself: a retained, signed message on `status/<component>`.

The broker sends the last will, the same message with state `offline`, when a component vanishes.
`ready_period` and `ready_phase` are the lockstep barrier: the component needs nothing more before that
phase of that period ends. What a phase is, only the layers above know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mosquitto.codec import decode, encode
from mosquitto.envelope import Envelope, Kind, open_envelope, sign
from mosquitto.errors import EnvelopeError
from mosquitto.keys import KeyPair

NOT_READY: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentStatus:
    """One component's word on itself.

    `state` is `starting`, `online`, `ended` or `offline`; of a ledger node also `recovering` (it follows the
    chain and does not vote yet) or `halted`.
    """

    component: str
    state: str
    ready_period: int = NOT_READY
    ready_phase: str = ""
    time_ms: int

    def seal(self, key: KeyPair, chain_id: str) -> bytes:
        """The signed message to publish, retained."""
        body = encode((self.component, self.state, self.ready_period, self.ready_phase, self.time_ms))
        return sign(key, Kind.STATUS, chain_id, body).encode()


def open_status(payload: bytes, chain_id: str) -> tuple[Envelope, ComponentStatus]:
    """Read a status and check its signature. Raises CodecError or EnvelopeError.

    The caller decides whether the signer may speak for that component.
    """
    envelope = open_envelope(payload, chain_id)
    if envelope.kind is not Kind.STATUS:
        raise EnvelopeError(f"expected a status, was {envelope.kind.name}")
    match decode(envelope.body):
        case (str(component), str(state), int(ready_period), str(ready_phase), int(time_ms)):
            return envelope, ComponentStatus(
                component=component,
                state=state,
                ready_period=ready_period,
                ready_phase=ready_phase,
                time_ms=time_ms,
            )
        case _:
            raise EnvelopeError("not a status: expected [component, state, ready_period, ready_phase, time_ms]")
