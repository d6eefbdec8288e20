import numpy as np
import pytest

from devices.measures import (
    local_absorption,
    peak_valley_gap_w,
    self_consumption,
    self_sufficiency,
    total_absorption,
)
from devices.profiles import ProfileCalendar, ProfileLibrary, distinct_households
from devices.reference import CommunityFlows, grid_cost_nano, run_community
from devices.sites import BatteryConfig, HouseholdConfig, PvConfig, SiteConfig

LIBRARY = ProfileLibrary.load()


def community(with_batteries: bool, export_limit_w: int = 0) -> list[SiteConfig]:
    sites = []
    for number, (shape, week_shift, quarter_shift) in enumerate(distinct_households(12)):
        household = HouseholdConfig(
            shape=shape, annual_kwh=3_000, week_shift=week_shift, quarter_shift=quarter_shift
        )
        has_pv = number % 2 == 0
        sites.append(
            SiteConfig.home(
                name=f"home-{number}",
                region="east",
                household=household,
                pv=PvConfig(kwp=6) if has_pv else None,
                battery=BatteryConfig(capacity_wh=7_000, power_w=3_500) if has_pv and with_batteries else None,
                export_limit_w=export_limit_w,
            )
        )
    return sites


def test_absorption_counts_what_stayed_and_what_was_not_shed() -> None:
    assert local_absorption([60, 40], [10, 0], [0, 15]) == 0.75
    assert total_absorption([60, 40], [10, 0]) == 0.9
    assert local_absorption([], [], []) == total_absorption([0], [0]) == 0


def test_the_gap_is_the_mean_over_days_of_the_daily_span() -> None:
    two_days = [*range(96), *([50] * 95), 70, *([1_000] * 3)]
    assert peak_valley_gap_w(two_days, 0.25) == (95 * 4 + 20 * 4) / 2
    assert peak_valley_gap_w([5, -3], 0.25) == 32
    assert peak_valley_gap_w([], 0.25) == 0


def test_self_sufficiency_and_self_consumption_look_at_the_coupling_point() -> None:
    assert self_sufficiency([100, 100], [50, -30]) == 0.75
    assert self_consumption([80, 80], [50, -40]) == 0.75
    assert self_sufficiency([], []) == 1
    assert self_consumption([0], [10]) == 0


def test_the_reference_balances_for_the_whole_community() -> None:
    flows = run_community(community(True, 3_000), LIBRARY, ProfileCalendar(), 96)
    balance = flows.load_wh + flows.charged_wh - flows.discharged_wh - flows.generated_wh
    assert flows.net_import_wh().sum() == pytest.approx(balance.sum(), abs=2 * 12)
    assert flows.pv_curtailed_wh().sum() == pytest.approx((flows.available_wh - flows.generated_wh).sum())
    assert (flows.pv_exported_wh() <= flows.generated_wh.sum(axis=0) + 1e-6).all()


def test_batteries_raise_absorption_and_lower_the_bill_of_the_reference() -> None:
    bare = run_community(community(False), LIBRARY, ProfileCalendar(), 96)
    stored = run_community(community(True), LIBRARY, ProfileCalendar(), 96)

    def absorption(flows: CommunityFlows) -> float:
        return local_absorption(flows.pv_available_wh, flows.pv_curtailed_wh(), flows.pv_exported_wh())

    assert absorption(bare) < absorption(stored)
    bill_bare = grid_cost_nano(bare.import_wh, bare.export_wh, 300_000, 80_000).sum()
    assert grid_cost_nano(stored.import_wh, stored.export_wh, 300_000, 80_000).sum() < bill_bare


def test_the_reference_bill_is_retail_for_import_less_feed_in_for_export() -> None:
    bill = grid_cost_nano(np.array([[1_000, 500]]), np.array([[0, 250]]), 300_000, 80_000)
    assert bill.tolist() == [1_500 * 300_000 - 250 * 80_000]
