"""What the reproductions rest on, small: each paper's numbers come out, and the files say so."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from agents import cli
from agents.reproduce import case_study, cui2022, green
from agents.reproduce.case_study_sentences import SENTENCES, price_at
from agents.reproduce.community import VARIANTS, live
from agents.reproduce.sharding import mean_times


@pytest.fixture(scope="module")
def runs() -> list[case_study.Run]:
    return [case_study.run(seed, "paper") for seed in range(4)]


def test_the_case_study_begins_at_0_024_and_reaches_0_046_at_noon(runs: list[case_study.Run]) -> None:
    assert price_at(runs, 0) == pytest.approx(0.024, abs=1e-9)
    assert price_at(runs, 12) == pytest.approx(0.046, abs=0.0015)


def test_most_sentences_of_the_case_study_hold_in_most_runs(runs: list[case_study.Run]) -> None:
    for sentence in SENTENCES:
        assert sum(map(sentence.holds, runs)) >= 2, sentence.words


def test_the_economically_sane_preset_does_not_bring_the_figures_out() -> None:
    """So the sentences do tell one reading from another."""
    other = [case_study.run(seed, "true-surplus") for seed in range(2)]
    held = [sum(sentence.holds(run) for sentence in SENTENCES) for run in other]
    assert max(held) <= 8


def test_runs_with_the_same_seed_are_equal(runs: list[case_study.Run]) -> None:
    assert case_study.run(1, "paper", steps=60) == runs[1][:60]


# Ten cycles of ten trades, alpha 0.4: worked out by hand to four digits.
HONEST = (0.44, 0.704, 0.8624, 0.9574, 1.0145, 1.0487, 1.0692, 1.0815, 1.0889, 1.0933)
DISHONEST = (0.2, 0.32, 0.392, 0.4352, 0.4611, 0.4767, 0.486, 0.4916, 0.495, 0.497)


def test_figure_4_has_the_course_of_the_honest_and_the_dishonest_provider() -> None:
    courses = list(cui2022.providers().values())
    assert courses[0] == pytest.approx(HONEST, abs=6e-5)
    assert courses[1] == pytest.approx(DISHONEST, abs=6e-5)


@pytest.mark.parametrize(
    ("trades", "general", "sharded"), [(50, 133, 84), (100, 263, 84), (200, 524, 141), (500, 1303, 251)]
)
def test_figure_5_has_the_known_times(trades: int, general: float, sharded: float) -> None:
    assert mean_times(trades, 300) == pytest.approx((general, sharded), rel=0.05)


def test_a_proxy_that_reports_wrongly_costs_its_shard_another_round() -> None:
    assert mean_times(100, 200, wrong_share=0.3)[1] > 1.2 * mean_times(100, 200)[1]


def test_every_line_of_the_green_tables_agrees() -> None:
    result = green.reproduce()
    assert result.disagreements == []
    assert sum(line.agrees is True for table in result.tables for line in table.lines) == 12


def test_trading_alone_changes_no_absorption_and_no_gap_and_costs_less() -> None:
    day = [datetime.date(2016, 6, 15)]
    alone, market, storage = (live(variant, day, 1, lambda: None) for variant in VARIANTS)
    assert market.local_absorption == alone.local_absorption
    assert market.gap_w == alone.gap_w
    assert market.total_cost_nano < alone.total_cost_nano
    assert storage.local_absorption > alone.local_absorption + 0.05


def test_the_command_writes_its_result_and_its_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["reproduce", "green", "--out", str(tmp_path), "--json"]) == cli.DONE
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "reproduction.json").read_text())
    assert [f"{printed['figures'][0]}"] == ["quotations.svg"]
    assert (tmp_path / "quotations.svg").read_text().startswith("<?xml")
    assert printed["differences"]


def test_an_unknown_paper_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["reproduce", "nobody1999"]) == cli.WRONG_USAGE
    assert "huang2022" in capsys.readouterr().err
