"""A headless Chromium of this machine, and what a test asks of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LIMIT_MS = 60_000
SCREENSHOTS = os.environ.get("GRIDBAZAAR_SCREENSHOTS")
"""A folder to keep pictures of every page in, for people to look at."""


def chromium() -> str:
    """The path of a Chromium, or a skip that says what is missing."""
    pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    pytest.importorskip("solara", reason="the package solara is not installed: gridbazaar[web]")
    found = next((path for name in CHROMIUMS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(CHROMIUMS)} is on the PATH")
    return found


@contextmanager
def headless_browser() -> Iterator[Any]:
    """A browser with a profile of its own, and no wish to talk to its makers."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """One browser session, with what went wrong in it and which hosts it asked."""

    page: Any
    base: str
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, path: str) -> None:
        """Go to a page of the market and wait until it is drawn."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector("h1", timeout=LIMIT_MS)

    def click_tab(self, number: int) -> None:
        """Go to one of the pages as a person does."""
        self.page.locator("nav.gb-tabs a").nth(number).click()

    def text(self, selector: str) -> str:
        """The text of the first match."""
        return str(self.page.locator(selector).first.inner_text())

    def wait_text(self, selector: str, text: str) -> None:
        """Wait until an element that matches holds this text."""
        self.page.locator(selector, has_text=text).first.wait_for(timeout=LIMIT_MS)

    def wait_true(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        self.page.wait_for_function(expression, timeout=LIMIT_MS)

    def picture(self, name: str) -> None:
        """Keep a picture, when somebody asked for pictures."""
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


@contextmanager
def visitor(browser: Any, base: str, **options: Any) -> Iterator[Visitor]:
    """A new session, as of another person: no cookies, no storage."""
    context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, "locale": "en-GB", **options})
    page = context.new_page()
    page.set_default_timeout(LIMIT_MS)
    one = Visitor(page, base.rstrip("/"))
    page.on("pageerror", lambda error: one.errors.append(str(error)))
    page.on("console", lambda message: one.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: one.hosts.add(request.url.split("/")[2] if "//" in request.url else ""))
    try:
        yield one
    finally:
        context.close()


@contextmanager
def browse(folder: Path) -> Iterator[str]:
    """`gridbazaar web` on a folder, as a person starts it; gives its address."""
    import json
    import subprocess
    import sys

    command = [sys.executable, "-m", "agents", "web", str(folder), "--json", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)
