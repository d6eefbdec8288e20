"""The command line: help, exit codes, speed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agents import cli

ROOT = Path(__file__).parents[2]


def every_command() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli.gridbazaar)
    for name in cli.COMMANDS:
        command = cli.gridbazaar.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {part}", sub) for part, sub in command.commands.items())


COMMANDS = dict(every_command())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_that_names_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*name.split(), "--help"]) == cli.DONE
    page = capsys.readouterr().out
    assert "Example" in page
    assert f"gridbazaar {name}" in page.split("Example", 1)[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name: str) -> None:
    assert f"gridbazaar {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_overview_lists_every_command_with_a_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == cli.DONE
    page = capsys.readouterr().out
    for name in cli.COMMANDS:
        line = next(line for line in page.splitlines() if line.startswith(f"  {name} "))
        assert line.endswith("."), line
        assert not line.endswith("..."), line


def test_help_loads_no_heavy_library() -> None:
    program = (
        "import sys; from agents import cli; code = cli.run(['--help']);"
        "heavy = {'mesa', 'pandas', 'matplotlib', 'pvlib', 'numpy', 'pydantic', 'rich', 'scipy', 'paho'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "No such command 'fly'"),
        (["run"], "Missing argument 'SCENARIO'"),
        (["run", "scenario.toml", "--periods", "0"], "periods"),
        (["run", "/nowhere/scenario.toml"], "/nowhere/scenario.toml"),
        (["report", "/nowhere"], "/nowhere: no such folder"),
        (["audit", "/nowhere"], "/nowhere: no such folder"),
        (["ledger", "blocks", "/nowhere"], "/nowhere: no such folder"),
        (["node", "/nowhere", "a"], "/nowhere: no such folder"),
        (["agents", "/nowhere"], "/nowhere: no such folder"),
        (["devices", "/nowhere", "a"], "/nowhere: no such folder"),
    ],
)
def test_wrong_usage_ends_with_code_2_and_says_what_on_standard_error(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == cli.WRONG_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err


def test_a_wrong_scenario_is_named_with_file_key_and_value_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "wrong.toml"
    text = (ROOT / "scenarios/neighbourhood.toml").read_text(encoding="utf-8")
    scenario.write_text(text.replace("periods = 96", "periods = -4\nperoids = 96"), encoding="utf-8")
    out = tmp_path / "run"
    assert cli.run(["run", str(scenario), "--out", str(out), "--json"]) == cli.WRONG_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{scenario}: market.periods = -4" in captured.err
    assert "did you mean periods?" in captured.err
    assert not out.exists()


def test_a_run_never_writes_into_a_folder_that_holds_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    scenario = str(ROOT / "scenarios/neighbourhood.toml")
    assert cli.run(["run", scenario, "--out", str(tmp_path)]) == cli.WRONG_USAGE
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_reader_that_closes_the_pipe_is_no_failure(tmp_path: Path) -> None:
    book = tmp_path / "book.csv"
    rows = "".join(f"b{number},buy,1,1,0,east\n" for number in range(20_000))
    book.write_text(f"order_id,side,energy_wh,price_micro,issued_ms,region\n{rows}")
    command = [sys.executable, "-m", "agents", "clear", str(book)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == cli.DONE


def test_json_is_the_only_thing_on_standard_output(tmp_path: Path) -> None:
    book = tmp_path / "book.csv"
    book.write_text("order_id,side,energy_wh,price_micro,issued_ms,region\nb,buy,1,1,0,east\n")
    command = [sys.executable, "-m", "agents", "clear", str(book), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == ""
    assert json.loads(done.stdout) == {"trades": [], "unmatched": [{"order_id": "b", "energy_wh": 1}]}
