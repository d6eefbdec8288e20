"""Child processes of a run: start, watch, start again, stop within seconds.

A part that dies is started again: at once the first time, then after waits that double. One that has never
run for long is taken for misconfigured and given up soon; one that has is in trouble that may pass, such as
a full disk, and gets many minutes.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

FAILURES_MAX: Final = 5
"""So often a part that has never run for `STEADY_S` may end before it is given up."""

PATIENCE_S: Final = 900.0
"""So long a part that has run before may go on failing before it is given up."""

STEADY_S: Final = 10.0
"""A part that has run for so long works: its next end is a first one again."""

WAIT_FIRST_S: Final = 0.25
WAIT_LAST_S: Final = 8.0

STOP_PATIENCE_S: Final = 3.0
PARENT_VARIABLE: Final = "GRIDBAZAAR_RUNNER"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One part of the run: its name, its command line, and where its output goes.

    A `finite` part ends by itself with code 0; every other end, of any part, is a failure.
    """

    name: str
    command: tuple[str, ...]
    output: Path
    finite: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Child:
    """A started part. `failures`: ends in a row since it last ran for `STEADY_S`; `restarts`: all of them.

    `held`: it is not to be started again for now. Times in s of the supervisor's clock.
    """

    spec: ChildSpec
    process: subprocess.Popen[bytes]
    started_s: float
    restarts: int = 0
    ended: bool = False
    held: bool = False
    proven: bool = False
    failures: int = 0
    failing_since_s: float = 0.0
    retry_s: float | None = None


class ChildGaveUpError(Exception):
    """A part died more often, or for longer, than it may be started again."""


class Supervisor:
    """Owns the child processes of one run, and only those. `clock_s` is a clock that never runs backwards."""

    def __init__(
        self,
        failures_max: int = FAILURES_MAX,
        patience_s: float = PATIENCE_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures_max = failures_max
        self.patience_s = patience_s
        self.children: dict[str, Child] = {}
        self._clock_s = clock_s

    def start(self, spec: ChildSpec) -> Child:
        """Start a part. Raises OSError when its program cannot be executed."""
        child = Child(spec, _spawn(spec), self._clock_s())
        self.children[spec.name] = child
        log.info("part started", extra={"fields": {"part": spec.name, "pid": child.process.pid}})
        return child

    def check(self) -> list[str]:
        """Look at every part once; start the dead again when their time has come. Returns who was started.

        Raises ChildGaveUpError, which names the part and where its output is, for one that is given up.
        """
        now_s = self._clock_s()
        restarted = []
        for child in self.children.values():
            if child.ended or child.held:
                continue
            code = child.process.poll()
            if code is None:
                self._note_steady(child, now_s)
            elif child.spec.finite and code == 0:
                child.ended = True
            elif child.retry_s is None:
                self._note_failure(child, code, now_s)
            if child.retry_s is not None and now_s >= child.retry_s:
                self._start_again(child, now_s)
                restarted.append(child.spec.name)
        return restarted

    def hold(self, name: str) -> None:
        """Do not start this part again, should it end, until `release`."""
        self.children[name].held = True

    def release(self, name: str) -> None:
        """Watch this part again; if it has ended meanwhile, that counts for nothing and it is started now."""
        child = self.children[name]
        child.held = False
        if child.process.poll() is not None and not child.ended:
            child.retry_s = self._clock_s()

    def _note_steady(self, child: Child, now_s: float) -> None:
        if child.failures or not child.proven:
            if now_s < child.started_s + STEADY_S:
                return
            child.proven, child.failures = True, 0

    def _note_failure(self, child: Child, code: int, now_s: float) -> None:
        # A part that nobody looked at for a while may have become steady and died since.
        self._note_steady(child, now_s)
        child.failures += 1
        if child.failures == 1:
            child.failing_since_s = now_s
        given_up = (
            now_s > child.failing_since_s + self.patience_s if child.proven else child.failures > self.failures_max
        )
        if given_up:
            raise ChildGaveUpError(
                f"{child.spec.name} ended {child.failures} times in a row, last with code {code}; "
                f"its last words are in {child.spec.output}"
            )
        wait_s = 0.0 if child.failures == 1 else min(WAIT_FIRST_S * 2 ** (child.failures - 2), WAIT_LAST_S)
        child.retry_s = now_s + wait_s
        fields = {"part": child.spec.name, "code": code, "failures": child.failures, "wait_s": wait_s}
        log.warning("part ended", extra={"fields": fields})

    def _start_again(self, child: Child, now_s: float) -> None:
        child.process = _spawn(child.spec)
        child.started_s, child.retry_s = now_s, None
        child.restarts += 1
        fields = {"part": child.spec.name, "pid": child.process.pid, "restarts": child.restarts}
        log.warning("part started again", extra={"fields": fields})

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
