"""Starting again: from the votes on disk, or, when they may be lost, silently until they cannot matter.

A restarted replica repeats what it had said, the stored bytes, and signs nothing for a place where it has
spoken. A replica whose file was lost or damaged cannot know where it has spoken.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.application import Admitted
from ledger.certificates import TAG_CHECKPOINT, TAG_COMMIT
from ledger.checkpoints import Checkpoints
from ledger.core import RECORD_PREPARED, RECORD_PROPOSAL, Core, decode_signed
from ledger.effects import FinishRecovery
from ledger.messages import (
    TAG_NEW_VIEW,
    TAG_PRE_PREPARE,
    TAG_PREPARE,
    TAG_VIEW_CHANGE,
    Checkpoint,
    Commit,
    Message,
    NewView,
    Prepare,
    PreparedCertificate,
    Proposal,
    Signed,
    Status,
    decode_message,
)
from ledger.normal_case import NormalCase
from ledger.records import BodyRecord, VoteRecord
from ledger.view_change import ViewChanger, open_view_change
from mosquitto.codec import STORE_LIMITS, decode


def restore_votes(
    core: Core,
    normal: NormalCase,
    views: ViewChanger,
    checkpoints: Checkpoints,
    *,
    votes: Iterable[VoteRecord],
    bodies: Iterable[BodyRecord],
) -> None:
    """Put back what was kept: view, log entries with our votes, certificates, checkpoints, new view.

    Raises CodecError, DataError or ValueError when a record is not what this program writes; the store has
    checked that the bytes are those that were written.
    """
    records = list(votes)
    contents = {record.transaction_id: record.transaction for record in bodies}
    _restore_view(core, views, records)
    for record in records:
        if record.kind == TAG_CHECKPOINT and record.sequence > core.low:
            signed = _signed(record)
            assert isinstance(signed.message, Checkpoint)
            checkpoints.adopt_own(signed, signed.message)
        elif core.in_window(record.sequence):
            _restore_entry(core, normal, record, contents)
    # The new view comes after the entries, since it accepts what they hold, and before our own messages of
    # this view are put where `repeat` finds them.
    if core.active and views.new_view is not None:
        message = views.new_view.message
        assert isinstance(message, NewView)
        changes = [change for item in message.view_changes if (change := open_view_change(item))]
        proposed = normal.proposed
        views.enter(views.new_view, message, changes)
        normal.proposed = max(normal.proposed, proposed)
    for record in records:
        if record.kind in (TAG_PRE_PREPARE, TAG_PREPARE, TAG_COMMIT) and record.view == core.view:
            entry = core.log.get(record.sequence)
            if entry is not None:
                entry.sent.append(_signed(record))


def _restore_view(core: Core, views: ViewChanger, records: list[VoteRecord]) -> None:
    """The view we were in: of the last new view entered, or the one we had left for."""
    for record in records:
        if record.kind == TAG_NEW_VIEW and record.view >= core.view:
            core.view, core.active = record.view, True
            views.new_view = _signed(record)
        elif record.kind == TAG_VIEW_CHANGE:
            views.own = _signed(record)
    if views.own is not None:
        left_for = max(record.view for record in records if record.kind == TAG_VIEW_CHANGE)
        if left_for > core.view or (left_for == core.view and views.new_view is None):
            core.view, core.active = left_for, False
            views.collected[core.index] = views.own


def _restore_entry(core: Core, normal: NormalCase, record: VoteRecord, contents: dict[bytes, bytes]) -> None:
    entry = core.log.open(record.sequence)
    present = record.view == core.view
    match record.kind:
        case kind if kind == RECORD_PROPOSAL:
            proposal = Proposal.from_value(decode(record.data, STORE_LIMITS))
            entry.keep(proposal)
            for item in proposal.transaction_ids:
                checked = core.rules.check(contents[item]) if item in contents else None
                if isinstance(checked, Admitted):
                    entry.bodies[item] = checked
            if present:
                entry.view, entry.digest, entry.since_ms = core.view, proposal.digest, core.now_ms
        case kind if kind == RECORD_PREPARED:
            certificate = PreparedCertificate.from_value(decode(record.data, STORE_LIMITS))
            if entry.prepared is None or entry.prepared.view < certificate.view:
                entry.prepared = certificate
        case kind if kind == TAG_PRE_PREPARE and present:
            entry.pre_prepare = _signed(record)
            normal.proposed = max(normal.proposed, record.sequence)
        case kind if kind == TAG_PREPARE:
            entry.prepare_view = max(entry.prepare_view, record.view)
            signed = _signed(record)
            assert isinstance(signed.message, Prepare)
            entry.prepares.add(record.view, signed.message.digest, signed)
        case kind if kind == TAG_COMMIT:
            entry.commit_view = max(entry.commit_view, record.view)
            signed = _signed(record)
            assert isinstance(signed.message, Commit)
            entry.commits.add(record.view, signed.message.block_hash, signed)


def _signed(record: VoteRecord) -> Signed:
    kept = decode_signed(record.data)
    message: Message = decode_message(kept.body)
    return Signed(message=message, replica=kept.replica, body=kept.body, signature=kept.signature)


class Amnesia:
    """A replica that may have forgotten votes sends none until none of them can matter any more.

    It can have voted only inside of its window, whose low watermark was a stable checkpoint. 2f + 1 other
    replicas prove to us how high their stable checkpoints are; since at least f + 1 correct replicas reached
    ours, one of them is among those that answer. So `highest + window` bounds what we can have voted for,
    and once a checkpoint there is stable, no view change needs to hear of it from us (the argument of
    Castro and Liskov 2002, section 4.3, for a replica that recovers).
    """

    def __init__(self, core: Core, checkpoints: Checkpoints) -> None:
        self.core = core
        self.checkpoints = checkpoints
        self.silent_through: int | None = None
        self._claims: dict[int, int] = {}
        core.recovering = True

    def on_status(self, replica: int, status: Status) -> None:
        """Note how high a replica's stable checkpoint is; `is_over` waits for the proof."""
        self._claims.setdefault(replica, status.stable_height)

    def is_over(self) -> bool:
        """Whether this replica may vote again."""
        core = self.core
        if self.silent_through is None:
            proven = [claim for claim in self._claims.values() if claim <= self.checkpoints.known_height]
            if len(proven) < min(core.quorums.quorum, core.config.n - 1):
                return False
            self.silent_through = max(proven, default=0) + core.config.window
        if core.low < self.silent_through:
            return False
        core.recovering = False
        core.emit(FinishRecovery())
        return True
