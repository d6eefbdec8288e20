"""One virtual node: the real replica on a virtual disk, clock and network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import assert_never

from ledger import boot
from ledger.application import Admitted
from ledger.blocks import Genesis
from ledger.config import ReplicaConfig
from ledger.core import encode_signed
from ledger.crypto import KeyedHashCrypto
from ledger.donor import blocks_from, snapshot_part
from ledger.effects import (
    Broadcast,
    CancelTimer,
    Effect,
    Execute,
    FinishRecovery,
    Halt,
    InstallSnapshot,
    KeepCheckpoint,
    Persist,
    RecordEvidence,
    Send,
    SendBlocks,
    SendSnapshot,
    SetTimer,
    TakeCheckpoint,
    Timer,
)
from ledger.evidence import place_of
from ledger.messages import Message, Signed
from ledger.records import Checkpoint, EvidenceRecord, StoredBlock
from ledger.replica import Replica
from ledger.simulation.application import AccountBook
from ledger.simulation.disk import SafeStore, VirtualDisk, Write
from ledger.simulation.world import World
from mosquitto.codec import encode

Outgoing = list[tuple[int, Signed]]
"""(recipient or -1 for everyone, message)."""

OutgoingFilter = Callable[[int, tuple[Signed, ...]], tuple[Signed, ...]]
"""(recipient, packet) -> what really leaves for it; a Byzantine node's lies."""


class SimulatedNode:
    """A replica that can crash, restart, lose its disk, and be slow.

    Observers: `on_block(node, stored)` when a block is executed, `on_send(node, signed)` for every message
    that leaves, `on_evidence(node, accused)`, `on_halt(node, reason)`.
    """

    def __init__(
        self,
        world: World,
        index: int,
        config: ReplicaConfig,
        genesis: Genesis,
        secret: bytes,
    ) -> None:
        self.world = world
        self.index = index
        self.config = config
        self.crypto = KeyedHashCrypto(index, secret)
        self.disk = VirtualDisk(genesis)
        self.skew_ms = 0
        self.disk_delay_ms = 0
        self.up = False
        self.crash_at_write = False
        self.outgoing_filter: OutgoingFilter | None = None
        self.on_block: Callable[[SimulatedNode, StoredBlock], None] = lambda node, stored: None
        self.on_send: Callable[[SimulatedNode, Signed], None] = lambda node, signed: None
        self.on_evidence: Callable[[SimulatedNode, int], None] = lambda node, accused: None
        self.on_halt: Callable[[SimulatedNode, str], None] = lambda node, reason: None
        self._chance = world.stream(f"disk/{index}")
        self._life = 0
        self._tokens = 0
        self._disk_free_ms = 0
        self._writing = 0
        self._timers: dict[Timer, int] = {}
        self._snapshots: dict[int, bytes] = {}
        self._outgoing: Outgoing = []
        self._effects: deque[Effect] = deque()
        self.application = AccountBook()
        self.replica = self._boot()
        world.attach(index, self._receive)

    @property
    def now_ms(self) -> int:
        """This node's own clock."""
        return self.world.now_ms + self.skew_ms

    # --- Life and death -------------------------------------------------------------------------------

    def _boot(self) -> Replica:
        self.application = AccountBook()
        memory = boot.load(
            self.disk.safe,
            self.application,
            self.config.checkpoint_interval,
            self._snapshots.__setitem__,
        )
        return Replica(self.config, self.index, self.crypto, self.application, memory)

    def start(self) -> None:
        """Come up from what is on disk."""
        self.up = True
        self._snapshots = {}
        self.replica = self._boot()
        self._perform(self.replica.start(self.now_ms))
        self._flush()

    def crash(self) -> None:
        """Lose everything but the disk."""
        self.up = False
        self.crash_at_write = False
        self._life += 1
        self._disk_free_ms = self._writing = 0
        self._timers.clear()
        self._effects.clear()
        self._outgoing = []
        self.disk.crash()

    # --- Inputs ---------------------------------------------------------------------------------------

    def _receive(self, sender: int, packet: tuple[Signed, ...]) -> None:
        for signed in packet:
            if not self.up:
                return
            if signed.replica != self.index and self.crypto.check(signed.replica, signed.body, signed.signature):
                self._perform(self.replica.on_message(signed, self.now_ms))
        self._flush()

    def receive_transactions(self, transactions: tuple[bytes, ...]) -> None:
        """Take transactions from clients."""
        if not self.up:
            return
        admitted = [
            checked
            for transaction in transactions
            if isinstance(checked := self.application.check(transaction), Admitted)
            and self.application.screen(checked) is None
        ]
        if admitted:
            self._perform(self.replica.on_transactions(admitted, self.now_ms))
            self._flush()

    def _fire(self, timer: Timer, life: int, token: int) -> None:
        if life != self._life or self._timers.get(timer) != token:
            return
        del self._timers[timer]
        self._perform(self.replica.on_timer(timer, self.now_ms))
        self._flush()

    # --- Effects --------------------------------------------------------------------------------------

    def _perform(self, effects: list[Effect]) -> None:
        self._effects.extend(effects)
        while self._effects:
            self._perform_one(self._effects.popleft())

    def _perform_one(self, effect: Effect) -> None:  # noqa: PLR0912 (one case an effect)
        match effect:
            case Persist(votes=votes, bodies=bodies):
                self.disk.write(lambda store: store.save_votes(votes, bodies))
            case Broadcast(signed=signed):
                self._outgoing.append((-1, signed))
            case Send(replica=replica, signed=signed):
                self._outgoing.append((replica, signed))
            case Execute():
                self._execute(effect)
            case TakeCheckpoint(height=height):
                self._snapshots[height] = self.application.snapshot()
            case KeepCheckpoint():
                self._keep_checkpoint(effect)
            case SendBlocks(replica=replica, start=start):
                self._answer(replica, blocks_from(self.disk.safe, start))
            case SendSnapshot(replica=replica, height=height, index=index):
                self._answer(replica, snapshot_part(self.disk.safe, height, index))
            case InstallSnapshot():
                self._install(effect)
            case SetTimer(timer=timer, delay_ms=delay_ms):
                self._set_timer(timer, delay_ms)
            case CancelTimer(timer=timer):
                self._timers.pop(timer, None)
            case RecordEvidence(first=first, second=second):
                kind, view, sequence = place_of(first.message)
                record = EvidenceRecord(
                    member=first.replica,
                    kind=kind,
                    view=view,
                    sequence=sequence,
                    data=encode((encode_signed(first), encode_signed(second))),
                )
                self.disk.write(lambda store: store.save_evidence(record))
                self.on_evidence(self, first.replica)
            case FinishRecovery():
                self.disk.write(lambda store: store.finish_recovery())
            case Halt(reason=reason):
                self.on_halt(self, reason)
            case _:
                assert_never(effect)

    def _set_timer(self, timer: Timer, delay_ms: int) -> None:
        self._tokens += 1
        token = self._tokens
        self._timers[timer] = token
        life = self._life
        self.world.at(delay_ms, lambda: self._fire(timer, life, token))

    def _answer(self, replica: int, message: Message | None) -> None:
        if message is not None:
            self._outgoing.append((replica, self.replica.core.sign(message)))

    def _execute(self, effect: Execute) -> None:
        block = effect.block
        execution = self.application.execute(block.height, block.header.time_ms, block.transactions)
        stored = StoredBlock(
            block=block,
            certificate=effect.certificate,
            ids=tuple(admitted.id for admitted in effect.transactions),
            receipts=execution.receipts,
            state_root=execution.state_root,
        )
        self.disk.write(lambda store: store.append_block(stored))
        self.on_block(self, stored)
        self._effects.extend(
            self.replica.on_executed(
                block.header,
                execution.state_root,
                execution.period,
                effect.transactions,
                effect.certificate,
                self.now_ms,
            )
        )

    def _keep_checkpoint(self, effect: KeepCheckpoint) -> None:
        certificate, view = effect.certificate, effect.view
        snapshot = self._snapshots.pop(certificate.sequence, None)
        self._snapshots = {key: value for key, value in self._snapshots.items() if key > certificate.sequence}
        if snapshot is None:
            return

        def keep(store: SafeStore) -> None:
            header = store.header(certificate.sequence)
            assert header is not None
            store.save_checkpoint(Checkpoint(header=header, certificate=certificate, snapshot=snapshot))
            store.discard_votes_below(certificate.sequence + 1, view)

        self.disk.write(keep)

    def _install(self, effect: InstallSnapshot) -> None:
        installed = self.application.restore(effect.snapshot, effect.certificate.state_root)
        if installed:
            self.world.counts["snapshots installed"] += 1
            checkpoint = Checkpoint(header=effect.header, certificate=effect.certificate, snapshot=effect.snapshot)
            self.disk.write(lambda store: store.install_snapshot(checkpoint))
        self._effects.extend(
            self.replica.on_installed(
                effect.header,
                effect.certificate,
                installed=installed,
                period=self.application.period(),
                now_ms=self.now_ms,
            )
        )

    # --- Disk, then network ---------------------------------------------------------------------------

    def _flush(self) -> None:
        """What this input kept is synchronized, then what it sent leaves; a crash can come at each step."""
        if not self.up:
            return
        writes = self.disk.take_buffer()
        outgoing, self._outgoing = self._outgoing, []
        if not writes and not outgoing:
            return
        if self.crash_at_write and writes:
            self._crash_while(writes, outgoing)
            return
        free_ms = max(self._disk_free_ms, self.world.now_ms + self.disk_delay_ms)
        if not self._writing and free_ms <= self.world.now_ms:
            self.disk.synchronize(writes)
            self._release(outgoing)
            return
        # Writes are done in order, also when the disk becomes fast again.
        self._disk_free_ms = free_ms
        self._writing += 1
        life = self._life
        self.world.at(free_ms - self.world.now_ms, lambda: self._flush_later(life, writes, outgoing))

    def _flush_later(self, life: int, writes: list[Write], outgoing: Outgoing) -> None:
        if life == self._life:
            self._writing -= 1
            self.disk.synchronize(writes)
            self._release(outgoing)

    def _crash_while(self, writes: list[Write], outgoing: Outgoing) -> None:
        # Earlier writes that the disk has not finished are lost, and then this one is too.
        step = self._chance.randrange(3) if not self._writing else 0
        self.world.counts["crashes at a write"] += 1
        kept = ("before its write is safe", "before anything leaves", "while it sends")[step]
        self.world.tell(f"replica {self.index} crashes {kept}")
        if step > 0:
            self.disk.synchronize(writes)
        if step > 1:
            self._release(outgoing[: self._chance.randint(0, len(outgoing))])
        self.crash()

    def _release(self, outgoing: Outgoing) -> None:
        for _, signed in outgoing:
            self.on_send(self, signed)
        for receiver in range(self.config.n):
            if receiver == self.index:
                continue
            packet = tuple(signed for recipient, signed in outgoing if recipient in (-1, receiver))
            if packet and self.outgoing_filter is not None:
                packet = self.outgoing_filter(receiver, packet)
            if packet:
                self.world.send(self.index, receiver, packet)
