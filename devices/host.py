"""The device host: one process that runs the meters and inverters of a region.

It believes the committee, not the bus: a period was delivered when f + 1 replicas say so in the same words,
and what owners traded is the clearing that f + 1 replicas published. Then it lives through the period, saves
what the meters show, and only then publishes it, so that a host killed at any moment goes on as if
nothing had happened (store.py).

Periods that were delivered while it was down are measured on its return: consumption does not wait for a
process. Where the clearing of a period was never heard, the position is unknown and the site runs in plain
self-consumption; it is counted and logged, and settlement charges the deviation.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from devices.errors import DeviceError
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.simulated_site import SimulatedSite
from devices.sites import SiteConfig
from devices.store import DeviceStore, StoredMessage
from market.errors import FormError
from market.events import Clearing, Phase, PhaseChange
from market.readings import Reading
from mosquitto.agreement import Agreement
from mosquitto.batch import encode_batch
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.errors import RemoteError
from mosquitto.keys import KeyPair
from mosquitto.status import NOT_READY, ComponentStatus
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

_PERIODS_KEPT: Final = 64
"""How many clearings are remembered: far more periods than are ever cleared and not yet delivered."""
_READINGS_OF_PAST_PERIODS: Final = 8
"""After an absence, how many periods get a reading of their own; older energy is in the first of them."""
_REFUSED_SOURCES_KEPT: Final = 1_000
_DELIVERED: Final = "delivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedSite:
    """A site that this host runs: whose it is (account key) and the key that signs for its meter."""

    config: SiteConfig
    owner: bytes
    meter_key: KeyPair


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """How a device host is set up.

    `committee` and `threshold` (f + 1): whom to believe. `clearing_wait_ms`: how long a delivered period
    waits for its clearing. `validity_periods`: for how many periods after the open one a reading may still
    enter a block, at most the market's own limit.
    """

    name: str
    chain_id: str
    committee: tuple[bytes, ...]
    threshold: int
    clearing_wait_ms: int = 2_000
    validity_periods: int = 4


class DeviceHost:
    """Runs sites on a bus. Single-threaded: everything happens in `start`, in `tick`, or inside `bus.poll`.

    `refused` counts messages that could not be believed, by reason; `positions_unknown` the periods that ran
    without a clearing; `periods_measured` all of them.
    """

    def __init__(
        self,
        *,
        config: HostConfig,
        bus: Bus,
        key: KeyPair,
        sites: Sequence[HostedSite],
        library: ProfileLibrary,
        calendar: ProfileCalendar,
        store: DeviceStore,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`key` signs the status, `clock` gives ms since 1970. Raises DeviceError for sites that clash."""
        self.config = config
        self.refused: Counter[str] = Counter()
        self.positions_unknown = 0
        self.periods_measured = 0
        self._bus = bus
        self._key = key
        self._topics = Topics(config.chain_id)
        self._clock = clock
        self._store = store
        self._sites = [(site, SimulatedSite(site.config, library, calendar)) for site in sites]
        self._owners = frozenset(site.owner for site in sites)
        if len(self._owners) < len(sites) or len({site.config.meter_id for site in sites}) < len(sites):
            raise DeviceError("two sites of a host share an owner or a meter: a position could not be divided")
        self._phases = Agreement(config.committee, config.threshold, subjects_kept=4 * _PERIODS_KEPT)
        self._clearings = Agreement(config.committee, config.threshold, subjects_kept=_PERIODS_KEPT)
        self._last_clearing = b""
        self._positions_wh = store.load_clearings()
        self._delivered_ms: dict[int, int] = {}
        self._waiting_since_ms: int | None = None
        self._newest_period = 0
        self._next_period = self._restore(store)

    def _restore(self, store: DeviceStore) -> int:
        saved = store.load_sites()
        for site, simulated in self._sites:
            state = saved.get(site.config.meter_id)
            if state is not None:
                simulated.restore(state)
        following = {simulated.next_period for _, simulated in self._sites}
        if len(following) > 1:
            raise DeviceError(f"saved sites stand before different periods: {sorted(following)}")
        return following.pop() if following else 0

    def start(self) -> None:
        """Subscribe, say that we are here, and send the last period's messages again.

        They may have left before the last stop or not; whoever has them already loses nothing.
        """
        self._bus.subscribe(self._topics.every_clearings(), self._on_clearing)
        self._bus.subscribe(self._topics.every_phases(), self._on_phase)
        self._publish(self._store.last_messages())
        self._say("online")
        fields = {"host": self.config.name, "sites": len(self._sites), "period": self._next_period}
        log.info("device host started", extra={"fields": fields})

    def tick(self) -> None:
        """Look after what waits. Call it now and then; `run` and a LocalNetwork's tick hook do."""
        self._measure_delivered()

    def run(self, stop: Callable[[], bool], poll_s: float = 0.2) -> None:
        """Serve until `stop` says so, then leave. For a process of its own."""
        self.start()
        while not stop():
            self._bus.poll(poll_s)
            self.tick()
        self.close()

    def close(self) -> None:
        """Say goodbye. The bus belongs to the caller, the store is closed."""
        self._say("ended")
        self._store.close()

    def _on_clearing(self, message: BusMessage) -> None:
        body = self._believed(self._clearings, message, Kind.CLEARING)
        if body is None:
            return
        clearing = Clearing.from_values(decode(body))
        self._last_clearing = body
        positions = clearing.positions_wh()
        ours = {owner: positions[owner] for owner in sorted(self._owners & positions.keys())}
        self._positions_wh[clearing.period] = ours
        keep_from = clearing.period - _PERIODS_KEPT
        for period in [period for period in self._positions_wh if period < keep_from]:
            del self._positions_wh[period]
        # On disk, since a host that restarts before delivery would otherwise not know what was traded.
        self._store.save_clearing(clearing.period, ours, keep_from)
        self._measure_delivered()

    def _on_phase(self, message: BusMessage) -> None:
        body = self._believed(self._phases, message, Kind.PHASE)
        if body is None:
            return
        change = PhaseChange.from_values(decode(body))
        self._newest_period = max(self._newest_period, change.period)
        if change.phase is Phase.DELIVERED and change.period >= self._next_period:
            self._delivered_ms[change.period] = change.time_ms
            self._measure_delivered()

    def _believed(self, agreement: Agreement, message: BusMessage, kind: Kind) -> bytes | None:
        """The body of an event on which f + 1 replicas agree, once; None before and after."""
        try:
            envelope = open_envelope(message.payload, self.config.chain_id)
            if envelope.kind is not kind or envelope.signer not in self.config.committee:
                self._refuse(message, "not a replica's" if envelope.kind is kind else "wrong kind")
                return None
            if envelope.body == self._last_clearing:
                return None  # The third and fourth replica repeat what is agreed: no need to read it again.
            values = decode(envelope.body)
            if kind is Kind.PHASE:
                change = PhaseChange.from_values(values)
                return agreement.hear(envelope.signer, (change.period, change.phase), envelope.body)
            period = Clearing.from_values(values).period
            return agreement.hear(envelope.signer, period, envelope.body)
        except (RemoteError, FormError) as error:
            self._refuse(message, type(error).__name__)
            return None

    def _refuse(self, message: BusMessage, reason: str) -> None:
        source = f"{self._topics.sender(message.topic)}: {reason}"
        if source not in self.refused:
            # Topics are named by whoever publishes: neither memory nor log grows with their imagination.
            if len(self.refused) >= _REFUSED_SOURCES_KEPT:
                source = f"others: {reason}"
            else:
                log.warning("message refused", extra={"fields": {"topic": message.topic, "reason": reason}})
        self.refused[source] += 1

    def _measure_delivered(self) -> None:
        """Live through every period up to the newest that was delivered, once its clearing is here."""
        if not self._delivered_ms:
            return
        newest = max(self._delivered_ms)
        if newest not in self._positions_wh:
            # A lying replica can complete the phase's agreement before the honest clearing's: wait a little.
            # Clearings of older periods came before this one's or will not come.
            if self._waiting_since_ms is None:
                self._waiting_since_ms = self._clock()
            if self._clock() < self._waiting_since_ms + self.config.clearing_wait_ms:
                return
        self._waiting_since_ms = None
        while self._next_period <= newest:
            self._measure(self._next_period, newest)
        self._delivered_ms.clear()

    def _measure(self, period: int, newest: int) -> None:
        positions_wh = self._positions_wh.pop(period, None)
        if positions_wh is None:
            self.positions_unknown += 1
            fields = {"host": self.config.name, "period": period}
            log.warning("clearing not heard, devices run in self-consumption", extra={"fields": fields})
        measured_ms = self._delivered_ms.get(period, self._delivered_ms[newest])
        messages: list[StoredMessage] = []
        for site, simulated in self._sites:
            flows = simulated.run(positions_wh.get(site.owner, 0) if positions_wh else 0)
            if period <= newest - _READINGS_OF_PAST_PERIODS:
                continue
            # Before the reading: whoever hears that the period is settled knows the battery's state too.
            if site.config.has_inverter:
                telemetry = simulated.telemetry(flows, period, measured_ms)
                payload = telemetry.seal(site.meter_key, self.config.chain_id)
                messages.append(StoredMessage(self._topics.telemetry(telemetry.device_id), payload))
            messages.append(self._reading_message(site, simulated.meter.read(period, measured_ms)))
        self._next_period = period + 1
        self.periods_measured += 1
        self._store.save_period({site.config.meter_id: it.state() for site, it in self._sites}, messages)
        self._publish(messages)
        self._say("online")

    def _reading_message(self, site: HostedSite, reading: Reading) -> StoredMessage:
        # The period after the newest that we heard of is open, or was: readings stay valid some periods more.
        valid_until_period = max(self._newest_period, reading.period) + self.config.validity_periods
        body = encode(reading.call_fields(valid_until_period, nonce=reading.counter))
        envelope = sign(site.meter_key, Kind.TRANSACTION, self.config.chain_id, body)
        return StoredMessage(self._topics.reading(reading.meter_id), encode_batch([envelope.encode()]))

    def _publish(self, messages: Sequence[StoredMessage]) -> None:
        for message in messages:
            self._bus.publish(message.topic, message.payload, qos=1)

    def _say(self, state: str) -> None:
        measured = self._next_period - 1
        status = ComponentStatus(
            component=self.config.name,
            state=state,
            ready_period=measured if measured >= 0 else NOT_READY,
            ready_phase=_DELIVERED if measured >= 0 else "",
            time_ms=self._clock(),
        )
        payload = status.seal(self._key, self.config.chain_id)
        self._bus.publish(self._topics.status(self.config.name), payload, retain=True)
