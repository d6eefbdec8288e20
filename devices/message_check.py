"""One message on its own: which family it is of and what it says. `gridbazaar meters test` prints a line of it."""

from __future__ import annotations

from dataclasses import dataclass

from devices.extraction import Extracted, Mark, extract
from devices.meter_families import FamilyBook, FamilyTable, expand
from devices.meter_map import Quantity
from devices.meter_paths import InvalidValue, Json, read_payload
from devices.recognition import recognise, recognise_named
from devices.sparkplug import SparkplugReader

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCheck:
    """What is in a message: power in W (import positive), registers in Wh, None for what it does not hold."""

    family: str
    power_w: float | None
    import_wh: float | None
    export_wh: float | None
    quality: str

    def to_json(self) -> dict[str, str | float | None]:
        """Plain values in a fixed order."""
        return {
            "family": self.family,
            "power_w": self.power_w,
            "import_wh": self.import_wh,
            "export_wh": self.export_wh,
            "quality": self.quality,
        }


def check_message(
    book: FamilyBook, topic: str | None, payload: bytes | str, family: str | None = None
) -> MessageCheck:
    """Read one message, of a family that is named or recognised. Raises MeterConfigError for an unknown name."""
    named = book.members(family) if family else None
    try:
        document = _document(topic, payload)
    except InvalidValue:
        return _check(named[0] if named and len(named) == 1 else None, Extracted(marks=(Mark.INVALID,)))
    table = (
        recognise_named(book, family, topic, document)
        if family
        else recognise(book.tables.values(), topic, document)
    )
    if table is None:
        return _check(None, Extracted(marks=(Mark.UNKNOWN,)))
    if table.kind == "discovery":
        return _check(table, Extracted(marks=(Mark.DISCOVERY,)))
    return _check(table, extract(expand(table), topic, document))


def _document(topic: str | None, payload: bytes | str) -> Json:
    """The payload's document; protobuf below `spBv1.0/`, unless somebody shows it as JSON."""
    is_sparkplug = topic is not None and topic.startswith("spBv1.0/")
    if is_sparkplug and isinstance(payload, bytes) and not payload.startswith(b"{"):
        return SparkplugReader().read(topic or "", payload)
    return read_payload(payload)


def _check(table: FamilyTable | None, said: Extracted) -> MessageCheck:
    name = UNKNOWN if table is None else table.name
    if table is not None and Mark.AVAILABILITY in said.marks:
        name = table.group or table.name
    return MessageCheck(
        family=name,
        power_w=_rounded(said.total(Quantity.POWER)),
        import_wh=_rounded(said.total(Quantity.IMPORT)),
        export_wh=_rounded(said.total(Quantity.EXPORT)),
        quality=",".join(said.marks),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
