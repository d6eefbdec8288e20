"""`ledger proof` and `ledger verify`: proofs from a ledger file, checked with the committee's keys alone."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_market import run_small_market

from agents.cli import gridbazaar
from agents.genesis import committee_of
from agents.run_folder import RunFolder
from ledger.reader import LedgerReader


def invoke(*arguments: object) -> tuple[int, str]:
    outcome = CliRunner().invoke(gridbazaar, [str(argument) for argument in arguments], standalone_mode=False)
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    code = outcome.return_value if isinstance(outcome.return_value, int) else outcome.exit_code
    return code, outcome.output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = run_small_market(tmp_path_factory.mktemp("proofs") / "run", periods=2)
    folder.committee.write_text(committee_of(folder.read_deployment()).to_json())
    return folder


def some_ids(run: RunFolder) -> list[str]:
    with closing(LedgerReader.open(run.ledger("notary-office"))) as reader:
        return [
            block.ids[-1].hex()
            for height in range(1, reader.last_height + 1)
            if (block := reader.block(height)) is not None and block.ids
        ]


@pytest.fixture
def proof(run: RunFolder) -> dict[str, Any]:
    code, text = invoke("ledger", "proof", run.path, some_ids(run)[3])
    assert code == 0
    value: dict[str, Any] = json.loads(text)
    return value


def test_a_proof_from_a_ledger_file_holds_far_from_the_run(run: RunFolder, tmp_path: Path) -> None:
    committee = shutil.copy(run.committee, tmp_path / "committee.json")
    for transaction_id in some_ids(run)[:6]:
        code, text = invoke("ledger", "proof", run.path, transaction_id, "--json")
        assert code == 0
        (tmp_path / "proof.json").write_text(text)
        code, text = invoke("ledger", "verify", tmp_path / "proof.json", "--committee", committee, "--json")
        verdict = json.loads(text)
        assert (code, verdict["valid"], verdict["transaction_id"]) == (0, True, transaction_id)
        assert len(verdict["certified_by"]) == 3


def test_a_proof_that_does_not_hold_ends_with_code_1_and_says_why(
    run: RunFolder, proof: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(proof | {"index": proof["index"] + 1}))
    code, text = invoke("ledger", "verify", path, "--committee", run.committee)
    assert code == 1
    assert "does not hold" in text


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"format": 1, "format": 2}', "1" * 5_000])
def test_a_file_that_is_no_proof_ends_with_code_1(run: RunFolder, tmp_path: Path, text: str) -> None:
    path = tmp_path / "proof.json"
    path.write_text(text)
    code, output = invoke("ledger", "verify", path, "--committee", run.committee, "--json")
    assert code == 1
    assert json.loads(output)["valid"] is False


def test_another_committee_does_not_certify_it(run: RunFolder, proof: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "proof.json").write_text(json.dumps(proof))
    members = json.loads(run.committee.read_text())
    members["members"].reverse()
    (tmp_path / "committee.json").write_text(json.dumps(members))
    code, _ = invoke("ledger", "verify", tmp_path / "proof.json", "--committee", tmp_path / "committee.json")
    assert code == 1


def test_a_proof_runs_on_to_a_later_block(run: RunFolder, tmp_path: Path) -> None:
    code, text = invoke("ledger", "proof", run.path, some_ids(run)[2], "--until", 8)
    assert code == 0
    assert json.loads(text)["certificate"]["sequence"] == 8
    (tmp_path / "proof.json").write_text(text)
    assert invoke("ledger", "verify", tmp_path / "proof.json", "--committee", run.committee)[0] == 0


def test_wrong_use_says_what_would_be_right(run: RunFolder, tmp_path: Path) -> None:
    from agents.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="not in this ledger"):
        invoke("ledger", "proof", run.path, "00" * 32)
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        invoke("ledger", "proof", run.path, "xyz")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        invoke("ledger", "verify", tmp_path / "none.json", "--committee", run.committee)
    (tmp_path / "committee.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="members"):
        invoke("ledger", "verify", tmp_path / "none.json", "--committee", tmp_path / "committee.json")
