"""A run folder: which file is where, and `deployment.json`, which says who takes part.

Everything a component needs to start is in the folder, so each is started with the folder and its own
name. Everything a reader needs afterwards is there too, in files that are readable without this program.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.deployment import Deployment
from agents.errors import RunFolderError

__all__ = ["Deployment", "RunFolder", "write_atomically"]

SCENARIO: Final = "scenario.toml"
DEPLOYMENT: Final = "deployment.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths inside one run folder. Making this object touches nothing on disk."""

    path: Path

    @classmethod
    def create(cls, path: Path, scenario: str) -> RunFolder:
        """Make a new folder and write `scenario`, the text of the scenario as run, into it.

        Raises RunFolderError when the folder exists and is not empty: a run never mixes with another.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunFolderError(f"{path}: already exists and is not empty; expected a new folder for this run")
        folder = cls(path.resolve())
        try:
            for part in (folder.keys, folder.ledgers, folder.logs, folder.devices, folder.broker):
                part.mkdir(parents=True, exist_ok=True)
            folder.keys.chmod(0o700)
            folder.scenario.write_text(scenario, encoding="utf-8")
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be made: {error.strerror or error}") from None
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder. Raises RunFolderError when there is none, or it holds no scenario."""
        folder = cls(path.resolve())
        if not path.is_dir():
            raise RunFolderError(f"{path}: no such folder; expected a run folder, as `gridbazaar run` makes one")
        if not folder.scenario.is_file() and not folder.deployment.is_file():
            raise RunFolderError(f"{path}: not a run folder: it has neither {SCENARIO} nor {DEPLOYMENT}")
        return folder

    @property
    def scenario(self) -> Path:
        """The scenario as run."""
        return self.path / SCENARIO

    @property
    def deployment(self) -> Path:
        """Who takes part: see `Deployment`."""
        return self.path / DEPLOYMENT

    @property
    def committee(self) -> Path:
        """Names and keys of the committee: all that is needed to verify a certificate or a proof."""
        return self.path / "committee.json"

    @property
    def keys(self) -> Path:
        """Key files of this run; only the owner may enter."""
        return self.path / "keys"

    def key(self, name: str) -> Path:
        """The key file of a node, participant or meter."""
        return self.keys / f"{name}.key"

    @property
    def ledgers(self) -> Path:
        """One SQLite file a ledger node."""
        return self.path / "ledgers"

    def ledger(self, node: str) -> Path:
        """A node's ledger."""
        return self.ledgers / f"{node}.sqlite"

    @property
    def logs(self) -> Path:
        """Logs as JSON lines, and what parts wrote to their standard output."""
        return self.path / "logs"

    def log(self, component: str) -> Path:
        """A component's log, one JSON object a line."""
        return self.logs / f"{component}.jsonl"

    def output(self, component: str) -> Path:
        """What a component wrote to standard output and standard error: empty but for crashes."""
        return self.logs / f"{component}.out"

    @property
    def devices(self) -> Path:
        """What meters and inverters must not forget when their process dies."""
        return self.path / "devices"

    @property
    def agents_memory(self) -> Path:
        """What an agent host must not forget when its process dies: see `HostMemory`."""
        return self.path / "agents.json"

    @property
    def broker(self) -> Path:
        """The project's own broker: its configuration, its persistence file."""
        return self.path / "broker"

    @property
    def periods_csv(self) -> Path:
        """One line a settled period."""
        return self.path / "periods.csv"

    @property
    def trades_csv(self) -> Path:
        """One line a trade."""
        return self.path / "trades.csv"

    @property
    def settlements_csv(self) -> Path:
        """One line an account and settled period."""
        return self.path / "settlements.csv"

    @property
    def agents_csv(self) -> Path:
        """One line an agent and period: what it wanted, got and thought."""
        return self.path / "agents.csv"

    @property
    def prices_csv(self) -> Path:
        """One line a region and cleared period."""
        return self.path / "prices.csv"

    @property
    def curves_csv(self) -> Path:
        """One line a price of the order book of a cleared period: supply and demand."""
        return self.path / "curves.csv"

    @property
    def orders_csv(self) -> Path:
        """One line an order that the ledger accepted."""
        return self.path / "orders.csv"

    @property
    def readings_csv(self) -> Path:
        """One line an accepted reading with a mark: of a real meter, after a gap, estimated."""
        return self.path / "readings.csv"

    @property
    def blocks_csv(self) -> Path:
        """One line a block, as f + 1 nodes announced it."""
        return self.path / "blocks.csv"

    @property
    def latencies_csv(self) -> Path:
        """Time from a transaction on the bus to f + 1 equal receipts."""
        return self.path / "latencies.csv"

    @property
    def telemetry_csv(self) -> Path:
        """One line an inverter and period: generation, charge, state of charge."""
        return self.path / "telemetry.csv"

    @property
    def result_json(self) -> Path:
        """How the run ended: what `gridbazaar run --json` printed."""
        return self.path / "result.json"

    @property
    def kpis_json(self) -> Path:
        """The evaluation: every number with its unit and definition."""
        return self.path / "kpis.json"

    @property
    def report_html(self) -> Path:
        """The report, one file that needs no other."""
        return self.path / "report.html"

    def read_deployment(self) -> Deployment:
        """Read `deployment.json`. Raises RunFolderError that names file, key and value."""
        return Deployment.load(self.deployment)

    def write_deployment(self, deployment: Deployment) -> None:
        """Write `deployment.json` as a whole or not at all."""
        write_atomically(self.deployment, deployment.to_text())


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by `text`; a kill in the middle leaves the old file, never half of the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
