"""The Market page: who trades with whom, at what price, and how much."""

from __future__ import annotations

from collections import Counter

import solara

from agents import formatting
from agents.web import charts
from agents.web.facts import FeedState, PeriodFacts
from agents.web.pages.common import (
    CURRENCY,
    card,
    columns,
    energy_cell,
    price_cell,
    row,
    signed_tone,
    tile,
    with_unit,
)
from agents.web.view import View
from agents.web.widgets import Chart, DataTable, Heading, MarketMap, Tiles
from market.events import Clearing

FLOWS_MAX = 600
"""Links on the map: the largest. More are a tangle, and work for the browser."""


@solara.component
def MarketPage(view: View) -> None:
    """The period looked at, and prices and volumes over time."""
    snapshot = view.snapshot
    key = (view.period, snapshot.settled, view.words.language)
    facts = solara.use_memo(view.facts, [view.period, snapshot.settled if view.chosen is None else 0])
    Heading(text=view.words("market"), level=1)
    Tiles(tiles=_tiles(view, facts))
    with solara.Div(classes=["gb-grid"]):
        with card(8, view.words("who_with_whom"), view.words("map_note")):
            _map(view, facts)
        with solara.Div(classes=["gb-w4"]):
            with card(12, view.words("price_over_time"), view.words("price_note")):
                _prices(view, key)
            solara.Div(style="height: 14px")
            with card(12, view.words("volumes"), view.words("volumes_note")):
                _volumes(view, key)
        clearing = facts.clearing if facts else None
        with card(6, view.words("curves"), view.words("curves_note")):
            _curves(view, clearing)
        _book(view, clearing)
        _trades(view, clearing)


def _tiles(view: View, facts: PeriodFacts | None) -> list[dict[str, str]]:
    snapshot, words = view.snapshot, view.words
    clearing = facts.clearing if facts else None
    traded_wh = sum(trade.energy_wh for trade in clearing.trades) if clearing else 0
    mean_micro = None
    if clearing and traded_wh:
        mean_micro = sum(trade.energy_wh * trade.price_micro for trade in clearing.trades) / traded_wh
    overall_micro = snapshot.value_nano / snapshot.traded_wh if snapshot.traded_wh else None
    tiles = [
        tile(words("mean_price"), formatting.price(mean_micro),
             words("since_start", value=formatting.price(overall_micro))),
        tile(words("traded_energy"), formatting.energy(traded_wh),
             words("since_start", value=formatting.energy(snapshot.traded_wh))),
        tile(words("trades"), formatting.count(len(clearing.trades) if clearing else 0),
             words("since_start", value=formatting.count(snapshot.trades))),
        tile(words("gain"), formatting.money(snapshot.gain_nano), words("gain_hint"),
             signed_tone(snapshot.gain_nano)),
    ]  # fmt: skip
    if snapshot.state is not FeedState.ENDED:
        tiles += [
            tile(words("answered_in"), formatting.milliseconds(snapshot.latency_ms), words("answered_hint")),
            tile(words("per_second"), f"{snapshot.transactions_per_s:,.0f} /s", words("in_ten_seconds")),
        ]
    return tiles


def _map(view: View, facts: PeriodFacts | None) -> None:
    words, deployment = view.words, view.deployment
    agents = solara.use_memo(lambda: _agents(view), [words.language])
    deps = [view.period, view.snapshot.settled if view.chosen is None else 0, words.language]
    flows = solara.use_memo(lambda: _flows(view, facts), deps)
    values = solara.use_memo(lambda: _values(view, facts), deps)
    regions = solara.use_memo(lambda: _regions(view, facts), deps)
    MarketMap(
        agents=agents,
        regions=regions,
        flows=flows,
        values=values,
        legend=[
            {"role": role, "label": words(role)}
            for role in ("producer", "consumer", "prosumer", "speculator")
            if any(entry.role == role for entry in deployment.participants)
        ],
        words={"grid": words("grid"), "flow": words("energy_flow"), "charge": words("charge")},
        label=words(
            "map_label",
            agents=len(agents),
            regions=len(regions),
            flows=len(flows),
            period="–" if view.period is None else view.period,  # noqa: RUF001
        ),
        event_pick=lambda name: view.go(f"/agents/{name}"),
    )


def _agents(view: View) -> list[list[str]]:
    """Name, role, region, role in words. Roles the page does not know are shown under their own name."""
    known = ("producer", "consumer", "prosumer", "speculator")
    return [
        [entry.name, entry.role, entry.region, view.words(entry.role) if entry.role in known else entry.role]
        for entry in view.deployment.participants
    ]


def _flows(view: View, facts: PeriodFacts | None) -> list[list[int]]:
    """Seller, buyer, Wh; the largest first. -1 is the grid, which sells in the regulator's name."""
    if facts is None or facts.clearing is None:
        return []
    index = {entry.account: place for place, entry in enumerate(view.deployment.participants)}
    pairs: Counter[tuple[int, int]] = Counter()
    for trade in facts.clearing.trades:
        pairs[index.get(trade.seller, -1), index.get(trade.buyer, -1)] += trade.energy_wh
    return [[seller, buyer, energy] for (seller, buyer), energy in pairs.most_common(FLOWS_MAX)]


def _values(view: View, facts: PeriodFacts | None) -> list[list[object]]:
    words = view.words
    positions = facts.clearing.positions_wh() if facts and facts.clearing else {}
    charges = view.hub.column(view.period, "soc_wh") if view.period is not None else None
    values: list[list[object]] = []
    for place, entry in enumerate(view.deployment.participants):
        position = positions.get(entry.account, 0)
        capacity = view.hub.capacities_wh.get(entry.name)
        charge = charges[place] if charges else None
        share = round(min(1.0, charge / capacity), 3) if capacity and charge is not None else None
        energy = formatting.energy(abs(position))
        key = "sold_sentence" if position > 0 else "bought_sentence" if position < 0 else "idle_sentence"
        sentence = words(key, energy=energy) if position else words(key)
        if charge is not None and share is not None:
            sentence += f"\n{words('charge')} {share * 100:.0f} % ({formatting.energy(charge)})"
        values.append([position, share, sentence])
    return values


def _regions(view: View, facts: PeriodFacts | None) -> list[dict[str, str]]:
    prices = {price.region: price for price in facts.clearing.prices} if facts and facts.clearing else {}
    regions = []
    for name in view.deployment.regions:
        price = prices.get(name)
        note = view.words("region_quiet")
        if price is not None and price.volume_wh:
            note = view.words(
                "region_note", price=formatting.price(price.mean_micro), energy=formatting.energy(price.volume_wh)
            )
        regions.append({"name": name, "note": note})
    return regions


def _prices(view: View, key: tuple[object, ...]) -> None:
    lines = view.snapshot.periods
    chosen = next((place for place, line in enumerate(lines) if line.period == view.chosen), None)
    tariffs = view.hub.mirror.tariffs
    option = solara.use_memo(
        lambda: charts.price_chart(
            lines,
            [view.clock(line.period) for line in lines],
            (tariffs.retail_micro / 1e6, tariffs.feed_in_micro / 1e6),
            chosen,
            view.words,
        ),
        [*key, view.chosen],
    )
    last = next((line for line in reversed(lines) if line.price_micro is not None), None)
    label = f"{view.words('price_over_time')}: {formatting.price(last.price_micro if last else None)}"

    def pick(place: object) -> None:
        if isinstance(place, int) and 0 <= place < len(lines):
            view.choose(lines[place].period)

    Chart(option=option, label=label, height=212, pickable=True, event_pick=pick)


def _volumes(view: View, key: tuple[object, ...]) -> None:
    lines = view.snapshot.periods
    option = solara.use_memo(
        lambda: charts.volume_chart(lines, [view.clock(line.period) for line in lines], view.words), [*key]
    )
    label = f"{view.words('volumes')}: {formatting.energy(lines[-1].traded_wh if lines else None)}"
    Chart(option=option, label=label, height=196)


def _curves(view: View, clearing: Clearing | None) -> None:
    deps = [clearing.period if clearing else None, view.words.language]
    option = solara.use_memo(lambda: charts.curve_chart(clearing, view.words) if clearing else {}, deps)
    traded_wh = sum(trade.energy_wh for trade in clearing.trades) if clearing else 0
    Chart(option=option, label=f"{view.words('curves')}: {formatting.energy(traded_wh)}", height=290)


def _book(view: View, clearing: Clearing | None) -> None:
    """The book that fills now; looking back, or when nothing is open, the one that was cleared."""
    words, snapshot = view.words, view.snapshot
    if view.chosen is None and snapshot.book:
        bids = [order for order in snapshot.book if order.side == "buy"]
        asks = [order for order in snapshot.book if order.side == "sell"]
        note = words(
            "book_note",
            bids=len(bids),
            asks=len(asks),
            bid=formatting.price(max((order.price_micro for order in bids), default=None)),
            ask=formatting.price(min((order.price_micro for order in asks), default=None)),
        )
        option = charts.book_chart(snapshot.book, words)
        period: int | str = snapshot.open_period
    else:
        note = words("book_ended")
        option = charts.clearing_depth_chart(clearing, words) if clearing else {}
        period = clearing.period if clearing else "–"  # noqa: RUF001
    with card(6, words("book", period=period), note):
        Chart(option=option, label=f"{words('book', period=period)}. {note}", height=290)


def _trades(view: View, clearing: Clearing | None) -> None:
    words = view.words
    trades = clearing.trades if clearing else ()
    name = view.deployment.name_of
    grid = {entry.public_key for entry in view.deployment.authorities}

    def who(account: bytes) -> str:
        return words("grid") if account in grid else name(account)

    rows = [
        row(
            str(trade.number),
            (
                who(trade.seller),
                who(trade.buyer),
                energy_cell(trade.energy_wh),
                price_cell(trade.price_micro),
                price_cell(trade.fee_micro) if trade.fee_micro else "",
            ),
        )
        for trade in trades
    ]
    total_wh = sum(trade.energy_wh for trade in trades)
    crossing_wh = sum(trade.energy_wh for trade in trades if trade.fee_micro)
    note = words(
        "trades_note",
        trades=len(trades),
        energy=formatting.energy(total_wh),
        crossing=formatting.energy(crossing_wh),
    )
    unit = f"{CURRENCY}/kWh"
    with card(12, words("last_trades"), note):
        DataTable(
            columns=columns(
                (words("seller"), ""),
                (words("buyer"), ""),
                (with_unit(words("energy"), "kWh"), "number"),
                (with_unit(words("price"), unit), "number"),
                (with_unit(words("fee"), unit), "number"),
            ),
            rows=rows,
            words=view.table_words(),
            label=words("last_trades"),
            sortable=True,
            filterable=True,
            page_rows=12,
        )
