"""What the committee says, believed when f + 1 members say it alike: phases, clearings, settlements."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from market.errors import FormError
from market.events import Clearing, PhaseChange, Settlement
from mosquitto.agreement import Agreement
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import decode
from mosquitto.envelope import Kind, open_envelope
from mosquitto.errors import RemoteError
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

_PERIODS_KEPT: Final = 64
_SOURCES_COUNTED: Final = 1_000


class CommitteeEvents:
    """Listens on a bus and calls back once for each event on which enough members agree.

    `refused` counts messages that could not be believed, by reason.
    """

    def __init__(
        self,
        bus: Bus,
        chain_id: str,
        committee: Sequence[bytes],
        threshold: int,
        *,
        on_phase: Callable[[PhaseChange], None],
        on_clearing: Callable[[Clearing], None],
        on_settlement: Callable[[Settlement], None],
    ) -> None:
        self.refused: Counter[str] = Counter()
        self._bus = bus
        self._chain_id = chain_id
        self._topics = Topics(chain_id)
        self._committee = frozenset(committee)
        self._phases = Agreement(committee, threshold, subjects_kept=4 * _PERIODS_KEPT)
        self._clearings = Agreement(committee, threshold, subjects_kept=_PERIODS_KEPT)
        self._settlements = Agreement(committee, threshold, subjects_kept=_PERIODS_KEPT)
        self._on_phase = on_phase
        self._on_clearing = on_clearing
        self._on_settlement = on_settlement

    def start(self) -> None:
        """Subscribe."""
        self._bus.subscribe(self._topics.every_phases(), self._hear_phase)
        self._bus.subscribe(self._topics.every_clearings(), self._hear_clearing)
        self._bus.subscribe(self._topics.every_settlements(), self._hear_settlement)

    def _hear_phase(self, message: BusMessage) -> None:
        signed = self._signed(message, Kind.PHASE)
        if signed is None:
            return
        try:
            change = PhaseChange.from_values(decode(signed[1]))
        except (RemoteError, FormError) as error:
            self._refuse(message, type(error).__name__)
            return
        if self._phases.hear(signed[0], (change.period, change.phase), signed[1]) is not None:
            self._on_phase(change)

    def _hear_clearing(self, message: BusMessage) -> None:
        signed = self._signed(message, Kind.CLEARING)
        if signed is None:
            return
        try:
            clearing = Clearing.from_values(decode(signed[1]))
        except (RemoteError, FormError) as error:
            self._refuse(message, type(error).__name__)
            return
        if self._clearings.hear(signed[0], clearing.period, signed[1]) is not None:
            self._on_clearing(clearing)

    def _hear_settlement(self, message: BusMessage) -> None:
        signed = self._signed(message, Kind.SETTLEMENT)
        if signed is None:
            return
        try:
            settlement = Settlement.from_values(decode(signed[1]))
        except (RemoteError, FormError) as error:
            self._refuse(message, type(error).__name__)
            return
        if self._settlements.hear(signed[0], settlement.period, signed[1]) is not None:
            self._on_settlement(settlement)

    def _signed(self, message: BusMessage, kind: Kind) -> tuple[bytes, bytes] | None:
        """Member and body of a message of the committee."""
        try:
            envelope = open_envelope(message.payload, self._chain_id)
        except RemoteError as error:
            self._refuse(message, type(error).__name__)
            return None
        if envelope.kind is not kind or envelope.signer not in self._committee:
            self._refuse(message, "not a replica's" if envelope.kind is kind else "wrong kind")
            return None
        return envelope.signer, envelope.body

    def _refuse(self, message: BusMessage, reason: str) -> None:
        source = f"{self._topics.sender(message.topic)[:64]}: {reason}"
        if source not in self.refused and len(self.refused) >= _SOURCES_COUNTED:
            source = "others"
        self.refused[source] += 1
        if self.refused[source] == 1:
            log.warning("message refused", extra={"fields": {"topic": message.topic, "reason": reason}})
