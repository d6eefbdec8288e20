"""One block, one transaction, one node: what stands in the ledger files."""

from __future__ import annotations

import json

import solara

from agents import formatting
from agents.deployment import Json
from agents.errors import ApplicationError
from agents.web.folder_nodes import NodeFile
from agents.web.ledger_desk import BlockView, LedgerDesk, TransactionView, sentence
from agents.web.pages.common import card, cell, columns, row, shorter
from agents.web.view import View
from agents.web.widgets import Buttons, DataTable, Details, Heading, Notice, SaveButton


@solara.component
def BlockPage(view: View, desk: LedgerDesk, height: int) -> None:
    """A block: header, certificate, transactions."""
    words = view.words
    found = solara.use_memo(lambda: _block(desk, height), [height])

    def pick(key: str) -> None:
        targets = {
            "back": "/ledger",
            "previous": f"/ledger/block/{height - 1}",
            "next": f"/ledger/block/{height + 1}",
        }
        if key in targets:
            view.go(targets[key])

    Buttons(
        items=[
            {"key": "back", "label": words("back_ledger")},
            {"key": "previous", "label": words("previous"), "disabled": height <= 1},
            {"key": "next", "label": words("next")},
        ],
        event_pick=pick,
    )
    Heading(text=f"{words('block')} {height}", level=1)
    if isinstance(found, str):
        Notice(heading=words("no_ledger"), text=words("no_ledger_text", reason=found), tone="gb-wait")
        return
    with card(12):
        Details(facts=_block_facts(view, found))
    with card(12, words("transactions_of", height=height)):
        DataTable(
            columns=columns(
                (words("transaction"), ""), (words("kind"), ""), (words("signer"), ""), (words("receipt"), "")
            ),
            rows=[_transaction_row(item) for item in found.transactions],
            words=view.table_words(),
            label=words("transactions_of", height=height),
            filterable=True,
            sortable=True,
            pickable=True,
            event_pick=lambda transaction_id: view.go(f"/ledger/tx/{transaction_id}"),
        )


def _block(desk: LedgerDesk, height: int) -> BlockView | str:
    try:
        return desk.block(height)
    except ApplicationError as error:
        return sentence(error, desk.folder)


def _verdict(view: View, problem: str) -> list[str]:
    words = view.words
    if problem:
        return [words("certificate"), words("not_verified", reason=problem), "gb-bad"]
    return [words("certificate"), words("verified"), "gb-good"]


def _block_facts(view: View, found: BlockView) -> list[list[object]]:
    words, block = view.words, found.block
    time_ms, certified = block["time_ms"], block["certified_by"]
    assert isinstance(time_ms, int) and isinstance(certified, list)
    return [
        [*_verdict(view, found.problem)],
        [words("certified_by"), ", ".join(map(str, certified))],
        [words("proposer"), str(block["proposer"])],
        [words("view"), str(block["view"])],
        [words("time"), formatting.date_time(time_ms)],
        [words("period"), str(block["period"])],
        [words("hash"), block["block_hash"], "", True],
        [words("previous"), block["previous_hash"], "", True],
        [words("transaction_root"), block["transaction_root"], "", True],
        [words("state_root"), block["state_root"], "", True],
        [words("file"), found.node],
    ]


def _transaction_row(item: Json) -> dict[str, object]:
    assert isinstance(item, dict)
    identity = str(item["id"])
    return row(
        identity,
        (shorter(identity), str(item.get("kind", "?")), str(item.get("signer", "?")), _receipt_text(item)),
    )


def _receipt_text(item: dict[str, Json]) -> dict[str, object]:
    receipt = item.get("receipt")
    code = str(receipt.get("code", "?")) if isinstance(receipt, dict) else "?"
    return cell(code, tone="gb-good" if code == "OK" else "gb-wait")


@solara.component
def TransactionPage(view: View, desk: LedgerDesk, transaction_id: str) -> None:
    """A transaction: what it says, what became of it, and the proof that it is in the chain."""
    words = view.words
    found = solara.use_memo(lambda: _transaction(desk, transaction_id), [transaction_id])
    back = "/ledger"
    if isinstance(found, TransactionView):
        back = f"/ledger/block/{found.transaction['height']}"
    label = words("block") if back != "/ledger" else words("back_ledger")
    Buttons(items=[{"key": "back", "label": label}], event_pick=lambda _: view.go(back))
    Heading(text=f"{words('transaction')} {shorter(transaction_id)}", level=1)
    if isinstance(found, str):
        Notice(heading=words("no_ledger"), text=words("no_ledger_text", reason=found), tone="gb-wait")
        return
    with card(12):
        Details(facts=_transaction_facts(view, found))
    with card(12, words("proof"), words("proof_note")):
        SaveButton(label=words("save_proof"), name=f"proof-{transaction_id[:16]}.json", content=found.proof)


def _transaction(desk: LedgerDesk, transaction_id: str) -> TransactionView | str:
    try:
        return desk.transaction(transaction_id)
    except ApplicationError as error:
        return sentence(error, desk.folder)


def _transaction_facts(view: View, found: TransactionView) -> list[list[object]]:
    words, item = view.words, found.transaction
    receipt = item.get("receipt")
    reason = str(receipt.get("reason", "")) if isinstance(receipt, dict) else ""
    facts: list[list[object]] = [
        [*_verdict(view, found.problem)],
        [words("kind"), str(item.get("kind", "?"))],
        [words("signer"), str(item.get("signer", "?"))],
        [words("receipt"), reason],
        [words("block"), f"{item['height']}, no. {item['position']}"],
        [words("hash"), str(item["id"]), "", True],
    ]
    fields = item.get("fields")
    if isinstance(fields, dict):
        facts.extend(
            [name, value if isinstance(value, str) else json.dumps(value)] for name, value in fields.items()
        )
    return facts


@solara.component
def NodePage(view: View, desk: LedgerDesk, name: str) -> None:
    """A node: its own word, and what its file says."""
    words = view.words
    line = next((node for node in view.snapshot.nodes if node.name == name), None)
    Buttons(items=[{"key": "back", "label": words("back_ledger")}], event_pick=lambda _: view.go("/ledger"))
    if line is None:
        return
    file = desk.node_files().get(name, NodeFile())
    Heading(text=f"{words('node')} {name}", level=1)
    with card(12):
        Details(
            facts=[
                [words("duty"), words("primary" if line.is_primary else "backup")],
                [words("view"), str(line.view)],
                [words("height"), f"{line.height:,}"],
                [words("hash"), line.block_hash or formatting.MISSING, "", True],
                [words("state_root"), line.state_root or formatting.MISSING, "", True],
                [f"{words('commit')} ({words('commit_hint')})", _latency(line.latency_ms, line.latency_max_ms)],
                [f"{words('blocks')} /s", f"{line.blocks_per_s:.1f}"],
            ]
        )
    with card(12, words("file")):
        if file.problem:
            Notice(heading=words("unreadable"), text=file.problem, tone="gb-bad")
        evidence = words("none")
        if file.evidence:
            evidence = words("against", count=file.evidence, names=", ".join(file.convicted))
        Details(
            facts=[
                [words("height"), f"{file.height:,}"],
                [words("checkpoint"), formatting.count(file.checkpoint_height)],
                [words("evidence"), evidence, "gb-bad" if file.evidence else ""],
                [words("recovering"), words("yes" if file.recovering else "no")],
            ]
        )


def _latency(median_ms: float | None, max_ms: float | None) -> str:
    return f"{formatting.milliseconds(median_ms)}, {formatting.milliseconds(max_ms)}"
