"""A run folder read back, whole or cut short: tables, deployment, ledgers, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agents.deployment import Deployment
from agents.errors import RunFolderError
from agents.run_folder import RunFolder
from agents.tables import Table

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A node's ledger as it lies in the folder. `problem` says why there are no figures."""

    name: str
    height: int | None = None
    state_root: str = ""
    transactions: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """Everything a report is made from. Missing tables are empty; `missing` says in sentences what is."""

    folder: RunFolder
    deployment: Deployment
    periods: Table
    prices: Table
    trades: Table
    curves: Table
    settlements: Table
    orders: Table
    readings: Table
    blocks: Table
    latencies: Table
    telemetry: Table
    result: Mapping[str, object]
    nodes: tuple[NodeState, ...]
    missing: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: RunFolder) -> RunData:
        """Read a run folder. Raises RunFolderError when it has no `deployment.json`, or a file is garbled."""
        deployment = folder.read_deployment()
        missing: list[str] = []
        data = cls(
            folder=folder,
            deployment=deployment,
            periods=Table.read(folder.periods_csv),
            prices=Table.read(folder.prices_csv),
            trades=Table.read(folder.trades_csv),
            curves=Table.read(folder.curves_csv),
            settlements=Table.read(folder.settlements_csv),
            orders=Table.read(folder.orders_csv),
            readings=Table.read(folder.readings_csv),
            blocks=Table.read(folder.blocks_csv),
            latencies=Table.read(folder.latencies_csv),
            telemetry=Table.read(folder.telemetry_csv),
            result=_read_result(folder, missing),
            nodes=tuple(_read_node(folder, member.name) for member in deployment.committee),
            missing=missing,
        )
        data._note_what_is_missing()
        return data

    @property
    def hours(self) -> float:
        """A period's length."""
        return self.deployment.period_ms / 3_600_000

    @property
    def is_complete(self) -> bool:
        """Whether every period of the scenario was settled."""
        return len(self.periods) == self.deployment.periods

    def tariff_micro(self, name: str) -> int:
        """A tariff of the genesis, such as `retail_micro`. Raises RunFolderError when it is not there."""
        value = self.deployment.genesis.get(name)
        if not isinstance(value, int):
            raise RunFolderError(f"{self.folder.deployment}: genesis.{name} = {value!r}; expected an integer")
        return value

    def day_hours(self, periods: NDArray[np.int64]) -> Numbers:
        """Hours since the first period began, for each period number: a time axis."""
        return periods.astype(np.float64) * self.hours

    def sum_by_period(self, table: Table, column: str) -> Numbers:
        """The sums of a column over the settled periods, in the order of `periods`; NaN counts as 0."""
        index = {int(period): place for place, period in enumerate(self.periods.integers("period"))}
        sums = np.zeros(len(index))
        for period, value in zip(table.integers("period"), np.nan_to_num(table.numbers(column)), strict=True):
            if int(period) in index:
                sums[index[int(period)]] += value
        return sums

    def participant_numbers(self, column: str) -> Numbers:
        """A column of `settlements.csv` without the grid company's rows: it sells in the regulator's name."""
        return self.settlements.numbers(column)[self._participant_rows()]

    def _participant_rows(self) -> NDArray[np.bool_]:
        return np.array([role != "" for role in self.settlements.texts("role")], dtype=np.bool_)

    def sum_by_account(self, column: str) -> dict[str, float]:
        """The sums of a column of `settlements.csv` over all periods, by participant, in the file's order."""
        sums: dict[str, float] = {}
        values = np.nan_to_num(self.settlements.numbers(column))
        roles = self.settlements.texts("role")
        for account, role, value in zip(self.settlements.texts("account"), roles, values, strict=True):
            if role:
                sums[account] = sums.get(account, 0.0) + float(value)
        return sums

    def _note_what_is_missing(self) -> None:
        if not self.is_complete:
            self.missing.append(
                f"{len(self.periods)} of {self.deployment.periods} periods were settled: the run was cut short"
                " or is still going on, and every sum below is over these periods."
            )
        violations = self.result.get("violations", 0)
        if violations:
            self.missing.append(f"{violations} violations were seen during the run: gridbazaar audit says which.")
        for table in (self.trades, self.settlements, self.blocks, self.latencies):
            if not table:
                self.missing.append(f"{table.name} has no rows; what needs it is left out.")
        self.missing.extend(f"{node.name}: {node.problem}" for node in self.nodes if node.problem)


def _read_result(folder: RunFolder, missing: list[str]) -> Mapping[str, object]:
    try:
        value = json.loads(folder.result_json.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        missing.append(f"{folder.result_json.name} cannot be read: {error}")
        return {}
    return value if isinstance(value, dict) else {}


def _read_node(folder: RunFolder, name: str) -> NodeState:
    from ledger.errors import LedgerError
    from ledger.reader import LedgerReader

    path = folder.ledger(name)
    if not path.is_file():
        return NodeState(name=name, problem=f"no ledger at {path.relative_to(folder.path)}")
    try:
        reader = LedgerReader.open(path)
        try:
            height = reader.last_height
            stored = reader.block(height)
            checkpoint = None if stored else reader.checkpoint(height)
            root = stored.state_root if stored else checkpoint.certificate.state_root if checkpoint else b""
            transactions = sum(len(block.ids) for block in reader.blocks(1, height + 1))
        finally:
            reader.close()
    except LedgerError as error:
        return NodeState(name=name, problem=f"its ledger cannot be read: {error}")
    return NodeState(name=name, height=height, state_root=root.hex(), transactions=transactions)
