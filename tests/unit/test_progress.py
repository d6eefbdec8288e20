"""The progress line and the summary."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from synthetic_run import record_day

from agents.progress import LiveFigures, ProgressDisplay
from agents.report import write_report
from agents.run_options import NodeResult, RunResult
from agents.summary import print_summary

FIGURES = LiveFigures(
    periods_settled=95, price_micro=177_234, energy_wh=310_700, trades=3_168, height=684, latency_ms=48.0
)


def test_all_figures_fit_into_a_terminal_of_80_columns() -> None:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    with ProgressDisplay(96, enabled=True, console=console) as display:
        display.stage("market open")
        display.show(FIGURES)
    last = [line for line in text.getvalue().replace("\r", "\n").splitlines() if "684" in line][-1]
    for words in ("market open", "95/96", "0.1772 EUR/kWh", "310.7 kWh", "block 684", "commit 48 ms"):
        assert words in last


def test_a_display_that_is_off_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(96, enabled=False) as display:
        display.stage("market open")
        display.show(FIGURES)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_the_summary_fits_one_screen_and_names_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = record_day(tmp_path / "run", homes=4, periods=8)
    write_report(folder)
    result = RunResult(
        folder=folder.path,
        periods_settled=8,
        trades=3,
        energy_wh=900,
        seconds=12.34,
        nodes={"energy-bureau": NodeResult(height=16, state_root="ab" * 32)},
    )
    print_summary(result)
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 24
    assert str(folder.report_html) in out
    assert "Done after 12.3 s: 8 periods settled, 3 trades." in out
    assert "energy traded" in out


def test_a_summary_without_evaluation_still_says_how_the_run_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(
        RunResult(folder=tmp_path, periods_settled=0, trades=0, energy_wh=0, seconds=1.0, interrupted=True)
    )
    out = capsys.readouterr().out
    assert "Stopped after 1.0 s: 0 periods settled" in out
    assert f"gridbazaar report {tmp_path}" in out
