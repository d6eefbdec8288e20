"""What `gridbazaar chaos` does to a running cluster: real signals, real limits, real damage to files.

A fault strikes, lasts, and is healed; afterwards `happened` says whether it really bit, since a fault that
did not happen proves nothing.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agents.cluster import Cluster

DISK_FULL_BYTES: Final = 32_768
"""No file may be written beyond this: the ledger's are longer, logs and counters mostly shorter."""


class Fault(ABC):
    """One fault on some nodes, or on the broker. `lasts_s` from strike to heal."""

    kind: str

    def __init__(self, nodes: tuple[str, ...], lasts_s: float) -> None:
        self.nodes = nodes
        self.lasts_s = lasts_s

    @abstractmethod
    def strike(self, cluster: Cluster) -> None:
        """Begin."""

    def tend(self, cluster: Cluster) -> None:  # noqa: B027 - most faults need no tending
        """Keep it up; called between strike and heal, many times a second."""

    @abstractmethod
    def heal(self, cluster: Cluster) -> None:
        """End it. Must be safe in any state, since an interrupted run heals too."""

    def happened(self, cluster: Cluster) -> bool:
        """Whether it bit."""
        return True


class KillNodes(Fault):
    """`kill -9`, for one node or, as a power cut would, for all at once; then they are started again."""

    kind = "kill -9"

    def strike(self, cluster: Cluster) -> None:
        """Kill them, and keep the supervisor from starting them."""
        for node in self.nodes:
            cluster.supervisor.hold(node)
        for node in self.nodes:
            os.kill(cluster.pid(node), signal.SIGKILL)
        for node in self.nodes:
            cluster.supervisor.children[node].process.wait()

    def heal(self, cluster: Cluster) -> None:
        """Start them again."""
        for node in self.nodes:
            cluster.supervisor.release(node)


class StopNode(Fault):
    """SIGSTOP, then SIGCONT: the process is there and silent, and wakes with an old idea of the world."""

    kind = "SIGSTOP"

    def strike(self, cluster: Cluster) -> None:
        """Stop it where it is."""
        for node in self.nodes:
            os.kill(cluster.pid(node), signal.SIGSTOP)

    def heal(self, cluster: Cluster) -> None:
        """Let it go on."""
        for node in self.nodes:
            os.kill(cluster.pid(node), signal.SIGCONT)


class KillBroker(Fault):
    """The broker is killed, with what it had in memory, and started again."""

    kind = "broker killed"

    def strike(self, cluster: Cluster) -> None:
        """Kill it."""
        cluster.broker.kill()

    def heal(self, cluster: Cluster) -> None:
        """Start it on the same port."""
        cluster.start_broker()


class DiskFull(Fault):
    """The kernel refuses every write beyond a few pages of any file, in the running process and its successors.

    RLIMIT_FSIZE rather than a full partition, which would need root; SQLite sees a write that fails. The
    node has to end with code 1, and to come back once there is space.
    """

    kind = "disk full"

    def __init__(self, nodes: tuple[str, ...], lasts_s: float) -> None:
        super().__init__(nodes, lasts_s)
        self._limited: dict[str, subprocess.Popen[bytes]] = {}
        self._codes: list[int | None] = []

    def strike(self, cluster: Cluster) -> None:
        """Limit the running process."""
        self.tend(cluster)

    def tend(self, cluster: Cluster) -> None:
        """Limit the process that was started in its place, and note how the last one ended."""
        for node in self.nodes:
            process = cluster.supervisor.children[node].process
            before = self._limited.get(node)
            if process is before:
                continue
            if before is not None:
                self._codes.append(before.poll())
            _limit_file_size(process.pid, DISK_FULL_BYTES)
            self._limited[node] = process

    def heal(self, cluster: Cluster) -> None:
        """There is space again, for the process that runs now and for all that follow."""
        for process in self._limited.values():
            if process.poll() is None:
                _limit_file_size(process.pid, resource.RLIM_INFINITY)

    def happened(self, cluster: Cluster) -> bool:
        """It must have ended the node, and never in another way than by its own decision."""
        return bool(self._codes) and set(self._codes) == {1}


class CutLedger(Fault):
    """A node is killed, and while it is down its ledger file loses its second half and the log beside it all.

    Both, because either alone can be harmless: the end of the log may be old, that of the file be in the log.
    """

    kind = "ledger cut short"

    def strike(self, cluster: Cluster) -> None:
        """Kill it, then cut."""
        KillNodes(self.nodes, self.lasts_s).strike(cluster)
        for node in self.nodes:
            ledger = cluster.folder.ledger(node)
            os.truncate(ledger, ledger.stat().st_size // 2)
            log = ledger.with_name(ledger.name + "-wal")
            if log.exists():
                os.truncate(log, 0)

    def heal(self, cluster: Cluster) -> None:
        """Start it on what is left."""
        for node in self.nodes:
            cluster.supervisor.release(node)

    def happened(self, cluster: Cluster) -> bool:
        """The node must have noticed, and set the file aside."""
        return all(any(cluster.folder.ledgers.glob(f"{node}.sqlite.corrupt-*")) for node in self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long each kind of fault lasts, and the calm after each, in s."""

    kill_s: float = 3.0
    stop_s: float = 20.0
    broker_s: float = 3.0
    disk_s: float = 15.0
    calm_s: float = 5.0


QUICK: Final = Durations(kill_s=1.0, stop_s=5.0, broker_s=1.0, disk_s=4.0, calm_s=1.5)
"""One round of everything in about a minute."""


def one_round(cluster: Cluster, durations: Durations, number: int) -> Iterator[Fault]:
    """Every fault once. Which node it hits turns with the round; who is primary is asked when it strikes."""
    members = list(cluster.nodes)
    for node in members:
        yield KillNodes((node,), durations.kill_s)
    yield StopNode((cluster.primary,), durations.stop_s)
    yield KillBroker((), durations.broker_s)
    yield DiskFull((_backup(cluster, number),), durations.disk_s)
    yield CutLedger((_backup(cluster, number + 1),), durations.kill_s)
    yield KillNodes((cluster.primary,), durations.kill_s)
    yield CutLedger((cluster.primary,), durations.kill_s)
    yield DiskFull((cluster.primary,), durations.disk_s)
    everybody = KillNodes(tuple(members), durations.kill_s)
    everybody.kind = "all killed at once"
    yield everybody


def _backup(cluster: Cluster, number: int) -> str:
    backups = [node for node in cluster.nodes if node != cluster.primary]
    return backups[number % len(backups)]


def _limit_file_size(pid: int, limit_bytes: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit_bytes, hard))
    except ProcessLookupError:
        return  # It ended at this moment, which is noticed by its exit code.
