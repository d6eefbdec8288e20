"""Logs as JSON lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.logging_setup import JsonLines, configure_logging


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "logs" / "node.jsonl"
    root = logging.getLogger()
    level = root.level
    configure_logging("node", path, replica=2)
    yield path
    for handler in list(root.handlers):
        if isinstance(handler.formatter, JsonLines):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_holds_the_event_its_fields_and_the_components_own(log_file: Path) -> None:
    logging.getLogger("ledger.driver").info("block executed", extra={"fields": {"height": 12, "view": 0}})
    (line,) = lines(log_file)
    assert line["event"] == "block executed"
    assert (line["component"], line["replica"], line["height"], line["view"]) == ("node", 2, 12, 0)
    assert (line["level"], line["logger"]) == ("info", "ledger.driver")


def test_a_field_cannot_hide_the_event_and_odd_values_stay_readable(log_file: Path) -> None:
    fields = {"event": "forged", "signer": b"\xab" * 32, "path": Path("x"), "counts": {"a": (1, b"\x01")}}
    logging.getLogger("x").warning("message refused", extra={"fields": fields})
    (line,) = lines(log_file)
    assert (line["event"], line["event_"]) == ("message refused", "forged")
    assert line["signer"] == "ab" * 8
    assert line["counts"] == {"a": [1, "01"]}


def test_an_exception_stays_on_one_line(log_file: Path) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("handler failed")
    (line,) = lines(log_file)
    assert "ValueError: two\nlines" in str(line["exception"])


def test_configuring_again_does_not_write_each_line_twice(log_file: Path) -> None:
    configure_logging("node", log_file, replica=2)
    logging.getLogger("x").info("once")
    assert len(lines(log_file)) == 1
