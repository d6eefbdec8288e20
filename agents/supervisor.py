"""Child processes of a run: start, watch, start again with a limit, stop within seconds.

Every child gets a process group of its own, so that Ctrl-C in a terminal reaches the runner alone and the
runner decides the order in which parts stop. A child whose runner has died without a word stops by itself:
see `parent_is_gone`.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

RESTARTS_MAX: Final = 5
STOP_PATIENCE_S: Final = 3.0
PARENT_VARIABLE: Final = "GRIDBAZAAR_RUNNER"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One part of the run: its name, its command line, and where its output goes.

    `essential` parts are started again when they die; `finite` parts end by themselves with code 0.
    """

    name: str
    command: tuple[str, ...]
    output: Path
    finite: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Child:
    """A started part."""

    spec: ChildSpec
    process: subprocess.Popen[bytes]
    restarts: int = 0
    ended: bool = False


class ChildGaveUpError(Exception):
    """A part died more often than it may be started again."""


class Supervisor:
    """Owns the child processes of one run, and only those."""

    def __init__(self, restarts_max: int = RESTARTS_MAX) -> None:
        self.restarts_max = restarts_max
        self.children: dict[str, Child] = {}

    def start(self, spec: ChildSpec) -> Child:
        """Start a part. Raises OSError when its program cannot be executed."""
        child = Child(spec, _spawn(spec))
        self.children[spec.name] = child
        log.info("part started", extra={"fields": {"part": spec.name, "pid": child.process.pid}})
        return child

    def check(self) -> list[str]:
        """Look at every part once; start the dead again. Returns the names of those started again.

        Raises ChildGaveUpError, which names the part and where its output is, at the limit of restarts.
        """
        restarted = []
        for child in self.children.values():
            code = child.process.poll()
            if code is None or child.ended:
                continue
            if child.spec.finite and code == 0:
                child.ended = True
                continue
            if child.restarts >= self.restarts_max:
                raise ChildGaveUpError(
                    f"{child.spec.name} ended {child.restarts + 1} times, last with code {code}; "
                    f"its last words are in {child.spec.output}"
                )
            child.restarts += 1
            child.process = _spawn(child.spec)
            restarted.append(child.spec.name)
            fields = {"part": child.spec.name, "code": code, "pid": child.process.pid, "restarts": child.restarts}
            log.warning("part started again", extra={"fields": fields})
        return restarted

    def has_ended(self, name: str) -> bool:
        """Whether a finite part has done its work."""
        return self.children[name].ended

    def stop(self, patience_s: float = STOP_PATIENCE_S) -> None:
        """Ask all parts to stop, wait together, then end those that did not. Safe to call twice."""
        running = [child.process for child in self.children.values() if child.process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + patience_s
        for process in running:
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in self.children.values():
            child.ended = True


def python_command(*arguments: str) -> tuple[str, ...]:
    """The command line that runs `gridbazaar ARGUMENTS` with this very interpreter."""
    return (sys.executable, "-m", "agents", *arguments)


def parent_is_gone() -> bool:
    """Whether this process was started by a runner that no longer lives.

    A killed runner cannot say goodbye to its children; each looks by itself, about once a second.
    """
    runner = os.environ.get(PARENT_VARIABLE)
    return runner is not None and os.getppid() != int(runner)


class StopSignal:
    """Turns SIGTERM and SIGINT into a flag that a component's loop looks at."""

    def __init__(self) -> None:
        self.is_set = False
        self._next_look_s = 0.0
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        self.is_set = True

    def __bool__(self) -> bool:
        """Whether the component should stop: it was asked to, or its runner is gone."""
        now_s = time.monotonic()
        if not self.is_set and now_s >= self._next_look_s:
            self._next_look_s = now_s + 1.0
            self.is_set = parent_is_gone()
        return self.is_set


def _spawn(spec: ChildSpec) -> subprocess.Popen[bytes]:
    spec.output.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **spec.environment, PARENT_VARIABLE: str(os.getpid())}
    with spec.output.open("ab") as output:
        return subprocess.Popen(
            spec.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def describe(children: Sequence[Child]) -> str:
    """One line a part, for error messages: name, process id, alive or its exit code."""
    lines = []
    for child in children:
        code = child.process.poll()
        lines.append(
            f"{child.spec.name} (pid {child.process.pid}): {'running' if code is None else f'exit {code}'}"
        )
    return "\n".join(lines)
