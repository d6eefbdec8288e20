"""The bench of the ledger measures what it says: orders that were sent, committed and receipted by real nodes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def test_a_small_load_is_committed_whole_and_its_numbers_follow_from_its_own_record(tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    command = [sys.executable, "-m", "agents", "bench", "ledger", "--rate", "40", "--seconds", "4", "--json"]
    ended = subprocess.run(
        [*command, "--out", str(folder)], capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["nodes"] == 4
    (stage,) = result["stages"]
    assert stage["lost"] == 0
    assert stage["sent"] > 0
    assert (
        0
        < stage["latency_ms_p50"]
        <= stage["latency_ms_p95"]
        <= stage["latency_ms_p99"]
        <= stage["latency_ms_max"]
    )
    assert 0 < stage["accepted_per_s"] <= stage["committed_per_s"]
    assert stage["blocks_per_s"] > 0
    assert stage["cpu_node"] > 0
    with (folder / "load-0.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > stage["sent"]  # The warm-up was sent too, and not counted.
    assert all(row["receipt_ms"] and int(row["height"]) > 0 for row in rows)
    slowest = max(int(row["receipt_ms"]) - int(row["sent_ms"]) for row in rows)
    assert stage["latency_ms_max"] <= slowest
