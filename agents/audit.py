"""Auditing a run: every node's chain from genesis, money after every block, and the nodes against each other.

What is trusted is `deployment.json`: the genesis and the committee's keys follow from it. Nothing in the
folder is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agents.deployment import Deployment
from agents.errors import RunFolderError
from agents.genesis import committee_of, genesis_of, market_config
from agents.market_application import MarketApplication
from agents.run_folder import RunFolder
from ledger.application import Admitted, Application, Refused
from ledger.errors import LedgerError
from ledger.records import StoredBlock
from ledger.verification import Finding, VerificationReport, verify_chain
from market.config import MarketConfig
from market.market_events import Equivocation

NodeProgress = Callable[[str, int, int], None]
"""(node, blocks done, blocks in all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """What an audit gave: a report for each node, and where nodes contradict each other.

    `convictions`: what the chain proves against members of the committee. It does not make the chain wrong.
    """

    nodes: dict[str, VerificationReport]
    contradictions: tuple[Finding, ...]
    convictions: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing serious was found anywhere."""
        return all(report.ok for report in self.nodes.values()) and not self.contradictions

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, node by node."""
        of_nodes = (finding for report in self.nodes.values() for finding in report.findings)
        return (*of_nodes, *self.contradictions, *self.convictions)

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
    memory = CheckMemory()
    convictions: dict[bytes, Finding] = {}
    nodes = {
        member.name: _verify_node(folder, deployment, member.name, memory, convictions, progress)
        for member in deployment.committee
    }
    return AuditResult(
        nodes=nodes,
        contradictions=tuple(contradictions(nodes)),
        convictions=tuple(convictions.values()),
    )


class CheckMemory:
    """What was found sound in one node's file and need not be checked again in the next one's.

    `check` remembers transactions whose signature held, `sound_states` roots of states whose invariants held.

    The answer follows from the bytes and the chain id alone. Kept are the first `entries_max`, by digest: an
    audit reads the same chain several times from its beginning, and throwing out the oldest would forget
    each just before it comes again.
    """

    def __init__(self, entries_max: int = 200_000) -> None:
        self.entries_max = entries_max
        self.sound_states: set[bytes] = set()
        self._admitted: dict[bytes, tuple[bytes, bytes, int]] = {}

    def __len__(self) -> int:
        return len(self._admitted)

    def check(self, transaction: bytes, check: Callable[[bytes], Admitted | Refused]) -> Admitted | Refused:
        """What `check(transaction)` says."""
        digest = hashlib.blake2b(transaction, digest_size=32).digest()
        known = self._admitted.get(digest)
        if known is not None:
            transaction_id, sender, period = known
            return Admitted(id=transaction_id, sender=sender, valid_until_period=period, transaction=transaction)
        answer = check(transaction)
        if isinstance(answer, Admitted) and len(self._admitted) < self.entries_max:
            self._admitted[digest] = (answer.id, answer.sender, answer.valid_until_period)
        return answer


class _AuditedApplication(MarketApplication):
    """The contract, with a memory of what was verified in another node's file."""

    def __init__(self, config: MarketConfig, chain_id: str, memory: CheckMemory) -> None:
        super().__init__(config, chain_id)
        self._memory = memory

    def check(self, transaction: bytes) -> Admitted | Refused:
        return self._memory.check(transaction, super().check)

    def _look_for_violations(self, height: int, state_root: bytes) -> None:
        # Every block is executed in every file; equal roots are equal states, of equal soundness.
        if state_root in self._memory.sound_states:
            return
        super()._look_for_violations(height, state_root)
        if not self.violations and len(self._memory.sound_states) < self._memory.entries_max:
            self._memory.sound_states.add(state_root)


def _verify_node(
    folder: RunFolder,
    deployment: Deployment,
    node: str,
    memory: CheckMemory,
    convictions: dict[bytes, Finding],
    progress: NodeProgress | None,
) -> VerificationReport:
    config = market_config(deployment)

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(node, done, total)

    def after_block(application: Application, block: StoredBlock) -> Iterable[str]:
        assert isinstance(application, MarketApplication)
        for event in application.last_events:
            if isinstance(event, Equivocation):
                convictions.setdefault(event.tx_id, _conviction(deployment, block, event))
        return _broken_invariants(application)

    return verify_chain(
        folder.ledger(node),
        genesis_of(deployment),
        committee_of(deployment),
        lambda: _AuditedApplication(config, deployment.chain_id, memory),
        progress=tell,
        after_block=after_block,
    )


def _conviction(deployment: Deployment, block: StoredBlock, event: Equivocation) -> Finding:
    return Finding(
        file="the chain",
        where=f"block {block.height}",
        problem=f"{deployment.name_of(event.accused)} is proven to have signed two things in view {event.view}"
        f" for number {event.sequence}",
        serious=False,
    )


def _broken_invariants(application: MarketApplication) -> Iterable[str]:
    """What the contract's invariants said after this block: the application checks them as it executes."""
    found = [violation.split(": ", 1)[-1] for violation in application.violations]
    application.violations.clear()
    return found


def contradictions(nodes: dict[str, VerificationReport]) -> Iterator[Finding]:
    """Of any two chains one must be the beginning of the other, with equal states at every height of both."""
    reference: dict[int, tuple[str, tuple[bytes, bytes]]] = {}
    for name in sorted(nodes, key=lambda name: -nodes[name].height):
        report = nodes[name]
        for height, place in sorted(report.places.items()):
            other, expected = reference.setdefault(height, (name, place))
            if place == expected:
                continue
            what = "block" if place[0] != expected[0] else "state"
            yield Finding(
                file=report.path.name,
                where=f"block {height}",
                problem=f"another {what} than {other} has at this height",
            )
            break  # The first one says it: what follows a fork differs anyway.


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
