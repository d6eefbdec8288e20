"""The normal case of PBFT: pre-prepare, prepare, commit, execute (Castro and Liskov 1999, section 4.2).

Sequence numbers are block heights. Pre-prepares and prepares of many numbers run at once; the commits form
a chain, since a commit names the block's hash, which is known once the parent is executed.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.application import Admitted
from ledger.blocks import Block, next_header
from ledger.certificates import TAG_COMMIT, CommitCertificate
from ledger.content import Content
from ledger.core import RECORD_PREPARED, RECORD_PROPOSAL, Core
from ledger.effects import Broadcast, Execute, Persist, Send
from ledger.log import Entry
from ledger.messages import (
    TAG_PRE_PREPARE,
    TAG_PREPARE,
    Bodies,
    Commit,
    OfferProposal,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Signed,
)
from ledger.records import BodyRecord, VoteRecord
from mosquitto.codec import encode


class NormalCase:
    """Agreement on one sequence number after the other, within a view."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.content = Content(core)
        # Not max(log) + 1: a faulty replica can put a vote for a far number into the log.
        self.proposed = core.tip.height

    # --- Transactions ---------------------------------------------------------------------------------

    def take(self, transactions: Iterable[Admitted]) -> int:
        """Take admitted transactions into the pool; returns how many were new and fitted."""
        core = self.core
        taken = 0
        for admitted in transactions:
            if len(admitted.transaction) > core.config.batch_bytes:
                core.pool.refused["larger than a batch"] += 1
            elif admitted.valid_until_period < core.tip.period:
                core.pool.refused["expired"] += 1
            elif core.rules.knows(admitted.id):
                core.pool.refused["executed before"] += 1
            elif core.pool.add(admitted, core.now_ms, core.executed_count):
                taken += 1
        return taken

    def propose(self) -> None:
        """As primary: propose at once when idle, and in batches under load.

        A further proposal goes out while earlier ones are in flight when those are prepared already or when
        it is full; so a lone request never waits for company, and under load batches grow by themselves.
        """
        core = self.core
        if not (core.is_primary and core.active and core.may_vote):
            return
        while True:
            self.proposed = max(self.proposed, core.tip.height, core.view_start)
            sequence = self.proposed + 1
            in_flight = self.proposed - core.tip.height
            if in_flight >= core.config.pipeline or not core.in_window(sequence):
                return
            exclude = self._ids_in_flight() if in_flight else frozenset()
            waiting = len(core.pool) - len(exclude)
            if waiting <= 0 or (in_flight and not self._all_prepared() and waiting < core.config.batch_count):
                return
            batch = core.pool.select(exclude, core.config.batch_count, core.config.batch_bytes)
            if not batch:
                return
            self._pre_prepare(sequence, batch)

    def _pre_prepare(self, sequence: int, batch: list[Admitted]) -> None:
        core = self.core
        proposal = Proposal(
            sequence=sequence,
            view=core.view,
            proposer=core.index,
            time_ms=core.now_ms,
            transaction_ids=tuple(admitted.id for admitted in batch),
        )
        self.proposed = sequence
        entry = core.log.open(sequence)
        message = PrePrepare(view=core.view, proposal=proposal)
        entry.pre_prepare = core.vote(message, TAG_PRE_PREPARE, core.view, sequence)
        entry.bodies.update((admitted.id, admitted) for admitted in batch)
        entry.keep(proposal)
        self.accept(entry, proposal.digest)
        entry.sent.insert(0, entry.pre_prepare)

    def _ids_in_flight(self) -> frozenset[bytes]:
        proposals = (entry.proposal for entry in self.core.log if entry.view == self.core.view)
        return frozenset(item for proposal in proposals if proposal for item in proposal.transaction_ids)

    def _all_prepared(self) -> bool:
        core = self.core
        for sequence in range(core.tip.height + 1, self.proposed + 1):
            entry = core.log.get(sequence)
            if entry is None or entry.prepared is None or entry.prepared.view != core.view:
                return False
        return True

    # --- Pre-prepare and prepare ----------------------------------------------------------------------

    def on_pre_prepare(self, signed: Signed, message: PrePrepare) -> None:
        """A backup accepts the primary's proposal if it has accepted no other for this number and view."""
        core = self.core
        proposal = message.proposal
        if message.view != core.view or not core.active or signed.replica != core.primary:
            return
        if not core.in_window(message.sequence) or message.sequence <= core.view_start:
            return
        entry = core.log.open(message.sequence)
        if entry.view == core.view:
            held = entry.pre_prepare
            if held is not None and isinstance(held.message, PrePrepare) and entry.digest != message.digest:
                core.accuse(held, signed)
            return
        if not self._is_fresh(proposal, signed.replica):
            core.counters["proposals refused"] += 1
            return
        entry.pre_prepare = signed
        entry.keep(proposal)
        self.accept(entry, proposal.digest)

    def _is_fresh(self, proposal: Proposal, primary: int) -> bool:
        """Whether a proposal may be new in this view. Null requests and old times come by a new view only."""
        core = self.core
        return (
            proposal.view == core.view
            and proposal.proposer == primary
            and 0 < len(proposal.transaction_ids) <= core.config.batch_count
            and abs(proposal.time_ms - core.now_ms) <= core.config.time_bound_ms
        )

    def accept(self, entry: Entry, digest: bytes) -> None:
        """Accept a digest for this entry in the present view, and prepare it once its content is here."""
        core = self.core
        entry.view = core.view
        entry.digest = digest
        entry.since_ms = core.now_ms
        entry.sent.clear()
        self.prepare(entry)
        if entry.prepare_view != core.view:
            self.content.fetch(entry, everyone=False)

    def prepare(self, entry: Entry) -> None:
        """Send a prepare if the accepted proposal and all its transactions are here."""
        core = self.core
        proposal = entry.proposal
        if entry.view != core.view or not core.active or proposal is None:
            return
        for item in self.content.missing(entry, proposal):
            if (admitted := core.pool.get(item)) is not None:
                entry.bodies[item] = admitted
        if self.content.missing(entry, proposal) or not core.may_vote or entry.prepare_view == core.view:
            return
        bodies = [entry.bodies[item] for item in proposal.transaction_ids if item in entry.bodies]
        size = sum(len(body.transaction) for body in bodies)
        if size > core.config.batch_bytes:
            core.counters["proposals refused"] += 1
            return
        self._keep_proposal(entry, proposal)
        message = Prepare(view=core.view, sequence=entry.sequence, digest=entry.digest)
        signed = core.vote(message, TAG_PREPARE, core.view, entry.sequence)
        entry.prepare_view = core.view
        entry.sent.append(signed)
        entry.prepares.add(core.view, entry.digest, signed)
        self._check_prepared(entry)

    def _keep_proposal(self, entry: Entry, proposal: Proposal) -> None:
        # The prepare promises that f + 1 correct replicas can still produce the content, even after all of
        # them have lost power.
        record = VoteRecord(
            kind=RECORD_PROPOSAL,
            view=entry.view,
            sequence=entry.sequence,
            data=encode(proposal.fields()),
        )
        bodies = tuple(
            BodyRecord(
                sequence=entry.sequence,
                transaction_id=item,
                transaction=entry.bodies[item].transaction,
            )
            for item in proposal.transaction_ids
            if item in entry.bodies
        )
        self.core.emit(Persist(votes=(record,), bodies=bodies))

    def on_prepare(self, signed: Signed, message: Prepare) -> None:
        """Count a prepare; one that is early for our view waits in the entry."""
        core = self.core
        if not core.in_window(message.sequence):
            return
        entry = core.log.open(message.sequence)
        if (conflicting := entry.prepares.add(message.view, message.digest, signed)) is not None:
            core.accuse(conflicting, signed)
            return
        self._check_prepared(entry)

    def _check_prepared(self, entry: Entry) -> None:
        """prepared(m, v, n, i): the pre-prepare is accepted here and 2f + 1 replicas sent its prepare."""
        core = self.core
        if entry.view != core.view or not core.active or entry.prepare_view != core.view:
            return
        if entry.prepared is not None and entry.prepared.view == core.view:
            return
        votes = entry.prepares.votes(core.view, entry.digest)
        if len(votes) >= core.quorums.quorum:
            entry.prepared = PreparedCertificate(
                view=core.view,
                sequence=entry.sequence,
                digest=entry.digest,
                votes=tuple(votes[: core.quorums.quorum]),
            )

    # --- Commit and execute ---------------------------------------------------------------------------

    def on_commit(self, signed: Signed, message: Commit) -> None:
        """Count a commit, of whatever view: 2f + 1 equal ones make the block final for everyone."""
        core = self.core
        if not core.in_window(message.sequence):
            return
        entry = core.log.open(message.sequence)
        if (conflicting := entry.commits.add(message.view, message.block_hash, signed)) is not None:
            core.accuse(conflicting, signed)
            return
        self._check_final(entry, message.view, message.block_hash)

    def _check_final(self, entry: Entry, view: int, block_hash: bytes) -> None:
        """committed(m, v, n): a commit certificate."""
        if entry.final is not None:
            return
        votes = entry.commits.votes(view, block_hash)
        if len(votes) >= self.core.quorums.quorum:
            entry.final = CommitCertificate(
                view=view,
                sequence=entry.sequence,
                block_hash=block_hash,
                votes=tuple(votes[: self.core.quorums.quorum]),
            )

    def commit(self) -> None:
        """Send the commit of the next block, once it is prepared and its parent executed."""
        core = self.core
        entry = core.next_entry
        if entry is None or core.executing or not core.active or not core.may_vote:
            return
        certificate = entry.prepared
        if certificate is None or certificate.view != core.view or entry.commit_view == core.view:
            return
        proposal = entry.proposal
        assert proposal is not None and proposal.digest == certificate.digest
        block, _ = self._build(entry, proposal)
        # A view change must show this certificate, also after a restart: it is kept with the vote.
        record = VoteRecord(
            kind=RECORD_PREPARED,
            view=core.view,
            sequence=entry.sequence,
            data=encode(certificate.fields()),
        )
        core.emit(Persist(votes=(record,)))
        message = Commit(view=core.view, sequence=entry.sequence, block_hash=block.hash)
        signed = core.vote(message, TAG_COMMIT, core.view, entry.sequence)
        entry.commit_view = core.view
        entry.sent.append(signed)
        entry.commits.add(core.view, block.hash, signed)
        self._check_final(entry, core.view, block.hash)

    def execute(self) -> bool:
        """Execute the next block if it is final and its content is here. Whether it did."""
        core = self.core
        entry = core.next_entry
        if entry is None or entry.final is None or core.executing or core.halted:
            return False
        for proposal in reversed(entry.proposals.values()):
            if self.content.missing(entry, proposal):
                continue
            block, taken = self._build(entry, proposal)
            if block.hash == entry.final.block_hash:
                core.executing = True
                core.emit(Execute(block=block, transactions=taken, certificate=entry.final))
                return True
        certificate = entry.prepared
        if certificate is not None and certificate.view == entry.final.view:
            prepared = entry.proposals.get(certificate.digest)
            if prepared is not None and not self.content.missing(entry, prepared):
                # In that view nothing else can have been prepared: only another state makes another block.
                core.halt(f"block {entry.sequence} became another here than the one that a quorum committed")
        return False

    def _build(self, entry: Entry, proposal: Proposal) -> tuple[Block, tuple[Admitted, ...]]:
        """The block that a proposal becomes on top of the executed prefix.

        A view change can carry one transaction over in two proposals, and one can expire between proposal
        and execution: those are left out, by a rule that depends on the prefix alone.
        """
        core = self.core
        if entry.built is not None and entry.built[0] == proposal.digest:
            return entry.built[1], entry.built[2]
        bodies = (entry.bodies[item] for item in proposal.transaction_ids if item in entry.bodies)
        taken = tuple(
            body for body in bodies if body.valid_until_period >= core.tip.period and not core.rules.knows(body.id)
        )
        header = next_header(
            core.tip.header,
            ids=[body.id for body in taken],
            time_ms=proposal.time_ms,
            period=core.tip.period,
            state_root=core.tip.state_root,
            proposer=proposal.proposer,
            view=proposal.view,
        )
        block = Block(header=header, transactions=tuple(body.transaction for body in taken))
        entry.built = (proposal.digest, block, taken)
        return block, taken

    # --- Content that is missing ----------------------------------------------------------------------

    def on_offer_proposal(self, message: OfferProposal) -> None:
        """Take a proposal that a new view named and that we asked for."""
        proposal = message.proposal
        entry = self.core.log.get(proposal.sequence)
        if entry is None or entry.digest != proposal.digest or entry.proposal is not None:
            return
        entry.keep(proposal)
        self.prepare(entry)
        if entry.prepare_view != self.core.view:
            self.content.fetch(entry, everyone=True)

    def on_bodies(self, message: Bodies) -> None:
        """Take transactions that we asked for into their entries, and others into the pool."""
        core = self.core
        wanted = {
            item: entry
            for entry in core.log
            if entry.view == core.view and entry.proposal is not None
            for item in self.content.missing(entry, entry.proposal)
        }
        changed: dict[int, Entry] = {}
        for transaction in message.transactions[: core.config.batch_count]:
            checked = core.rules.check(transaction)
            if not isinstance(checked, Admitted):
                core.counters["bodies refused"] += 1
            elif (entry := wanted.get(checked.id)) is not None:
                entry.bodies[checked.id] = checked
                changed[entry.sequence] = entry
            elif checked.id not in core.pool and core.rules.screen(checked) is None:
                self.take((checked,))
        for sequence in sorted(changed):
            self.prepare(changed[sequence])

    def repeat(self) -> None:
        """Send again what this replica has said about numbers that are not final, unchanged."""
        core = self.core
        if not core.active:
            return
        for entry in list(core.log)[: core.config.pipeline]:
            if entry.view != core.view or core.now_ms - entry.since_ms < core.config.resend_ms:
                continue
            for signed in entry.sent:
                core.emit(Broadcast(signed=signed))
                core.counters["messages repeated"] += 1
            if entry.prepare_view != core.view:
                self.content.fetch(entry, everyone=True)

    def pass_on(self, replica: int, signed: Signed) -> None:
        """Send another replica's message to one that seems not to have it."""
        self.core.emit(Send(replica=replica, signed=signed))
