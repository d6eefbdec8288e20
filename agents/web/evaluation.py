"""The evaluation of a run: the report's own numbers and figures, in Chen's three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agents import report_plots
from agents.errors import ApplicationError, ConfigurationError
from agents.kpis import Kpi, compute_kpis
from agents.no_market import compare
from agents.run_data import RunData
from agents.run_folder import RunFolder

TECHNOLOGY: Final = ("Ledger",)
ECONOMY: Final = ("Money", "Against no market")
"""Groups of `agents.kpis`; every other one is about the market itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Numbers, figures as SVG (empty: nothing to draw), and what could not be computed."""

    periods: int
    kpis: tuple[Kpi, ...]
    coupling_svg: str
    money_svg: str
    missing: tuple[str, ...]

    def value(self, key: str) -> float | None:
        """A number by its key in `kpis.json`."""
        return next((kpi.value for kpi in self.kpis if kpi.key == key), None)

    def dimension(self, name: str) -> list[Kpi]:
        """The numbers of `technology`, `economy` or `market`."""
        return [kpi for kpi in self.kpis if dimension_of(kpi) == name]


def dimension_of(kpi: Kpi) -> str:
    """Which of the three dimensions (Chen 2025) a number belongs to. What the grid sees counts as technology."""
    if kpi.group in TECHNOLOGY or kpi.group.startswith("Energy"):
        return "technology"
    return "economy" if kpi.group in ECONOMY else "market"


def evaluate(folder: RunFolder) -> Evaluation:
    """Evaluate what is in a run folder now. Raises ApplicationError; takes seconds, so not on a page's thread."""
    data = RunData.load(folder)
    comparison = None
    if data.periods:
        try:
            comparison = compare(data)
        except ConfigurationError as error:
            data.missing.append(str(error).splitlines()[0])
    try:
        coupling = report_plots.coupling_point(data, comparison) if comparison else None
        return Evaluation(
            periods=len(data.periods),
            kpis=compute_kpis(data, comparison),
            coupling_svg=coupling or "",
            money_svg=report_plots.who_paid(data) or "",
            missing=tuple(data.missing),
        )
    except (ValueError, IndexError) as error:
        # A folder that is being written can be cut between two tables.
        raise ApplicationError(f"the tables do not fit together yet: {error}") from None
