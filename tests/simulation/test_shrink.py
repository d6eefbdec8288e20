"""A seed that goes wrong is cut down to the few faults and orders that matter."""

from __future__ import annotations

import pytest

from ledger.core import Core
from ledger.effects import Broadcast
from ledger.messages import Message, Signed
from ledger.records import NO_SEQUENCE
from ledger.simulation.run import run_seed
from ledger.simulation.scene import SceneConfig
from ledger.simulation.shrink import Shrinker, ddmin

BROKEN_SEED = 39
CONFIG = SceneConfig(n=4, storm_ms=8_000)


def vote_without_keeping_it(
    core: Core, message: Message, kind: int, view: int, sequence: int = NO_SEQUENCE
) -> Signed:
    signed = core.sign(message)
    core.emit(Broadcast(signed=signed))
    return signed


def test_ddmin_keeps_exactly_what_is_needed_together() -> None:
    tried: list[tuple[int, ...]] = []

    def fails(kept: object) -> bool:
        assert isinstance(kept, list)
        tried.append(tuple(kept))
        return {3, 17, 18} <= set(kept)

    assert ddmin(list(range(40)), fails, lambda: True) == [3, 17, 18]
    assert len(tried) < 120


def test_ddmin_stops_when_it_is_told_to() -> None:
    runs = iter(range(5))
    kept = ddmin(list(range(40)), lambda kept: 7 in kept, lambda: next(runs, None) is not None)
    assert 7 in kept
    assert len(kept) > 1


def test_a_replica_that_forgets_its_votes_is_shown_in_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_seed(BROKEN_SEED, CONFIG).violations == []
    monkeypatch.setattr(Core, "vote", vote_without_keeping_it)
    whole = run_seed(BROKEN_SEED, CONFIG)
    assert whole.violations
    minimal = Shrinker(whole, CONFIG).shrink()
    assert minimal.outcome.violations[0].startswith("votes: ")
    assert 1 <= len(minimal.outcome.faults) <= 3 < len(whole.faults)
    assert 1 <= len(minimal.outcome.orders) <= 3 < len(whole.orders)
    assert any("crashes" in words for words in minimal.outcome.faults.values())
    assert "VIOLATION: votes: " in minimal.lines[-1]
    again = run_seed(BROKEN_SEED, minimal.config)
    assert (again.trace, again.violations) == (minimal.outcome.trace, minimal.outcome.violations)


def test_an_exception_in_a_replica_is_a_violation_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_at_once(core: Core, message: Message, kind: int, view: int, sequence: int = NO_SEQUENCE) -> Signed:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Core, "vote", raise_at_once)
    outcome = run_seed(1, SceneConfig(storm_ms=2_000))
    assert outcome.violations
    assert outcome.violations[0].startswith("exception: ZeroDivisionError: a bug (test_shrink.py:")
