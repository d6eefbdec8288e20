"""One byte changed, or a piece missing, anywhere in the ledger of a real run: the audit finds it and names it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from run_harness import Ended, LiveRun, gridbazaar

from agents.audit import audit_run
from agents.genesis import committee_of, genesis_of, market_config
from agents.market_application import MarketApplication
from agents.run_folder import RunFolder
from ledger.verification import VerificationReport, verify_chain

pytestmark = pytest.mark.e2e

FLIPS = 40
NODE = "notary-office"


@pytest.fixture
def copied(finished: tuple[LiveRun, Ended], tmp_path: Path) -> RunFolder:
    run, _ = finished
    path = tmp_path / "run"
    shutil.copytree(run.folder.path, path, ignore=shutil.ignore_patterns("*.html", "logs", "broker"))
    return RunFolder.open(path)


def verify(folder: RunFolder) -> VerificationReport:
    """What the audit does with one node's ledger."""
    deployment = folder.read_deployment()
    config = market_config(deployment)
    return verify_chain(
        folder.ledger(NODE),
        genesis_of(deployment),
        committee_of(deployment),
        lambda: MarketApplication(config, deployment.chain_id),
    )


def test_a_flipped_bit_at_any_offset_is_found_and_its_file_named(copied: RunFolder) -> None:
    ledger = copied.ledger(NODE)
    whole = ledger.read_bytes()
    assert verify(copied).ok
    chance = random.Random(20)
    missed, unnamed = [], []
    for offset in chance.sample(range(len(whole)), FLIPS):
        changed = bytearray(whole)
        changed[offset] ^= 1 << chance.randrange(8)
        ledger.write_bytes(changed)
        report = verify(copied)
        if report.ok:
            missed.append(offset)
        elif not any(finding.serious and finding.file == ledger.name for finding in report.findings):
            unnamed.append(offset)
    assert (missed, unnamed) == ([], [])


@pytest.mark.parametrize("kept", [0, 100, 4096, 0.5, -1])
def test_a_ledger_cut_short_is_found(copied: RunFolder, kept: float) -> None:
    ledger = copied.ledger(NODE)
    whole = ledger.read_bytes()
    length = round(len(whole) * kept) if isinstance(kept, float) else (kept if kept >= 0 else len(whole) + kept)
    ledger.write_bytes(whole[:length])
    result = audit_run(copied)
    assert not result.ok
    assert any(finding.serious and finding.file == ledger.name for finding in result.findings)


def test_a_ledger_that_is_missing_is_found(copied: RunFolder) -> None:
    copied.ledger(NODE).unlink()
    assert not audit_run(copied).ok


def test_the_command_says_where_and_ends_with_code_1(copied: RunFolder) -> None:
    ledger = copied.ledger(NODE)
    changed = bytearray(ledger.read_bytes())
    changed[len(changed) // 2] ^= 1
    ledger.write_bytes(changed)
    told = gridbazaar("audit", copied.path)
    assert told.returncode == 1
    assert f"{ledger.name}" in told.stdout
    assert "WRONG" in told.stdout
    as_json = gridbazaar("audit", copied.path, "--json")
    assert as_json.returncode == 1
    value = json.loads(as_json.stdout)
    assert value["ok"] is False
    assert value["nodes"][NODE]["ok"] is False
    assert any(finding["file"] == ledger.name and finding["where"] for finding in value["findings"])
