"""`gridbazaar meters`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from agents import cli
from agents.scenario_text import to_toml
from devices.meter_families import FamilyBook

MESSAGES = Path(__file__).parents[1] / "meter_messages.jsonl"


def test_meters_test_answers_one_line_for_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["meters", "test", str(MESSAGES), "--json"]) == cli.DONE
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == len(MESSAGES.read_text(encoding="utf-8").splitlines())
    assert all(set(answer) == {"family", "power_w", "import_wh", "export_wh", "quality"} for answer in answers)


def test_a_family_nobody_knows_does_not_end_the_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text('{"topic": "a", "payload": "1", "family": "abacus"}\n\n{"topic": null, "payload": ""}\n')
    assert cli.run(["meters", "test", str(path), "--json"]) == cli.DONE
    assert [json.loads(line)["quality"] for line in capsys.readouterr().out.splitlines()] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"topic": "a"}', '{"topic": 1, "payload": ""}', '{"payload_hex": "x"}']
)
def test_a_line_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"topic": "a", "payload": "1"}\n' + line + "\n")
    assert cli.run(["meters", "test", str(path)]) == cli.WRONG_USAGE
    assert f"{path}:2" in capsys.readouterr().err


@pytest.mark.parametrize("name", FamilyBook.load().names())
def test_a_shown_family_can_be_put_into_a_file_of_one_s_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert cli.run(["meters", "show", name]) == cli.DONE
    values = tomllib.loads(capsys.readouterr().out)
    values["family"][0]["name"] = "mine"
    path = tmp_path / "mine.toml"
    path.write_text(to_toml({"family": values["family"]}), encoding="utf-8")
    mine = FamilyBook.load(path).tables["mine"]
    assert mine.model_copy(update={"name": name}) == FamilyBook.load().tables[name]


def test_all_families_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["meters", "show", "--json"]) == cli.DONE
    rows = json.loads(capsys.readouterr().out)
    assert [row["family"] for row in rows] == FamilyBook.load().names()
    assert cli.run(["meters", "show", "abacus"]) == cli.WRONG_USAGE
    assert "expected one of" in capsys.readouterr().err
