"""Ctrl-C at any moment, and a runner that is killed: nothing lives on, and the folder can be read."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from run_harness import STREET, LiveRun, gridbazaar, live_run, wait_until

pytestmark = pytest.mark.e2e

GONE_LIMIT_S = 5.0
ORPHANS_LIMIT_S = 15.0
"""Each part looks for its runner about once a second, and first has to load its modules."""


def folder_is_there(run: LiveRun) -> bool:
    return run.folder.scenario.exists()


def first_part_started(run: LiveRun) -> bool:
    return any(line["event"] == "part started" for line in run.log("runner"))


def market_is_open(run: LiveRun) -> bool:
    return len(run.rows("blocks")) > 0


def some_periods_settled(run: LiveRun) -> bool:
    return len(run.rows("periods")) >= 2


def last_period_settled(run: LiveRun) -> bool:
    return len(run.rows("periods")) >= 12


MOMENTS = [folder_is_there, first_part_started, market_is_open, some_periods_settled, last_period_settled]


def gone_after_s(run: LiveRun, limit_s: float) -> float:
    since = time.monotonic()
    wait_until(lambda: run.process.poll() is not None and not run.processes(), "the end of every process", limit_s)
    return time.monotonic() - since


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_an_interrupted_run_stops_everything_at_once_and_can_be_reported(
    moment: Callable[[LiveRun], bool], tmp_path: Path
) -> None:
    with live_run(tmp_path / "run", "--periods", "12", scenario=STREET) as run:
        wait_until(lambda: moment(run), moment.__name__)
        run.interrupt()
        gone_after_s(run, GONE_LIMIT_S)
        ended = run.finish()
        settled = len(run.rows("periods"))
        # 1: the work was not done; 130 is what a shell says of Ctrl-C. Done already when the last one came late.
        assert ended.code in ((0, 1, -signal.SIGINT) if settled == 12 else (1, -signal.SIGINT)), ended
        assert "Traceback" not in ended.errors
        if ended.output:
            assert ended.result["periods_settled"] == settled
        report = gridbazaar("report", run.folder.path)
        if run.folder.deployment.exists():
            assert report.returncode == 0, report.stderr
            assert run.folder.report_html.stat().st_size > 1_000
        else:
            assert report.returncode in (0, 2)
            assert "Traceback" not in report.stderr


@pytest.mark.parametrize("moment", [first_part_started, some_periods_settled], ids=lambda moment: moment.__name__)
def test_a_killed_runner_leaves_no_orphan(moment: Callable[[LiveRun], bool], tmp_path: Path) -> None:
    with live_run(tmp_path / "run", "--periods", "96", scenario=STREET) as run:
        wait_until(lambda: moment(run), moment.__name__)
        assert len(run.processes()) > 1
        run.process.kill()
        gone_after_s(run, ORPHANS_LIMIT_S)
        assert gridbazaar("report", run.folder.path).returncode == 0


def test_an_agent_host_told_to_stop_by_somebody_else_is_started_again(tmp_path: Path) -> None:
    with live_run(tmp_path / "run", "--periods", "8", scenario=STREET) as run:
        run.wait_settled(2)
        os.kill(run.pid("agents"), signal.SIGTERM)
        ended = run.finish()
        assert ended.code == 0, ended.errors
        assert ended.result["periods_settled"] == 8
