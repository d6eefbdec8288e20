"""A run that nobody disturbs: what it prints, what it leaves, and that its tables agree with each other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from run_harness import NODES, Ended, LiveRun, assert_audit_is_green, assert_ended_well, gridbazaar

pytestmark = pytest.mark.e2e

PERIODS = 8
Finished = tuple[LiveRun, Ended]


def total(rows: list[dict[str, str]], column: str) -> int:
    return sum(int(row[column]) for row in rows)


def of_period(rows: list[dict[str, str]], period: str) -> list[dict[str, str]]:
    return [row for row in rows if row["period"] == period]


def test_a_run_ends_with_one_json_object_of_exactly_the_promised_keys(finished: Finished) -> None:
    _, ended = finished
    result = assert_ended_well(ended, PERIODS)
    assert list(result) == ["periods_settled", "trades", "energy_wh", "nodes", "violations", "seconds"]
    for node in result["nodes"].values():
        assert set(node) == {"height", "state_root"}
        assert re.fullmatch("[0-9a-f]{64}", node["state_root"])
    assert result["trades"] > 0
    assert result["energy_wh"] > 0
    assert ended.output.count("\n") == 1
    assert ended.errors == ""


def test_a_run_leaves_every_file_that_the_folder_promises(finished: Finished) -> None:
    run, _ = finished
    folder = run.folder
    files = [folder.scenario, folder.deployment, folder.kpis_json, folder.report_html, folder.result_json]
    files += [folder.periods_csv, folder.trades_csv, folder.settlements_csv, folder.agents_csv]
    files += [folder.ledger(node) for node in NODES]
    files += [folder.log(part) for part in (*NODES, "agents", "devices-north", "devices-south", "runner")]
    assert [path.name for path in files if not path.is_file() or not path.stat().st_size] == []
    assert json.loads(folder.result_json.read_text()) == json.loads(finished[1].output)
    said = {path.name: path.read_text() for path in folder.logs.glob("*.out") if path.stat().st_size}
    assert said == {}, "a part wrote to its standard output or standard error"


def test_nothing_of_a_run_lives_on_after_its_end(finished: Finished) -> None:
    run, _ = finished
    assert run.processes() == {}


def test_no_part_of_an_undisturbed_run_fails_or_is_refused_anything(finished: Finished) -> None:
    run, _ = finished
    for part in (*NODES, "agents", "devices-north", "devices-south", "runner"):
        lines = run.log(part)
        assert [line for line in lines if line["level"] == "error"] == []
        assert [line for line in lines if line["event"] in ("message refused", "part started again")] == []
    for node in NODES:
        last = run.log(node)[-1]
        assert last["event"] == "node stopped"
        # On a busy machine a client hears nothing for a while and sends again: that is no fault.
        assert set(last["refused"]) <= {"replayed", "executed before"}
        assert last["evidence_count"] == 0
        assert last["halted"] == ""


def test_periods_and_trades_and_settlements_add_up(finished: Finished) -> None:
    run, ended = finished
    periods, trades, settlements = run.rows("periods"), run.rows("trades"), run.rows("settlements")
    assert [int(row["period"]) for row in periods] == list(range(PERIODS))
    assert ended.result["trades"] == len(trades)
    assert ended.result["energy_wh"] == total(trades, "energy_wh")
    for row in periods:
        traded, paid = of_period(trades, row["period"]), of_period(settlements, row["period"])
        assert int(row["trades"]) == len(traded)
        assert int(row["traded_wh"]) == total(traded, "energy_wh") == total(paid, "bought_wh")
        # What the regulator's standing ask sold stands in no participant's row.
        own = [trade for trade in traded if trade["sell_order"] != "0"]
        assert total(own, "energy_wh") == total(paid, "sold_wh")
        worth = sum(int(trade["energy_wh"]) * int(trade["price_micro"]) for trade in traded)
        assert int(row["traded_value_nano"]) == worth == total(paid, "bought_nano")
        fees = sum(int(trade["energy_wh"]) * int(trade["fee_micro"]) for trade in traded)
        assert int(row["fee_nano"]) == fees == total(paid, "fee_nano")
        for column in ("import_wh", "export_wh", "penalty_nano", "reward_nano"):
            assert int(row[column]) == total(paid, column)


def test_every_account_is_settled_each_period_and_its_balance_follows(finished: Finished) -> None:
    run, _ = finished
    settlements = run.rows("settlements")
    accounts = {entry.name for entry in run.deployment().participants}
    balances: dict[str, int] = {}
    for period in range(PERIODS):
        paid = of_period(settlements, str(period))
        assert {row["account"] for row in paid} == accounts
        assert len(paid) == len(accounts)
        for row in paid:
            before = balances.get(row["account"])
            now = int(row["balance_nano"])
            if before is not None:
                assert now == before + int(row["net_nano"]), row
            balances[row["account"]] = now
            metered_wh = int(row["export_wh"]) - int(row["import_wh"])
            assert int(row["metered_wh"]) == metered_wh
            assert int(row["imbalance_wh"]) == metered_wh - int(row["sold_wh"]) + int(row["bought_wh"])
    agents = of_period(run.rows("agents"), str(PERIODS - 1))
    assert {row["account"]: int(row["balance_nano"]) for row in agents} == balances


def test_the_audit_finds_nothing_and_the_same_chain_in_each_ledger(finished: Finished) -> None:
    run, ended = finished
    nodes = assert_audit_is_green(run.folder.path)
    told = {name: (node["height"], node["state_root"]) for name, node in ended.result["nodes"].items()}
    assert {name: (node["height"], node["state_root"]) for name, node in nodes.items()} == told


def test_the_report_can_be_written_again_and_says_the_same(finished: Finished, tmp_path: Path) -> None:
    run, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(run.folder.path, copy)
    for name in ("kpis.json", "report.html"):
        (copy / name).unlink()
    report = gridbazaar("report", copy)
    assert report.returncode == 0, report.stderr
    assert (copy / "report.html").stat().st_size > 10_000
    assert json.loads((copy / "kpis.json").read_text()) == json.loads(run.folder.kpis_json.read_text())
