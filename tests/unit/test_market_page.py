"""The examples of docs/markets.md are what the program prints, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents import cli

PAGE = Path(__file__).parents[2] / "docs" / "markets.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```\n\$ gridbazaar (clear [^\n]*)\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_an_example_is_what_the_program_prints(
    command: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = re.search(r"```csv\n(.*?)```", TEXT, re.DOTALL)
    assert book is not None
    path = tmp_path / "book.csv"
    path.write_text(book[1])
    assert cli.run([str(path) if word == "book.csv" else word for word in command.split()]) == cli.DONE
    assert capsys.readouterr().out == shown


def test_every_mechanism_has_an_example() -> None:
    assert len(EXAMPLES) == 4


def test_every_picture_and_scenario_that_is_named_exists() -> None:
    pictures = re.findall(r"\]\((images/[^)]+)\)", TEXT)
    assert len(pictures) >= 8
    for picture in pictures:
        assert (PAGE.parent / picture).exists(), picture
    for scenario in re.findall(r"`(?:scenarios/)?([a-z-]+\.toml)`", TEXT):
        assert (PAGE.parents[1] / "scenarios" / scenario).exists(), scenario
