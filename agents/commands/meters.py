"""`gridbazaar meters`: what meters say, before anybody is billed by it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from agents.commands.common import echo_json, echo_table, json_option
from agents.errors import ConfigurationError

if TYPE_CHECKING:
    from devices.meter_families import FamilyBook

families_option = click.option(
    "--families",
    "families_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file with [[family]] tables of your own.",
)


@click.group(name="meters")
def command() -> None:
    """Look at real meters: test messages, show families, find meters.

    \b
    Example:
      gridbazaar meters show tasmota-total
    """


@command.command(name="show")
@click.argument("family", required=False)
@families_option
@json_option
def show(family: str | None, families_file: Path | None, as_json: bool) -> None:
    """Show what a family reads and where; without FAMILY, list all.

    \b
    Examples:
      gridbazaar meters show
      gridbazaar meters show shelly-gen2-em
    """
    from agents.meter_pages import family_page, family_rows
    from devices.errors import MeterConfigError

    book = _book(families_file)
    if family is None:
        rows = family_rows(book)
        if as_json:
            echo_json([dict(zip(("family", "group", "title"), row, strict=True)) for row in rows])
        else:
            echo_table(("family", "group", "title"), rows)
        return
    try:
        members = book.members(family)
    except MeterConfigError as error:
        raise ConfigurationError(str(error)) from None
    if as_json:
        echo_json([member.model_dump(by_alias=True, exclude_defaults=True) for member in members])
    else:
        click.echo("\n".join(family_page(member) for member in members), nl=False)


@command.command(name="test")
@click.argument("samples", type=click.Path(path_type=Path, allow_dash=True), metavar="SAMPLES.jsonl")
@families_option
@json_option
def test(samples: Path, families_file: Path | None, as_json: bool) -> None:
    """Say what recorded messages mean, one line in, one line out.

    A line of SAMPLES.jsonl is {"topic": ..., "payload": "..."}, with "family" when it is known, and
    "payload_hex" in place of "payload" where the payload is binary. Registers come out in Wh, power in W with
    import positive; what a message does not hold is null. - reads standard input.

    \b
    Example:
      gridbazaar meters test samples.jsonl --json
    """
    from devices.errors import MeterConfigError
    from devices.message_check import UNKNOWN, MessageCheck, check_message

    book = _book(families_file)
    checks = []
    for topic, payload, family in _lines(samples):
        try:
            check = check_message(book, topic, payload, family)
        except MeterConfigError:
            check = MessageCheck(family=UNKNOWN, power_w=None, import_wh=None, export_wh=None, quality=UNKNOWN)
        if as_json:
            echo_json(check.to_json())
        checks.append((topic or "-", *("-" if value is None else value for value in check.to_json().values())))
    if not as_json:
        headings = ("topic", "family", "power W", "import Wh", "export Wh", "quality")
        echo_table(headings, checks, right=headings[2:5])


def _book(families_file: Path | None) -> FamilyBook:
    from devices.errors import MeterConfigError
    from devices.meter_families import FamilyBook

    try:
        return FamilyBook.load(*([families_file] if families_file else []))
    except MeterConfigError as error:
        raise ConfigurationError(str(error)) from None


def _lines(path: Path) -> Iterator[tuple[str | None, bytes | str, str | None]]:
    """Topic, payload and family of each line. Raises ConfigurationError that names the line at fault."""
    try:
        with sys.stdin if str(path) == "-" else path.open(encoding="utf-8") as file:
            yield from _read_lines(path, file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}; expected a file of JSON lines") from None


def _read_lines(path: Path, file: TextIO) -> Iterator[tuple[str | None, bytes | str, str | None]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{where}: not JSON: {error}") from None
        if not isinstance(value, dict):
            raise ConfigurationError(f'{where}: expected {{"topic": ..., "payload": ...}}, was {line.strip():.60}')
        topic, family = value.get("topic"), value.get("family")
        payload: object = value.get("payload")
        if isinstance(value.get("payload_hex"), str):
            try:
                payload = bytes.fromhex(value["payload_hex"])
            except ValueError:
                raise ConfigurationError(f"{where}: payload_hex is not hexadecimal") from None
        if isinstance(payload, dict | list | int | float):
            payload = json.dumps(payload)
        if not isinstance(payload, str | bytes):
            raise ConfigurationError(f"{where}: payload = {payload!r:.60}; expected a text")
        for key, text in (("topic", topic), ("family", family)):
            if text is not None and not isinstance(text, str):
                raise ConfigurationError(f"{where}: {key} = {text!r:.60}; expected a text")
        yield topic, payload, family
