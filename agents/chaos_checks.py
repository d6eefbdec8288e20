"""What must hold after chaos, read from files alone: the load's own record, and every node's ledger."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.deployment import Deployment
from agents.errors import WorkError
from agents.run_folder import RunFolder
from ledger.errors import LedgerError
from ledger.reader import LedgerReader
from mosquitto.codec import decode

NAMED_MAX: Final = 5
"""So many orders are named in a broken promise; the rest are counted."""

Place = tuple[int, int, int]
"""Height, code and detail of an executed transaction."""


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One line of `load.csv`. `receipt_ms` None: no agreed receipt came; height 0: refused before a block."""

    tx_id: bytes
    sent_ms: int
    receipt_ms: int | None
    place: Place | None


@dataclass(frozen=True, slots=True)
class NodeChain:
    """What one ledger file holds: where each transaction stands, and which heights a snapshot skipped."""

    places: Mapping[bytes, tuple[Place, ...]]
    heights: frozenset[int]
    last_height: int
    evidence: int


def read_load(path: Path) -> list[LoadRow]:
    """The load's record. Raises WorkError when there is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_row(row) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise WorkError(f"{path}: cannot be read: {error}") from None


def _row(row: Mapping[str, str]) -> LoadRow:
    answered = row["receipt_ms"] != ""
    return LoadRow(
        tx_id=bytes.fromhex(row["tx_id"]),
        sent_ms=int(row["sent_ms"]),
        receipt_ms=int(row["receipt_ms"]) if answered else None,
        place=(int(row["height"]), int(row["code"]), int(row["detail"])) if answered else None,
    )


def read_chain(path: Path) -> NodeChain:
    """All transactions of a ledger file with their receipts. Raises WorkError when it cannot be read."""
    try:
        reader = LedgerReader.open(path)
    except LedgerError as error:
        raise WorkError(str(error)) from None
    places: dict[bytes, tuple[Place, ...]] = {}
    heights = set()
    try:
        last = reader.last_height
        for height in range(1, last + 1):
            stored = reader.block(height)
            if stored is None:
                continue
            heights.add(height)
            for tx_id, receipt in zip(stored.ids, stored.receipts, strict=True):
                match decode(receipt):
                    case (int(code), int(detail)):
                        places[tx_id] = (*places.get(tx_id, ()), (height, code, detail))
        evidence = len(reader.evidence())
    except LedgerError as error:
        raise WorkError(str(error)) from None
    finally:
        reader.close()
    return NodeChain(places, frozenset(heights), last, evidence)


def read_chains(folder: RunFolder, deployment: Deployment) -> dict[str, NodeChain]:
    """Every node's chain."""
    return {member.name: read_chain(folder.ledger(member.name)) for member in deployment.committee}


def broken_receipts(rows: Sequence[LoadRow], chains: Mapping[str, NodeChain], threshold: int) -> Iterator[str]:
    """Agreed receipts that the chain does not bear out.

    Each must stand in the chain exactly once, in the block and with the result that the receipt named, in
    every ledger that holds this block, and `threshold` ledgers must hold it.
    """
    lost: list[LoadRow] = []
    other: list[LoadRow] = []
    rare: list[LoadRow] = []
    for row in rows:
        if row.place is None or row.place[0] == 0:
            continue
        holders = [chain for chain in chains.values() if row.place[0] in chain.heights]
        found = [chain.places.get(row.tx_id, ()) for chain in holders]
        if any(not places for places in found):
            lost.append(row)
        elif any(places != (row.place,) for places in found):
            other.append(row)
        elif len(holders) < threshold:
            rare.append(row)
    for what, wrong in (
        ("with f + 1 equal receipts are missing in a ledger that has their block", lost),
        ("stand in a ledger twice, elsewhere or with another result than f + 1 nodes receipted", other),
        (f"with f + 1 equal receipts are in fewer than {threshold} ledgers", rare),
    ):
        if wrong:
            yield f"{len(wrong)} orders {what}: {_named(wrong)}"


def unanswered(rows: Sequence[LoadRow]) -> Iterator[str]:
    """Orders that were sent again and again and never got f + 1 equal receipts."""
    silent = [row for row in rows if row.receipt_ms is None]
    if silent:
        yield f"{len(silent)} orders never got f + 1 equal receipts: {_named(silent)}"


def broken_evidence(chains: Mapping[str, NodeChain]) -> Iterator[str]:
    """All nodes are honest here, so evidence of equivocation means that a crash made one contradict itself."""
    for name, chain in chains.items():
        if chain.evidence:
            yield f"{name} holds evidence that a member contradicted itself, {chain.evidence} times"


def seconds_with_receipts(rows: Sequence[LoadRow]) -> tuple[int, int]:
    """(seconds in which some order got its agreed receipt, seconds of load in all), whole seconds of the clock."""
    receipts = {row.receipt_ms // 1000 for row in rows if row.receipt_ms is not None}
    sent = [row.sent_ms // 1000 for row in rows]
    if not sent or not receipts:
        return 0, len(set(sent))
    first, last = min(receipts), max(sent)
    return sum(1 for second in receipts if first <= second <= last), max(0, last - first + 1)


def longest_gap_ms(rows: Sequence[LoadRow], start_ms: int, end_ms: int) -> int:
    """The longest time without a receipt that touches the time from `start_ms` to `end_ms`."""
    inside = sorted(row.receipt_ms for row in rows if row.receipt_ms is not None)
    before = max((time_ms for time_ms in inside if time_ms < start_ms), default=start_ms)
    marks = [before, *(time_ms for time_ms in inside if start_ms <= time_ms <= end_ms), end_ms]
    return max((later - earlier for earlier, later in itertools.pairwise(marks)), default=0)


def quantile(ordered: list[int], share: float) -> int | None:
    """The smallest value that at least `share` of all are not above; None without any."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _named(rows: Sequence[LoadRow]) -> str:
    ids = ", ".join(row.tx_id.hex()[:16] for row in rows[:NAMED_MAX])
    return ids + (", ..." if len(rows) > NAMED_MAX else "")
