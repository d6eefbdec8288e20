"""A scenario: one TOML file, read and checked as a whole before anything starts.

`Scenario.load` names every mistake at once, each with file, key, value and what would be right.
"""

from __future__ import annotations

import datetime
import difflib
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from agents.errors import ConfigurationError
from agents.meter_sections import MeterSection, meter_misfits
from agents.scenario_sections import (
    ForecastSection,
    HomesSection,
    LedgerSection,
    MarketSection,
    ParticipantSection,
    ProducerSection,
    ProfilesSection,
    RegionSection,
    ScenarioSection,
    Section,
    SpeculatorSection,
    StrategySection,
)
from agents.scenario_text import to_toml

RESERVED_NAMES: Final = frozenset({"regulator", "cashier"})
"""Authorities of every market; no participant or node may take their names."""

_VALUE_SHOWN: Final = 60


class ScenarioError(ConfigurationError, ValueError):
    """A scenario that cannot be run. `mistakes` holds one line for each."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[tuple[str, ...]]]:
        return ScenarioError, (self.mistakes,)


class Scenario(Section):
    """A whole scenario, as the file says it. The file's `[[region]]` is `regions` here, and so on."""

    scenario: ScenarioSection
    market: MarketSection = MarketSection()
    ledger: LedgerSection = LedgerSection()
    profiles: ProfilesSection = ProfilesSection()
    forecast: ForecastSection = ForecastSection()
    strategy: StrategySection = StrategySection()
    regions: Annotated[list[RegionSection], Field(alias="region", min_length=1, max_length=1_000)]
    homes: Annotated[list[HomesSection], Field(default_factory=list)]
    producers: Annotated[list[ProducerSection], Field(alias="producer", default_factory=list)]
    speculators: Annotated[list[SpeculatorSection], Field(alias="speculator", default_factory=list)]
    participants: Annotated[list[ParticipantSection], Field(alias="participant", default_factory=list)]
    meters: Annotated[list[MeterSection], Field(alias="meter", default_factory=list)]

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read and check a file. Raises ScenarioError with every mistake, or that it cannot be read."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError([f"{path}: cannot be read: {error}; expected a TOML file"]) from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, file: str = "scenario") -> Self:
        """Read and check TOML text; `file` stands in front of each mistake."""
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ScenarioError([f"{file}: not TOML: {error}"]) from None
        return cls.from_values(values, file)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], file: str = "scenario") -> Self:
        """Check what a TOML parser gave. Raises ScenarioError with every mistake."""
        # Any: the values are whatever a person wrote, and become typed exactly here.
        try:
            scenario = cls.model_validate(values)
        except ValidationError as error:
            details = error.errors()
            mistakes = [_sentence(detail) for detail in details]
            wrong = {str(detail["loc"][0]) for detail in details}
            mistakes += _misfits(_sound_sections(values, wrong))
        else:
            mistakes = list(_misfits({key: getattr(scenario, name) for key, name in _fields().items()}))
        if mistakes:
            raise ScenarioError([f"{file}: {mistake}" for mistake in mistakes])
        return scenario

    def changed(self, *, seed: int | None = None, periods: int | None = None, preset: str | None = None) -> Self:
        """The same scenario with another seed, length or strategy preset. Raises ScenarioError."""
        if seed is None and periods is None and preset is None:
            return self
        values = self.model_dump(by_alias=True)
        if seed is not None:
            values["scenario"]["seed"] = seed
        if periods is not None:
            values["market"]["periods"] = periods
        if preset is not None:
            values["strategy"]["preset"] = preset
        return type(self).from_values(values, "command line")

    def to_toml(self) -> str:
        """The text of a file that says the same, every default spelled out."""
        return to_toml(self.model_dump(by_alias=True))

    @property
    def region_names(self) -> tuple[str, ...]:
        """Names of the microgrids, in the file's order."""
        return tuple(region.name for region in self.regions)

    @property
    def period_hours(self) -> float:
        """Length of a trading period."""
        return self.market.period_minutes / 60

    @property
    def period_ms(self) -> int:
        """Length of a trading period."""
        return self.market.period_minutes * 60_000

    @property
    def first_period_ms(self) -> int:
        """When period 0 begins: midnight UTC of the day lived through."""
        midnight = datetime.datetime.combine(self.profiles.day, datetime.time(), datetime.UTC)
        return int(midnight.timestamp()) * 1000


def _fields() -> dict[str, str]:
    """Keys of the file and the fields that hold them."""
    return {field.alias or name: name for name, field in Scenario.model_fields.items()}


def _sound_sections(values: Mapping[str, Any], wrong: Collection[str]) -> dict[str, Any]:
    """Those sections of a faulty scenario that are right in themselves, so that they are checked further."""
    stand_ins = {"scenario": {"name": "stand-in"}, "region": [{"name": "stand-in"}]}
    fields = _fields()
    sound = {key: value for key, value in values.items() if key in fields and key not in wrong}
    checked = Scenario.model_validate({**{key: stand_ins[key] for key in stand_ins if key in wrong}, **sound})
    return {key: getattr(checked, name) for key, name in fields.items() if key not in wrong}


_TYPES: Final = {
    "int_type": "an integer, without quotes or decimals",
    "float_type": "a number, without quotes",
    "string_type": "a text in quotes",
    "list_type": "an array",
    "model_type": "a table",
    "date_type": "a date as in 2016-05-18, without quotes",
}


def _sentence(detail: ErrorDetails) -> str:
    """One mistake as `key.path = value: what is wrong; expected ...`."""
    location = detail["loc"]
    where = _path(location)
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        headings = {"region": "a section [[region]]", "scenario": "a section [scenario]"}
        return f"{where}: missing; expected {headings.get(where, 'a value')}"
    if kind == "extra_forbidden":
        what = "key" if len(location) > 1 else "section"
        return f"{where}: unknown {what}{_meant(str(location[-1]), _known_keys(location[:-1]))}"
    if kind == "value_error":
        return f"{where}: {context['error']}"
    shown = f"{where} = {_shown(detail['input'])}"
    if kind == "literal_error":
        return f"{shown}: not a choice; expected {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"{shown}: not usable as a name; expected 1 to 40 of A-Z a-z 0-9 _ -"
    expected = detail["msg"].removeprefix("Input should be ")
    return f"{shown}: wrong value; expected {_TYPES.get(kind, expected)}"


def _path(location: Sequence[int | str]) -> str:
    parts: list[str] = []
    for part in location:
        if isinstance(part, int):
            parts[-1] += f"[{part}]"
        else:
            parts.append(part)
    return ".".join(parts)


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= _VALUE_SHOWN else text[: _VALUE_SHOWN - 3] + "..."


def _meant(word: str, known: Mapping[str, object] | Sequence[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; expected one of {', '.join(sorted(known))}"


def _known_keys(location: Sequence[int | str]) -> list[str]:
    """The keys that the table at `location` may have."""
    table: Any = Scenario
    for part in location:
        if isinstance(part, str):
            names = {field.alias or name: field for name, field in table.model_fields.items()}
            table = _table_class(names[part].annotation)
    return [field.alias or name for name, field in table.model_fields.items()]


def _table_class(annotation: Any) -> Any:
    """The section class inside `list[X]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside: Sequence[Any] = getattr(annotation, "__args__", ())
    return next((found for part in inside if (found := _table_class(part)) is not None), None)


def _misfits(sections: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit between sections. Sections that are wrong in themselves are left out."""
    groups = ("homes", "producer", "speculator", "participant")
    if "region" in sections:
        regions = [region.name for region in sections["region"]]
        yield from (f"region: name {name!r} stands twice; expected different names" for name in _doubles(regions))
        for key in groups:
            for index, entry in enumerate(sections.get(key, ())):
                if entry.region not in regions:
                    meant = _meant(entry.region, regions)
                    yield f"{key}[{index}].region = {_shown(entry.region)}: no such region{meant}"
    taken = list(RESERVED_NAMES)
    for key in groups:
        for index, entry in enumerate(sections.get(key, ())):
            if entry.name in taken:
                yield f"{key}[{index}].name = {_shown(entry.name)}: already taken; expected a name of its own"
            taken.append(entry.name)
    if all(key in sections for key in groups):
        if not any(sections[key] for key in groups):
            yield "homes: nobody takes part; expected at least one [[homes]], [[producer]] or [[participant]]"
        # Homes are numbered when they are spread; a participant may not carry such a name.
        spread = {f"{group.name}-{n:02d}" for group in sections["homes"] for n in range(1, group.count + 1)}
        for key in groups[1:]:
            for index, entry in enumerate(sections[key]):
                if entry.name in spread:
                    yield f"{key}[{index}].name = {_shown(entry.name)}: taken by a home; expected another name"
    yield from meter_misfits(sections)
    yield from _misfits_of_ledger_and_market(sections)


def _misfits_of_ledger_and_market(sections: Mapping[str, Any]) -> Iterator[str]:
    if "ledger" in sections:
        for index, name in enumerate(sections["ledger"].nodes):
            if name in RESERVED_NAMES:
                yield f"ledger.nodes[{index}] = {_shown(name)}: reserved for the authority; expected another name"
    if "market" in sections and "speculator" in sections:
        minutes = sections["market"].period_minutes
        for index, entry in enumerate(sections["speculator"]):
            if entry.window_minutes < minutes:
                yield (
                    f"speculator[{index}].window_minutes = {entry.window_minutes}: shorter than a period;"
                    f" expected at least market.period_minutes {minutes}"
                )


def _doubles(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
