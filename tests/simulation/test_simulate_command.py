"""`gridbazaar simulate`: what it prints, and that processes change nothing."""

from __future__ import annotations

import json

import pytest

from agents.cli import run
from ledger.core import Core
from ledger.effects import Broadcast
from ledger.messages import Message, Signed
from ledger.records import NO_SEQUENCE

KEYS = [
    "seeds",
    "events",
    "messages",
    "view_changes",
    "crashes",
    "partitions",
    "byzantine_acts",
    "violations",
    "seconds",
]


def simulate(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    code = run(["simulate", *words, "--json"])
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return code, value


def test_the_report_has_its_keys_and_the_faults_have_happened(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = simulate(capsys, "--seeds", "6", "--storm-seconds", "10", "--jobs", "1")
    assert code == 0
    assert list(report) == KEYS
    assert report["seeds"] == 6
    assert report["violations"] == []
    for what in ("events", "messages", "view_changes", "crashes", "partitions", "byzantine_acts"):
        count = report[what]
        assert isinstance(count, int)
        assert count > 0, what


def test_two_processes_find_what_one_finds(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--seeds", "6", "--first-seed", "40", "--storm-seconds", "3", "--n", "4")
    _, one = simulate(capsys, *words, "--jobs", "1")
    _, two = simulate(capsys, *words, "--jobs", "2")
    assert {**one, "seconds": 0} == {**two, "seconds": 0}


def test_a_violation_is_printed_with_its_seed_and_shortest_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def vote(core: Core, message: Message, kind: int, view: int, sequence: int = NO_SEQUENCE) -> Signed:
        signed = core.sign(message)
        core.emit(Broadcast(signed=signed))
        return signed

    monkeypatch.setattr(Core, "vote", vote)
    code = run(
        ["simulate", "--seeds", "1", "--first-seed", "39", "--n", "4", "--storm-seconds", "8", "--jobs", "1"]
    )
    printed = capsys.readouterr().out
    assert code == 1
    assert "VIOLATION: seed 39, 4 replicas: votes: replica 0 contradicts itself" in printed
    assert "Shortest run found in " in printed
    assert "crashes" in printed.partition("Shortest run")[2]
