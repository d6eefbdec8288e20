"""The Solara application: one component for all pages, which follows the hub and looks at the address."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import solara
import solara.lab

from agents.web.facts import FeedState, Snapshot
from agents.web.hub import Hub, installed
from agents.web.pages.agents import AgentsPage
from agents.web.pages.devices import DevicesPage
from agents.web.pages.evaluation import EvaluationPage
from agents.web.pages.ledger import LedgerPage
from agents.web.pages.market import MarketPage
from agents.web.pages.notices import Notices
from agents.web.view import View, clock_text
from agents.web.widgets import Header, TimeBar
from agents.web.words import LANGUAGES, Language, Words, language_of

FRAMES_PER_S: Final = 4
"""How often a session looks for a newer snapshot. Nothing pushes back on a browser that is slow, so it is low."""

PAGES: Final = {
    "": ("market", MarketPage),
    "agents": ("agents", AgentsPage),
    "ledger": ("ledger", LedgerPage),
    "devices": ("devices", DevicesPage),
    "evaluation": ("evaluation", EvaluationPage),
}
"""First part of the address, its word, its component."""

_TONES: Final = {
    FeedState.WAITING: "gb-wait",
    FeedState.LIVE: "gb-good gb-live",
    FeedState.SILENT: "gb-wait",
    FeedState.DISCONNECTED: "gb-bad",
    FeedState.ENDED: "gb-plain",
}


@solara.component
def Frame(children: Sequence[object] = ()) -> None:
    """Everything a browser session sees. A layout, and not a page, so that it stays when the address changes."""
    hub = installed()
    snapshot = _use_snapshot(hub)
    language, set_language = solara.use_state(solara.use_memo(_first_language, []))
    chosen, set_chosen = solara.use_state(None)
    router = solara.use_router()
    first, *rest = router.parts or [""]
    word, component = PAGES.get(first, PAGES[""])
    words = solara.use_memo(lambda: Words(language), [language])
    view = View(
        hub=hub,
        snapshot=snapshot,
        words=words,
        chosen=chosen,
        place=tuple(rest),
        choose=set_chosen,
        go=router.push,
    )
    solara.Title(f"Gridbazaar · {words(word)}")

    def choose_language(value: str) -> None:
        for known in LANGUAGES:
            if known == value:
                set_language(known)

    Header(
        run=hub.deployment.scenario,
        state=words(f"state_{snapshot.state}"),
        tone=_TONES[snapshot.state],
        clock=clock_text(hub.deployment, min(snapshot.open_period, max(0, hub.deployment.periods - 1))),
        clock_note=words("settled_of", settled=snapshot.settled, periods=hub.deployment.periods),
        language=language,
        items=[
            {"path": f"/{path}", "label": words(name), "active": path == (first if first in PAGES else "")}
            for path, (name, _) in PAGES.items()
        ],
        nav_label=words("pages"),
        theme_words=[words("light"), words("dark")],
        event_go=router.push,
        event_choose_language=choose_language,
    )
    with solara.Div(classes=["gb-page"]):
        if first in ("", "agents"):
            _time_bar(view)
        Notices(view)
        component(view)
    threshold, nodes = hub.deployment.agreement_threshold, len(hub.deployment.committee)
    solara.v.Html(tag="footer", class_="gb-foot", children=[words("foot", threshold=threshold, nodes=nodes)])


@solara.component
def Place() -> None:
    """What Solara finds at an address: nothing, since the frame reads the address itself."""
    solara.Div()


routes = [solara.Route(path=path or "/", component=Place, layout=Frame if path == "" else None) for path in PAGES]
"""Solara's table of addresses."""


def _time_bar(view: View) -> None:
    snapshot, words = view.snapshot, view.words
    last = snapshot.last_period
    if last is None:
        return
    shown = last if view.chosen is None else view.chosen
    label = words("latest_label" if view.chosen is None else "period_label", period=shown, time=view.clock(shown))
    TimeBar(
        first=0,
        last=last,
        value=view.chosen,
        label=label,
        words={key: words(key) for key in ("play", "pause", "latest", "period")},
        event_choose=lambda value: view.choose(_period(value, last)),
    )


def _period(value: object, last: int) -> int | None:
    # The browser may send anything.
    return max(0, min(value, last)) if isinstance(value, int) and not isinstance(value, bool) else None


def _use_snapshot(hub: Hub) -> Snapshot:
    """The newest snapshot, taken when this session is ready for it."""
    snapshot = solara.use_reactive(hub.snapshot)

    async def follow() -> None:
        while True:
            await asyncio.sleep(1 / FRAMES_PER_S)
            if hub.snapshot is not snapshot.peek():
                snapshot.value = hub.snapshot

    solara.lab.use_task(follow, dependencies=[], prefer_threaded=True)
    value = snapshot.value
    assert isinstance(value, Snapshot)
    return value


def _first_language() -> Language:
    headers = solara.lab.headers.value or {}
    accepted = headers.get("accept-language", [])
    return language_of(accepted[0] if accepted else "")
