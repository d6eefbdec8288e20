"""The gateway: real meters on a home's own broker become signed readings on the market's bus.

It listens to the home broker, keeps every meter's registers (home_meter.py), and when the committee says that a
period was delivered, signs what the registers showed at the period's end (gateway_account.py) and sends it
until it is answered. It can sign only for meters whose key it was given. What it cannot know it does not
send: the contract has a rule for a period without a reading, and the next reading makes good for it.

Everything is on disk before it leaves (gateway_store.py). Single-threaded: everything happens in `start`,
`tick`, or inside `poll` of a bus.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from devices.committee_events import CommitteeEvents
from devices.errors import DeviceError, StateError
from devices.gateway_account import ReadingBook
from devices.gateway_results import HomeResults
from devices.gateway_store import GatewayStore, OutgoingReading
from devices.home_meter import HomeMeter
from market.events import Clearing, Phase, PhaseChange, Settlement
from market.readings import Quality, Reading, quality_words
from mosquitto.batch import encode_batch
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import encode
from mosquitto.envelope import Kind, sign
from mosquitto.keys import KeyPair
from mosquitto.status import NOT_READY, ComponentStatus
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

SAVE_INTERVAL_MS: Final = 5_000
RESEND_INTERVAL_MS: Final = 2_000
SILENCE_REPORT_MS: Final = 60_000
PENDING_PERIODS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayMeter:
    """A meter of this gateway: its key and its owner's account on the market, and the home broker it is on.

    `owner_name` is what results are called in the home.
    """

    meter: HomeMeter
    key: KeyPair
    owner: bytes
    owner_name: str
    region: str
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """How a gateway is set up.

    `committee` and `threshold` (f + 1): whom to believe. Period 0 begins at `first_period_ms`, and each lasts
    `period_ms` on the wall clock. `wait_ms`: how long after a period's end to wait for the meters' next values
    before their trend has to do. `validity_periods` and `reset_interval_periods`: the market's bounds.
    """

    name: str
    chain_id: str
    committee: tuple[bytes, ...]
    threshold: int
    first_period_ms: int
    period_ms: float
    wait_ms: int = 5_000
    validity_periods: int = 4
    reset_interval_periods: int = 96

    def start_ms(self, period: int) -> int:
        """When a period begins."""
        return self.first_period_ms + round(period * self.period_ms)


@dataclass(slots=True)
class _Bound:
    """A meter, its book, and when its answers were last asked for."""

    of: GatewayMeter
    book: ReadingBook
    subscribed: set[str] = field(default_factory=set)
    since_ms: int = 0
    has_complained: bool = False


class Gateway:
    """Reads meters, signs readings, sends them until they are answered, and tells the home what came of it.

    `readings_sent` counts readings made; `answers` what the market said to them, by word.
    """

    def __init__(
        self,
        *,
        config: GatewayConfig,
        bus: Bus,
        homes: Mapping[str, Bus],
        key: KeyPair,
        meters: Sequence[GatewayMeter],
        store: GatewayStore,
        results: HomeResults | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`homes`: a bus for each home broker, by name. Raises DeviceError for meters that clash, StateError."""
        self.config = config
        self.readings_sent = 0
        self.answers: dict[str, int] = {}
        self._bus = bus
        self._homes = homes
        self._key = key
        self._store = store
        self._clock = clock
        self._topics = Topics(config.chain_id)
        self._results = results
        self._newest_period = 0
        self._pending: dict[int, int] = {}
        self._settled_period = -1
        self._sent_ms: dict[bytes, int] = {}
        self._saved_ms = 0
        self._meters = {
            one.meter.config.meter_id: _Bound(
                one, ReadingBook(reset_interval_periods=config.reset_interval_periods)
            )
            for one in meters
        }
        if len(self._meters) < len(meters):
            raise DeviceError("two meters of a gateway have the same id")
        self._restore()
        self._outbox = {one.transaction_id: one for one in store.load_outbox()}
        self._events = CommitteeEvents(
            bus,
            config.chain_id,
            config.committee,
            config.threshold,
            on_phase=self._on_phase,
            on_clearing=self._on_clearing,
            on_settlement=self._on_settlement,
        )

    def start(self) -> None:
        """Subscribe on both sides, say that we are here, send again what was not answered."""
        now_ms = self._clock()
        self._events.start()
        for bound in self._meters.values():
            bound.since_ms = now_ms
            self._listen(bound)
        self._say("online")
        self.tick()
        log.info("gateway started", extra={"fields": {"gateway": self.config.name, "meters": len(self._meters)}})

    def run(self, stop: Callable[[], bool], poll_s: float = 0.1) -> None:
        """Serve until `stop` says so, then leave. For a process of its own."""
        self.start()
        while not stop():
            self.poll(poll_s)
        self.close()

    def poll(self, timeout_s: float) -> None:
        """Wait a little on each side, then look after what is due."""
        share_s = timeout_s / (1 + len(self._homes))
        for bus in (self._bus, *self._homes.values()):
            bus.poll(share_s)
        self.tick()

    def tick(self) -> None:
        """Readings that can be made now, answers that are late, devices that want to be asked, state to save."""
        now_ms = self._clock()
        for bound in self._meters.values():
            self._command(bound, bound.of.meter.commands(now_ms))
            self._report_silence(bound, now_ms)
        for period in sorted(self._pending):
            self._make_readings(period, now_ms)
        self._send_again(now_ms)
        if now_ms >= self._saved_ms + SAVE_INTERVAL_MS:
            self._save(now_ms)

    def close(self) -> None:
        """Save, say goodbye. The buses belong to the caller."""
        self._save(self._clock())
        self._say("ended")
        self._store.close()

    def home_returned(self, home: str) -> None:
        """A home broker is back: devices that have to be asked are asked again."""
        for bound in self._meters.values():
            if bound.of.home == home:
                bound.of.meter.ask_again()

    def waits_for(self, transaction_id: bytes) -> bool:
        """Whether this is a reading of ours without an answer."""
        return transaction_id in self._outbox

    def on_receipt(self, transaction_id: bytes, accepted: bool, reason: str) -> None:
        """The committee answered one of our readings, or a stranger's, which is ignored."""
        outgoing = self._outbox.get(transaction_id)
        if outgoing is None:
            return
        if not accepted and reason == "READING_TOO_EARLY":
            return  # We believed f + 1 that a node has not caught up with yet: sent again, it will pass.
        del self._outbox[transaction_id]
        self._sent_ms.pop(transaction_id, None)
        self.answers[reason] = self.answers.get(reason, 0) + 1
        bound = self._meters.get(outgoing.meter_id)
        states: dict[str, object] = {}
        if bound is not None:
            if accepted:
                bound.book.accepted(outgoing.period)
            else:
                bound.book.refused(outgoing.quality, reason)
                fields = {"meter": outgoing.meter_id, "period": outgoing.period, "reason": reason}
                log.warning("reading refused", extra={"fields": fields})
            states[outgoing.meter_id] = self._state(bound)
        self._store.save_answer(transaction_id, states)

    def _on_phase(self, change: PhaseChange) -> None:
        self._newest_period = max(self._newest_period, change.period)
        if change.phase is Phase.DELIVERED and change.period > self._settled_period:
            if change.period not in self._pending and len(self._pending) < PENDING_PERIODS_MAX:
                self._pending[change.period] = self._clock()
                for bound in self._meters.values():
                    self._command(bound, bound.of.meter.commands(self._clock(), at_period_end=True))
        elif change.phase is Phase.SETTLED:
            self._forget_settled(change.period)

    def _forget_settled(self, period: int) -> None:
        """A settled period takes no reading any more: what it lacked, the next reading will hold."""
        self._settled_period = max(self._settled_period, period)
        for late in [one for one in self._pending if one <= self._settled_period]:
            del self._pending[late]
        for outgoing in [one for one in self._outbox.values() if one.period <= self._settled_period]:
            # Taken or not: an answer may still be on its way, and asking once more costs nothing.
            self._sent_ms.setdefault(outgoing.transaction_id, 0)

    def _on_clearing(self, clearing: Clearing) -> None:
        if self._results is not None:
            self._results.hear_clearing(clearing)

    def _on_settlement(self, settlement: Settlement) -> None:
        if self._results is not None:
            self._results.hear_settlement(settlement)

    def _listen(self, bound: _Bound) -> None:
        """Subscribe to the topics of a meter that are not yet subscribed to."""
        home = self._homes[bound.of.home]
        for topic in bound.of.meter.filters():
            if topic not in bound.subscribed:
                bound.subscribed.add(topic)
                home.subscribe(topic, lambda message, bound=bound: self._hear(bound, message))  # type: ignore[misc]  # binds now

    def _hear(self, bound: _Bound, message: BusMessage) -> None:
        meter = bound.of.meter
        before = meter.map
        meter.hear(message.topic, message.payload, message.retained, self._clock())
        if meter.map is not before:
            self._listen(bound)

    def _make_readings(self, period: int, now_ms: int) -> None:
        """The readings of a delivered period that can be made now; once all are, it waits no more."""
        waiting = False
        deadline_ms = max(self.config.start_ms(period + 1), self._pending[period]) + self.config.wait_ms
        for bound in self._meters.values():
            if bound.book.last_period >= period:
                continue
            end_ms = self.config.start_ms(period + 1)
            is_unanswered = any(one.meter_id == bound.of.meter.config.meter_id for one in self._outbox.values())
            is_first_open = bound.book.accepted_period < 0 and is_unanswered
            is_worth_waiting = not bound.of.meter.is_known_after(end_ms) and now_ms < deadline_ms
            # Before the market took a first reading, nobody knows where its registers begin.
            if is_first_open or is_worth_waiting or not self._make_reading(bound, period, now_ms):
                waiting = True
        if not waiting:
            del self._pending[period]

    def _make_reading(self, bound: _Bound, period: int, now_ms: int) -> bool:
        start_ms, end_ms = self.config.start_ms(period), self.config.start_ms(period + 1)
        reading = bound.book.next_reading(bound.of.meter, period, start_ms, end_ms, now_ms)
        if reading is None:
            return False
        outgoing = self._sign(bound.of, reading)
        bound.of.meter.forget_before(end_ms)
        self._store.save_meters({outgoing.meter_id: self._state(bound)}, outgoing)
        self._outbox[outgoing.transaction_id] = outgoing
        self._publish(outgoing, now_ms)
        self.readings_sent += 1
        fields = {"meter": outgoing.meter_id, "period": period, "quality": quality_words(outgoing.quality)}
        log.info("reading sent", extra={"fields": {**fields, "import_wh": reading.import_wh}})
        return True

    def _sign(self, one: GatewayMeter, reading: Reading) -> OutgoingReading:
        valid_until_period = max(self._newest_period, reading.period) + self.config.validity_periods
        body = encode(reading.call_fields(valid_until_period, nonce=reading.counter))
        envelope = sign(one.key, Kind.TRANSACTION, self.config.chain_id, body)
        return OutgoingReading(
            transaction_id=envelope.content_id(),
            meter_id=reading.meter_id,
            period=reading.period,
            quality=int(Quality(reading.quality)),
            topic=self._topics.reading(reading.meter_id),
            payload=encode_batch([envelope.encode()]),
        )

    def _publish(self, outgoing: OutgoingReading, now_ms: int) -> None:
        self._sent_ms[outgoing.transaction_id] = now_ms
        self._bus.publish(outgoing.topic, outgoing.payload, qos=1)

    def _send_again(self, now_ms: int) -> None:
        for outgoing in list(self._outbox.values()):
            if now_ms < self._sent_ms.get(outgoing.transaction_id, 0) + RESEND_INTERVAL_MS:
                continue
            if outgoing.period + self.config.validity_periods < self._settled_period:
                # No block can take it any more, and nobody remembers whether one did.
                self.on_receipt(outgoing.transaction_id, False, "NO_ANSWER")
            else:
                self._publish(outgoing, now_ms)

    def _command(self, bound: _Bound, commands: Sequence[tuple[str, bytes]]) -> None:
        for topic, payload in commands:
            # QoS 1: a question that is asked before the home broker is there waits for it.
            self._homes[bound.of.home].publish(topic, payload, qos=1)

    def _report_silence(self, bound: _Bound, now_ms: int) -> None:
        meter = bound.of.meter
        if bound.has_complained or now_ms < bound.since_ms + SILENCE_REPORT_MS:
            return
        bound.has_complained = True
        if missing := meter.missing():
            fields = {"meter": meter.config.meter_id, "missing": ", ".join(missing)}
            log.warning("the meter has not told everything: no readings yet", extra={"fields": fields})

    def _restore(self) -> None:
        saved = self._store.load_meters()
        for meter_id, bound in self._meters.items():
            state = saved.get(meter_id)
            if state is None:
                continue
            home, book = state.get("home"), state.get("book")
            if not isinstance(home, dict) or not isinstance(book, dict):
                raise StateError(f"meter {meter_id}: saved state cannot be read")
            bound.of.meter.restore(home)
            bound.book.restore(book)

    def _save(self, now_ms: int) -> None:
        self._saved_ms = now_ms
        self._store.save_meters({meter_id: self._state(bound) for meter_id, bound in self._meters.items()})

    def _state(self, bound: _Bound) -> dict[str, object]:
        return {"home": bound.of.meter.to_state(), "book": bound.book.to_state()}

    def _say(self, state: str) -> None:
        status = ComponentStatus(
            component=self.config.name,
            state=state,
            ready_period=NOT_READY,
            time_ms=self._clock(),
        )
        payload = status.seal(self._key, self.config.chain_id)
        self._bus.publish(self._topics.status(self.config.name), payload, retain=True)
