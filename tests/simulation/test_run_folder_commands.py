"""`audit` and `ledger` on the folder of a small whole run with four real ledgers."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from small_market import run_small_market

from agents import cli
from agents.run_folder import RunFolder
from agents.tables import Table

NODES = ("energy-bureau", "grid-company", "notary-office", "trading-center")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_small_market(tmp_path_factory.mktemp("finished") / "run", periods=4)


@pytest.fixture
def folder(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy that a test may damage."""
    shutil.copytree(finished.path, tmp_path / "run")
    return RunFolder.open(tmp_path / "run")


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = cli.DONE) -> dict[str, object]:
    assert cli.run([*arguments, "--json"]) == code
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_an_untouched_run_verifies_and_its_nodes_agree(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in finished.ledgers.iterdir()}
    result = as_json(capsys, "audit", str(finished.path))
    assert result["ok"] is True
    assert result["findings"] == []
    nodes = result["nodes"]
    assert isinstance(nodes, dict)
    assert set(nodes) == set(NODES)
    assert len({(node["height"], node["state_root"]) for node in nodes.values()}) == 1
    assert all(node["transactions"] > 50 for node in nodes.values())
    assert {path: path.read_bytes() for path in finished.ledgers.iterdir()} == before


def test_two_runs_of_one_seed_have_the_same_chain(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = run_small_market(tmp_path / "again", periods=4)
    assert again.trades_csv.read_bytes() == finished.trades_csv.read_bytes()
    assert again.settlements_csv.read_bytes() == finished.settlements_csv.read_bytes()
    first, second = (as_json(capsys, "audit", str(folder.path))["nodes"] for folder in (finished, again))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["energy-bureau"]["state_root"] == second["energy-bureau"]["state_root"]


@pytest.mark.parametrize("place", [0.02, 0.31, 0.5, 0.77, 0.99])
def test_one_flipped_byte_is_found_and_its_file_named(
    folder: RunFolder, capsys: pytest.CaptureFixture[str], place: float
) -> None:
    path = folder.ledger("notary-office")
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    path.write_bytes(data)
    result = as_json(capsys, "audit", str(folder.path), code=cli.WORK_FAILED)
    findings = result["findings"]
    assert isinstance(findings, list)
    assert {finding["file"] for finding in findings if finding["serious"]} == {path.name}
    assert any("page" in finding["where"] or "page" in finding["problem"] for finding in findings)


def test_a_changed_state_root_a_missing_ledger_and_a_foreign_one_are_named(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = sqlite3.connect(folder.ledger("grid-company"))
    connection.execute("DELETE FROM transactions WHERE height = 3")
    connection.commit()
    connection.close()
    folder.ledger("trading-center").unlink()
    folder.ledger("notary-office").write_bytes(b"not a ledger at all")
    assert cli.run(["audit", str(folder.path)]) == cli.WORK_FAILED
    out = capsys.readouterr().out
    for name in (
        "grid-company.sqlite: block 3",
        "trading-center.sqlite: the file",
        "notary-office.sqlite: the file",
    ):
        assert f"WRONG: {name}" in out
    assert "energy-bureau.sqlite" not in out


def test_an_audit_against_another_genesis_or_other_keys_fails(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    text = folder.deployment.read_text()
    folder.deployment.write_text(text.replace('"retail_micro": 300000', '"retail_micro": 300001'))
    assert cli.run(["audit", str(folder.path)]) == cli.WORK_FAILED
    assert "genesis is not that of chain" in capsys.readouterr().out
    deployment = json.loads(text)
    deployment["committee"][0]["public_key"] = deployment["committee"][1]["public_key"]
    folder.deployment.write_text(json.dumps(deployment))
    assert cli.run(["audit", str(folder.path)]) == cli.WRONG_USAGE
    assert "deployment.json" in capsys.readouterr().err


def test_blocks_transactions_and_accounts_can_be_followed(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(finished.path)
    listed = as_json(capsys, "ledger", "blocks", run, "--last", "1000")
    blocks = listed["blocks"]
    assert isinstance(blocks, list)
    assert [block["height"] for block in blocks] == list(range(1, len(blocks) + 1))
    assert all(len(block["certified_by"]) >= 3 for block in blocks)
    assert all(earlier["block_hash"] == later["previous_hash"] for earlier, later in itertools.pairwise(blocks))
    order_height = Table.read(finished.orders_csv).integers("height")[0]
    inside = as_json(capsys, "ledger", "blocks", run, "--height", str(order_height))["transactions"]
    assert isinstance(inside, list)
    order = next(transaction for transaction in inside if transaction["kind"] == "PlaceOrder")
    shown = as_json(capsys, "ledger", "tx", run, order["id"], "--node", "notary-office")
    assert shown == order
    assert shown["receipt"] == {"code": "OK", "reason": "Done.", "detail": order["receipt"]["detail"]}
    account = as_json(capsys, "ledger", "account", run, order["signer"])
    assert account["name"] == order["signer"]
    assert account["status"] == "approved"
    settlements = Table.read(finished.settlements_csv)
    last = [place for place, name in enumerate(settlements.texts("account")) if name == order["signer"]][-1]
    assert account["free_nano"] == settlements.integers("balance_nano")[last]
    by_key = as_json(capsys, "ledger", "account", run, str(account["key"]))
    assert by_key == account


def test_a_person_reads_the_same_in_tables(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(finished.path)
    assert cli.run(["ledger", "blocks", run, "--height", "4"]) == cli.DONE
    out = capsys.readouterr().out
    transaction_id = out.strip().splitlines()[-1].split()[0]
    assert cli.run(["ledger", "tx", run, transaction_id]) == cli.DONE
    assert "valid_until_period" in capsys.readouterr().out
    assert cli.run(["ledger", "account", run, "hydro"]) == cli.DONE
    assert "reputation_ppm" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tx", "zz"], "expected 64 hexadecimal digits"),
        (["tx", "00" * 32], "has none with this id"),
        (["account", "nobody"], "nobody is called that"),
        (["account", "00" * 32], "has none at height"),
        (["blocks", "--height", "100000"], "has no such block; expected 1 to"),
        (["blocks", "--node", "bank"], "expected one of energy-bureau"),
    ],
)
def test_what_is_not_there_is_said(
    finished: RunFolder, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    command, *rest = arguments
    assert cli.run(["ledger", command, str(finished.path), *rest]) == cli.WRONG_USAGE
    assert words in capsys.readouterr().err
