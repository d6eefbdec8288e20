"""The PBFT replica: a deterministic state machine without I/O.

Messages, transactions, timers and the outcomes of effects go in, effects come out, in the order in which
they are to be performed. No clock, thread, file or chance inside: the same inputs give the same effects.
Each part follows its section of Castro and Liskov (1999; 2002 for retransmission by status): `normal_case`
4.2, `checkpoints` 4.3, `view_change` 4.4, `liveness` 4.5.2, `catch_up` and `recovery` the state transfer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ledger.application import Admitted, Rules
from ledger.blocks import Header
from ledger.catch_up import CatchUp
from ledger.certificates import CheckpointCertificate
from ledger.checkpoints import Checkpoints
from ledger.config import ReplicaConfig
from ledger.core import Core, Tip
from ledger.crypto import Crypto
from ledger.effects import CancelTimer, Effect, SetTimer, Timer
from ledger.liveness import Liveness
from ledger.messages import (
    Blocks,
    Bodies,
    Checkpoint,
    CheckpointProof,
    Commit,
    FetchBlocks,
    FetchBodies,
    FetchProposal,
    FetchSnapshot,
    FinalProof,
    Message,
    NewView,
    OfferProposal,
    Prepare,
    PrePrepare,
    Signed,
    SnapshotPart,
    Status,
    ViewChange,
)
from ledger.normal_case import NormalCase
from ledger.records import BodyRecord, VoteRecord
from ledger.recovery import Amnesia, restore_votes
from ledger.view_change import ViewChanger


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a replica had on disk when it started.

    `recovering`: the file may be younger than votes that were sent, see `records.Store.recovering`.
    """

    tip: Tip
    stable: CheckpointCertificate | None = None
    votes: tuple[VoteRecord, ...] = ()
    bodies: tuple[BodyRecord, ...] = ()
    recovering: bool = False


def genesis_tip(header: Header) -> Tip:
    """The tip of a chain without blocks; its header holds the initial state's root and period."""
    return Tip(
        header=header,
        hash=header.hash,
        state_root=header.state_root,
        period=header.period,
        proof=None,
    )


class Replica:
    """One replica. Call `start` once, then the handlers; each returns effects to perform in order.

    The caller has checked the outer signature of every message; whatever is signed inside of a message is
    checked here. Inputs after a `Halt` do nothing.
    """

    def __init__(self, config: ReplicaConfig, index: int, crypto: Crypto, rules: Rules, memory: Memory) -> None:
        self.core = Core(config, index, crypto, rules, memory.tip)
        self.normal = NormalCase(self.core)
        self.views = ViewChanger(self.core, self.normal)
        self.checkpoints = Checkpoints(self.core)
        self.catch_up = CatchUp(self.core)
        self.liveness = Liveness(self.core, self.views)
        self.amnesia = Amnesia(self.core, self.checkpoints) if memory.recovering else None
        self._memory = memory

    # --- What others may ask --------------------------------------------------------------------------

    @property
    def view(self) -> int:
        """The present view."""
        return self.core.view

    @property
    def active(self) -> bool:
        """Whether the view has begun; False while a view change goes on."""
        return self.core.active

    @property
    def primary(self) -> int:
        """Primary of the present view."""
        return self.core.primary

    @property
    def tip(self) -> Tip:
        """The end of the executed chain."""
        return self.core.tip

    @property
    def halted(self) -> str:
        """Why the replica stopped, or an empty string."""
        return self.core.halted

    def knows(self, transaction_id: bytes) -> bool:
        """Whether a transaction waits here already, so that its signature need not be checked again."""
        return transaction_id in self.core.pool

    # --- Inputs ---------------------------------------------------------------------------------------

    def start(self, now_ms: int) -> list[Effect]:
        """Take up what was on disk, say where we stand, repeat what we had said. Call once."""
        core = self.core
        core.now_ms = core.view_entered_ms = core.last_executed_ms = now_ms
        if self._memory.stable is not None:
            self.checkpoints.restore(self._memory.stable)
        restore_votes(
            core,
            self.normal,
            self.views,
            self.checkpoints,
            votes=self._memory.votes,
            bodies=self._memory.bodies,
        )
        if not core.recovering:
            self.checkpoints.sign_again()
        self._tick()
        return self._finish()

    def on_transactions(self, transactions: Iterable[Admitted], now_ms: int) -> list[Effect]:
        """Take transactions that the application has checked and screened."""
        core = self.core
        core.now_ms = now_ms
        if self.normal.take(transactions):
            for entry in core.log:
                if entry.view == core.view and entry.prepare_view != core.view:
                    self.normal.prepare(entry)
        return self._finish()

    def on_message(self, signed: Signed, now_ms: int) -> list[Effect]:
        """Take one message whose signature by `signed.replica` was checked."""
        assert 0 <= signed.replica < self.core.config.n
        self.core.now_ms = now_ms
        if signed.replica != self.core.index and not self.core.halted:
            self._dispatch(signed, signed.message)
        return self._finish()

    def on_timer(self, timer: Timer, now_ms: int) -> list[Effect]:
        """A timer that was set has run out."""
        self.core.now_ms = now_ms
        match timer:
            case Timer.RESEND:
                self._tick()
            case Timer.REQUEST:
                self.liveness.on_timer()
            case Timer.NEW_VIEW:
                self.views.on_timer()
        return self._finish()

    def on_executed(
        self,
        header: Header,
        state_root: bytes,
        period: int,
        transactions: Iterable[Admitted],
        proof: FinalProof,
        now_ms: int,
    ) -> list[Effect]:
        """The block of the last `Execute` is executed and kept; `state_root` and `period` are those after it."""
        core = self.core
        core.now_ms = now_ms
        core.executing = False
        expired = period != core.tip.period
        core.tip = Tip(header=header, hash=header.hash, state_root=state_root, period=period, proof=proof)
        for admitted in transactions:
            core.pool.remove(admitted.id)
            core.executed_count += 1
        if expired:
            core.pool.expire(period)
        core.log.drop_through(header.height)
        core.last_executed_ms = now_ms
        if core.active:
            core.doublings = 0
        self.checkpoints.after_block()
        self.catch_up.after_block()
        return self._finish()

    def on_installed(
        self,
        header: Header,
        certificate: CheckpointCertificate,
        *,
        installed: bool,
        period: int,
        now_ms: int,
    ) -> list[Effect]:
        """The snapshot of the last `InstallSnapshot` was taken over, or refused because its root was wrong."""
        core = self.core
        core.now_ms = now_ms
        core.executing = False
        if installed:
            core.tip = Tip(
                header=header,
                hash=header.hash,
                state_root=certificate.state_root,
                period=period,
                proof=certificate,
            )
            core.log.drop_through(header.height)
            for waiting in list(core.pool):
                if core.rules.knows(waiting.admitted.id):
                    core.pool.remove(waiting.admitted.id)
            core.pool.expire(period)
            core.last_executed_ms = now_ms
            self.checkpoints.restore(certificate)
        self.catch_up.after_snapshot(installed=installed)
        return self._finish()

    # --- Control flow ---------------------------------------------------------------------------------

    def _dispatch(self, signed: Signed, message: Message) -> None:  # noqa: PLR0912 (one case a message)
        sender = signed.replica
        match message:
            case PrePrepare():
                self.normal.on_pre_prepare(signed, message)
            case Prepare():
                self.normal.on_prepare(signed, message)
            case Commit():
                self.normal.on_commit(signed, message)
            case Checkpoint():
                self.checkpoints.on_checkpoint(signed, message)
            case ViewChange():
                self.views.on_view_change(signed, message)
            case NewView():
                self.views.on_new_view(signed, message)
            case Status():
                self.views.on_status(sender, message)
                self.checkpoints.on_status(sender, message)
                self.catch_up.on_status(sender, message)
                if self.amnesia is not None:
                    self.amnesia.on_status(sender, message)
            case CheckpointProof():
                self.checkpoints.on_proof(message)
            case FetchProposal():
                self.normal.content.on_fetch_proposal(signed, message)
            case OfferProposal():
                self.normal.on_offer_proposal(message)
            case FetchBodies():
                self.normal.content.on_fetch_bodies(signed, message)
            case Bodies():
                self.normal.on_bodies(message)
            case FetchBlocks():
                self.catch_up.on_fetch_blocks(sender, message)
            case Blocks():
                self.catch_up.on_blocks(sender, message)
            case FetchSnapshot():
                self.catch_up.on_fetch_snapshot(sender, message)
            case SnapshotPart():
                self.catch_up.on_snapshot_part(sender, message)

    def _tick(self) -> None:
        """Say where we stand and repeat what others may lack: messages are lost, and replicas restart."""
        core = self.core
        core.emit(SetTimer(timer=Timer.RESEND, delay_ms=core.config.resend_ms))
        core.answers.clear()
        self.normal.repeat()
        self.views.repeat()
        self.checkpoints.repeat()
        core.broadcast(
            Status(
                view=core.view,
                active=core.active,
                height=core.tip.height,
                stable_height=core.low,
            )
        )
        self.catch_up.tick()

    def _finish(self) -> list[Effect]:
        """Whatever the input made possible: execute, commit, propose. Then hand out the effects."""
        core = self.core
        if core.halted:
            core.emit(CancelTimer(timer=Timer.RESEND))
        elif not self.catch_up.execute() and not self.normal.execute():
            self.normal.commit()
            self.normal.execute()
            self.normal.propose()
            # A committee of one has its quorum as soon as it has spoken.
            self.normal.commit()
            self.normal.execute()
        if self.amnesia is not None and self.amnesia.is_over():
            self.amnesia = None
        self.liveness.arm()
        effects, core.effects = core.effects, []
        return effects
