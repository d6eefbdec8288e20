"""The Ledger page: is the committee healthy, and what stands in its blocks."""

from __future__ import annotations

import solara

from agents import formatting
from agents.web import charts
from agents.web.facts import FeedState, NodeLine
from agents.web.folder_nodes import NodeFile
from agents.web.hub import Hub
from agents.web.ledger_desk import LedgerDesk
from agents.web.pages.block import BlockPage, NodePage, TransactionPage
from agents.web.pages.common import card, cell, columns, row, shorter, tile
from agents.web.pages.devices import state_word
from agents.web.view import View
from agents.web.widgets import Chart, DataTable, Heading, NodeCards, Tiles

_desks: dict[Hub, LedgerDesk] = {}


def desk_of(hub: Hub) -> LedgerDesk:
    """The one desk of the process, so that sessions share what was read."""
    return _desks.setdefault(hub, LedgerDesk(hub.folder, hub.deployment))


@solara.component
def LedgerPage(view: View) -> None:
    """`/ledger`, and below it `block/HEIGHT`, `tx/ID` and `node/NAME`."""
    desk = desk_of(view.hub)
    match view.place:
        case ("block", height) if height.isdigit():
            BlockPage(view, desk, int(height[:18])).key(height)
        case ("tx", transaction_id):
            TransactionPage(view, desk, transaction_id[:64]).key(transaction_id[:64])
        case ("node", name):
            NodePage(view, desk, name).key(name)
        case _:
            _Overview(view, desk)


@solara.component
def _Overview(view: View, desk: LedgerDesk) -> None:
    words, snapshot = view.words, view.snapshot
    files = desk.node_files()
    nodes, faults = len(snapshot.nodes), view.deployment.faults
    note = words("ledger_note", quorum=nodes - faults, nodes=nodes, faults=faults)
    Heading(text=words("ledger"), note=note, level=1)
    NodeCards(
        nodes=[node_card(view, node, files.get(node.name, NodeFile())) for node in snapshot.nodes],
        event_pick=lambda name: view.go(f"/ledger/node/{name}"),
    )
    Tiles(
        tiles=[
            tile(words("height"), formatting.count(max((node.height for node in snapshot.nodes), default=0))),
            tile(words("transactions"), formatting.count(snapshot.transactions)),
            tile(words("per_second"), f"{snapshot.transactions_per_s:,.0f} /s", words("in_ten_seconds")),
            tile(words("answered_in"), formatting.milliseconds(snapshot.latency_ms), words("answered_hint")),
            tile(words("refused"), formatting.count(snapshot.refused), words("refused_hint")),
        ]
    )
    with solara.Div(classes=["gb-grid"]):
        with card(12, words("block_load"), words("block_load_note")):
            _load(view)
        with card(12, words("blocks"), words("blocks_note")):
            _blocks(view)


def node_tone(view: View, node: NodeLine) -> tuple[str, str]:
    """How a node is doing: a colour and the words for it, since colour alone says nothing to some."""
    words = view.words
    if node.state == "offline":
        return "gb-bad", words("offline")
    if node.state in ("unreadable", "unknown", "ended", "starting"):
        tone = "gb-bad" if node.state == "unreadable" else "gb-wait" if node.state == "starting" else "gb-plain"
        return tone, words(state_word(node.state))
    if node.behind > 3 and view.snapshot.state is not FeedState.ENDED:
        return "gb-wait", words("catching_up", blocks=f"{node.behind:,}")
    return "gb-good", words(state_word(node.state))


def node_card(view: View, node: NodeLine, file: NodeFile) -> dict[str, object]:
    """What a node's card shows."""
    words = view.words
    tone, state_words = node_tone(view, node)
    commit = formatting.MISSING
    if node.latency_ms is not None:
        slowest = formatting.milliseconds(node.latency_max_ms)
        commit = f"{formatting.milliseconds(node.latency_ms)}, {slowest}"
    facts = [
        [words("duty"), words("primary" if node.is_primary else "backup")],
        [words("view"), f"{node.view:,}"],
        [words("height"), f"{node.height:,}"],
        [words("commit"), commit],
        [words("checkpoint"), formatting.count(file.checkpoint_height)],
        [words("evidence"), evidence_text(view, file)],
        [words("state_root"), node.state_root[:12] or formatting.MISSING],
    ]
    return {"name": node.name, "tone": tone, "state": node.state, "state_words": state_words, "facts": facts}


def evidence_text(view: View, file: NodeFile) -> str:
    """How often members contradicted themselves, and who."""
    if not file.evidence:
        return view.words("none")
    return view.words("against", count=file.evidence, names=", ".join(file.convicted))


def _load(view: View) -> None:
    blocks = view.snapshot.blocks
    words = view.words
    option = solara.use_memo(
        lambda: charts.block_chart(blocks, words), [blocks[-1].height if blocks else 0, words.language]
    )

    def pick(place: object) -> None:
        if isinstance(place, int) and 0 <= place < len(blocks):
            view.go(f"/ledger/block/{blocks[place].height}")

    Chart(option=option, label=words("block_load"), height=170, pickable=True, event_pick=pick)


def _blocks(view: View) -> None:
    words = view.words
    rows = [
        row(
            str(block.height),
            (
                f"{block.height}",
                formatting.clock_time(block.time_ms),
                block.period,
                block.transactions,
                block.view,
                cell(shorter(block.block_hash)),
                cell(shorter(block.state_root)),
            ),
        )
        for block in reversed(view.snapshot.blocks)
    ]
    DataTable(
        columns=columns(
            (words("height"), ""),
            (words("time"), ""),
            (words("period"), "number"),
            (words("transactions"), "number"),
            (words("view"), "number"),
            (words("hash"), "code"),
            (words("state_root"), "code"),
        ),
        rows=rows,
        words=view.table_words(),
        label=words("blocks"),
        pickable=True,
        page_rows=20,
        event_pick=lambda height: view.go(f"/ledger/block/{height}"),
    )
