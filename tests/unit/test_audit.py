"""The audit of a whole run: nodes against each other at every height, whatever the state of their files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from small_market import run_small_market

from agents.audit import CheckMemory, audit_run, contradictions
from agents.run_folder import RunFolder
from ledger.application import Admitted, Refused


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_small_market(tmp_path_factory.mktemp("audit") / "run", periods=2)


@pytest.fixture
def run(sound: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(sound.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_sound_run_has_no_findings(sound: RunFolder) -> None:
    result = audit_run(sound)
    assert result.ok
    assert [finding for finding in result.findings if finding.serious] == []
    assert len({report.block_hash for report in result.nodes.values()}) == 1


@pytest.mark.parametrize("node", ["energy-bureau", "trading-center"])
def test_a_file_cut_short_is_one_nodes_trouble_and_the_audit_goes_on(run: RunFolder, node: str) -> None:
    path = run.ledger(node)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    result = audit_run(run)
    assert not result.nodes[node].ok
    assert all(report.ok for name, report in result.nodes.items() if name != node)
    assert result.contradictions == ()


def test_another_state_in_the_middle_of_a_chain_is_a_contradiction(sound: RunFolder) -> None:
    nodes = dict(audit_run(sound).nodes)
    report = nodes["grid-company"]
    places = dict(report.places)
    places[5] = (places[5][0], bytes(32))
    nodes["grid-company"] = replace(report, places=places)
    found = list(contradictions(nodes))
    assert len(found) == 1
    assert found[0].where == "block 5"
    assert "another state than" in found[0].problem


def test_a_signature_is_checked_once_and_a_refusal_every_time() -> None:
    memory = CheckMemory(entries_max=2)
    asked: list[bytes] = []

    def check(transaction: bytes) -> Admitted | Refused:
        asked.append(transaction)
        if transaction == b"bad":
            return Refused(reason="bad")
        return Admitted(id=transaction * 2, sender=b"who", valid_until_period=1, transaction=transaction)

    for _ in range(2):
        for transaction in (b"one", b"bad", b"two", b"three"):
            answer = memory.check(transaction, check)
            assert answer == check(transaction)
            asked.pop()
    assert asked == [b"one", b"bad", b"two", b"three", b"bad", b"three"]
    assert len(memory) == 2
