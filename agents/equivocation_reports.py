"""A ledger node's proofs of equivocation on their way into the chain.

Several nodes come to hold proof of one lie. They report in turn, so that as a rule the first is enough, and
again as long as the chain does not hold the proof: a liar who is primary may leave it out for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ledger.records import EvidenceRecord
from market.convictions import objection_to
from market.state import MarketState
from market.supervision_transactions import PROOF_BYTES_MAX, ReportEquivocation

LOOK_MS: Final = 1_000
TURN_MS: Final = 2_000
AGAIN_MS: Final = 15_000


class EquivocationReporter:
    """Decides which proofs member `member` reports now. `keys` are the committee's, in order."""

    def __init__(self, member: int, keys: Sequence[bytes]) -> None:
        self._settled = 0
        self._looked_ms = 0
        self._member = member
        self._keys = keys
        self._due_ms: dict[tuple[int, int, int, int], int] = {}

    def looks(self, now_ms: int, count: int) -> bool:
        """Whether to look at the node's `count` proofs now: some are not in the chain, and a while has passed."""
        if count <= self._settled or now_ms - self._looked_ms < LOOK_MS:
            return False
        self._looked_ms = now_ms
        return True

    def due(self, now_ms: int, records: Iterable[EvidenceRecord], state: MarketState) -> list[ReportEquivocation]:
        """The reports to send now."""
        reports: list[ReportEquivocation] = []
        self._settled = 0
        for record in records:
            report = ReportEquivocation(
                accused=self._keys[record.member],
                kind=record.kind,
                view=record.view,
                sequence=record.sequence,
                proof=record.data,
            )
            place = (record.member, record.kind, record.view, record.sequence)
            if self._is_settled(report, state):
                self._settled += 1
                self._due_ms.pop(place, None)
                continue
            turn = (self._member - record.member - 1) % len(self._keys)
            if now_ms >= self._due_ms.setdefault(place, now_ms + turn * TURN_MS):
                self._due_ms[place] = now_ms + AGAIN_MS
                reports.append(report)
        return reports

    def _is_settled(self, report: ReportEquivocation, state: MarketState) -> bool:
        if len(report.proof) > PROOF_BYTES_MAX:
            return True  # Two proposals of thousands of transactions each. It stays in this node's own file.
        return objection_to(state, report) is not None
