"""What `gridbazaar run` is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """One run of a scenario.

    `out` is the run folder; None makes a new one below `runs/`. `broker` is the address of the user's own
    broker; None starts the project's. `seed` and `periods` stand in for the scenario's own values.
    `json` means that standard output belongs to one JSON object, so nothing else may be printed there;
    `progress` shows the progress bar on standard error. `web` serves the run's page and tells its address.
    """

    scenario_path: Path
    out: Path | None = None
    broker: str | None = None
    seed: int | None = None
    periods: int | None = None
    json: bool = False
    progress: bool = True
    web: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """Where a ledger node stands at the end: its last block's height and the state root after it (hex)."""

    height: int
    state_root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run came to.

    `violations` are sentences, one for each broken promise that was seen: nodes with different state
    roots, money that appeared. `interrupted` says that the run was stopped before its last period.
    """

    folder: Path
    periods_settled: int
    trades: int
    energy_wh: int
    seconds: float
    nodes: dict[str, NodeResult] = field(default_factory=dict)
    violations: tuple[str, ...] = ()
    interrupted: bool = False

    def to_json(self) -> dict[str, object]:
        """The object that `gridbazaar run --json` prints; `violations` is their number."""
        return {
            "periods_settled": self.periods_settled,
            "trades": self.trades,
            "energy_wh": self.energy_wh,
            "nodes": {
                name: {"height": node.height, "state_root": node.state_root} for name, node in self.nodes.items()
            },
            "violations": len(self.violations),
            "seconds": round(self.seconds, 3),
        }
