"""A short market of every mechanism with real processes: it ends, its nodes agree, and its chains are audited."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_harness import ROOT, assert_audit_is_green, assert_ended_well, live_run

pytestmark = pytest.mark.e2e

PERIODS = 4


@pytest.mark.parametrize("name", ["uniform", "matching", "listing", "escrow", "delayed-demand", "supervision"])
def test_a_market_of_each_mechanism_trades_settles_and_is_audited(name: str, tmp_path: Path) -> None:
    scenario = ROOT / "scenarios" / f"{name}.toml"
    with live_run(tmp_path / name, "--periods", str(PERIODS), scenario=scenario) as run:
        result = assert_ended_well(run.finish(), PERIODS)
    assert result["trades"] > 0
    assert len({node["state_root"] for node in result["nodes"].values()}) == 1
    assert_audit_is_green(run.folder.path)
    if name == "matching":
        submitted = [line for line in run.log("agents") if line.get("event") == "assignment submitted"]
        assert len(submitted) == PERIODS
        assert all(line["accepted"] for line in submitted)
    sides = {row["side"] for row in run.rows("orders")}
    # Under listing buyers take offers, and place an order for what nobody offers.
    assert sides == {"sell", "buy"} or (name == "listing" and sides == {"sell"})
