"""The CSV files of a run folder: written line by line while the market runs, read again for reports.

A line is written whole or not at all: one `write` of one line, flushed at once. So a killed run leaves
files that a spreadsheet opens, at worst without the last line's end, which readers drop.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agents.errors import RunFolderError

Cell = int | float | str | None
"""What a field may be; None is an empty field."""


class TableWriter:
    """Appends rows to a CSV file with fixed columns."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)
        is_new = not path.exists() or path.stat().st_size == 0
        self._file = path.open("a", encoding="utf-8", newline="")
        if is_new:
            self._write([self.columns])

    def append(self, *rows: Sequence[Cell]) -> None:
        """Write rows; what is passed together reaches the file together."""
        for row in rows:
            assert len(row) == len(self.columns), f"{self.path.name}: {len(row)} cells, not {len(self.columns)}"
        if rows:
            self._write([["" if cell is None else cell for cell in row] for row in rows])

    def _write(self, rows: Sequence[Sequence[Cell]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Table:
    """A CSV file as columns. Numbers become floats, empty fields NaN: it is for reports, not for money."""

    def __init__(self, name: str, columns: dict[str, list[str]]) -> None:
        self.name = name
        self.columns = columns

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a file; one that is missing or empty gives a table without rows.

        A last line that was cut is dropped. Raises RunFolderError, naming file and line, for any other
        line with a wrong number of fields, and for a file that is no text.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(path.name, {})
        except (OSError, UnicodeDecodeError) as error:
            raise RunFolderError(f"{path}: cannot be read: {error}") from None
        whole = text[: text.rfind("\n") + 1]
        rows = list(csv.reader(io.StringIO(whole)))
        if not rows:
            return cls(path.name, {})
        heading, *lines = rows
        for number, line in enumerate(lines, start=2):
            if len(line) != len(heading):
                raise RunFolderError(f"{path}: line {number}: {len(line)} fields; expected {len(heading)}")
        cells = zip(*lines, strict=True) if lines else ([] for _ in heading)
        return cls(path.name, {name: list(column) for name, column in zip(heading, cells, strict=True)})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def __bool__(self) -> bool:
        return len(self) > 0

    def texts(self, column: str) -> list[str]:
        """A column as it stands in the file; empty when there are no rows."""
        return self.columns[column] if self else []

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column as numbers; empty fields are NaN. Raises RunFolderError that names file, line and value."""
        texts = self.texts(column)
        try:
            return np.array([float(text) if text else np.nan for text in texts], dtype=np.float64)
        except ValueError:
            for number, text in enumerate(texts, start=2):
                if text and not _is_number(text):
                    raise RunFolderError(
                        f"{self.name}: line {number}: {column} = {text!r}; expected a number"
                    ) from None
            raise

    def integers(self, column: str) -> NDArray[np.int64]:
        """A column that has a number in every row, such as `period`."""
        return self.numbers(column).astype(np.int64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
