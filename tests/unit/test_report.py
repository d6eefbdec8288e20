"""Reports and their numbers, from folders that the real recorder wrote."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from small_market import run_small_market
from synthetic_run import record_day

from agents.errors import RunFolderError
from agents.kpis import compute_kpis, weighted_percentile
from agents.report import write_report
from agents.run_data import RunData
from agents.run_folder import RunFolder


class Page(HTMLParser):
    """Collects what a browser would fetch, ids, and whether tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.pictures = 0
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "svg"
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and value is not None:
                self.addresses.append(value)
            if name == "id" and value is not None:
                self.ids.append(value)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return record_day(tmp_path_factory.mktemp("synthetic") / "run", homes=6, periods=12)


@pytest.fixture(scope="module")
def market_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_small_market(tmp_path_factory.mktemp("small") / "run", periods=4)


def kpis(folder: RunFolder) -> dict[str, float]:
    write_report(folder)
    document = json.loads(folder.kpis_json.read_text())
    return {key: entry["value"] for key, entry in document["kpis"].items()}


def test_the_report_of_a_whole_run_has_every_picture_and_misses_nothing(market_run: RunFolder) -> None:
    page = Page(write_report(market_run).read_text(encoding="utf-8"))
    text = " ".join(page.text)
    for heading in (
        "Price and volume",
        "Supply and demand in period",
        "Sun, load and the grid",
        "Who earned and paid what",
        "Meter against contract",
        "Ledger latency",
        "Storage and reputation",
        "All nodes ended at the same block with the same state.",
    ):
        assert heading in text
    assert page.pictures == 7
    assert "What is missing" not in text


def test_the_report_needs_no_other_file_and_no_network(day: RunFolder) -> None:
    text = write_report(day).read_text(encoding="utf-8")
    page = Page(text)
    assert all(address.startswith("#") for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import|<script", text)
    assert len(page.ids) == len(set(page.ids))
    named = set(page.ids)
    assert {address[1:] for address in page.addresses} <= named


def test_figures_use_the_pages_colours_so_that_dark_pages_stay_readable(day: RunFolder) -> None:
    text = write_report(day).read_text(encoding="utf-8")
    for stand_in in ("#010101", "#020202", "#030303", "#040404", "#050505", "#060606"):
        assert stand_in not in text
    assert "fill: var(--ink)" in text
    assert "prefers-color-scheme: dark" in text


def test_the_same_folder_gives_the_same_report(day: RunFolder) -> None:
    first = write_report(day).read_bytes()
    assert write_report(day).read_bytes() == first


def test_every_number_stands_with_unit_and_definition(market_run: RunFolder) -> None:
    write_report(market_run)
    document = json.loads(market_run.kpis_json.read_text())
    assert document["complete"] is True
    assert document["missing"] == []
    for key, entry in document["kpis"].items():
        assert set(entry) == {"value", "unit", "label", "definition"}, key
        assert entry["definition"].endswith("."), key
    assert len(document["kpis"]) > 40


def test_numbers_are_the_sums_of_the_tables(day: RunFolder) -> None:
    data, found = RunData.load(day), kpis(day)
    trades = data.trades
    assert found["traded_wh"] == trades.integers("energy_wh").sum() > 0
    value = (trades.integers("energy_wh") * trades.integers("price_micro")).sum()
    assert found["traded_value_nano"] == value
    assert found["mean_price_micro"] == pytest.approx(value / found["traded_wh"])
    assert found["community_cost_nano"] == -data.settlements.integers("net_nano").sum()
    assert found["imbalance_wh"] == np.abs(data.settlements.integers("imbalance_wh")).sum()
    assert found["transactions"] == data.blocks.integers("transactions").sum()
    assert found["latency_lost"] == 0


def test_trade_alone_leaves_the_flows_as_they_were_but_for_batteries(market_run: RunFolder) -> None:
    found = kpis(market_run)
    # Load and generation follow from the scenario, so what reached the community is the same but for storage.
    assert found["extra_stored_wh"] is not None
    assert 0 <= found["pv_absorption_local"] <= found["pv_absorption_total"] <= 1
    cost = found["reference_cost_nano"] - found["community_cost_nano"]
    assert found["saving_nano"] == pytest.approx(cost)


def test_a_simulated_day_repeats_what_the_devices_metered(market_run: RunFolder) -> None:
    from agents.no_market import compare

    data = RunData.load(market_run)
    flows = compare(data).market
    assert flows.import_wh.sum(axis=0).tolist() == data.periods.integers("import_wh").tolist()
    assert flows.export_wh.sum(axis=0).tolist() == data.periods.integers("export_wh").tolist()


@pytest.mark.parametrize("settled", [0, 1, 5])
def test_a_run_that_was_cut_short_still_gives_a_report_that_says_so(tmp_path: Path, settled: int) -> None:
    folder = record_day(tmp_path / "run", homes=4, periods=8, settled=settled)
    text = " ".join(Page(write_report(folder).read_text(encoding="utf-8")).text)
    assert f"{settled} of 8 periods were settled" in text
    assert json.loads(folder.kpis_json.read_text())["complete"] is False


def test_a_table_cut_in_the_middle_of_a_line_is_read_up_to_there(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "run", homes=4, periods=8)
    for path in (folder.trades_csv, folder.settlements_csv, folder.latencies_csv):
        path.write_bytes(path.read_bytes()[:-7])
    assert kpis(folder)["trades"] == len(RunData.load(folder).trades) > 0


def test_any_table_may_be_missing(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "run", homes=4, periods=8)
    for path in sorted(folder.path.glob("*.csv")):
        path.unlink()
        assert write_report(folder).is_file()


def test_a_garbled_table_is_named(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "run", homes=4, periods=4)
    text = folder.settlements_csv.read_text()
    folder.settlements_csv.write_text(text.replace("\n2,", "\nx,", 1))
    with pytest.raises(RunFolderError, match=r"settlements.csv: line \d+: period = 'x'; expected a number"):
        write_report(folder)


def test_names_cannot_smuggle_html_into_the_report(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "run", homes=4, periods=4)
    text = folder.deployment.read_text().replace('"synthetic"', '"<script>alert(1)</script>"')
    folder.deployment.write_text(text)
    assert "<script" not in write_report(folder).read_text(encoding="utf-8")


def test_percentiles_weigh_each_row_by_its_transactions() -> None:
    values, weights = np.array([30.0, 10.0, np.inf]), np.array([1.0, 98.0, 1.0])
    assert weighted_percentile(values, weights, 50) == 10
    assert weighted_percentile(values, weights, 98) == 10
    assert weighted_percentile(values, weights, 99) == 30
    assert weighted_percentile(values, weights, 100) == np.inf
    assert weighted_percentile(values[:0], weights[:0], 50) is None


def test_lost_transactions_count_as_infinite_latency(tmp_path: Path) -> None:
    folder = record_day(tmp_path / "run", homes=4, periods=4)
    with folder.latencies_csv.open("a") as file:
        file.write("3,place_order,2016-04-20T00:00:00Z,,1000\n")
    data = RunData.load(folder)
    found = {kpi.key: kpi.value for kpi in compute_kpis(data, None)}
    assert found["order_latency_lost"] == 1_000
    assert found["order_latency_p99_ms"] == np.inf
