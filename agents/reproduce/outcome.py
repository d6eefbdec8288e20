"""What a reproduction gives back, and how it is written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agents.run_folder import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Progress = Callable[[int, int], None]
"""Told how much of the work is done, and how much there is."""

Number = int | float | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that the paper says, beside what came out. `agrees` is None where there is nothing to compare."""

    what: str
    paper: str
    ours: str
    agrees: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A table of such lines."""

    title: str
    lines: tuple[Line, ...]


@dataclass(slots=True, kw_only=True)
class Reproduction:
    """A paper's experiment done again.

    `differences` says in words where we differ and why. `data` holds the numbers behind the figures.
    """

    paper: str
    title: str
    tables: list[Comparison] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    data: dict[str, object] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)

    @property
    def disagreements(self) -> list[Line]:
        """Lines in which the paper and we differ."""
        return [line for table in self.tables for line in table.lines if line.agrees is False]

    def to_json(self) -> Mapping[str, object]:
        """What `reproduction.json` holds."""
        return {
            "paper": self.paper,
            "title": self.title,
            "tables": [
                {"title": table.title, "lines": [asdict(line) for line in table.lines]} for table in self.tables
            ],
            "differences": self.differences,
            "data": self.data,
            "figures": [f"{name}.svg" for name in self.figures],
        }

    def write(self, folder: Path) -> list[Path]:
        """Write `reproduction.json` and the figures into `folder`. Returns what was written."""
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "reproduction.json"]
        write_atomically(written[0], json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n")
        for name, figure in self.figures.items():
            path = folder / f"{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
            written.append(path)
        return written


def silent(done: int, total: int) -> None:
    """A progress that nobody sees."""
