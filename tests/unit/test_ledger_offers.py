"""What `gridbazaar ledger offers` shows of a state."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from market_world import World, key

from agents import ledger_views
from market.offer_transactions import TakeOffer


def test_offers_are_what_may_be_taken_now_best_first(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(mechanism="listing")
    for name, region in (("ann", "east"), ("bob", "west"), ("cat", "east")):
        world.join(name, region=region)
    world.sell("ann", 1_000, 120_000)
    world.sell("bob", 500, 100_000, last=3)
    world.buy("cat", 300, 90_000)
    world.done(key("cat"), TakeOffer(order=1, energy_wh=400, price_micro=120_000))
    # Reading the chain is tested with whole runs; here it is the state that decides.
    monkeypatch.setattr(ledger_views, "_current_application", lambda ledger: SimpleNamespace(state=world.state))
    names = SimpleNamespace(name_of=lambda account: account.rstrip(b".").decode())
    rows = ledger_views.offers_json(SimpleNamespace(deployment=names))  # type: ignore[arg-type]
    assert [(row["owner"], row["side"], row["energy_wh"], row["price_micro"], row["region"]) for row in rows] == [
        ("bob", "sell", 500, 100_000, "west"),
        ("ann", "sell", 600, 120_000, "east"),
        ("cat", "buy", 300, 90_000, "east"),
    ]
