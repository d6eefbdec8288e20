"""The Agents page: everybody in a table, and one of them in full."""

from __future__ import annotations

from collections.abc import Sequence

import solara

from agents import formatting
from agents.web import charts
from agents.web.facts import AgentLine, OrderLine
from agents.web.hub import AgentHistory
from agents.web.pages.common import (
    CURRENCY,
    card,
    cell,
    columns,
    energy_cell,
    money_cell,
    price_cell,
    row,
    signed_tone,
    tile,
    with_unit,
)
from agents.web.view import View
from agents.web.widgets import Buttons, Chart, DataTable, Heading, Notice, Tiles
from market.events import Trade
from market.receipts import ReasonCode

ROLES = ("producer", "consumer", "prosumer", "speculator")


@solara.component
def AgentsPage(view: View) -> None:
    """`/agents` shows all, `/agents/NAME` one."""
    name = view.place[0] if view.place else ""
    line = next((line for line in view.snapshot.agents if line.name == name), None)
    if not name:
        _Everybody(view)
        return
    Buttons(items=[{"key": "back", "label": view.words("back")}], event_pick=lambda _: view.go("/agents"))
    if line is not None:
        _OneAgent(view, line).key(name)
    elif view.snapshot.agents:
        Notice(
            heading=view.words("unknown_agent", name=name[:64]), text=view.words("unknown_text"), tone="gb-wait"
        )


@solara.component
def _Everybody(view: View) -> None:
    words = view.words
    Heading(text=words("agents"), level=1)
    rows = solara.use_memo(
        lambda: [_agent_row(view, line) for line in view.snapshot.agents],
        [view.snapshot.settled, words.language],
    )
    with card(12, words("all_agents"), words("all_agents_note")):
        DataTable(
            columns=columns(
                (words("name"), ""),
                (words("role"), ""),
                (words("region"), ""),
                (with_unit(words("position"), "kWh"), "number"),
                (with_unit(words("metered"), "kWh"), "number"),
                (with_unit(words("stored"), "kWh"), "number"),
                (with_unit(words("balance"), CURRENCY), "number"),
                (with_unit(words("gained"), CURRENCY), "number"),
                (words("reputation"), "number"),
            ),
            rows=rows,
            words=view.table_words(),
            label=words("all_agents"),
            sortable=True,
            filterable=True,
            pickable=True,
            event_pick=lambda name: view.go(f"/agents/{name}"),
        )


def role_word(view: View, role: str) -> str:
    """A role in the page's language; one that is not known here under its own name."""
    return view.words(role) if role in ROLES else role


def _agent_row(view: View, line: AgentLine) -> dict[str, object]:
    return row(
        line.name,
        (
            line.name,
            role_word(view, line.role),
            line.region,
            energy_cell(line.position_wh),
            energy_cell(line.metered_wh),
            "" if line.soc_wh is None else energy_cell(line.soc_wh),
            money_cell(line.balance_nano),
            money_cell(line.gain_nano),
            cell(f"{line.reputation_ppm / 1e6:.3f}", line.reputation_ppm),
        ),
    )


@solara.component
def _OneAgent(view: View, line: AgentLine) -> None:
    account = view.deployment.participants[line.index].account
    history = solara.use_memo(lambda: view.hub.agent_history(account), [line.name, view.snapshot.settled])
    assert history is not None
    Heading(text=line.name, note=f"{role_word(view, line.role)} · {line.region}", level=1)
    Tiles(tiles=_tiles(view, line))
    labels = [view.clock(period) for period in history.periods]
    with solara.Div(classes=["gb-grid"]):
        _energy(view, history, labels)
        _money(view, history, labels)
        if line.pv_wh is not None or line.soc_wh is not None:
            _battery(view, history, labels)
        _reputation(view, history, labels)
        _orders(view, history.orders)
        _trades(view, account)


def _tiles(view: View, line: AgentLine) -> list[dict[str, str]]:
    words = view.words
    capacity_wh = view.hub.capacities_wh.get(line.name)
    tiles = [
        tile(words("balance"), formatting.money(line.balance_nano)),
        tile(words("gained"), formatting.money(line.gain_nano), words("gain_hint"), signed_tone(line.gain_nano)),
        tile(words("remained"), formatting.money(line.net_nano),
             f"{words('at_tariffs')}: {formatting.money(line.tariff_nano)}"),
        tile(words("penalties"), formatting.money(line.penalty_nano)),
        tile(words("reputation"), f"{line.reputation_ppm / 1e6:.3f}"),
    ]  # fmt: skip
    if line.soc_wh is not None:
        share = (
            f"{line.soc_wh / capacity_wh * 100:.0f} % / {formatting.energy(capacity_wh)}" if capacity_wh else ""
        )
        tiles.append(tile(words("stored"), formatting.energy(line.soc_wh), share))
    if line.side:
        price = formatting.price(line.order_price_micro)
        tiles.append(tile(words("last_order"), f"{words(line.side)} {formatting.energy(line.ordered_wh)}", price))
    return tiles


def _energy(view: View, history: AgentHistory, labels: Sequence[str]) -> None:
    words = view.words
    data = history.columns
    known = any(value is not None for value in data["forecast_wh"])
    lines = [
        (words("contract"), data["position_wh"], "@price"),
        (words("meter"), data["metered_wh"], "@sell"),
    ]
    if known:
        lines.insert(0, (words("forecast"), data["forecast_wh"], "@soft"))
    note = words("agent_energy_note") if known else f"{words('agent_energy_note')} {words('no_forecast')}"
    with card(6, words("agent_energy"), note):
        option = charts.lines_chart(labels, "kWh", lines, scale=1e3)
        Chart(option=option, label=words("agent_energy"), height=240)


def _money(view: View, history: AgentHistory, labels: Sequence[str]) -> None:
    words = view.words
    data = history.columns
    lines = [
        (words("with_market"), data["net_nano"], "@good"),
        (words("without_market"), data["tariff_nano"], "@soft"),
    ]
    with card(6, words("agent_money"), words("agent_money_note")):
        option = charts.lines_chart(labels, CURRENCY, lines, scale=1e9)
        Chart(option=option, label=words("agent_money"), height=240)


def _battery(view: View, history: AgentHistory, labels: Sequence[str]) -> None:
    words = view.words
    lines = [(words("generation"), history.columns["pv_wh"], "@sell")]
    if any(value is not None for value in history.columns["soc_wh"]):
        lines.insert(0, (words("stored"), history.columns["soc_wh"], "@good"))
    with card(6, words("agent_battery"), words("agent_battery_note")):
        option = charts.lines_chart(labels, "kWh", lines, scale=1e3, area=True)
        Chart(option=option, label=words("agent_battery"), height=220)


def _reputation(view: View, history: AgentHistory, labels: Sequence[str]) -> None:
    words = view.words
    lines = [(words("reputation"), history.columns["reputation_ppm"], "@extra")]
    with card(6, words("agent_reputation"), words("agent_reputation_note")):
        option = charts.lines_chart(labels, "", lines, scale=1e6)
        Chart(option=option, label=words("agent_reputation"), height=220)


def _orders(view: View, orders: Sequence[OrderLine]) -> None:
    words = view.words
    rows = [
        row(
            f"{order.period}-{order.number}-{order.code}",
            (
                order.period,
                words(order.side),
                energy_cell(order.energy_wh),
                price_cell(order.price_micro),
                order_answer(view, order),
            ),
        )
        for order in reversed(orders)
    ]
    with card(6, words("orders"), words("orders_note")):
        DataTable(
            columns=columns(
                (words("period"), "number"),
                (words("side"), ""),
                (with_unit(words("energy"), "kWh"), "number"),
                (with_unit(words("price"), f"{CURRENCY}/kWh"), "number"),
                (words("answer"), ""),
            ),
            rows=rows,
            words=view.table_words(),
            label=words("orders"),
            page_rows=12,
        )


def order_answer(view: View, order: OrderLine) -> str:
    """What the nodes said to an order; a refusal with the contract's own sentence."""
    if order.code == ReasonCode.OK:
        return view.words("accepted", number=order.number)
    try:
        return ReasonCode(order.code).sentence
    except ValueError:
        return str(order.code)


def _trades(view: View, account: bytes) -> None:
    words = view.words
    facts = view.facts()
    trades = facts.clearing.trades if facts and facts.clearing else ()
    own = [trade for trade in trades if account in (trade.buyer, trade.seller)]
    with card(6, words("last_trades"), words("agent_trades_note")):
        DataTable(
            columns=columns(
                (words("partner"), ""),
                (words("side"), ""),
                (with_unit(words("energy"), "kWh"), "number"),
                (with_unit(words("price"), f"{CURRENCY}/kWh"), "number"),
            ),
            rows=[_trade_row(view, trade, account) for trade in own],
            words=view.table_words(),
            label=words("last_trades"),
            page_rows=12,
        )


def _trade_row(view: View, trade: Trade, account: bytes) -> dict[str, object]:
    buys = trade.buyer == account
    partner = trade.seller if buys else trade.buyer
    price_micro = trade.price_micro + (trade.fee_micro if buys else 0)
    return row(
        str(trade.number),
        (
            view.deployment.name_of(partner),
            view.words("buy" if buys else "sell"),
            energy_cell(trade.energy_wh),
            price_cell(price_micro),
        ),
    )
