"""The Evaluation page: technology, economy and market, against the same community without a market."""

from __future__ import annotations

import threading
from itertools import groupby
from typing import Final

import solara
import solara.lab

from agents import formatting
from agents.errors import ApplicationError
from agents.kpis import Kpi, text_of
from agents.web.evaluation import Evaluation, evaluate
from agents.web.facts import FeedState
from agents.web.ledger_desk import sentence
from agents.web.pages.common import card, columns, row, signed_tone, tile
from agents.web.view import View
from agents.web.widgets import Buttons, DataTable, Heading, Notice, Picture, Tiles

_one_at_a_time = threading.Lock()
_last: dict[tuple[str, int], Evaluation] = {}

_COMPARED: Final = (
    ("cost", "community_cost_nano", "reference_cost_nano"),
    ("absorption", "pv_absorption_local", "pv_absorption_local_alone"),
    ("sufficiency", "self_sufficiency", "self_sufficiency_alone"),
    ("consumption", "self_consumption", "self_consumption_alone"),
    ("peak_gap", "peak_valley_gap_w", "peak_valley_gap_w_alone"),
)
"""Word, number with the market, number without."""


@solara.component
def EvaluationPage(view: View) -> None:
    """Evaluates when opened, when asked, and when the run ends: it takes seconds and half a core."""
    words = view.words
    ended = view.snapshot.state is FeedState.ENDED
    asked, set_asked = solara.use_state(0)

    def work() -> Evaluation | str:
        return _evaluate(view)

    task = solara.lab.use_task(work, dependencies=[asked, ended], prefer_threaded=True, raise_error=False)
    result = task.value if task.finished else task.latest
    Heading(text=words("evaluation"), level=1)
    Buttons(
        items=[{"key": "evaluate", "label": words("evaluate"), "disabled": task.pending}],
        event_pick=lambda _: set_asked(asked + 1),
    )
    if result is None or task.pending:
        Notice(heading=words("evaluation"), text=words("evaluating"), tone="gb-plain")
    elif isinstance(result, str):
        Notice(heading=words("evaluation_failed"), text=result, tone="gb-wait")
    if isinstance(result, Evaluation):
        _show(view, result)


def _evaluate(view: View) -> Evaluation | str:
    """One evaluation at a time, shared by sessions that ask for the same number of periods."""
    key = (str(view.hub.folder.path), view.snapshot.settled)
    if not view.snapshot.settled:
        return view.words("evaluation_later")
    with _one_at_a_time:
        if key not in _last:
            try:
                found = evaluate(view.hub.folder)
            except ApplicationError as error:
                return sentence(error, view.hub.folder)
            _last.clear()
            _last[key] = found
        return _last[key]


def _show(view: View, result: Evaluation) -> None:
    words = view.words
    Heading(text=words("comparison"), note=words("evaluation_note", periods=result.periods))
    Tiles(tiles=_headlines(view, result))
    with solara.Div(classes=["gb-grid"]):
        with card(12, words("comparison"), words("comparison_note")):
            DataTable(
                columns=columns(
                    (words("measure"), ""),
                    (words("without"), "number"),
                    (words("with"), "number"),
                    (words("difference"), "number"),
                ),
                rows=[_compared(view, result, *entry) for entry in _COMPARED],
                words=view.table_words(),
                label=words("comparison"),
            )
        for svg, heading in ((result.coupling_svg, "coupling_figure"), (result.money_svg, "money_figure")):
            if svg:
                with card(12, words(heading)):
                    Picture(svg=svg, label=words(heading))
        for dimension, heading in (
            ("technology", "technology"),
            ("economy", "economy"),
            ("market", "market_dimension"),
        ):
            with card(12, words(heading)):
                DataTable(
                    columns=columns(
                        (words("measure"), ""), (words("value"), "number"), (words("definition"), "definition")
                    ),
                    rows=_rows(result.dimension(dimension)),
                    words=view.table_words(),
                    label=words(heading),
                    page_rows=200,
                )
        if result.missing:
            with card(12, words("missing")):
                DataTable(
                    columns=columns((words("missing"), "")),
                    rows=[row("", (text,)) for text in result.missing],
                    words=view.table_words(),
                    label=words("missing"),
                )


def _headlines(view: View, result: Evaluation) -> list[dict[str, str]]:
    words = view.words
    saving, share = result.value("saving_nano"), result.value("saving_share")
    tiles = [
        tile(words("cost"), _money(result.value("community_cost_nano")),
             f"{words('without')}: {_money(result.value('reference_cost_nano'))}"),
        tile(words("difference"), _money(saving), _share(share), signed_tone(saving or 0)),
        tile(words("median_saving"), _money(result.value("median_saving_nano"))),
        tile(words("worse_off"), _share(result.value("worse_off_share")).lstrip("+")),
    ]  # fmt: skip
    for word, key in (("absorption", "pv_absorption_local"), ("peak_gap", "peak_valley_gap_w")):
        kpi = next((kpi for kpi in result.kpis if kpi.key == key), None)
        alone = next((kpi for kpi in result.kpis if kpi.key == f"{key}_alone"), None)
        if kpi is not None and alone is not None:
            tiles.append(tile(words(word), text_of(kpi), f"{words('without')}: {text_of(alone)}"))
    return tiles


def _compared(view: View, result: Evaluation, word: str, key: str, alone_key: str) -> dict[str, object]:
    by_key = {kpi.key: kpi for kpi in result.kpis}
    market, alone = by_key.get(key), by_key.get(alone_key)
    if market is None or alone is None or market.value is None or alone.value is None:
        return row(key, (view.words(word), formatting.MISSING, formatting.MISSING, formatting.MISSING))
    difference = market.value - alone.value
    if market.unit == "share":
        text = f"{difference * 100:+,.1f} {view.words('points')}"
    else:
        text = text_of(_with_value(market, difference))
        text = text if difference < 0 else f"+{text}"
        if alone.value:
            text += f" ({difference / abs(alone.value) * 100:+,.1f} %)"
    return row(key, (view.words(word), text_of(alone), text_of(market), text))


def _with_value(kpi: Kpi, value: float) -> Kpi:
    return Kpi(
        key=kpi.key, group=kpi.group, label=kpi.label, value=value, unit=kpi.unit, definition=kpi.definition
    )


def _rows(kpis: list[Kpi]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for group, members in groupby(kpis, key=lambda kpi: kpi.group):
        rows.append({"key": f"group {group}", "group": group, "cells": []})
        rows.extend(row(kpi.key, (kpi.label, text_of(kpi), kpi.definition)) for kpi in members)
    return rows


def _money(amount_nano: float | None) -> str:
    return formatting.money(amount_nano)


def _share(share: float | None) -> str:
    return formatting.MISSING if share is None else f"{share * 100:+,.1f} %"
