"""The CSV files of a run folder."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from agents.errors import RunFolderError
from agents.tables import Table, TableWriter


def test_rows_are_in_the_file_before_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    writer = TableWriter(path, ("period", "account", "price_micro"))
    writer.append((0, "home, with comma", None), (1, "b", 42))
    table = Table.read(path)
    writer.close()
    assert table.texts("account") == ["home, with comma", "b"]
    assert math.isnan(table.numbers("price_micro")[0])
    assert table.integers("period").tolist() == [0, 1]


def test_a_file_that_was_there_is_continued_without_a_second_heading(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for period in (0, 1):
        with TableWriter(path, ("period",)) as writer:
            writer.append((period,))
    assert path.read_text() == "period\n0\n1\n"


def test_a_file_cut_anywhere_gives_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    text = "period,energy_wh\n0,100\n1,200\n"
    for length in range(len(text) + 1):
        path.write_text(text[:length])
        whole_lines = text[:length].count("\n")
        assert len(Table.read(path)) == max(0, whole_lines - 1)


def test_a_missing_file_is_a_table_without_rows(tmp_path: Path) -> None:
    table = Table.read(tmp_path / "none.csv")
    assert not table
    assert table.numbers("anything").size == 0


def test_a_wrong_value_is_named_with_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("period,energy_wh\n0,1\n1,many\n")
    with pytest.raises(RunFolderError, match=r"t.csv: line 3: energy_wh = 'many'; expected a number"):
        Table.read(path).numbers("energy_wh")
    path.write_text("period,energy_wh\n0\n1,2\n")
    with pytest.raises(RunFolderError, match=r"t.csv: line 2: 1 fields; expected 2"):
        Table.read(path)
