"""Ledger nodes as their files tell: where a node stands that no longer speaks, checkpoints, evidence."""

from __future__ import annotations

from dataclasses import dataclass

from agents.deployment import Deployment
from agents.genesis import committee_of
from agents.run_folder import RunFolder
from agents.web.facts import NodeLine
from ledger.errors import LedgerError
from ledger.evidence import verify_evidence
from ledger.reader import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFile:
    """What a node's ledger file says. `convicted` names members that its evidence proves to have lied."""

    height: int = 0
    view: int = 0
    period: int = 0
    state_root: str = ""
    block_hash: str = ""
    checkpoint_height: int | None = None
    evidence: int = 0
    convicted: tuple[str, ...] = ()
    recovering: bool = False
    problem: str = ""


def read_node(folder: RunFolder, deployment: Deployment, name: str) -> NodeFile:
    """Look into a node's ledger, also one that is being written. A problem is part of the answer."""
    try:
        reader = LedgerReader.open(folder.ledger(name))
        try:
            return _read(reader, deployment)
        finally:
            reader.close()
    except LedgerError as error:
        return NodeFile(problem=str(error).replace(str(folder.path), folder.path.name))


def _read(reader: LedgerReader, deployment: Deployment) -> NodeFile:
    header = reader.last_header
    stored = reader.block(header.height)
    checkpoint = reader.latest_checkpoint()
    root = stored.state_root if stored else checkpoint.certificate.state_root if checkpoint else b""
    evidence = reader.evidence()
    committee = committee_of(deployment)
    convicted = {deployment.committee[verify_evidence(record.data, committee)].name for record in evidence}
    return NodeFile(
        height=header.height,
        view=header.view,
        period=header.period,
        state_root=root.hex(),
        block_hash=header.hash.hex(),
        checkpoint_height=checkpoint.height if checkpoint else None,
        evidence=len(evidence),
        convicted=tuple(sorted(convicted)),
        recovering=reader.recovering,
    )


def node_lines(folder: RunFolder, deployment: Deployment) -> dict[str, NodeLine]:
    """All nodes of a run that is over."""
    files = {entry.name: read_node(folder, deployment, entry.name) for entry in deployment.committee}
    height = max((file.height for file in files.values()), default=0)
    return {
        name: NodeLine(
            name=name,
            state="unreadable" if file.problem else "ended",
            height=file.height,
            view=file.view,
            period=file.period,
            state_root=file.state_root,
            block_hash=file.block_hash,
            behind=height - file.height,
        )
        for name, file in files.items()
    }
