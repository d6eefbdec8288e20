"""`gridbazaar watch` in a real browser: Mesa's controls step a real model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from run_harness import NEIGHBOURHOOD, ROOT
from web_browser import headless_browser, visitor

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def address(free_port: int) -> Iterator[str]:
    command = [sys.executable, "-m", "agents", "watch", str(NEIGHBOURHOOD), "--port", str(free_port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)


def test_each_tab_steps_a_market_of_its_own(address: str) -> None:
    with headless_browser() as browser, visitor(browser, address) as one, visitor(browser, address) as other:
        for person in (one, other):
            person.page.goto(address)
            person.wait_text(".gb-tile", "Trades")
        step = one.page.get_by_role("button", name="Step")
        for count in (1, 2):
            step.click()
            one.page.get_by_text(f"Step: {count}").wait_for()
        one.wait_true("document.querySelector('[data-test=map]').placeOf('north-01')")
        traded = one.text(".gb-tile:nth-of-type(2) dd")
        assert float(traded.split()[0]) > 0
        assert other.page.get_by_text("Step: 0").count() == 1
        one.picture("watch")
        for person in (one, other):
            assert person.errors == []
            assert len(person.hosts) == 1
