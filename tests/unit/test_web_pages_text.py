"""The page's words, charts and rules, without a browser."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import deployment, make_clearing

from agents.errors import ConfigurationError
from agents.web import charts, words
from agents.web.facts import BlockLine, OrderLine, PeriodLine
from agents.web.server import Listening, PageRules, bind, url_of
from market.receipts import ReasonCode

WEB = Path(words.__file__).parent
CHINESE = re.compile("[\u4e00-\u9fff]")


def test_every_key_that_a_page_asks_for_has_words() -> None:
    pattern = re.compile(r'\bwords\("([a-z_0-9]+)"')
    used = {key for path in WEB.rglob("*.py") for key in pattern.findall(path.read_text())}
    assert len(used) > 80
    assert used <= set(words.keys())


@pytest.mark.parametrize("key", words.keys())
def test_every_key_has_words_with_the_same_places_in_both_languages(key: str) -> None:
    english, chinese = (words.Words(language)(key) for language in words.LANGUAGES)
    assert english
    assert CHINESE.search(chinese), chinese
    assert not CHINESE.search(english)
    places = re.compile(r"{(\w+)}")
    assert sorted(places.findall(english)) == sorted(places.findall(chinese))


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB,en", "en"), ("de-DE,de;q=0.9,zh;q=0.5", "zh"), ("", "en")],
)
def test_the_browsers_first_known_language_is_taken(accepted: str, language: str) -> None:
    assert words.language_of(accepted) == language


def test_the_curves_meet_the_energy_and_the_price_of_the_trades() -> None:
    clearing = make_clearing(deployment(6), 4)
    option = charts.curve_chart(clearing, words.Words("en"))
    point = next(series for series in option["series"] if series["type"] == "scatter")
    energy_kwh, price = point["data"][0]
    assert energy_kwh == pytest.approx(clearing.traded_wh / 1e3, abs=1e-3)
    prices = [trade.price_micro / 1e6 for trade in clearing.trades]
    assert min(prices) <= price <= max(prices)
    demand = option["series"][0]["data"]
    assert demand[-1][0] == pytest.approx(sum(energy for _, energy in clearing.demand) / 1e3)


def test_the_book_gathers_energy_from_the_best_price_on() -> None:
    def order(side: str, price: int, energy: int) -> OrderLine:
        return OrderLine(
            period=0, account=b"", side=side, energy_wh=energy, price_micro=price, number=1, code=0, height=1
        )

    orders = [order("buy", 200_000, 500), order("buy", 100_000, 250), order("sell", 150_000, 100)]
    option = charts.book_chart(orders, words.Words("en"))
    assert option["series"][0]["data"] == [[0.1, 0.75], [0.2, 0.5]]
    assert option["series"][1]["data"] == [[0.15, 0.1]]


def test_charts_hold_plain_values_and_draw_tooltips_on_the_canvas() -> None:
    line = PeriodLine(
        period=0, price_micro=None, lowest_micro=None, highest_micro=None, trades=0, traded_wh=0, bid_wh=10,
        offered_wh=20, import_wh=0, export_wh=0, imbalance_wh=0,
    )  # fmt: skip
    block = BlockLine(height=1, time_ms=0, period=0, transactions=3, view=0, block_hash="", state_root="")
    english = words.Words("en")
    options: list[Any] = [
        charts.price_chart([line], ["00:00"], (0.3, 0.08), 0, english),
        charts.volume_chart([line], ["00:00"], english),
        charts.block_chart([block], english),
        charts.lines_chart(["00:00"], "kWh", [("<b>", [None, 1_000.0], "@buy")], scale=1e3),
    ]
    for option in options:
        json.dumps(option, allow_nan=False)
        assert option["tooltip"]["renderMode"] == "richText"


def test_no_component_but_the_reports_figures_takes_markup() -> None:
    takers = [path.name for path in WEB.rglob("*.vue") if "v-html" in path.read_text()]
    assert takers == ["picture.vue"]
    assert not [path.name for path in WEB.rglob("*.py") if "unsafe_innerHTML" in path.read_text()]


def test_no_file_of_the_page_names_another_host() -> None:
    for path in [*WEB.rglob("*.vue"), *WEB.rglob("*.css")]:
        assert not re.search(r"(https?:)?//[a-z]+\.[a-z]", path.read_text()), path


async def _inner(scope: Any, receive: Any, send: Any) -> None:
    page = (
        b"<html><head><meta content='width=device-width, initial-scale=1, maximum-scale=1, "
        b"user-scalable=no, minimal-ui'></head><v-progress-linear></v-progress-linear></html>"
    )
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(page)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": page})


def ask(
    host: str, origin: str = "", allowed: tuple[str, ...] = ("127.0.0.1", "localhost")
) -> tuple[int, bytes, Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    scope = {"type": "http", "headers": headers}
    asyncio.run(PageRules(_inner, allowed)(scope, receive, send))
    return sent[0]["status"], b"".join(item.get("body", b"") for item in sent), dict(sent[0]["headers"])


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:1", "localhost", "LOCALHOST"])
def test_our_own_names_are_answered(host: str) -> None:
    assert ask(host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8765", "", "[::1]:8765"])
def test_other_names_are_refused_so_no_site_can_rebind_its_name_to_us(host: str) -> None:
    assert ask(host)[0] == 421


def test_another_sites_page_is_refused() -> None:
    assert ask("127.0.0.1:8765", "http://127.0.0.1:8765")[0] == 200
    assert ask("127.0.0.1:8765", "http://evil.example")[0] == 421
    assert ask("127.0.0.1:8765", "http://127.0.0.1:9999")[0] == 421


def test_a_page_for_everybody_is_reached_by_address_and_not_by_foreign_names() -> None:
    allowed = ("localhost", "*address*")
    assert ask("192.168.1.7:8765", allowed=allowed)[0] == 200
    assert ask("evil.example:8765", allowed=allowed)[0] == 421


def test_the_page_can_be_zoomed_and_may_load_from_here_alone() -> None:
    status, page, headers = ask("localhost")
    assert status == 200
    assert b'<html lang="en">' in page
    assert b"user-scalable" not in page
    assert b'<v-progress-linear aria-label="Busy"' in page
    assert int(headers[b"content-length"]) == len(page)
    policy = headers[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "http:" not in policy
    assert "https:" not in policy


def test_a_port_that_is_taken_is_an_error_that_says_so_and_a_default_goes_on_to_the_next() -> None:
    first = bind(Listening())
    try:
        second = bind(Listening())
        port = second.getsockname()[1]
        assert port != first.getsockname()[1]
        assert url_of(second, "127.0.0.1") == f"http://127.0.0.1:{port}/"
        with pytest.raises(ConfigurationError, match=f"--port {port}"):
            bind(Listening(port=port))
        second.close()
    finally:
        first.close()


def test_reason_codes_are_shown_with_the_contracts_own_sentence() -> None:
    assert all(code.sentence for code in ReasonCode)
