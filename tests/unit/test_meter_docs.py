"""`docs/meters.md`: every family is in it, and every example can be read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from agents.meter_sections import MeterSection
from devices.meter_families import FamilyBook

PAGE = (Path(__file__).parents[2] / "docs" / "meters.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.search(r'family = "(.*?)"', text)[1])  # type: ignore[index]  # each has one
def test_every_example_is_a_meter_that_can_be_read(example: str) -> None:
    for values in tomllib.loads(example)["meter"]:
        assert MeterSection.model_validate(values).tables()


def test_every_family_or_its_group_has_its_place() -> None:
    missing = [
        name
        for name, table in FamilyBook.load().tables.items()
        if name not in PAGE and f"-{name.rpartition('-')[2]}`" not in PAGE and (table.group or name) not in PAGE
    ]
    assert missing == []
