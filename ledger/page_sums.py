"""A signed hash of every page of a ledger file that was closed cleanly, in `<file>.sums`.

The chain's own hashes cover what is read as blocks. A database file also has free pages, unused bytes in
pages, and rows that nobody certifies. With these sums one flipped byte anywhere is found, and the page
and table it belongs to are named. The sums are the node's own statement: they show that a file is as its
node left it, and nothing about what the node wrote.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import tables
from mosquitto.codec import STORE_LIMITS, decode, encode
from mosquitto.errors import CodecError
from mosquitto.keys import KeyPair, verify

PAGE_BYTES: Final = 4096
SUM_BYTES: Final = 16
VERSION: Final = 1
DOMAIN: Final = "gridbazaar/page-sums"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSumsResult:
    """What the check found: who signed the sums (None if nobody did), and each problem in a sentence."""

    signer: bytes | None
    pages: int
    problems: tuple[str, ...]


def sums_path(ledger: Path) -> Path:
    """The file of sums of a ledger file."""
    return ledger.with_name(ledger.name + ".sums")


def write_page_sums(path: Path, chain_id: str, key: KeyPair) -> None:
    """Sum up a closed ledger file. The sums appear whole or not at all."""
    length = path.stat().st_size
    sums = b"".join(_page_sums(path))
    signature = key.sign(_signed(chain_id, length, sums))
    target = sums_path(path)
    draft = target.with_name(target.name + ".new")
    with draft.open("wb") as file:
        file.write(encode((VERSION, chain_id, key.public, length, PAGE_BYTES, sums, signature)))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)


def check_page_sums(path: Path) -> PageSumsResult:
    """Compare a ledger file with its sums. Changes nothing; never raises for what the files hold."""
    name = sums_path(path).name
    try:
        value = decode(sums_path(path).read_bytes(), STORE_LIMITS)
    except (OSError, CodecError) as error:
        return PageSumsResult(signer=None, pages=0, problems=(f"{name} cannot be read: {error}",))
    match value:
        case (int(version), str(chain_id), bytes(signer), int(length), int(size), bytes(sums), bytes(signature)):
            pass
        case _:
            return PageSumsResult(signer=None, pages=0, problems=(f"{name} is not a file of page sums",))
    if version != VERSION or size != PAGE_BYTES or not 0 <= length < 2**63:
        return PageSumsResult(signer=None, pages=0, problems=(f"{name} is of an unknown version",))
    if not verify(signer, _signed(chain_id, length, sums), signature):
        return PageSumsResult(signer=None, pages=0, problems=(f"{name}: its signature does not hold",))
    problems: list[str] = []
    if (found := path.stat().st_size) != length:
        problems.append(f"the file has {found} bytes, {length} were signed")
    expected = [sums[start : start + SUM_BYTES] for start in range(0, len(sums), SUM_BYTES)]
    for number, (page_sum, kept) in enumerate(zip(_page_sums(path), expected, strict=False), start=1):
        if page_sum != kept:
            problems.append(
                f"page {number} (bytes {(number - 1) * PAGE_BYTES} on, {page_owner(path, number)}) has changed"
            )
    return PageSumsResult(signer=signer, pages=len(expected), problems=tuple(problems))


def page_owner(path: Path, number: int) -> str:
    """What a page of the file is used for, as far as the (perhaps damaged) file still says."""
    if number == 1:
        return "the file header and schema"
    try:
        connection = tables.open_read_only(path, immutable=True)
        try:
            row = connection.execute("SELECT name FROM dbstat WHERE pageno = ?", (number,)).fetchone()
        finally:
            connection.close()
    except (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError):
        return "owner unknown"
    if row is None:
        return "a free page"
    return f"table {row[0]}" if row[0] in tables.TABLES else f"index {row[0]}"


def _signed(chain_id: str, length: int, sums: bytes) -> bytes:
    return encode((DOMAIN, VERSION, chain_id, length, PAGE_BYTES, hashlib.blake2b(sums, digest_size=32).digest()))


def _page_sums(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while page := file.read(PAGE_BYTES):
            yield hashlib.blake2b(page, digest_size=SUM_BYTES, person=b"gb-ledger-page").digest()
