"""Auditing a run: every node's chain from genesis, money after every block, and the nodes against each other.

What is trusted is `deployment.json`: the genesis and the committee's keys follow from it. Nothing in the
folder is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agents.deployment import Deployment
from agents.errors import RunFolderError
from agents.genesis import committee_of, genesis_of, market_config
from agents.market_application import MarketApplication
from agents.run_folder import RunFolder
from ledger import tables
from ledger.application import Application
from ledger.errors import LedgerError
from ledger.file_access import open_unchanged
from ledger.records import StoredBlock
from ledger.verification import Finding, VerificationReport, verify_chain

NodeProgress = Callable[[str, int, int], None]
"""(node, blocks done, blocks in all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """What an audit gave: a report for each node, and where nodes contradict each other."""

    nodes: dict[str, VerificationReport]
    contradictions: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing serious was found anywhere."""
        return all(report.ok for report in self.nodes.values()) and not self.contradictions

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, node by node."""
        return (*(finding for report in self.nodes.values() for finding in report.findings), *self.contradictions)

    def to_json(self) -> dict[str, object]:
        """The object that `gridbazaar audit --json` prints."""
        return {
            "ok": self.ok,
            "nodes": {name: _report_json(report) for name, report in self.nodes.items()},
            "findings": [_finding_json(finding) for finding in self.findings],
        }


def audit_run(folder: RunFolder, progress: NodeProgress | None = None) -> AuditResult:
    """Verify all ledgers of a run. Raises RunFolderError when there is no deployment to verify against."""
    deployment = folder.read_deployment()
    try:
        committee_of(deployment)
    except LedgerError as error:
        raise RunFolderError(f"{folder.deployment}: committee: {error}") from None
    nodes = {
        member.name: _verify_node(folder, deployment, member.name, progress) for member in deployment.committee
    }
    return AuditResult(nodes=nodes, contradictions=tuple(_contradictions(folder, nodes)))


def _verify_node(
    folder: RunFolder, deployment: Deployment, node: str, progress: NodeProgress | None
) -> VerificationReport:
    config = market_config(deployment)

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(node, done, total)

    return verify_chain(
        folder.ledger(node),
        genesis_of(deployment),
        committee_of(deployment),
        lambda: MarketApplication(config, deployment.chain_id),
        progress=tell,
        after_block=_broken_invariants,
    )


def _broken_invariants(application: Application, block: StoredBlock) -> Iterable[str]:
    """What the contract's invariants said after this block: the application checks them as it executes."""
    assert isinstance(application, MarketApplication)
    found = [violation.split(": ", 1)[-1] for violation in application.violations]
    application.violations.clear()
    return found


def _contradictions(folder: RunFolder, nodes: dict[str, VerificationReport]) -> Iterator[Finding]:
    """Of any two chains one must be the beginning of the other, with equal states where they end."""
    longest = max(nodes, key=lambda name: nodes[name].height)
    for name, report in nodes.items():
        if name == longest or report.height == 0:
            continue
        expected = _at_height(folder, longest, nodes[longest], report.height)
        if expected is None:
            continue
        for what, mine, theirs in zip(
            ("block", "state"), (report.block_hash, report.state_root), expected, strict=True
        ):
            if mine != theirs:
                yield Finding(
                    file=report.path.name,
                    where=f"block {report.height}",
                    problem=f"another {what} than {longest} has at this height",
                )


def _at_height(
    folder: RunFolder, node: str, report: VerificationReport, height: int
) -> tuple[bytes, bytes] | None:
    """Hash and state root of a node's block; None where its chain skipped it, or cannot be read."""
    if height == report.height:
        return report.block_hash, report.state_root
    try:
        with open_unchanged(folder.ledger(node)) as connection:
            stored = tables.read_block(connection, height)
    except (LedgerError, tables.RowError, OSError):
        return None  # The node's own report says what is wrong with its file.
    return None if stored is None else (stored.block.hash, stored.state_root)


def _report_json(report: VerificationReport) -> dict[str, object]:
    return {
        "ok": report.ok,
        "file": str(report.path),
        "height": report.height,
        "block_hash": report.block_hash.hex(),
        "state_root": report.state_root.hex(),
        "blocks": report.blocks,
        "transactions": report.transactions,
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "file": finding.file,
        "where": finding.where,
        "problem": finding.problem,
        "serious": finding.serious,
    }
