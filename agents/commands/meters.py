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


@command.command(name="discover")
@click.argument("url", metavar="URL")
@click.option(
    "--seconds", type=click.FloatRange(min=0.5), default=20.0, show_default=True, help="How long to listen."
)
@click.option("--password-file", type=click.Path(dir_okay=False), help="A file with the broker's password.")
@click.option("--ca-file", type=click.Path(dir_okay=False), help="The certificate authority of a mqtts broker.")
@click.option("--certificate-file", type=click.Path(dir_okay=False), help="Your client certificate.")
@click.option("--key-file", type=click.Path(dir_okay=False), help="The key of your client certificate.")
@families_option
@json_option
def discover(
    url: str,
    seconds: float,
    password_file: str | None,
    ca_file: str | None,
    certificate_file: str | None,
    key_file: str | None,
    families_file: Path | None,
    as_json: bool,
) -> None:
    """Find meters on a broker and print the lines to paste.

    Listens to everything on URL, mqtt://user@host:port or mqtts://. The password comes from --password-file or
    from GRIDBAZAAR_BROKER_PASSWORD. It publishes nothing but the keep-alive that Victron devices need and the
    request for names that Sparkplug devices need.

    \b
    Example:
      gridbazaar meters discover mqtt://me@192.168.1.10 --password-file broker.password
    """
    from agents.meter_discovery import discover_on
    from agents.meter_pages import found_rows, found_toml
    from mosquitto.access import BrokerAccess
    from mosquitto.address import BrokerAddress, broker_password
    from mosquitto.errors import BrokerError

    try:
        address = BrokerAddress.parse(url)
        password = broker_password()
        if password_file is not None:
            password = Path(password_file).read_text(encoding="utf-8").strip()
    except (BrokerError, OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(error)) from None
    access = BrokerAccess(
        password=password,
        ca_file=Path(ca_file) if ca_file else None,
        certificate_file=Path(certificate_file) if certificate_file else None,
        key_file=Path(key_file) if key_file else None,
    )
    discovery = discover_on(address, access, _book(families_file), seconds)
    rows = found_rows(discovery)
    headings = ("family", "where", "messages", "power W", "import Wh", "export Wh")
    if as_json:
        meters = [dict(zip(headings, row, strict=True)) for row in rows]
        echo_json({"meters": meters, "toml": found_toml(discovery, url), "unknown": dict(discovery.unknown)})
        return
    echo_table(headings, rows, right=headings[2:])
    unknown = ", ".join(f"{start} ({count})" for start, count in discovery.unknown.most_common(10))
    click.echo(f"\nNot recognised: {unknown or 'nothing'}\n\n{found_toml(discovery, url)}", nl=False)


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
