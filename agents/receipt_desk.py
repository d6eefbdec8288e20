"""Answers about transactions that are not taken into the pool again.

Whoever sends a transaction that was executed before gets its receipt, so a client that missed it learns it; so
gets, with the reason, whoever sends what the contract would refuse. Anybody can play a thousand old
messages back, so an answer must cost less than the question: receipts of recent blocks are in memory, one
message holds many, and nobody is told the same twice within a second.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from agents.announcements import NOT_IN_A_BLOCK, ReceiptLine
from ledger.application import Refused
from market.receipts import ReasonCode

REMEMBERED_MAX: Final = 65_536
ANSWERED_MAX: Final = 65_536
AGAIN_MS: Final = 1_000
LINES_MAX: Final = 1_000

_EXECUTED_BEFORE: Final = frozenset({ReasonCode.REPLAYED, ReasonCode.EXPIRED})
"""The only refusals behind which there may be an earlier execution."""

Found = tuple[int, ReceiptLine]
"""The height of a block, and a receipt in it."""


class ReceiptDesk:
    """Collects answers; `flush` hands them out.

    `find(transaction_id)` looks a receipt up in the ledger. `publish(height, lines)` sends some of one block.
    """

    def __init__(
        self,
        find: Callable[[bytes], Found | None],
        publish: Callable[[int, Sequence[ReceiptLine]], None],
        clock_ms: Callable[[], int],
    ) -> None:
        self._find = find
        self._publish = publish
        self._clock_ms = clock_ms
        self._recent: OrderedDict[bytes, Found] = OrderedDict()
        self._answered_ms: OrderedDict[bytes, int] = OrderedDict()
        self._answers: dict[int, list[ReceiptLine]] = {}

    def remember(self, height: int, lines: Sequence[ReceiptLine]) -> None:
        """Note the receipts of a block that was executed."""
        for line in lines:
            self._recent[line.transaction_id] = (height, line)
            # A transaction that executes was perhaps refused a moment ago: the new answer is owed at once.
            self._answered_ms.pop(line.transaction_id, None)
        while len(self._recent) > REMEMBERED_MAX:
            self._recent.popitem(last=False)

    def ask(self, transaction_id: bytes, refused: Refused) -> None:
        """Answer about a rightly signed transaction that was not taken."""
        now_ms = self._clock_ms()
        if now_ms < self._answered_ms.get(transaction_id, -AGAIN_MS) + AGAIN_MS:
            return
        code = ReasonCode.__members__.get(refused.reason.upper())
        if code is None:
            return
        self._answered_ms[transaction_id] = now_ms
        self._answered_ms.move_to_end(transaction_id)
        if len(self._answered_ms) > ANSWERED_MAX:
            self._answered_ms.popitem(last=False)
        found = self._recent.get(transaction_id)
        if found is None and code in _EXECUTED_BEFORE:
            found = self._find(transaction_id)
        height, line = found or (NOT_IN_A_BLOCK, ReceiptLine(transaction_id, int(code), 0))
        self._answers.setdefault(height, []).append(line)

    def flush(self) -> None:
        """Send what has been answered since the last time."""
        if not self._answers:
            return
        answers, self._answers = self._answers, {}
        for height, lines in answers.items():
            for start in range(0, len(lines), LINES_MAX):
                self._publish(height, lines[start : start + LINES_MAX])
