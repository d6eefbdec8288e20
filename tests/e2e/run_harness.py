"""A real run as a test sees it: `gridbazaar run` in a process of its own, watched from outside.

Everything known of a run is read where a user would read it: its folder, its exit code, the process table.
Only processes that name this run's folder on their command line are ever signalled.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.deployment import Deployment
from agents.run_folder import RunFolder
from agents.runner import prepare
from agents.scenario import Scenario
from agents.supervisor import PARENT_VARIABLE
from mosquitto.address import BrokerAddress

ROOT = Path(__file__).resolve().parents[2]
NEIGHBOURHOOD = ROOT / "scenarios" / "neighbourhood.toml"
STREET = Path(__file__).with_name("street.toml")
NODES = ("energy-bureau", "grid-company", "notary-office", "trading-center")
FINISH_LIMIT_S = 120.0
LOOK_S = 0.02


def wait_until(condition: Callable[[], Any], what: str, limit_s: float = 60.0) -> None:
    """Wait for a condition; the limit is for a machine under load, and reaching it fails the test."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {limit_s:.0f} s for {what}"
        time.sleep(LOOK_S)


def gridbazaar(*arguments: str | Path, limit_s: float = 90.0) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "agents", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=limit_s, check=False
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != PARENT_VARIABLE}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    code: int
    output: str
    errors: str

    @property
    def result(self) -> dict[str, Any]:
        """The one JSON object of standard output."""
        value: dict[str, Any] = json.loads(self.output)
        return value


class LiveRun:
    """A run under way, or ended."""

    def __init__(self, path: Path, *arguments: str, scenario: Path = NEIGHBOURHOOD) -> None:
        self.folder = RunFolder(path.resolve())
        self._streams = path.parent / f"{path.name}.stdout", path.parent / f"{path.name}.stderr"
        with self._streams[0].open("wb") as output, self._streams[1].open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agents", "run", str(scenario), "--out", str(path), "--json", *arguments],
                cwd=ROOT,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )

    # --- What can be seen while it runs ---------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the runner is alive."""
        return self.process.poll() is None

    def deployment(self) -> Deployment:
        """Who takes part."""
        return self.folder.read_deployment()

    def rows(self, table: str) -> list[dict[str, str]]:
        """A CSV file's rows so far."""
        return read_rows(self.folder.path / f"{table}.csv")

    def log(self, component: str) -> list[dict[str, Any]]:
        """A component's log lines so far."""
        return read_log(self.folder.log(component))

    def pid(self, part: str) -> int:
        """The process that plays this part now: by the runner's log, and the broker by its command line."""
        if part == "broker":
            found = [pid for pid, command in self.processes().items() if "mosquitto.conf" in command]
            assert len(found) == 1, found
            return found[0]
        pids = [line["pid"] for line in self.log("runner") if line.get("part") == part and "pid" in line]
        assert pids, f"{part} was not started"
        return int(pids[-1])

    def processes(self) -> dict[int, str]:
        """Living processes that name this run's folder, the runner included."""
        own = str(self.folder.path)
        return {
            pid: " ".join(arguments)
            for pid, arguments in command_lines()
            if any(argument == own or argument.startswith(f"{own}/") for argument in arguments)
        }

    def wait_settled(self, periods: int, limit_s: float = 60.0) -> None:
        """Wait until so many periods stand in periods.csv; fails at once when the run ends before."""

        def reached() -> bool:
            settled = len(self.rows("periods")) >= periods
            assert settled or self.is_running, f"ended before period {periods}: {self._said()}"
            return settled

        wait_until(reached, f"{periods} settled periods", limit_s)

    # --- What is done to it ---------------------------------------------------------------------------

    def kill(self, part: str) -> None:
        """End one part as a crash would, and wait until it is gone."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), f"the end of {part}")

    def interrupt(self) -> None:
        """Ctrl-C: the signal reaches the runner alone, the parts are sessions of their own."""
        self.process.send_signal(signal.SIGINT)

    def finish(self, limit_s: float = FINISH_LIMIT_S) -> Ended:
        """Wait for the end of the runner."""
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {limit_s:.0f} s: {self._said()}") from None
        return Ended(code, self._streams[0].read_text(), self._streams[1].read_text())

    def clean_up(self) -> None:
        """Leave no process behind, whatever became of the test."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)

    def _said(self) -> str:
        logged = [line for line in self.log("runner") if line["level"] != "info"]
        return f"{self._streams[1].read_text()[-2000:]} {logged[-10:]}"


@contextmanager
def live_run(path: Path, *arguments: str, scenario: Path = NEIGHBOURHOOD) -> Iterator[LiveRun]:
    """A run that leaves no process behind."""
    run = LiveRun(path, *arguments, scenario=scenario)
    try:
        yield run
    finally:
        run.clean_up()


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Process ids and command lines of all processes that live."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # It ended while we looked.
        if line:  # A process that has ended and was not waited for has none.
            yield int(entry.name), line.decode(errors="replace").split("\0")


def is_alive(pid: int) -> bool:
    """Whether a process lives; one that nobody has waited for yet does not."""
    try:
        return bool((Path("/proc") / str(pid) / "cmdline").read_bytes())
    except OSError:
        return False


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole lines of a CSV file; none when there is no file yet."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON lines file; none when there is no file yet."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def assert_audit_is_green(folder: Path) -> dict[str, Any]:
    """All chains verify from genesis; returns what the audit said of each node."""
    audit = gridbazaar("audit", folder, "--json")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    value: dict[str, Any] = json.loads(audit.stdout)
    assert value["ok"]
    nodes: dict[str, Any] = value["nodes"]
    return nodes


def require_one_view(*runs: LiveRun) -> None:
    """Skip where a starved machine made replicas change views: the pool, whose order breaks ties, is mixed."""
    if any(row["view"] != "0" for run in runs for row in run.rows("blocks")):
        pytest.skip("a view change came in between: this machine is too busy to compare runs")


def assert_ended_well(ended: Ended, periods: int) -> dict[str, Any]:
    """Exit code 0, every period settled, all four nodes at one height with one state root."""
    assert ended.code == 0, ended.errors
    result = ended.result
    assert result["periods_settled"] == periods
    assert result["violations"] == 0
    assert set(result["nodes"]) == set(NODES)
    assert len({(node["height"], node["state_root"]) for node in result["nodes"].values()}) == 1, result["nodes"]
    return result


class Composition:
    """The parts of a run started by hand, as on machines of their own: nobody starts again what has died."""

    def __init__(self, path: Path, broker: BrokerAddress, periods: int, scenario: Path = NEIGHBOURHOOD) -> None:
        loaded = Scenario.load(scenario).changed(periods=periods)
        self.folder = RunFolder.create(path, loaded.to_toml())
        self.deployment = prepare(self.folder, loaded, broker)
        self.parts: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, part: str, command: str, *arguments: str) -> None:
        """Start one component."""
        with self.folder.output(part).open("ab") as output:
            self.parts[part] = subprocess.Popen(
                [sys.executable, "-m", "agents", command, str(self.folder.path), *arguments],
                cwd=ROOT,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_node(self, name: str) -> None:
        """Start a ledger node, for the first time or again."""
        self.start(name, "node", name)

    def start_all(self) -> None:
        """Start everything that the deployment names."""
        for member in self.deployment.committee:
            self.start_node(member.name)
        for region in self.deployment.regions:
            self.start(f"devices-{region}", "devices", region)
        self.start("agents", "agents")

    def kill(self, part: str) -> None:
        """End one part as a crash would."""
        self.parts[part].kill()
        self.parts[part].wait()

    def stop(self) -> dict[str, int]:
        """Ask all parts that live to end; returns everybody's exit code."""
        for process in self.parts.values():
            process.terminate()
        return {part: process.wait(20) for part, process in self.parts.items()}

    def clean_up(self) -> None:
        """Leave no process behind."""
        for process in self.parts.values():
            process.kill()
            process.wait()
