"""`gridbazaar bench ledger`: what four real node processes over mosquitto commit, and how long an order takes.

Definitions: latency is from publishing an order to f + 1 equal receipts at its sender, an order without is
lost and infinite; committed is receipted from a block. Measured on orders sent after the warm-up. Sustained
is the largest offered load that is committed as fast as it comes, with p99 at most 5 s and nothing lost.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agents.chaos_checks import LoadRow, quantile, read_load
from agents.cluster import Cluster, cpu_seconds, under_fire
from agents.logging_setup import configure_logging
from agents.run_folder import RunFolder, write_atomically
from agents.wall_clock import now_ms

log = logging.getLogger(__name__)

RATES: Final = (50.0, 100.0, 200.0, 400.0, 600.0, 800.0)
LATENCY_LIMIT_MS: Final = 5_000
KEEPS_UP_SHARE: Final = 0.98
"""Committed over offered: less means that a backlog grows, which a short run would not show in latencies."""

DRAIN_LIMIT_S: Final = 60.0
FAILED_MAX: Final = 2

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """Offered loads in orders a second, each for `warmup_s` and then `seconds`. `out` None: below `runs/`."""

    rates: Sequence[float] = RATES
    seconds: float = 20.0
    warmup_s: float = 5.0
    homes: int = 100
    period_s: float = 10.0
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One offered load. Rates in orders a second; `cpu_*` in CPU seconds a second, 1.0 is one core."""

    offered_per_s: float
    sent: int
    committed_per_s: float
    accepted_per_s: float
    lost: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    latency_ms_p99: int | None
    latency_ms_max: int | None
    blocks_per_s: float
    cpu_node: float
    cpu_broker: float
    cpu_load: float
    sustained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """All stages, and the largest sustained load (0 without any)."""

    folder: Path
    nodes: int
    stages: tuple[Stage, ...]

    @property
    def sustained_per_s(self) -> float:
        """The largest offered load that was sustained."""
        return max((stage.offered_per_s for stage in self.stages if stage.sustained), default=0.0)

    def to_json(self) -> dict[str, object]:
        """The object that `gridbazaar bench ledger --json` prints."""
        return {
            "folder": str(self.folder),
            "nodes": self.nodes,
            "sustained_per_s": self.sustained_per_s,
            "stages": [asdict(stage) for stage in self.stages],
        }


def bench_ledger(options: BenchOptions, progress: Progress = lambda words: None) -> BenchResult:
    """Run all stages on one cluster, or until two of them in a row were not sustained.

    Raises ConfigurationError for a folder in use, WorkError when a part cannot be started or dies.
    """
    scenario = under_fire(_scenario(options.homes), "bench", period_s=options.period_s)
    folder = RunFolder.create(options.out or _new_folder(), scenario.to_toml())
    configure_logging("bench", folder.log("bench"))
    stages: list[Stage] = []
    with Cluster(folder, scenario) as cluster:
        for number, rate in enumerate(options.rates):
            progress(f"{rate:g} orders/s for {options.seconds:g} s")
            stage = _stage(cluster, options, rate, f"load-{number}")
            log.info("stage", extra={"fields": asdict(stage)})
            stages.append(stage)
            if len(stages) >= FAILED_MAX and not any(stage.sustained for stage in stages[-FAILED_MAX:]):
                break
        nodes = len(cluster.nodes)
    result = BenchResult(folder=folder.path, nodes=nodes, stages=tuple(stages))
    write_atomically(folder.path / "bench.json", json.dumps(result.to_json(), indent=1) + "\n")
    return result


def _stage(cluster: Cluster, options: BenchOptions, rate: float, name: str) -> Stage:
    cluster.start_load(rate, name=name, seconds=options.warmup_s + options.seconds)
    cluster.watch(options.warmup_s)
    start_ms, height, before = now_ms(), cluster.height, _cpu(cluster, name)
    began_s = time.monotonic()
    cluster.watch(options.seconds - 0.5)
    elapsed_s = time.monotonic() - began_s
    after, blocks, end_ms = _cpu(cluster, name), cluster.height - height, now_ms()
    cluster.wait(lambda: cluster.supervisor.has_ended(name), DRAIN_LIMIT_S)
    rows = read_load(cluster.folder.path / f"{name}.csv")
    used = [later - earlier for earlier, later in zip(before, after, strict=True)]
    return _judge(
        [row for row in rows if start_ms <= row.sent_ms < end_ms],
        [row for row in rows if row.receipt_ms is not None and start_ms <= row.receipt_ms < end_ms],
        rate,
        elapsed_s,
        blocks_per_s=round(blocks / elapsed_s, 1),
        cpu_node=round(sum(used[2:]) / len(used[2:]) / elapsed_s, 3),
        cpu_broker=round(used[0] / elapsed_s, 3),
        cpu_load=round(used[1] / elapsed_s, 3),
    )


def _judge(
    sent: Sequence[LoadRow],
    receipted: Sequence[LoadRow],
    rate: float,
    elapsed_s: float,
    *,
    blocks_per_s: float,
    cpu_node: float,
    cpu_broker: float,
    cpu_load: float,
) -> Stage:
    latencies = sorted(row.receipt_ms - row.sent_ms for row in sent if row.receipt_ms is not None)
    committed = [row for row in receipted if row.place is not None and row.place[0] > 0]
    lost = sum(1 for row in sent if row.place is None or row.place[0] == 0)
    p99 = quantile(latencies, 0.99)
    # What was sent, not what was asked for: a generator that cannot keep up must not pass for a ledger that can.
    keeps_up = len(committed) >= KEEPS_UP_SHARE * rate * elapsed_s
    return Stage(
        offered_per_s=rate,
        sent=len(sent),
        committed_per_s=round(len(committed) / elapsed_s, 1),
        accepted_per_s=round(sum(1 for row in committed if row.place and row.place[1] == 0) / elapsed_s, 1),
        lost=lost,
        latency_ms_p50=quantile(latencies, 0.5),
        latency_ms_p95=quantile(latencies, 0.95),
        latency_ms_p99=p99,
        latency_ms_max=latencies[-1] if latencies else None,
        blocks_per_s=blocks_per_s,
        cpu_node=cpu_node,
        cpu_broker=cpu_broker,
        cpu_load=cpu_load,
        sustained=lost == 0 and p99 is not None and p99 <= LATENCY_LIMIT_MS and keeps_up,
    )


def _cpu(cluster: Cluster, load: str) -> list[float]:
    """CPU seconds used by the broker, the load generator and each node."""
    broker = cluster.broker.pid
    pids = [cluster.pid(load), *(cluster.pid(name) for name in cluster.nodes)]
    return [cpu_seconds(broker) if broker is not None else 0.0, *map(cpu_seconds, pids)]


def _scenario(homes: int) -> str:
    return f"""
[scenario]
name = "bench"

[[region]]
name = "north"

[[homes]]
name = "home"
region = "north"
count = {homes}
with_pv = {homes // 2}
"""


def _new_folder() -> Path:
    return Path("runs") / f"bench-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}"
