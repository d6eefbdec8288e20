"""`gridbazaar chaos`: a real committee under a steady load of orders is shot at, and then held to its promises.

Every order that f + 1 nodes receipted alike is in the chain exactly once; all chains are equal and verify
from genesis; no node ever contradicted itself; every node came back from every fault by itself.
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agents.audit import audit_run
from agents.chaos_checks import (
    LoadRow,
    broken_evidence,
    broken_receipts,
    longest_gap_ms,
    quantile,
    read_chains,
    read_load,
    seconds_with_receipts,
    unanswered,
)
from agents.chaos_faults import Durations, Fault, one_round
from agents.cluster import AGREE_LIMIT_S, LOAD, Cluster, Interrupted, under_fire
from agents.errors import ConfigurationError
from agents.logging_setup import configure_logging
from agents.run_folder import RunFolder, write_atomically
from agents.wall_clock import now_ms

log = logging.getLogger(__name__)

RECOVERY_LIMIT_S: Final = 60.0
"""A node that is not back so long after a fault is healed has broken its promise."""

IN_STEP_BLOCKS: Final = 3
"""A node no more than this behind the committee is back: blocks are in flight all the time."""

DRAIN_LIMIT_S: Final = 60.0

Progress = Callable[[str], None]
"""Told in a few words what happens now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosOptions:
    """What to shoot at, for how long at least (whole rounds of faults), and how hard the load is.

    `scenario` None takes a neighbourhood of 40 homes; of a scenario given, the pace is ours: a period takes
    `period_s` of the wall clock. `out` None makes a new folder below `runs/`.
    """

    scenario: Path | None = None
    out: Path | None = None
    minutes: float = 3.0
    rate_per_s: float = 50.0
    period_s: float = 8.0
    durations: Durations = field(default_factory=Durations)


@dataclass(slots=True, kw_only=True)
class FaultReport:
    """One fault: when it struck and was healed (ms since 1970), and how the cluster bore it.

    `outage_ms`: longest time without an agreed receipt. `recovery_ms`: from the heal until every node was
    back in step, None if one was not within the limit. `happened`: whether it really bit.
    """

    kind: str
    nodes: tuple[str, ...]
    struck_ms: int
    healed_ms: int = 0
    recovery_ms: int | None = None
    happened: bool = False
    outage_ms: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosResult:
    """What came of it. `broken` holds a sentence for each broken promise; empty is what one hopes for."""

    folder: Path
    faults: tuple[FaultReport, ...]
    load: dict[str, object]
    availability: float
    seconds_of_load: int
    heights: dict[str, int]
    blocks_skipped: dict[str, int]
    broken: tuple[str, ...]
    interrupted: bool
    seconds: float

    def to_json(self) -> dict[str, object]:
        """The object that `gridbazaar chaos --json` prints, and `chaos.json` holds."""
        values = asdict(self)
        return values | {"folder": str(self.folder), "ok": not self.broken and not self.interrupted}


def run_chaos(options: ChaosOptions, progress: Progress = lambda words: None) -> ChaosResult:
    """Start everything, strike and heal until the time is over, stop, check.

    Raises ConfigurationError before anything is started, WorkError when the cluster cannot even be started.
    """
    began_s = time.monotonic()
    text, file = _scenario_text(options.scenario)
    scenario = under_fire(text, file, period_s=options.period_s)
    folder = RunFolder.create(options.out or _new_folder(), scenario.to_toml())
    configure_logging("chaos", folder.log("chaos"))
    battle = Battle(options, progress)
    with Cluster(folder, scenario) as cluster:
        try:
            battle.fight(cluster)
        except Interrupted:
            battle.interrupted = True
        deployment = cluster.deployment
    progress("reading every ledger")
    rows = read_load(folder.path / f"{LOAD}.csv")
    for report, following in itertools.zip_longest(battle.reports, battle.reports[1:]):
        end_ms = following.struck_ms if following is not None else battle.fire_end_ms
        report.outage_ms = longest_gap_ms(rows, report.struck_ms, end_ms)
    chains = read_chains(folder, deployment)
    broken = list(battle.broken)
    broken += broken_receipts(rows, chains, deployment.agreement_threshold)
    broken += unanswered(rows)
    broken += broken_evidence(chains)
    progress("verifying every chain from genesis")
    audit = audit_run(folder)
    broken += [str(finding) for finding in audit.findings if finding.serious]
    available, seconds = seconds_with_receipts(rows)
    result = ChaosResult(
        folder=folder.path,
        faults=tuple(battle.reports),
        load=_load_totals(rows),
        availability=available / seconds if seconds else 0.0,
        seconds_of_load=seconds,
        heights={name: chain.last_height for name, chain in chains.items()},
        blocks_skipped={name: chain.last_height - len(chain.heights) for name, chain in chains.items()},
        broken=tuple(broken),
        interrupted=battle.interrupted,
        seconds=time.monotonic() - began_s,
    )
    write_atomically(folder.path / "chaos.json", json.dumps(result.to_json(), indent=1) + "\n")
    return result


class Battle:
    """The time under fire: faults one after the other, each healed and recovered from before the next."""

    def __init__(self, options: ChaosOptions, progress: Progress) -> None:
        self.options = options
        self.progress = progress
        self.reports: list[FaultReport] = []
        self.broken: list[str] = []
        self.interrupted = False
        self.fire_end_ms = 0

    def fight(self, cluster: Cluster) -> None:
        """The whole of it. The cluster is whole and still when this returns."""
        self.progress("starting the load")
        cluster.start_load(self.options.rate_per_s)
        cluster.watch(self.options.durations.calm_s)
        end_s = time.monotonic() + self.options.minutes * 60
        cluster.restarted.clear()
        for fault in self._faults(cluster, end_s):
            self._one(cluster, fault)
        self.fire_end_ms = now_ms()
        self.progress("waiting for the last receipts")
        if not cluster.stop_load(DRAIN_LIMIT_S):
            self.broken.append(f"the load generator did not end within {DRAIN_LIMIT_S:.0f} s")
        if not cluster.wait(cluster.agree, AGREE_LIMIT_S):
            heights = ", ".join(f"{name} {node.height}" for name, node in cluster.nodes.items())
            self.broken.append(f"nodes did not agree on one block within {AGREE_LIMIT_S:.0f} s: {heights}")

    def _faults(self, cluster: Cluster, end_s: float) -> Iterator[Fault]:
        for number in itertools.count():
            yield from one_round(cluster, self.options.durations, number)
            if time.monotonic() >= end_s:
                return

    def _one(self, cluster: Cluster, fault: Fault) -> None:
        whom = ", ".join(fault.nodes) or "broker"
        self.progress(f"{fault.kind}: {whom}")
        report = FaultReport(kind=fault.kind, nodes=fault.nodes, struck_ms=now_ms(), height=cluster.height)
        log.info("fault", extra={"fields": {"kind": fault.kind, "nodes": list(fault.nodes)}})
        fault.strike(cluster)
        try:
            deadline_s = time.monotonic() + fault.lasts_s
            while time.monotonic() < deadline_s:
                cluster.poll()
                fault.tend(cluster)
        finally:
            fault.heal(cluster)
        report.healed_ms = now_ms()
        healed_s = time.monotonic()
        self.reports.append(report)
        if cluster.wait(lambda: _all_back(cluster, healed_s), RECOVERY_LIMIT_S):
            report.recovery_ms = round((time.monotonic() - healed_s) * 1000)
        else:
            late = ", ".join(f"{name} at {node.height}" for name, node in cluster.nodes.items())
            self.broken.append(
                f"after {fault.kind} of {whom}, not every node was back within {RECOVERY_LIMIT_S:.0f} s:"
                f" the committee is at {cluster.height}, {late}"
            )
        report.happened = fault.happened(cluster)
        if not report.happened:
            self.broken.append(f"{fault.kind} of {whom} did not bite, so it proves nothing")
        cluster.watch(self.options.durations.calm_s)
        # Only those that were hit may have had to be started again.
        for name, times in Counter(cluster.restarted).items():
            if name not in fault.nodes:
                self.broken.append(f"{name} ended by itself during {fault.kind} of {whom}, {times} times")
        cluster.restarted.clear()


def _all_back(cluster: Cluster, since_s: float) -> bool:
    """Every node votes, has executed a block since then, and is in step with the committee.

    A node that lost votes with its ledger follows at once and is silent for a window of blocks more. Until
    that is over it counts as faulty, and with another fault the committee would rightly stand still.
    """
    return all(
        node.online and node.heard_s > since_s and node.height + IN_STEP_BLOCKS >= cluster.height
        for node in cluster.nodes.values()
    )


def _load_totals(rows: list[LoadRow]) -> dict[str, object]:
    executed = [row for row in rows if row.place is not None and row.place[0] > 0]
    latencies = sorted(row.receipt_ms - row.sent_ms for row in rows if row.receipt_ms is not None)
    return {
        "sent": len(rows),
        "receipted": sum(row.receipt_ms is not None for row in rows),
        "in_blocks": len(executed),
        "accepted": sum(row.place is not None and row.place[0] > 0 and row.place[1] == 0 for row in rows),
        "unanswered": sum(row.receipt_ms is None for row in rows),
        "latency_ms_p50": quantile(latencies, 0.5),
        "latency_ms_p99": quantile(latencies, 0.99),
        "latency_ms_max": latencies[-1] if latencies else None,
    }


def _scenario_text(path: Path | None) -> tuple[str | None, str]:
    if path is None:
        return None, "built-in scenario"
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}; expected a TOML file") from None


def _new_folder() -> Path:
    return Path("runs") / f"chaos-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}"
