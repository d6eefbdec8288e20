"""Runs that several end-to-end tests look at, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from run_harness import Ended, LiveRun, live_run

FINISHED_PERIODS = 8


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveRun, Ended]]:
    """A run of the default scenario that nobody disturbed. Its folder is for reading: copy what you change."""
    path = tmp_path_factory.mktemp("finished") / "run"
    with live_run(path, "--periods", str(FINISHED_PERIODS)) as run:
        yield run, run.finish()
