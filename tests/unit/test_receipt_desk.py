from __future__ import annotations

from collections.abc import Sequence

from agents.announcements import NOT_IN_A_BLOCK, ReceiptLine
from agents.receipt_desk import AGAIN_MS, LINES_MAX, Found, ReceiptDesk
from ledger.application import Refused
from market.receipts import ReasonCode

REPLAYED = Refused(reason="replayed")


class Office:
    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.kept: dict[bytes, Found] = {}
        self.looked_up: list[bytes] = []
        self.published: list[tuple[int, list[ReceiptLine]]] = []
        self.desk = ReceiptDesk(self._find, self._publish, lambda: self.now_ms)

    def _find(self, transaction_id: bytes) -> Found | None:
        self.looked_up.append(transaction_id)
        return self.kept.get(transaction_id)

    def _publish(self, height: int, lines: Sequence[ReceiptLine]) -> None:
        self.published.append((height, list(lines)))

    def answers(self) -> list[tuple[int, list[ReceiptLine]]]:
        self.desk.flush()
        published, self.published = self.published, []
        return published


def line(transaction_id: bytes, code: ReasonCode = ReasonCode.OK) -> ReceiptLine:
    return ReceiptLine(transaction_id, int(code), 7 if code is ReasonCode.OK else 0)


def test_a_replay_is_answered_with_the_receipt_of_its_execution() -> None:
    office = Office()
    office.desk.remember(5, [line(b"a"), line(b"b", ReasonCode.NOT_ENOUGH_MONEY)])
    office.desk.ask(b"b", REPLAYED)
    office.desk.ask(b"a", REPLAYED)
    assert office.answers() == [(5, [line(b"b", ReasonCode.NOT_ENOUGH_MONEY), line(b"a")])]
    assert office.looked_up == []


def test_an_older_receipt_comes_from_the_ledger_even_when_the_transaction_has_expired() -> None:
    office = Office()
    office.kept[b"old"] = (2, line(b"old"))
    office.desk.ask(b"old", Refused(reason="expired"))
    assert office.answers() == [(2, [line(b"old")])]


def test_a_refusal_says_its_reason_and_looks_nothing_up() -> None:
    office = Office()
    office.desk.ask(b"x", Refused(reason="unknown_account"))
    assert office.answers() == [(NOT_IN_A_BLOCK, [line(b"x", ReasonCode.UNKNOWN_ACCOUNT)])]
    assert office.looked_up == []


def test_what_has_no_reason_code_gets_no_answer() -> None:
    office = Office()
    office.desk.ask(b"x", Refused(reason="not a transaction"))
    assert office.answers() == []


def test_nobody_is_told_the_same_twice_within_a_second() -> None:
    office = Office()
    for _ in range(100):
        office.desk.ask(b"x", REPLAYED)
    assert [len(lines) for _, lines in office.answers()] == [1]
    office.now_ms += AGAIN_MS - 1
    office.desk.ask(b"x", REPLAYED)
    assert office.answers() == []
    office.now_ms += 1
    office.desk.ask(b"x", REPLAYED)
    assert len(office.answers()) == 1


def test_a_refusal_does_not_keep_back_the_receipt_of_a_later_execution() -> None:
    office = Office()
    office.desk.ask(b"x", Refused(reason="unknown_account"))
    office.desk.remember(9, [line(b"x")])
    office.desk.ask(b"x", REPLAYED)
    assert [height for height, _ in office.answers()] == [NOT_IN_A_BLOCK, 9]


def test_many_answers_travel_together_in_messages_of_bounded_length() -> None:
    office = Office()
    for number in range(LINES_MAX + 5):
        office.desk.ask(number.to_bytes(4), Refused(reason="unknown_account"))
    assert [len(lines) for _, lines in office.answers()] == [LINES_MAX, 5]
