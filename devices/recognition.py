"""Which family a message belongs to, by its topic and payload.

One family must fit and no other: with none or with several the answer is "unknown", since whoever is billed
by a guess has been robbed by chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from devices.meter_families import FamilyBook, FamilyTable, SignTable
from devices.meter_map import topic_fits
from devices.meter_paths import Json, has_path


def recognise(tables: Iterable[FamilyTable], topic: str | None, document: Json) -> FamilyTable | None:
    """The one family that the message fits, or None."""
    tables = list(tables)
    fitting = [table for table in tables if any(_fits(sign, topic, document) for sign in table.recognise)]
    if not fitting and topic is not None:
        # A last will is the same for all families of one maker: any of them can read it.
        fitting = [table for table in tables if table.availability and _is_availability(table, topic)]
        makers = {table.group or table.name for table in fitting}
        return fitting[0] if len(makers) == 1 else None
    return fitting[0] if len(fitting) == 1 else None


def _is_availability(table: FamilyTable, topic: str) -> bool:
    assert table.availability is not None
    known = table.availability.topic
    return any(topic_fits(one, topic) for one in ([known] if isinstance(known, str) else known))


def recognise_named(book: FamilyBook, name: str, topic: str | None, document: Json) -> FamilyTable | None:
    """Among the families that `name` stands for, the one that the message fits; a single one always fits.

    Raises MeterConfigError for an unknown name.
    """
    members = book.members(name)
    return members[0] if len(members) == 1 else recognise(members, topic, document)


def _fits(sign: SignTable, topic: str | None, document: Json) -> bool:
    topics = [sign.topic] if isinstance(sign.topic, str) else sign.topic or []
    # A line without a topic can only be judged by signs that need none.
    if topics and (topic is None or not any(topic_fits(known, topic) for known in topics)):
        return False
    if (sign.has or sign.lacks) and not isinstance(document, dict):
        return False
    if sign.text is not None and not (isinstance(document, str) and re.fullmatch(sign.text, document)):
        return False
    if not topics and not sign.has and sign.text is None:
        return False
    return all(has_path(document, path) for path in sign.has) and not any(
        has_path(document, path) for path in sign.lacks
    )
