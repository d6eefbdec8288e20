"""The page's own Vue components. Everything they show is text to them, never markup (but for `Picture`).

Colours are CSS variables of `app.css`, so that light and dark need no round trip to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import solara

Json = Mapping[str, Any]
"""Plain values for the browser. `Any` ends here: what a component takes stands in its `.vue` file."""


def _ignore(value: object) -> None:
    return None


@solara.component_vue("header.vue")
def Header(
    run: str,
    state: str,
    tone: str,
    clock: str,
    clock_note: str,
    language: str,
    items: Sequence[Json],
    nav_label: str,
    theme_words: Sequence[str],
    event_go: Callable[[str], None] = _ignore,
    event_choose_language: Callable[[str], None] = _ignore,
) -> None:
    """The bar above every page: name, state, clock, language, theme, pages."""


@solara.component_vue("time_bar.vue")
def TimeBar(
    first: int,
    last: int,
    value: int | None,
    label: str,
    words: Json,
    event_choose: Callable[[int | None], None] = _ignore,
) -> None:
    """A slider over periods; None stands for the latest, whichever that is."""


@solara.component_vue("tiles.vue")
def Tiles(tiles: Sequence[Json]) -> None:
    """Headline numbers: label, value, unit, hint, tone."""


@solara.component_vue("heading.vue")
def Heading(text: str, note: str = "", level: int = 2) -> None:
    """A heading with a sentence below."""


@solara.component_vue("notice.vue")
def Notice(heading: str, text: str, tone: str = "gb-plain") -> None:
    """Something to know before the rest: nothing yet, disconnected, ended."""


@solara.component_vue("chart.vue")
def Chart(
    option: Json,
    label: str,
    height: int = 260,
    pickable: bool = False,
    event_pick: Callable[[int], None] = _ignore,
) -> None:
    """An ECharts chart. Texts such as `@price` in the option are names of colours; `pick` gives a place on x."""


@solara.component_vue("data_table.vue")
def DataTable(
    columns: Sequence[Json],
    rows: Sequence[Json],
    words: Json,
    label: str,
    sortable: bool = False,
    filterable: bool = False,
    pickable: bool = False,
    page_rows: int = 60,
    event_pick: Callable[[str], None] = _ignore,
) -> None:
    """A table. A row has a `key` and `cells`; a cell is text, a number, or `{text, value, tone}`."""


@solara.component_vue("node_cards.vue")
def NodeCards(nodes: Sequence[Json], event_pick: Callable[[str], None] = _ignore) -> None:
    """Ledger nodes side by side."""


@solara.component_vue("details.vue")
def Details(facts: Sequence[Sequence[str]]) -> None:
    """Names and values: `[name, value, tone, is code]`."""


@solara.component_vue("link_button.vue")
def Buttons(items: Sequence[Json], event_pick: Callable[[str], None] = _ignore) -> None:
    """Buttons in a row: `{key, label, strong, disabled}`."""


@solara.component_vue("save.vue")
def SaveButton(label: str, name: str, content: str) -> None:
    """Saves a text as a file, from the page itself."""


@solara.component_vue("picture.vue")
def Picture(svg: str, label: str) -> None:
    """A figure of the report. The only markup that reaches a page: it is drawn here, by matplotlib."""


@solara.component_vue("market_map.vue")
def MarketMap(
    agents: Sequence[Sequence[str]],
    regions: Sequence[Json],
    flows: Sequence[Sequence[int]],
    values: Sequence[Sequence[Any]],
    legend: Sequence[Json],
    words: Json,
    label: str,
    chosen: int = -1,
    side_by_side: bool = False,
    event_pick: Callable[[str], None] = _ignore,
) -> None:
    """Agents in their regions and the energy between them.

    `agents`: name, role, region, role in words. `values`, in the same order: position in Wh, state of charge from
    0 to 1 or None, a sentence. `flows`: seller and buyer by their place in `agents` (-1: the grid), Wh.
    """
