"""The list of deliberate mistakes fits the code, and a mistake is found: the rest runs as a script."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutation_check import MISTAKES, ROOT, Mistake, survives


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_place_of_each_mistake_is_in_the_code_once(mistake: Mistake) -> None:
    assert (ROOT / "ledger" / mistake.file).read_text(encoding="utf-8").count(mistake.old) == 1


def test_a_mistake_is_noticed(tmp_path: Path) -> None:
    assert not survives(MISTAKES[0], tmp_path)
