"""What chaos checks at the end would notice every kind of broken promise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agents.chaos_checks import (
    LoadRow,
    NodeChain,
    Place,
    broken_evidence,
    broken_receipts,
    longest_gap_ms,
    quantile,
    read_load,
    seconds_with_receipts,
    unanswered,
)
from agents.load_client import COLUMNS
from agents.tables import TableWriter

PLACES: dict[bytes, tuple[Place, ...]] = {b"a": ((1, 0, 7),), b"b": ((2, 0, 8),), b"c": ((2, 17, 0),)}


def row(tx_id: bytes, place: Place | None, *, sent_ms: int = 0, receipt_ms: int | None = 5) -> LoadRow:
    return LoadRow(tx_id=tx_id, sent_ms=sent_ms, receipt_ms=receipt_ms if place else None, place=place)


ROWS = [row(tx_id, places[0]) for tx_id, places in PLACES.items()]


def chain(
    places: dict[bytes, tuple[Place, ...]] = PLACES, heights: Sequence[int] = (1, 2), evidence: int = 0
) -> NodeChain:
    return NodeChain(places=places, heights=frozenset(heights), last_height=max(heights), evidence=evidence)


def found(*chains: NodeChain, rows: Sequence[LoadRow] = ROWS) -> list[str]:
    return list(broken_receipts(rows, {f"node-{index}": one for index, one in enumerate(chains)}, 2))


def test_equal_chains_that_hold_every_receipt_once_are_fine() -> None:
    assert found(chain(), chain(), chain(), chain()) == []


def test_a_chain_that_skipped_blocks_by_a_snapshot_is_not_asked_for_them() -> None:
    assert found(chain(), chain(), chain({b"b": ((2, 0, 8),), b"c": ((2, 17, 0),)}, heights=[2])) == []


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({b"a": ((1, 0, 7),), b"b": ((2, 0, 8),)}, "1 orders with f \\+ 1 equal receipts are missing"),
        (PLACES | {b"a": ((1, 0, 7), (2, 0, 7))}, "twice, elsewhere or with another result"),
        (PLACES | {b"a": ((2, 0, 7),)}, "twice, elsewhere or with another result"),
        (PLACES | {b"c": ((2, 0, 9),)}, "twice, elsewhere or with another result"),
    ],
)
def test_one_ledger_that_does_not_bear_out_a_receipt_is_noticed(
    places: dict[bytes, tuple[Place, ...]], words: str
) -> None:
    broken = found(chain(), chain(), chain(), chain(places))
    assert len(broken) == 1
    with pytest.raises(ValueError, match=words):
        raise ValueError(broken[0])


def test_a_receipt_that_too_few_ledgers_hold_is_noticed() -> None:
    assert "fewer than 2 ledgers" in found(chain(), chain(heights=[2]), chain(heights=[2]))[0]


def test_what_was_refused_before_a_block_need_not_be_in_one() -> None:
    assert found(chain(), chain(), rows=[row(b"z", (0, 4, 0))]) == []


def test_silence_and_evidence_are_broken_promises() -> None:
    assert next(iter(unanswered([*ROWS, row(b"z", None)]))).startswith("1 orders never got")
    assert list(unanswered(ROWS)) == []
    assert len(list(broken_evidence({"one": chain(), "two": chain(evidence=1)}))) == 1


def test_availability_counts_seconds_of_the_load_and_the_longest_gap_reaches_back_before_the_fault() -> None:
    times = [1_000, 1_900, 2_100, 6_000, 6_500]
    rows = [
        row(bytes([index]), (1, 0, 0), sent_ms=time - 100, receipt_ms=time) for index, time in enumerate(times)
    ]
    assert seconds_with_receipts(rows) == (3, 6)
    assert longest_gap_ms(rows, 2_500, 7_000) == 3_900
    assert longest_gap_ms(rows, 6_100, 8_000) == 1_500
    assert seconds_with_receipts([]) == (0, 0)


def test_the_loads_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "load.csv", COLUMNS) as table:
        table.append(("0a", "place_order", "north-01", 10, 30, 4, 0, 12, 1))
        table.append(("0b", "cancel_order", "north-01", 11, None, None, None, None, 3))
    assert read_load(tmp_path / "load.csv") == [
        LoadRow(tx_id=b"\x0a", sent_ms=10, receipt_ms=30, place=(4, 0, 12)),
        LoadRow(tx_id=b"\x0b", sent_ms=11, receipt_ms=None, place=None),
    ]


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.99, 10), (1.0, 10)])
def test_a_quantile_is_a_value_that_occurred(share: float, value: int) -> None:
    assert quantile(list(range(1, 11)), share) == value
    assert quantile([], share) is None
