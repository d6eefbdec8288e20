"""View change and new view (Castro and Liskov 1999, section 4.4): replacing a primary, keeping what it agreed.

A view change shows how far the sender's chain is final, with proof, and a prepared certificate for every
number above. Of 2f + 1 of them the new primary, and every backup after it, derives the same O: the numbers
that must be proposed again, each with the digest prepared in the highest view, or null for a gap.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.certificates import CommitCertificate
from ledger.core import Core
from ledger.effects import Broadcast, CancelTimer, Persist, SetTimer, Timer
from ledger.errors import DataError
from ledger.messages import (
    TAG_NEW_VIEW,
    TAG_VIEW_CHANGE,
    FinalProof,
    NewView,
    PreparedCertificate,
    Signed,
    SignedBody,
    Status,
    ViewChange,
    decode_message,
    null_proposal,
)
from ledger.normal_case import NormalCase
from ledger.records import NO_SEQUENCE, VoteRecord
from mosquitto.codec import encode


class ViewChanger:
    """Leaves views, collects view changes, enters new views."""

    def __init__(self, core: Core, normal: NormalCase) -> None:
        self.core = core
        self.normal = normal
        # One per replica, of its highest view: whoever skips ahead only moves its own.
        self.collected: dict[int, Signed] = {}
        self.own: Signed | None = None
        self.new_view: Signed | None = None
        self._timer_view = 0
        self._answered: set[int] = set()

    # --- Leaving a view -------------------------------------------------------------------------------

    def start(self, view: int) -> None:
        """Leave for `view`: from here on nothing is prepared or committed in any earlier view."""
        core = self.core
        assert view > core.view, (view, core.view)
        if not core.may_vote:
            return
        core.view = view
        core.active = False
        core.doublings += 1
        core.counters["view changes"] += 1
        core.emit(CancelTimer(timer=Timer.NEW_VIEW))
        message = ViewChange(
            view=view,
            height=core.tip.height,
            proof=core.tip.proof,
            prepared=tuple(entry.prepared for entry in core.log if entry.prepared is not None),
        )
        self.own = core.vote(message, TAG_VIEW_CHANGE, view)
        self.collected[core.index] = self.own
        self._check_quorum()

    def on_timer(self) -> None:
        """The new view took too long: try the next primary, with twice the patience (section 4.5.2)."""
        if not self.core.active:
            self.start(self.core.view + 1)

    # --- Collecting view changes ----------------------------------------------------------------------

    def on_view_change(self, signed: Signed, message: ViewChange) -> None:
        """Keep a valid view change; join when f + 1 others are ahead (section 4.5.2)."""
        core = self.core
        held = self.collected.get(signed.replica)
        if held is not None and _view(held) >= message.view:
            return
        if message.view < core.view or (message.view == core.view and core.active):
            return
        if not self.is_valid(message):
            core.counters["view changes refused"] += 1
            return
        self.collected[signed.replica] = signed
        self._join()
        self._check_quorum()

    def _join(self) -> None:
        core = self.core
        ahead = sorted(_view(item) for item in self.collected.values() if _view(item) > core.view)
        # f + 1 replicas ahead include a correct one. The smallest of their views, so that one liar who
        # names a far view cannot drag everyone there.
        if len(ahead) >= core.quorums.weak:
            self.start(ahead[0])

    def _check_quorum(self) -> None:
        core = self.core
        if core.active:
            return
        matching = [item for _, item in sorted(self.collected.items()) if _view(item) == core.view]
        if len(matching) >= core.quorums.quorum and core.is_primary and core.may_vote:
            self._announce(matching[: core.quorums.quorum])
            return
        # The timer starts at 2f + 1, not earlier: until then the primary cannot start the view, and running
        # ahead alone would only part us from the others. Those who are ahead count too: they have left this
        # view for good, and if their message for it was lost, nothing else would ever move us on.
        gone = sum(1 for item in self.collected.values() if _view(item) >= core.view)
        if gone >= core.quorums.quorum and self._timer_view < core.view:
            self._timer_view = core.view
            delay_ms = core.timeout(core.config.view_change_timeout_ms)
            core.emit(SetTimer(timer=Timer.NEW_VIEW, delay_ms=delay_ms))

    def is_valid(self, message: ViewChange) -> bool:
        """Whether every claim of a view change is proven, certificates inside of it included."""
        core = self.core
        if not self._proof_holds(message.height, message.proof):
            return False
        previous = message.height
        for certificate in message.prepared:
            if not previous < certificate.sequence <= message.height + core.config.window:
                return False
            if certificate.view >= message.view or not certificate.holds(core.quorums, core.crypto.check):
                return False
            previous = certificate.sequence
        return message.view > 0

    def _proof_holds(self, height: int, proof: FinalProof | None) -> bool:
        if proof is None:
            return height == 0
        if height < 1 or proof.sequence != height:
            return False
        try:
            proof.verify(self.core.quorums, self.core.crypto.check)
        except DataError:
            return False
        return True

    # --- New view -------------------------------------------------------------------------------------

    def _announce(self, matching: Sequence[Signed]) -> None:
        """As primary of the new view: show 2f + 1 view changes and what follows from them."""
        core = self.core
        changes = [item.message for item in matching if isinstance(item.message, ViewChange)]
        message = NewView(
            view=core.view,
            view_changes=tuple(
                SignedBody(replica=item.replica, body=item.body, signature=item.signature) for item in matching
            ),
            proposals=proposals_of(core.view, changes, core.config.primary(core.view)),
        )
        signed = core.sign(message)
        self._keep(signed, message)
        core.emit(Broadcast(signed=signed))
        self.enter(signed, message, changes)

    def on_new_view(self, signed: Signed, message: NewView) -> None:
        """Enter a view whose primary shows 2f + 1 valid view changes and the O that follows from them."""
        core = self.core
        if message.view < core.view or (message.view == core.view and core.active):
            return
        if signed.replica != core.config.primary(message.view):
            return
        changes = self._verified_changes(message)
        if changes is None or message.proposals != proposals_of(message.view, changes, signed.replica):
            core.counters["new views refused"] += 1
            return
        self._keep(signed, message)
        self.enter(signed, message, changes)

    def _verified_changes(self, message: NewView) -> list[ViewChange] | None:
        core = self.core
        senders = [item.replica for item in message.view_changes]
        if len(senders) < core.quorums.quorum or senders != sorted(set(senders)):
            return None
        changes: list[ViewChange] = []
        for item in message.view_changes:
            change = open_view_change(item)
            if change is None or not 0 <= item.replica < core.config.n or change.view != message.view:
                return None
            if not core.crypto.check(item.replica, item.body, item.signature) or not self.is_valid(change):
                return None
            changes.append(change)
        return changes

    def _keep(self, signed: Signed, message: NewView) -> None:
        data = encode((signed.replica, signed.body, signed.signature))
        record = VoteRecord(kind=TAG_NEW_VIEW, view=message.view, sequence=NO_SEQUENCE, data=data)
        self.core.emit(Persist(votes=(record,)))

    def enter(self, signed: Signed, message: NewView, changes: Sequence[ViewChange]) -> None:
        """Take up a view: every number of O is accepted here, with the digest that O names."""
        core = self.core
        core.view = message.view
        core.active = True
        core.view_entered_ms = core.now_ms
        core.emit(CancelTimer(timer=Timer.NEW_VIEW))
        core.pool.restart_waits(core.now_ms, core.executed_count)
        self.new_view = signed
        self._answered.clear()
        best = max(changes, key=lambda change: change.height)
        core.view_start = max([best.height, *(sequence for sequence, _ in message.proposals)])
        self.normal.proposed = core.view_start
        if isinstance(best.proof, CommitCertificate) and core.in_window(best.height):
            # Maybe all that was missing here to execute that block.
            entry = core.log.open(best.height)
            entry.final = entry.final or best.proof
        for sequence, digest in message.proposals:
            if not core.in_window(sequence):
                continue
            entry = core.log.open(sequence)
            entry.pre_prepare = None
            null = null_proposal(sequence, message.view, core.primary)
            if digest == null.digest:
                entry.keep(null)
            self.normal.accept(entry, digest)

    # --- Telling those who are behind -----------------------------------------------------------------

    def repeat(self) -> None:
        """Send our view change again while it goes on; let everyone be answered once more."""
        self._answered.clear()
        if not self.core.active and self.own is not None:
            self.core.emit(Broadcast(signed=self.own))

    def on_status(self, replica: int, status: Status) -> None:
        """Show the new view to a replica that has not entered it."""
        core = self.core
        behind = status.view < core.view or (status.view == core.view and not status.active)
        if not behind or not core.active or self.new_view is None or replica in self._answered:
            return
        self._answered.add(replica)
        self.normal.pass_on(replica, self.new_view)


def open_view_change(item: SignedBody) -> ViewChange | None:
    """The view change inside of a new view, or None when it is something else."""
    try:
        message = decode_message(item.body)
    except DataError:
        return None
    return message if isinstance(message, ViewChange) else None


def proposals_of(view: int, changes: Sequence[ViewChange], primary: int) -> tuple[tuple[int, bytes], ...]:
    """O: what has to be proposed again in `view`, in ascending order of numbers.

    From the highest proven block (the paper's min-s) to the highest prepared number (max-s); for each the
    digest whose certificate is of the highest view, or the null request where nobody prepared anything.
    """
    base = max(change.height for change in changes)
    best: dict[int, PreparedCertificate] = {}
    for change in changes:
        for certificate in change.prepared:
            held = best.get(certificate.sequence)
            if held is None or held.view < certificate.view:
                best[certificate.sequence] = certificate
    highest = max([base, *best])
    return tuple(
        (
            sequence,
            best[sequence].digest if sequence in best else null_proposal(sequence, view, primary).digest,
        )
        for sequence in range(base + 1, highest + 1)
    )


def _view(signed: Signed) -> int:
    assert isinstance(signed.message, ViewChange)
    return signed.message.view
