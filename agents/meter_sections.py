"""`[[meter]]`: a real meter in a scenario, and what must fit between it and the rest of the file.

Names follow Home Assistant's and evcc's where those have one; times are seconds, as people state them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import Field, StringConstraints, model_validator

from devices.errors import MeterConfigError
from devices.meter_families import FamilyBook, FamilyTable, MeterSettings, Text, expand
from devices.registers import RegisterLimits
from mosquitto.access import BrokerAccess
from mosquitto.address import BrokerAddress
from mosquitto.errors import BrokerError

if TYPE_CHECKING:
    from agents.scenario_sections import HomesSection

GATEWAY: Final = "gateway"
"""The component that reads the real meters of a run."""

ParticipantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class MeterSection(MeterSettings):
    """`[[meter]]`: which participant's meter it is, how it speaks, and where.

    `broker`: `mqtt://user@host:port`, or `mqtts://`. The password is in the file `password_file` or in the
    environment variable `password_variable`. `ca_file`, `certificate_file`, `key_file`: for TLS. `families`: a
    file with families of your own. `stale_after`: seconds after which a silent meter is taken for gone.
    `max_power_w`: more than this cannot flow, and bounds what the market believes. `roll_over_kwh`: where its
    register begins anew. `announce`: publish results and Home Assistant's discovery on the same broker.
    """

    participant: ParticipantName
    family: Text
    broker: Text
    families: Text | None = None
    password_file: Text | None = None
    password_variable: Text | None = None
    ca_file: Text | None = None
    certificate_file: Text | None = None
    key_file: Text | None = None
    stale_after: Annotated[int, Field(ge=5, le=86_400)] = 600
    max_power_w: Annotated[int, Field(ge=1, le=10_000_000)] = 43_000
    roll_over_kwh: Annotated[int, Field(ge=1, le=10**9)] | None = None
    announce: bool = True

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        try:
            BrokerAddress.parse(self.broker)
            tables = self.tables()
            maps = [expand(table, self) for table in tables]
            for one in maps:
                one.filters()
        except (BrokerError, MeterConfigError) as error:
            raise ValueError(str(error)) from None
        if self.password_file and self.password_variable:
            raise ValueError("password_file and password_variable; expected one of them")
        if self.key_file and not self.certificate_file:
            raise ValueError("key_file without certificate_file; expected both, or neither")
        if not any(one.parts for one in maps) and not self._announced():
            raise ValueError(
                f"family {self.family} says nothing by itself;"
                " expected import, export or power with topic and unit"
            )
        return self

    def _announced(self) -> bool:
        tables = [*(self.imports or []), *(self.exports or []), *(self.powers or [])]
        return any(table.discovery is not None for table in tables)

    def book(self) -> FamilyBook:
        """All families that this meter may be of. Raises MeterConfigError."""
        return FamilyBook.load(*([Path(self.families)] if self.families else []))

    def tables(self) -> list[FamilyTable]:
        """The families that its name stands for. Raises MeterConfigError."""
        return self.book().members(self.family)

    def limits(self) -> RegisterLimits:
        """What can be believed of it."""
        return RegisterLimits(
            max_power_w=self.max_power_w,
            stale_after_ms=self.stale_after * 1_000,
            roll_over_wh=None if self.roll_over_kwh is None else self.roll_over_kwh * 1_000,
        )

    def access(self, environment: Mapping[str, str]) -> BrokerAccess:
        """How to enter its broker. Raises BrokerError that names the file or variable, and never the password."""
        password = None
        if self.password_variable is not None:
            password = environment.get(self.password_variable)
            if password is None:
                raise BrokerError(f"password_variable names {self.password_variable!r}, which is not set")
        if self.password_file is not None:
            try:
                password = Path(self.password_file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise BrokerError(f"password_file {self.password_file!r} cannot be read: {error}") from None
        return BrokerAccess(
            password=password,
            ca_file=Path(self.ca_file) if self.ca_file else None,
            certificate_file=Path(self.certificate_file) if self.certificate_file else None,
            key_file=Path(self.key_file) if self.key_file else None,
        )


def meter_misfits(sections: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit between `[[meter]]` and the other sections, as far as these are sound."""
    groups = ("homes", "producer", "speculator", "participant")
    meters: list[MeterSection] = sections.get("meter") or []
    if not meters or not all(key in sections for key in groups):
        return
    owners = _owners(sections)
    if GATEWAY in owners:
        yield f"participant {GATEWAY!r}: the name of the component that reads meters; expected another name"
    taken: set[str] = set()
    for index, meter in enumerate(meters):
        where = f'meter[{index}].participant = "{meter.participant}"'
        if meter.participant not in owners:
            yield f"{where}: no such participant; expected the name of one"
        elif owners[meter.participant]:
            yield f"{where}: has a battery, which nobody steers at a real meter; expected one without"
        if meter.participant in taken:
            yield f"{where}: has two meters; expected one a participant"
        taken.add(meter.participant)
    if "market" in sections and sections["market"].pace == "lockstep":
        yield 'market.pace = "lockstep": a real meter lives on the wall clock; expected "live" or "scaled"'


def _owners(sections: Mapping[str, Any]) -> dict[str, bool]:
    """Everybody by name, and whether a battery stands there."""
    owners: dict[str, bool] = {}
    group: HomesSection
    for group in sections["homes"]:
        for number in range(1, group.count + 1):
            owners[f"{group.name}-{number:02d}"] = number <= group.with_battery
    owners |= {entry.name: False for entry in sections["producer"]}
    owners |= {entry.name: True for entry in sections["speculator"]}
    owners |= {entry.name: entry.battery is not None for entry in sections["participant"]}
    return owners
