from __future__ import annotations

import pytest

from mosquitto.agreement import Agreement

MEMBERS = [b"a", b"b", b"c", b"d"]


def test_f_plus_one_equal_statements_agree_once() -> None:
    agreement = Agreement(MEMBERS, threshold=2)
    assert agreement.hear(b"a", 7, b"yes") is None
    assert agreement.hear(b"b", 7, b"yes") == b"yes"
    assert agreement.hear(b"c", 7, b"yes") is None, "an agreed subject answers once"


def test_one_member_repeating_itself_is_one_member() -> None:
    agreement = Agreement(MEMBERS, threshold=2)
    for _ in range(5):
        assert agreement.hear(b"a", 7, b"yes") is None


def test_a_liar_cannot_vote_for_both_sides() -> None:
    agreement = Agreement(MEMBERS, threshold=2)
    agreement.hear(b"d", 7, b"no")
    agreement.hear(b"d", 7, b"yes")
    assert agreement.hear(b"a", 7, b"yes") is None, "the liar's second word does not count"
    assert agreement.hear(b"b", 7, b"yes") == b"yes"


def test_different_statements_do_not_add_up() -> None:
    agreement = Agreement(MEMBERS, threshold=2)
    assert [agreement.hear(member, 7, member) for member in MEMBERS] == [None] * 4


def test_strangers_are_not_heard() -> None:
    agreement = Agreement(MEMBERS, threshold=1)
    assert agreement.hear(b"stranger", 7, b"yes") is None
    assert agreement.hear(b"a", 7, b"yes") == b"yes"


def test_a_flood_of_invented_subjects_pushes_out_only_the_flooders_own() -> None:
    agreement = Agreement(MEMBERS, threshold=2, subjects_kept=10)
    agreement.hear(b"a", "real", b"yes")
    for number in range(1000):
        agreement.hear(b"d", number, b"flood")
    assert agreement.hear(b"b", "real", b"yes") == b"yes"


@pytest.mark.parametrize("threshold", [0, 5])
def test_an_impossible_threshold_is_refused(threshold: int) -> None:
    with pytest.raises(ValueError, match="threshold"):
        Agreement(MEMBERS, threshold=threshold)
