"""A real committee is shot at for a minute, and keeps every promise: four processes, mosquitto, kill -9."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def transactions_of(ledger: Path) -> dict[bytes, list[tuple[int, bytes]]]:
    """Every transaction of a ledger file and its places, asked of SQLite and nobody else."""
    places: dict[bytes, list[tuple[int, bytes]]] = {}
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        for height, tx_id, receipt in connection.execute("SELECT height, tx_id, receipt FROM transactions"):
            places.setdefault(tx_id, []).append((height, receipt))
    return places


def test_every_receipted_order_survives_kills_stops_full_disks_and_cut_ledgers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agents", "chaos", "--quick", "--out", str(tmp_path / "run"), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads(ended.stdout)
    assert result["ok"]
    assert result["broken"] == []

    # Faults that did not happen would prove nothing.
    kinds = [fault["kind"] for fault in result["faults"]]
    assert {"kill -9", "SIGSTOP", "broker killed", "disk full", "ledger cut short", "all killed at once"} <= {
        *kinds
    }
    assert {node for fault in result["faults"] if fault["kind"] == "kill -9" for node in fault["nodes"]} == set(
        result["heights"]
    )
    assert all(fault["happened"] and fault["recovery_ms"] is not None for fault in result["faults"])
    load = result["load"]
    assert load["accepted"] > load["sent"] // 2 > 500
    assert load["unanswered"] == 0
    assert 0 < result["availability"] <= 1

    # Asked again, without the command's own reading: every receipt is in every ledger, once, where it says.
    ledgers = [transactions_of(path) for path in sorted((tmp_path / "run" / "ledgers").glob("*.sqlite"))]
    assert len(ledgers) == 4
    with (tmp_path / "run" / "load.csv").open(newline="") as file:
        receipted = [row for row in csv.DictReader(file) if row["receipt_ms"] and int(row["height"])]
    assert len(receipted) == load["in_blocks"]
    for row in receipted:
        for places in ledgers:
            found = places[bytes.fromhex(row["tx_id"])]
            assert [height for height, _ in found] == [int(row["height"])]
