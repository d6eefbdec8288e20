"""The web page of a real running market, in a real browser: what a person sees and clicks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_harness import LiveRun, gridbazaar, live_run, wait_until
from web_browser import Visitor, browse, headless_browser, visitor

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

MARKET, AGENTS, LEDGER, DEVICES, EVALUATION = range(5)
PERIODS = 4_000  # More than the tests see: the run is ended when they are done.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with headless_browser() as started:
        yield started


@pytest.fixture(scope="module")
def run(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    path = tmp_path_factory.mktemp("web") / "run"
    with live_run(path, "--web", "--periods", str(PERIODS)) as started:
        started.wait_settled(3)
        yield started


@pytest.fixture(scope="module")
def address(run: LiveRun) -> str:
    output = run.folder.output("web")
    wait_until(lambda: output.is_file() and "}" in output.read_text(), "the page's address")
    url = json.loads(output.read_text().splitlines()[0])["url"]
    assert url.startswith("http://127.0.0.1:")
    return str(url)


@pytest.fixture
def person(browser: Any, address: str) -> Iterator[Visitor]:
    with visitor(browser, address) as one:
        yield one
        assert one.errors == []
        assert one.hosts == {one.base.split("/")[2]}, "something was loaded from another host"


def test_the_market_page_shows_a_living_market(run: LiveRun, person: Visitor) -> None:
    person.open("/")
    person.wait_text("[data-test=state]", "live")
    person.wait_true("document.querySelectorAll('.gb-plot canvas').length === 4")
    person.wait_true("document.querySelectorAll('tr.gb-pick, .gb-table tbody tr').length > 3")
    before = person.text(".gb-clock")
    person.wait_true(f"document.querySelector('.gb-clock').innerText !== {json.dumps(before)}")
    person.picture("market")


def test_a_click_on_the_map_opens_that_agent(run: LiveRun, person: Visitor) -> None:
    person.open("/")
    person.wait_true("document.querySelector('[data-test=map]')?.placeOf?.('north-03')")
    place = person.page.evaluate("document.querySelector('[data-test=map]').placeOf('north-03')")
    person.page.locator("[data-test=map]").click(position=place)
    person.wait_text("h1", "north-03")
    assert person.page.url.endswith("/agents/north-03")
    person.wait_true("document.querySelectorAll('.gb-plot canvas').length >= 3")
    person.wait_text(".gb-tile", "Balance")
    person.picture("agent")


def test_everybody_stands_in_a_table_that_the_keyboard_can_use(run: LiveRun, person: Visitor) -> None:
    person.open("/agents")
    person.page.locator("[data-test=filter]").fill("storage")
    person.wait_true("document.querySelectorAll('tr.gb-pick').length === 2")
    person.page.locator("[data-key=storage-south]").focus()
    person.page.keyboard.press("Enter")
    person.wait_text("h1", "storage-south")


def test_a_block_and_a_transaction_open_verified_and_the_proof_holds_elsewhere(
    run: LiveRun, person: Visitor, tmp_path: Path
) -> None:
    person.open("/ledger")
    person.page.locator(".gb-table [data-key]").first.click()
    person.wait_text("h1", "Block")
    person.wait_text(".gb-mark.gb-good", "verified in this page's process")
    person.picture("block")
    person.page.locator(".gb-table [data-key]").first.click()
    person.wait_text("h1", "Transaction")
    person.wait_text(".gb-mark.gb-good", "verified in this page's process")
    with person.page.expect_download() as download:
        person.page.locator("[data-test=save]").click()
    proof = tmp_path / "proof.json"
    download.value.save_as(proof)
    committee = tmp_path / "committee.json"
    committee.write_text(run.folder.committee.read_text())
    verdict = gridbazaar("ledger", "verify", proof, "--committee", committee, "--json")
    assert json.loads(verdict.stdout)["valid"], verdict.stdout + verdict.stderr


def test_a_killed_node_turns_red_and_comes_back(run: LiveRun, person: Visitor) -> None:
    person.open("/ledger")
    online = "document.querySelector('[data-node=notary-office]')?.dataset.state === '{}'"
    person.wait_true(online.format("online"))
    run.kill("notary-office")
    person.wait_true(online.format("offline"))
    person.wait_text(".gb-notice.gb-bad", "notary-office")
    person.picture("node-down")
    person.wait_true(online.format("online"))
    caught_up = "document.querySelector('[data-node=notary-office]').classList.contains('gb-good')"
    person.wait_true(caught_up)
    person.page.locator("[data-node=notary-office]").click()
    person.wait_text("h1", "notary-office")


def test_meters_are_all_heard(run: LiveRun, person: Visitor) -> None:
    person.open("/devices")
    person.wait_text(".gb-tile", "44 / 44")
    assert person.page.locator(".gb-mark.gb-good", has_text="ok").count() >= 40
    person.picture("devices")


def test_the_evaluation_compares_with_the_same_community_without_a_market(run: LiveRun, person: Visitor) -> None:
    person.open("/evaluation")
    person.wait_text(".gb-tile", "Community's cost")
    person.wait_true("document.querySelectorAll('.gb-picture svg').length === 2")
    for heading in ("Technology", "Economy", "Market"):
        person.wait_text(".gb-card h2", heading)
    person.picture("evaluation")


def test_looking_back_stands_still_while_the_market_goes_on(run: LiveRun, person: Visitor) -> None:
    person.open("/")
    person.wait_true("document.querySelector('[data-test=slider]')?.max > 2")
    person.page.locator("[data-test=slider]").evaluate(
        "node => { node.value = 1; node.dispatchEvent(new Event('input')); }"
    )
    person.wait_text(".gb-time output", "Period 1")
    rows = person.page.locator(".gb-table tbody").first.inner_text()
    settled = person.text(".gb-clock")
    person.wait_true(f"document.querySelector('.gb-clock').innerText !== {json.dumps(settled)}")
    assert person.page.locator(".gb-table tbody").first.inner_text() == rows
    person.page.locator("[data-test=latest]").click()
    person.wait_text(".gb-time output", "Latest")


def test_both_languages_and_both_themes_are_remembered(run: LiveRun, person: Visitor) -> None:
    person.open("/")
    person.page.locator("[data-test=language]").click()
    person.wait_text("nav.gb-tabs", "市场")
    person.page.locator("[data-test=theme]").click()
    theme = person.page.evaluate("document.documentElement.dataset.theme")
    assert theme == "dark"
    person.open("/ledger")
    person.wait_text("nav.gb-tabs", "市场")
    assert person.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert person.page.evaluate("document.documentElement.lang") == "zh"
    person.picture("ledger-dark-zh")


def test_a_browser_of_chinese_speaks_chinese_from_the_start(browser: Any, address: str) -> None:
    with visitor(browser, address, locale="zh-CN") as one:
        one.open("/")
        one.wait_text("nav.gb-tabs", "账本")


def test_the_page_fits_a_phone(browser: Any, address: str) -> None:
    with visitor(browser, address, viewport={"width": 390, "height": 844}, color_scheme="dark") as one:
        for path in ("/", "/agents", "/ledger", "/devices"):
            one.open(path)
            wide = one.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 1, f"{path} is {wide} px too wide"
        one.open("/")
        one.wait_true("document.querySelectorAll('.gb-plot canvas').length === 4")
        one.picture("phone")


def test_several_see_the_present_and_closing_one_disturbs_nobody(run: LiveRun, browser: Any, address: str) -> None:
    with visitor(browser, address) as first:
        first.open("/")
        with visitor(browser, address) as second:
            second.open("/ledger")
            second.wait_text("[data-test=state]", "live")
        settled = len(run.rows("periods"))
        run.wait_settled(settled + 2)
        first.wait_true(
            f"Number(/([0-9]+) of/.exec(document.querySelector('.gb-clock').innerText)[1]) > {settled}"
        )


@pytest.mark.parametrize("path", ["/", "/agents", "/agents/north-01", "/ledger", "/devices", "/evaluation"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_barrier(browser: Any, address: str, path: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    with visitor(browser, address, color_scheme=scheme) as one:
        one.open(path)
        if path == "/evaluation":
            one.wait_text(".gb-card h2", "Technology")
        found = axe.Axe().run(one.page).response["violations"]
    serious = [
        (item["id"], [node["html"][:200] for node in item["nodes"][:3]])
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_page_ends_with_its_run_and_the_folder_can_be_browsed_again(
    run: LiveRun, browser: Any, address: str
) -> None:
    pid = run.pid("web")
    run.interrupt()
    run.finish()
    wait_until(lambda: pid not in run.processes(), "the end of the page's process")
    with browse(run.folder.path) as url, visitor(browser, url) as one:
        one.open("/")
        one.wait_text("[data-test=state]", "run ended")
        one.wait_true("document.querySelector('[data-test=slider]').max > 2")
        one.open("/ledger")
        one.wait_true("document.querySelectorAll('[data-state=ended]').length === 4")
        assert one.errors == []
