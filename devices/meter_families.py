"""Families of meters, as data: tables that expand to the explicit form, ours in `families/`, users' in a file.

A family is one device's way to speak; families of one maker share a `group` (`tasmota`), which a scenario may
name instead: the first message that fits then decides.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from devices.errors import MeterConfigError
from devices.meter_map import (
    Availability,
    MeterMap,
    Part,
    Quantity,
    Request,
    Source,
    TimeField,
    TimeForm,
    unit_factor,
)
from devices.meter_paths import parse_path

OWN_FAMILIES: Final = Path(__file__).with_name("families")
CHANNELS_MAX: Final = 16

Text = Annotated[str, StringConstraints(max_length=512)]
FamilyName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class Table(BaseModel):
    """Base of the tables a person writes: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceTable(Table):
    """One place of a number: `topic` (the family's topics when absent), `path`, `pattern`."""

    topic: Text | list[Text] | None = None
    path: Text = ""
    pattern: Text = ""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            parse_path(self.path)
            groups = re.compile(self.pattern).groups
        except (MeterConfigError, re.error) as error:
            raise ValueError(str(error)) from None
        if self.pattern and groups != 1:
            raise ValueError(f"pattern {self.pattern!r} has {groups} groups; expected one, around the number")
        return self

    def topics(self, default: Sequence[str]) -> tuple[str, ...]:
        """The topics it names, or the default."""
        if self.topic is None:
            return tuple(default)
        return (self.topic,) if isinstance(self.topic, str) else tuple(self.topic)


class PartTable(SourceTable):
    """`import = { topic, path, unit, positive }`: a register or a power, or one part of several.

    `positive` says what a positive number means, `import` or `export`; registers are positive in themselves.
    `sources` lists several places of the same number. `discovery` names a Home Assistant config topic instead,
    which says topic, path and unit itself.
    """

    unit: Text | None = None
    positive: Literal["import", "export"] = "import"
    sources: list[SourceTable] = []
    optional: bool = False
    discovery: Text | None = None

    @model_validator(mode="after")
    def _unit_is_stated(self) -> Self:
        if self.unit is None and self.discovery is None:
            raise ValueError('a value without unit is not billed; expected unit = "kWh", "Wh", "W", "kW" ...')
        if self.discovery is not None and (self.topic is not None or self.path or self.sources):
            raise ValueError("discovery says topic and path itself; expected no topic, path or sources beside it")
        return self


class AvailabilityTable(Table):
    """`availability = { topic, online, offline, path }`.

    `off_means_still`: a device that is off makes nothing (an inverter at night), so its register stands still.
    """

    topic: Text | list[Text]
    online: Text = "online"
    offline: Text = "offline"
    path: Text = ""
    off_means_still: bool = False


class TimeTable(Table):
    """`time = { path, form }`."""

    path: Text
    form: TimeForm


class RequestTable(Table):
    """`[[family.request]]`: a message that makes the device speak."""

    topic: Text
    payload: Text = ""
    every_s: Annotated[int, Field(ge=0, le=86_400)] = 0


class SignTable(Table):
    """`[[family.recognise]]`: how a message of this family looks. All that is given must hold.

    `has` and `lacks` are paths, `text` a pattern for the whole payload of messages that are no JSON.
    """

    topic: Text | list[Text] | None = None
    has: list[Text] = []
    lacks: list[Text] = []
    text: Text | None = None


class FamilyTable(Table):
    """`[[family]]`: one family. `channels` are the phases or circuits that `{channel}` in a topic stands for.

    `by_name_only`: a scenario that names the group does not get it by what the messages look like.
    """

    name: FamilyName
    group: FamilyName | None = None
    aliases: list[Text] = []
    title: Text
    setup: Text = ""
    topics: list[Text] = []
    channels: list[Annotated[int, Field(ge=0, le=99)]] = []
    encoding: Literal["text", "sparkplug"] = "text"
    kind: Literal["meter", "discovery"] = "meter"
    by_name_only: bool = False
    recognise: list[SignTable] = []
    imports: Annotated[list[PartTable], Field(alias="import", default_factory=list)]
    exports: Annotated[list[PartTable], Field(alias="export", default_factory=list)]
    powers: Annotated[list[PartTable], Field(alias="power", default_factory=list)]
    time: TimeTable | None = None
    availability: AvailabilityTable | None = None
    request: list[RequestTable] = []
    reset: list[SourceTable] = []
    where: dict[str, str] = {}

    def parts(self, quantity: Quantity) -> list[PartTable]:
        """The tables of one quantity."""
        return {Quantity.IMPORT: self.imports, Quantity.EXPORT: self.exports, Quantity.POWER: self.powers}[
            quantity
        ]


def _as_list(value: object) -> object:
    """A single table is a list of one."""
    return [value] if isinstance(value, Mapping) else value


class MeterSettings(Table):
    """What a scenario says of one meter beside its family: the names in topics, and explicit quantities.

    `topic` stands in for the family's topics. `parameters` fill other names in braces (`{idx}`). An explicit
    `import`, `export` or `power` replaces the family's.
    """

    prefix: Text | None = None
    topic: Text | None = None
    channels: list[Annotated[int, Field(ge=0, le=99)]] | None = None
    parameters: dict[str, str] = {}
    imports: Annotated[list[PartTable] | None, BeforeValidator(_as_list), Field(alias="import")] = None
    exports: Annotated[list[PartTable] | None, BeforeValidator(_as_list), Field(alias="export")] = None
    powers: Annotated[list[PartTable] | None, BeforeValidator(_as_list), Field(alias="power")] = None
    availability: AvailabilityTable | None = None
    time: TimeTable | None = None

    def explicit(self, quantity: Quantity) -> list[PartTable] | None:
        """What the scenario itself says of a quantity."""
        value = {Quantity.IMPORT: self.imports, Quantity.EXPORT: self.exports, Quantity.POWER: self.powers}[
            quantity
        ]
        return [value] if isinstance(value, PartTable) else value


class FamilyBook:
    """All families that are known: the project's own, and those of a user's file."""

    def __init__(self, tables: Sequence[FamilyTable]) -> None:
        self.tables = {table.name: table for table in tables}
        if len(self.tables) < len(tables):
            names = [table.name for table in tables]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise MeterConfigError(f"family {twice[0]!r} stands twice; expected different names")

    @classmethod
    def load(cls, *files: Path) -> FamilyBook:
        """The project's families and those of more files. Raises MeterConfigError that names file and key."""
        paths = [*sorted(OWN_FAMILIES.glob("*.toml")), *files]
        return cls([table for path in paths for table in read_families(path)])

    def names(self) -> list[str]:
        """Names of all families, sorted."""
        return sorted(self.tables)

    def members(self, name: str) -> list[FamilyTable]:
        """The families that a name stands for: one, or a group's. Raises MeterConfigError for an unknown one.

        A longer name is cut from the right until it is known: `tasmota-energy-3ph` is a `tasmota`.
        """
        wanted = name.strip().lower().split(" ")[0]
        while wanted:
            if wanted in self.tables:
                return [self.tables[wanted]]
            found = [table for table in self.tables.values() if wanted == table.group or wanted in table.aliases]
            if found:
                return found
            wanted = wanted.rpartition("-")[0]
        groups = {table.group for table in self.tables.values() if table.group}
        raise MeterConfigError(
            f"family {name!r} is unknown; expected one of {', '.join(sorted(groups | set(self.tables)))}"
        )


def read_families(path: Path) -> list[FamilyTable]:
    """Read the `[[family]]` tables of a file. Raises MeterConfigError that names file, key and what is right."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MeterConfigError(f"{path}: cannot be read: {error}; expected a TOML file with [[family]]") from None
    tables = values.pop("family", [])
    if values or not isinstance(tables, list):
        raise MeterConfigError(
            f"{path}: {', '.join(values) or 'family'} is not known here; expected [[family]] only"
        )
    return [_read_family(path, index, table) for index, table in enumerate(tables)]


def _read_family(path: Path, index: int, values: object) -> FamilyTable:
    try:
        family = FamilyTable.model_validate(values)
        for quantity in Quantity:
            for part in family.parts(quantity):
                unit_factor(quantity, part.unit or "")
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(step) for step in detail["loc"])
        raise MeterConfigError(
            f"{path}: family[{index}].{where}: {detail['msg']}, was {detail['input']!r:.60}"
        ) from None
    except MeterConfigError as error:
        raise MeterConfigError(f"{path}: family[{index}]: {error}") from None
    return family


def expand(family: FamilyTable, settings: MeterSettings | None = None) -> MeterMap:
    """Spell a family out for one meter. Without settings, names in topics stay open and every channel is allowed.

    Raises MeterConfigError for units that are none.
    """
    known = dict(settings.parameters) if settings else {}
    if settings and settings.prefix is not None:
        known["prefix"] = settings.prefix
        # Victron's portal id and such: the levels of the prefix, for topics that hold one of them.
        known |= {f"prefix{number}": part for number, part in enumerate(settings.prefix.split("/"))}
    channels = _channels(family, settings)
    topics = [settings.topic] if settings and settings.topic else family.topics

    def fill(text: str, channel: int | None = None) -> str:
        values = known if channel is None else {**known, "channel": str(channel)}
        return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)

    def places(table: SourceTable, channel: int | None) -> Iterator[Source]:
        rows: Sequence[SourceTable] = (isinstance(table, PartTable) and table.sources) or [table]
        for row in rows:
            for topic in row.topics(table.topics(topics)):
                path = fill(row.path, channel)
                yield Source(topic=fill(topic, channel), path=path, pattern=fill(row.pattern, channel))

    def parts_of(quantity: Quantity) -> Iterator[Part]:
        explicit = settings.explicit(quantity) if settings else None
        tables = family.parts(quantity) if explicit is None else explicit
        for index, table in enumerate(tables):
            if table.discovery is not None:
                continue
            for channel in channels if _is_per_channel(table) else (None,):
                sources = tuple(places(table, channel))
                # A sensor that the user names (ESPHome's {power}) and did not is not there.
                if settings and explicit is None and any("{power}" in source.topic for source in sources):
                    continue
                name = f"{quantity}-{index}" + ("" if channel is None else f"-{channel}")
                yield _part(quantity, name, table, sources)

    availability = (settings and settings.availability) or family.availability
    time = (settings and settings.time) or family.time
    return MeterMap(
        family=family.name,
        parts=tuple(part for quantity in Quantity for part in parts_of(quantity)),
        time=TimeField(path=time.path, form=time.form) if time else None,
        availability=_availability(availability, fill) if availability else None,
        requests=tuple(
            Request(topic=fill(row.topic), payload=fill(row.payload), every_s=row.every_s)
            for row in family.request
        ),
        resets=tuple(source for row in family.reset for source in places(row, None)),
        where={path: fill(value) for path, value in family.where.items()},
        encoding=family.encoding,
        is_open=settings is None,
    )


def _part(quantity: Quantity, name: str, table: PartTable, sources: tuple[Source, ...]) -> Part:
    factor = unit_factor(quantity, table.unit or "")
    if quantity is Quantity.POWER and table.positive == "export":
        factor = -factor
    return Part(
        quantity=quantity,
        name=name,
        unit=table.unit or "",
        factor=factor,
        sources=sources,
        optional=table.optional,
    )


def _is_per_channel(table: PartTable) -> bool:
    rows: Sequence[SourceTable] = [table, *table.sources]
    return any("{channel}" in f"{row.topic}{row.path}{row.pattern}" for row in rows)


def _channels(family: FamilyTable, settings: MeterSettings | None) -> Sequence[int]:
    if settings is None:
        return range(CHANNELS_MAX)
    return settings.channels if settings.channels is not None else family.channels


def _availability(table: AvailabilityTable, fill: Callable[[str], str]) -> Availability:
    topics = (table.topic,) if isinstance(table.topic, str) else tuple(table.topic)
    return Availability(
        topics=tuple(fill(topic) for topic in topics),
        online=table.online,
        offline=table.offline,
        path=table.path,
        off_means_still=table.off_means_still,
    )


def settings_of(values: Mapping[str, object]) -> MeterSettings:
    """Check a meter's settings. Raises MeterConfigError that names the key."""
    try:
        return MeterSettings.model_validate(values)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(step) for step in detail["loc"])
        raise MeterConfigError(f"{where}: {detail['msg']}, was {detail['input']!r:.60}") from None
