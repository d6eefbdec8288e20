"""What must hold in every run, looked at while it happens."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.certificates import TAG_CHECKPOINT, TAG_COMMIT
from ledger.errors import CertificateError
from ledger.messages import (
    TAG_NEW_VIEW,
    TAG_PRE_PREPARE,
    TAG_PREPARE,
    TAG_VIEW_CHANGE,
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Signed,
    ViewChange,
)
from ledger.records import StoredBlock
from ledger.simulation.node import SimulatedNode


@dataclass(slots=True)
class Checker:
    """Agreement, validity, equal states, honest votes that never contradict, bounded memory.

    `liars` are the Byzantine replicas, and `forgetful` those that lost a disk: nothing is asked of what the
    former do, and of the latter not that a view change sent twice has the same words.
    """

    liars: frozenset[int] = frozenset()
    forgetful: set[int] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    chain: dict[int, StoredBlock] = field(default_factory=dict)
    places: dict[bytes, int] = field(default_factory=dict)
    _said: dict[tuple[int, int, int, int], bytes] = field(default_factory=dict)

    def violate(self, what: str) -> None:
        """Note a violation; a handful is enough."""
        if len(self.violations) < 8:
            self.violations.append(what)

    def on_block(self, node: SimulatedNode, stored: StoredBlock) -> None:
        """A replica has executed a block."""
        if node.index in self.liars:
            return
        height = stored.height
        known = self.chain.setdefault(height, stored)
        if known.block.hash != stored.block.hash:
            self.violate(f"agreement: replica {node.index} has another block at height {height}")
        if known.state_root != stored.state_root or known.receipts != stored.receipts:
            self.violate(f"state: replica {node.index} has another state after block {height}")
        if known is stored:
            self._check_new(node, stored)
        core = node.replica.core
        if len(core.log) > core.config.window or len(core.pool) > core.config.pool_count:
            self.violate(f"memory: replica {node.index} holds {len(core.log)} entries, {len(core.pool)} waiting")

    def _check_new(self, node: SimulatedNode, stored: StoredBlock) -> None:
        try:
            stored.certificate.verify(node.config.quorums, node.crypto.check)
        except CertificateError as error:
            self.violate(f"certificate: block {stored.height}: {error}")
        if stored.certificate.block_hash != stored.block.hash:
            self.violate(f"certificate: block {stored.height} has the certificate of another")
        for name in stored.ids:
            if name in self.places:
                self.violate(f"validity: a transaction stands in blocks {self.places[name]} and {stored.height}")
            self.places[name] = stored.height
        for transaction in stored.block.transactions:
            if not hasattr(node.application.check(transaction), "sender"):
                self.violate(f"validity: block {stored.height} holds a transaction that nobody signed")

    def on_send(self, node: SimulatedNode, signed: Signed) -> None:
        """A message leaves a replica: an honest one never says two things about one place."""
        if node.index in self.liars or signed.replica != node.index:
            return
        message = signed.message
        match message:
            case PrePrepare():
                place = (TAG_PRE_PREPARE, message.view, message.sequence)
            case Prepare():
                place = (TAG_PREPARE, message.view, message.sequence)
            case Commit():
                place = (TAG_COMMIT, message.view, message.sequence)
            case Checkpoint():
                place = (TAG_CHECKPOINT, 0, message.sequence)
            case ViewChange() if node.index not in self.forgetful:
                place = (TAG_VIEW_CHANGE, message.view, 0)
            case NewView():
                place = (TAG_NEW_VIEW, message.view, 0)
            case _:
                return
        if self._said.setdefault((node.index, *place), signed.body) != signed.body:
            self.violate(f"votes: replica {node.index} contradicts itself at (kind, view, sequence) {place}")

    def on_evidence(self, node: SimulatedNode, accused: int) -> None:
        """A replica has kept evidence against another."""
        if accused not in self.liars and node.index not in self.liars:
            self.violate(f"evidence: replica {node.index} accuses {accused}, which is honest")

    def on_halt(self, node: SimulatedNode, reason: str) -> None:
        """A replica has stopped for good."""
        if node.index not in self.liars:
            self.violate(f"halt: replica {node.index}: {reason}")
