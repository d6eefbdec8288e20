"""One real meter: its messages in, its two registers at any moment out.

It puts together what families, extraction and registers know: which messages are its own, at what time their
values were true, what every part's register has counted, and whether all of that is fresh enough to be signed.
No I/O: the gateway brings messages and takes away commands and state.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from devices.errors import StateError
from devices.extraction import Extracted, Mark, extract
from devices.home_assistant import announced_sensors
from devices.meter_families import FamilyTable, MeterSettings, PartTable, expand
from devices.meter_map import MeterMap, Part, Quantity
from devices.meter_paths import InvalidValue, Json, read_payload
from devices.power_integration import PowerIntegrator
from devices.recognition import recognise
from devices.registers import Level, Outcome, RegisterLimits, RegisterTrack
from devices.sparkplug import SparkplugReader, rebirth_command

log = logging.getLogger(__name__)

CLOCK_TOLERANCE_MS: Final = 90_000
"""A device clock further from ours than this is wrong, and only tells order."""
REBIRTH_INTERVAL_MS: Final = 30_000
REPORTED_SOURCES_MAX: Final = 64
_INTEGRATED: Final = {Quantity.IMPORT: "import-integrated", Quantity.EXPORT: "export-integrated"}
_RETAINED: Final = "retained"
_CONTRADICTION: Final = "contradiction"
_ORDINARY: Final = frozenset(
    {
        *(Outcome.BASELINE, Outcome.COUNTED, Outcome.UNCHANGED, Outcome.DUPLICATE),
        *(Mark.NO_VALUE, Mark.POWER_ONLY, _RETAINED),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeMeterConfig:
    """A meter: its id on the market, the families it may be of, its settings and limits.

    `siblings`: all families of the same group, to notice a device that is of another one than was said.
    """

    meter_id: str
    families: tuple[FamilyTable, ...]
    settings: MeterSettings
    limits: RegisterLimits
    siblings: tuple[FamilyTable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterLevel:
    """Both registers at a moment, in millionths of a Wh since the gateway knows the meter, and how they are known.

    `events`: what happened to a register since the last booking.
    """

    import_uwh: int
    export_uwh: int
    interpolated: bool
    estimated: bool
    integrated: bool
    events: frozenset[Outcome]


@dataclass(slots=True)
class HomeMeter:
    """The meter's state. `counts` counts what became of values and messages, by word."""

    config: HomeMeterConfig
    map: MeterMap | None = None
    available: bool | None = None
    counts: Counter[str] = field(default_factory=Counter)
    heard_ms: int = 0
    _tracks: dict[str, RegisterTrack] = field(default_factory=dict)
    _powers: dict[str, tuple[float, int]] = field(default_factory=dict)
    _integrator: PowerIntegrator | None = None
    _sparkplug: SparkplugReader = field(default_factory=SparkplugReader)
    _announced: dict[str, Part] = field(default_factory=dict)
    _asked_ms: dict[str, int] = field(default_factory=dict)
    _complained: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if len(self.config.families) == 1:
            self._pin(self.config.families[0])

    def filters(self) -> tuple[str, ...]:
        """The topics to subscribe to now; they grow when discovery tells more. Raises MeterConfigError."""
        maps = [self.map] if self.map else [expand(table, self.config.settings) for table in self._candidates()]
        topics = [topic for one in maps for topic in one.filters()]
        topics += [topic.partition("#")[0] for topic in self._discoveries()]
        return tuple(dict.fromkeys(topics))

    def hear(self, topic: str, payload: bytes, retained: bool, now_ms: int) -> None:
        """Take one message of the home broker. Nothing in it can raise: what is refused is counted."""
        try:
            document = self._document(topic, payload)
        except InvalidValue:
            self._count(Mark.INVALID, topic)
            return
        if self._hear_discovery(topic, document):
            return
        meter = self._map_for(topic, document)
        if meter is None:
            return
        said = extract(meter, topic, document)
        if Mark.AVAILABILITY in said.marks:
            # A last will is as true when it is retained; what is neither online nor offline changes nothing.
            self.available = self.available if said.available is None else said.available
            return
        for mark in said.marks:
            if mark not in (Mark.GOOD, Mark.PARTIAL):
                self._count(mark, topic)
        at_ms = self._moment(said, retained or _is_historical(document), now_ms)
        if at_ms is None:
            self._count(_RETAINED, topic)
            return
        if said.observations:
            self.heard_ms = max(self.heard_ms, at_ms)
        self._take(meter, said, at_ms)

    def level_at(self, moment_ms: int) -> MeterLevel | None:
        """Both registers at a moment; None while a register is unknown there."""
        meter = self.map
        if meter is None:
            return None
        levels: dict[Quantity, list[Level]] = {Quantity.IMPORT: [], Quantity.EXPORT: []}
        events: set[Outcome] = set()
        for quantity, name, is_optional in self._registers(meter):
            track = self._tracks.get(name)
            level = self._part_level(track, moment_ms) if track else None
            if level is None:
                if is_optional and track is None:
                    continue
                return None
            assert track is not None
            levels[quantity].append(level)
            events |= {outcome for at_ms, outcome in track.events if at_ms <= moment_ms}
        every = [level for found in levels.values() for level in found]
        if not every:
            return None
        return MeterLevel(
            import_uwh=sum(level.total_uwh for level in levels[Quantity.IMPORT]),
            export_uwh=sum(level.total_uwh for level in levels[Quantity.EXPORT]),
            interpolated=any(level.interpolated for level in every),
            estimated=any(level.estimated for level in every),
            integrated=self._integrator is not None,
            events=frozenset(events),
        )

    def is_known_after(self, moment_ms: int) -> bool:
        """Whether every register has a value from after the moment, so that waiting longer brings nothing."""
        if self.map is None:
            return False
        tracks = [self._tracks.get(name) for _, name, is_optional in self._registers(self.map) if not is_optional]
        return bool(tracks) and all(track is not None and track.at_ms >= moment_ms for track in tracks)

    def missing(self) -> list[str]:
        """What the meter should tell and has never told, by name."""
        if self.map is None:
            return ["a message of its family"]
        lacking = [
            f"{quantity} {name}"
            for quantity, name, is_optional in self._registers(self.map)
            if not is_optional and name not in self._tracks
        ]
        return lacking + [f"announcement {topic}" for topic in self._discoveries() if topic not in self._announced]

    def power_w(self, now_ms: int) -> float | None:
        """The power now, import positive; None when no fresh value is known. For displays."""
        fresh = [
            power_w
            for power_w, at_ms in self._powers.values()
            if now_ms - at_ms <= self.config.limits.stale_after_ms
        ]
        return sum(fresh) if fresh else None

    def commands(self, now_ms: int, at_period_end: bool = False) -> list[tuple[str, bytes]]:
        """What to publish on the home broker now, so that the device speaks."""
        if self.map is None:
            return []
        due = []
        for request in self.map.requests:
            is_due = at_period_end or not self._asked_ms.get(request.topic)
            if request.every_s:
                is_due = now_ms >= self._asked_ms.get(request.topic, 0) + request.every_s * 1_000
            if is_due and "{" not in request.topic:
                self._asked_ms[request.topic] = now_ms
                due.append((request.topic, request.payload.encode()))
        if self._sparkplug.unnamed and now_ms >= self._asked_ms.get("rebirth", 0) + REBIRTH_INTERVAL_MS:
            self._asked_ms["rebirth"] = now_ms
            self._sparkplug.unnamed = 0
            topics = [source.topic for part in self.map.parts for source in part.sources]
            due += [command for topic in topics[:1] if (command := rebirth_command(topic, now_ms))]
        return due

    def ask_again(self) -> None:
        """The home broker was away: whatever is asked for at the start is due again."""
        self._asked_ms.clear()

    def forget_before(self, moment_ms: int) -> None:
        """A moment was booked: its past is no longer needed."""
        for track in self._tracks.values():
            track.forget_before(moment_ms)

    def to_state(self) -> dict[str, object]:
        """What must not be forgotten, as JSON values."""
        return {
            "family": self.map.family if self.map else None,
            "tracks": {name: track.to_state() for name, track in self._tracks.items()},
            "integrated": [self._integrator.import_wh, self._integrator.export_wh] if self._integrator else None,
            "power": [self._integrator.power_w, self._integrator.at_ms] if self._integrator else None,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from a saved state. Raises StateError for one that is none."""
        try:
            family, tracks = state["family"], state["tracks"]
            known = next((table for table in self.config.families if table.name == family), None)
            if known is not None:
                self._pin(known)
            if not isinstance(tracks, Mapping):
                raise TypeError("tracks")
            self._tracks = {
                str(name): RegisterTrack.from_state(self.config.limits, track) for name, track in tracks.items()
            }
            integrated, power = state["integrated"], state["power"]
            if self._integrator is not None and isinstance(integrated, list) and isinstance(power, list):
                self._integrator.import_wh, self._integrator.export_wh = map(float, integrated)
                self._integrator.power_w = None if power[0] is None else float(power[0])
                self._integrator.at_ms = int(power[1])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise StateError(f"meter {self.config.meter_id}: saved state cannot be read: {error!r}") from None

    def _candidates(self) -> Sequence[FamilyTable]:
        return [table for table in self.config.families if not table.by_name_only]

    def _pin(self, table: FamilyTable) -> None:
        self.map = expand(table, self.config.settings)
        registers = any(part.quantity is not Quantity.POWER for part in self.map.parts)
        if not registers and not self._discoveries(registers_only=True) and self.map.parts:
            self._integrator = PowerIntegrator(self.config.limits)

    def _document(self, topic: str, payload: bytes) -> Json:
        tables = [self.map] if self.map else self.config.families
        if any(table.encoding == "sparkplug" for table in tables) and topic.startswith("spBv1.0/"):
            return self._sparkplug.read(topic, payload)
        return read_payload(payload)

    def _map_for(self, topic: str, document: Json) -> MeterMap | None:
        """How to read a message: by the family that was said or found; None when it is of another one."""
        if self.map is None:
            table = recognise(self._candidates(), topic, document)
            if table is None or not extract(expand(table, self.config.settings), topic, document).observations:
                return None
            self._pin(table)
            fields = {"meter": self.config.meter_id, "family": table.name}
            log.info("family of the meter found", extra={"fields": fields})
        elif self.config.siblings and isinstance(document, dict):
            other = recognise(self.config.siblings, topic, document)
            if other is not None and other.name != self.map.family:
                self._count(_CONTRADICTION, f"{topic}: {other.name}")
                return None
        return self.map

    def _moment(self, said: Extracted, is_old: bool, now_ms: int) -> int | None:
        """When a message's values were true. A retained one without a time of its own says nothing of it."""
        device_ms = said.device_ms
        is_credible = device_ms is not None and device_ms <= now_ms + CLOCK_TOLERANCE_MS
        if is_old:
            return device_ms if is_credible else None
        if device_ms is not None and abs(device_ms - now_ms) > CLOCK_TOLERANCE_MS:
            self._count(Mark.CLOCK_WRONG, "device time")
        return now_ms

    def _take(self, meter: MeterMap, said: Extracted, at_ms: int) -> None:
        is_reset = Mark.RESET in said.marks
        for seen in said.observations:
            part = seen.part
            if part.quantity is Quantity.POWER:
                self._powers[part.name] = (seen.value, at_ms)
            elif is_reset:
                self._track(part.name).announce_reset(seen.value, at_ms)
                self._count(Mark.RESET, part.name)
            else:
                outcome = self._track(part.name).observe(seen.value, at_ms, said.order_ms)
                self._count(outcome, part.name)
        if self._integrator is not None and self._has_all_powers(meter, at_ms):
            total_w = sum(power_w for power_w, _ in self._powers.values())
            imports, exports = (self._track(_INTEGRATED[quantity]) for quantity in _INTEGRATED)
            if not self._integrator.observe(total_w, at_ms, imports, exports):
                self._count(Outcome.INVALID, "power")

    def _has_all_powers(self, meter: MeterMap, at_ms: int) -> bool:
        # Three phases on three topics: joined when all are fresh, so that no phase is forgotten.
        needed = [part.name for part in meter.of(Quantity.POWER) if not part.optional]
        oldest_ms = at_ms - self.config.limits.stale_after_ms
        return all(name in self._powers and self._powers[name][1] >= oldest_ms for name in needed)

    def _track(self, name: str) -> RegisterTrack:
        if name not in self._tracks:
            self._tracks[name] = RegisterTrack(self.config.limits)
        return self._tracks[name]

    def _part_level(self, track: RegisterTrack, moment_ms: int) -> Level | None:
        level = track.level_at(moment_ms)
        if level is not None or self.map is None or self.map.availability is None:
            return level
        is_still = self.map.availability.off_means_still and self.available is False
        covered = bool(track.points) and track.points[0].at_ms <= moment_ms
        return Level(track.points[-1].total_uwh, estimated=True) if is_still and covered else None

    def _registers(self, meter: MeterMap) -> list[tuple[Quantity, str, bool]]:
        """Quantity, name and whether it may be absent, of every register that the meter has."""
        if self._integrator is not None:
            return [(quantity, name, False) for quantity, name in _INTEGRATED.items()]
        parts = [part for part in meter.parts if part.quantity is not Quantity.POWER]
        found = [(part.quantity, part.name, part.optional) for part in parts]
        named = {name for _, name, _ in found}
        # An announced register that was never heard of is missing, not absent.
        waiting = [
            (quantity, name, False)
            for quantity, name, _, _ in self._discovery_rows()
            if quantity is not Quantity.POWER and name not in named
        ]
        return found + waiting

    def _discovery_rows(self) -> list[tuple[Quantity, str, PartTable, str]]:
        return [
            (quantity, f"{quantity}-announced-{index}", table, table.discovery)
            for quantity in Quantity
            for index, table in enumerate(self.config.settings.explicit(quantity) or [])
            if table.discovery is not None
        ]

    def _discoveries(self, registers_only: bool = False) -> list[str]:
        return [
            topic
            for quantity, _, _, topic in self._discovery_rows()
            if not registers_only or quantity is not Quantity.POWER
        ]

    def _hear_discovery(self, topic: str, document: Json) -> bool:
        """Whether the message is an announcement that this meter waits for; then its part is known."""
        rows = [row for row in self._discovery_rows() if row[3].partition("#")[0] == topic]
        if not rows or self.map is None:
            return bool(rows)
        sensors = {sensor.config_topic: sensor for sensor in announced_sensors(topic, document)}
        for quantity, name, table, wanted in rows:
            sensor = sensors.get(wanted)
            if sensor is None or sensor.problem or sensor.is_register != (quantity is not Quantity.POWER):
                why = sensor.problem if sensor and sensor.problem else "not a sensor of this kind"
                self._count(Mark.INVALID, f"{wanted}: {why}")
                continue
            part = replace(sensor.part(quantity, name, table.positive), optional=table.optional)
            if self._announced.get(wanted) != part:
                self._announced[wanted] = part
                others = tuple(one for one in self.map.parts if one.name != name)
                self.map = replace(self.map, parts=(*others, part))
        return True

    def _count(self, what: str, where: str) -> None:
        """Count, and say once a kind and place what is out of the ordinary."""
        self.counts[what] += 1
        if what in _ORDINARY:
            return
        key = f"{what} {where}"
        if key not in self._complained and len(self._complained) < REPORTED_SOURCES_MAX:
            self._complained.add(key)
            fields = {"meter": self.config.meter_id, "what": str(what), "where": where[:200]}
            log.warning("meter message is out of the ordinary", extra={"fields": fields})


def _is_historical(document: Json) -> bool:
    return isinstance(document, dict) and document.get("historical") is True
