"""The shell around a replica: bus, store, application and clock, on one thread.

It opens what arrives, hands it to the replica and performs the effects in order. What one drain of the inbox
makes the replica keep is one transaction on disk, and only when that is there does anything leave.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from ledger import boot
from ledger.application import Admitted, Application, Execution, Refused
from ledger.blocks import Header
from ledger.committee import Committee
from ledger.config import ReplicaConfig
from ledger.core import encode_signed
from ledger.crypto import CommitteeCrypto
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
from ledger.errors import StoreError
from ledger.evidence import place_of
from ledger.inbox import Inbox
from ledger.messages import Message, Signed
from ledger.node_status import Latencies, NodeStatus
from ledger.opener import MessageOpener, Refusals
from ledger.records import BodyRecord, Checkpoint, EvidenceRecord, Store, StoredBlock, VoteRecord
from ledger.replica import Replica
from ledger.wire import EVERYONE, decode_packet, encode_packets
from mosquitto.batch import decode_batch
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import encode
from mosquitto.errors import NetworkError
from mosquitto.keys import KeyPair
from mosquitto.topics import Topics

HALTED: Final = "halted"
"""The log event of a replica that stopped because it contradicts what a quorum certified."""

_SNAPSHOTS_HELD: Final = 4

TRANSACTIONS_A_DRAIN: Final = 256
"""Looked at between two looks at the bus: some tens of milliseconds of signatures."""

BlockHandler = Callable[[StoredBlock, Execution], None]
"""Called after a block is on disk, in order of heights."""

ScreenHandler = Callable[[Admitted, Refused], None]
"""Called for a rightly signed transaction that the application keeps out of the pool, to answer its sender."""

log = logging.getLogger("ledger.driver")


class ReplicaDriver:
    """One ledger node's consensus. `poll` does everything; nothing happens on other threads.

    * `clock_ms`: time in ms since 1970 UTC. On a virtual network hand in its time, and register `tick`
      with it, since timers then only run out when somebody moves that clock.
    * `on_block(stored, execution)`: called when a block is executed and on disk.
    * `on_screened(admitted, refused)`: called for a signed transaction that is kept out of the pool.
    * Raises at once what only an operator can mend: StoreError and its kind, StateMismatch.
    """

    def __init__(
        self,
        *,
        committee: Committee,
        key: KeyPair,
        config: ReplicaConfig,
        application: Application,
        store: Store,
        bus: Bus,
        clock_ms: Callable[[], int],
        on_block: BlockHandler | None = None,
        on_screened: ScreenHandler | None = None,
    ) -> None:
        if config.n != len(committee.members):
            raise ValueError(f"config.n must be the committee's {len(committee.members)}, was {config.n}")
        self.committee = committee
        self.config = config
        self.application = application
        self.store = store
        self.bus = bus
        self.topics = Topics(committee.chain_id)
        self.latencies = Latencies()
        self._crypto = CommitteeCrypto(committee, key)
        self.index = self._crypto.index
        self.name = committee.members[self.index].name
        self.refusals = Refusals(self.name)
        self._opener = MessageOpener(self._crypto, self.refusals)
        self._clock_ms = clock_ms
        self._on_block = on_block
        self._on_screened = on_screened
        self._snapshots: dict[int, bytes] = {}
        memory = boot.load(store, application, config.checkpoint_interval, self._hold_snapshot)
        self.replica = Replica(config, self.index, self._crypto, application, memory)
        self._timers: dict[Timer, int] = {}
        self._inbox = Inbox()
        self._consensus_prefix = self.topics.consensus("x")[:-1]
        self._votes: list[VoteRecord] = []
        self._bodies: list[BodyRecord] = []
        self._outgoing: list[tuple[int, bytes]] = []
        self._finished: list[tuple[StoredBlock, Execution]] = []
        self._evidence_count = len(store.evidence())
        self._effects: deque[Effect] = deque()
        self._performing = False
        self._polling = False
        self._draining = False
        self._broken = False

    # --- Running --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Subscribe, and say where this replica stands."""
        topics = self.topics
        self.bus.subscribe(topics.every_consensus(), self._receive)
        for wanted in (topics.every_transactions(), topics.clock(), topics.every_reading()):
            self.bus.subscribe(wanted, self._receive)
        self._drain(lambda: self._perform(self.replica.start(self._clock_ms())))

    def poll(self, timeout_s: float) -> int:
        """Wait up to `timeout_s` for messages, handle what came, and what fell due meanwhile.

        Of transactions only so many at a time: the votes of others come in between, and ours go out.
        """
        self._polling = True
        try:
            wait_s = 0.0 if self._inbox else self._until_timer_s(timeout_s)
            count = self.bus.poll(min(timeout_s, wait_s))
        finally:
            self._polling = False
        self.tick(self._clock_ms())
        return count

    def tick(self, now_ms: int) -> None:
        """Handle the inbox and the timers that have run out."""
        due = [timer for timer, deadline_ms in sorted(self._timers.items()) if deadline_ms <= now_ms]
        if not due and not self._inbox:
            return

        def run() -> None:
            self._handle_inbox(TRANSACTIONS_A_DRAIN)
            for timer in due:
                if self._timers.get(timer, now_ms + 1) <= now_ms:
                    del self._timers[timer]
                    self._perform(self.replica.on_timer(timer, now_ms))

        self._drain(run)

    def submit(self, transactions: Sequence[bytes]) -> None:
        """Take transactions from this process, as if they had come over the bus; only this replica sees them."""
        self._drain(lambda: self._take(transactions, self.name))

    def close(self) -> None:
        """Let go of the store. The bus belongs to the caller."""
        self.store.close()

    @property
    def evidence_count(self) -> int:
        """How many proofs of equivocation this node keeps."""
        return self._evidence_count

    def status(self) -> NodeStatus:
        """Where this node stands."""
        core = self.replica.core
        return NodeStatus(
            name=self.name,
            view=core.view,
            active=core.active,
            primary=self.committee.members[core.primary].name,
            height=core.tip.height,
            block_hash=core.tip.hash,
            state_root=core.tip.state_root,
            period=core.tip.period,
            stable_height=core.low,
            recovering=core.recovering,
            halted=core.halted,
            pool_count=len(core.pool),
            pool_bytes=core.pool.bytes,
            log_entries=len(core.log),
            transactions_executed=core.executed_count,
            commit_latency_ms_median=self.latencies.median_ms,
            commit_latency_ms_max=self.latencies.max_ms,
            evidence_count=self._evidence_count,
            refused=dict(sorted((self.refusals.counts + core.pool.refused).items())),
            counters=dict(sorted(core.counters.items())),
        )

    def _until_timer_s(self, timeout_s: float) -> float:
        if not self._timers:
            return timeout_s
        return max(0.0, (min(self._timers.values()) - self._clock_ms()) / 1000)

    # --- Drains ---------------------------------------------------------------------------------------

    def _receive(self, message: BusMessage) -> None:
        if message.topic.startswith(self._consensus_prefix):
            if self.topics.sender(message.topic) != self.name:
                self._inbox.put_packet(message)
        elif (dropped := self._inbox.put_batch(message)) is not None:
            self.refusals.add("too many waiting", self.topics.sender(dropped.topic))
        # Inside of our own poll the rest of what has arrived shares one write to disk. When someone else
        # drives the bus, nobody calls us afterwards.
        if not self._polling and not self._draining:
            self._drain(self._handle_inbox)

    def _drain(self, work: Callable[[], None]) -> None:
        """Do `work`, make what it keeps durable at once, then let out what it sends."""
        if self._broken:
            raise StoreError(f"{self.name}: stopped, since its last write failed")
        self._draining = self._broken = True
        with self.store.batch():
            work()
            self.store.save_votes(self._votes, self._bodies)
        # Only now: after a failed write the replica and the application are ahead of the disk, and nothing that
        # they say may leave. The process has to start again from the file.
        self._draining = self._broken = False
        self._votes, self._bodies = [], []
        finished, self._finished = self._finished, []
        outgoing, self._outgoing = self._outgoing, []
        for packet in encode_packets(outgoing):
            self.bus.publish(self.topics.consensus(self.name), packet, qos=0)
        for stored, execution in finished:
            if self._on_block is not None:
                self._on_block(stored, execution)

    def _handle_inbox(self, transactions_max: int | None = None) -> None:
        """Batches until so many transactions were looked at, and all votes: those name what the batches hold."""
        taken = 0
        while self._inbox:
            batch = self._inbox.next_batch()
            if batch is not None:
                taken += self._handle_batch(batch.payload, self.topics.sender(batch.topic))
                if transactions_max is None or taken < transactions_max:
                    continue
            for packet in self._inbox.take_packets():
                self._handle_packet(packet.payload, self.topics.sender(packet.topic))
            if batch is not None:
                return

    # --- Messages -------------------------------------------------------------------------------------

    def _handle_packet(self, payload: bytes, source: str) -> None:
        try:
            packet = decode_packet(payload)
        except NetworkError:
            self.refusals.add("not a packet", source)
            return
        if packet.recipient not in (EVERYONE, self.index):
            return
        for envelope in packet.envelopes:
            signed = self._opener.open(envelope, source, self.replica.tip.height)
            if signed is not None:
                self._perform(self.replica.on_message(signed, self._clock_ms()))

    def _handle_batch(self, payload: bytes, source: str) -> int:
        """Take a batch in; how many transactions it held, at least 1."""
        try:
            transactions = decode_batch(payload)
        except NetworkError:
            self.refusals.add("not a batch", source)
            return 1
        self._take(transactions, source)
        return max(1, len(transactions))

    def _take(self, transactions: Sequence[bytes], source: str) -> None:
        admitted: list[Admitted] = []
        for transaction in transactions:
            checked = self.application.check(transaction)
            if isinstance(checked, Refused):
                self.refusals.add(checked.reason, source)
                continue
            refused = self.application.screen(checked)
            if refused is None:
                admitted.append(checked)
                continue
            self.refusals.add(refused.reason, source)
            if self._on_screened is not None:
                self._on_screened(checked, refused)
        if admitted:
            self._perform(self.replica.on_transactions(admitted, self._clock_ms()))

    # --- Effects --------------------------------------------------------------------------------------

    def _perform(self, effects: list[Effect]) -> None:
        # A queue, not recursion: executing a block answers with effects, and hundreds may follow each other.
        self._effects.extend(effects)
        if self._performing:
            return
        self._performing = True
        try:
            while self._effects:
                self._perform_one(self._effects.popleft())
        finally:
            self._performing = False

    def _perform_one(self, effect: Effect) -> None:  # noqa: PLR0912 (one case an effect)
        match effect:
            case Persist(votes=votes, bodies=bodies):
                self._votes.extend(votes)
                self._bodies.extend(bodies)
            case Broadcast(signed=signed):
                self._send(EVERYONE, signed)
            case Send(replica=replica, signed=signed):
                self._send(replica, signed)
            case Execute():
                self._execute(effect)
            case TakeCheckpoint(height=height):
                self._hold_snapshot(height, self.application.snapshot())
            case KeepCheckpoint():
                self._keep_checkpoint(effect)
            case SendBlocks(replica=replica, start=start):
                self._answer(replica, blocks_from(self.store, start))
            case SendSnapshot(replica=replica, height=height, index=index):
                self._answer(replica, snapshot_part(self.store, height, index))
            case InstallSnapshot():
                self._install(effect)
            case SetTimer(timer=timer, delay_ms=delay_ms):
                self._timers[timer] = self._clock_ms() + delay_ms
            case CancelTimer(timer=timer):
                self._timers.pop(timer, None)
            case RecordEvidence():
                self._record(effect)
            case FinishRecovery():
                self.store.finish_recovery()
                log.info("recovery finished", extra={"fields": {"node": self.name}})
            case Halt(reason=reason):
                log.error(HALTED, extra={"fields": {"node": self.name, "reason": reason}})
            case _:
                assert_never(effect)

    def _send(self, recipient: int, signed: Signed) -> None:
        envelope = self._crypto.envelope(signed.replica, signed.body, signed.signature)
        self._outgoing.append((recipient, envelope))

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
        self.store.append_block(stored)
        now_ms = self._clock_ms()
        self.latencies.add(now_ms - block.header.time_ms)
        self._finished.append((stored, execution))
        self._perform(
            self.replica.on_executed(
                block.header,
                execution.state_root,
                execution.period,
                effect.transactions,
                effect.certificate,
                now_ms,
            )
        )

    def _hold_snapshot(self, height: int, snapshot: bytes) -> None:
        self._snapshots[height] = snapshot
        while len(self._snapshots) > _SNAPSHOTS_HELD:
            del self._snapshots[min(self._snapshots)]

    def _keep_checkpoint(self, effect: KeepCheckpoint) -> None:
        certificate = effect.certificate
        snapshot = self._snapshots.pop(certificate.sequence, None)
        header: Header | None = self.store.header(certificate.sequence)
        for height in [height for height in self._snapshots if height < certificate.sequence]:
            del self._snapshots[height]
        if snapshot is None or header is None:
            return
        self.store.save_checkpoint(Checkpoint(header=header, certificate=certificate, snapshot=snapshot))
        self.store.discard_votes_below(certificate.sequence + 1, effect.view)

    def _answer(self, replica: int, message: Message | None) -> None:
        if message is not None:
            self._send(replica, self.replica.core.sign(message))

    def _install(self, effect: InstallSnapshot) -> None:
        certificate = effect.certificate
        installed = self.application.restore(effect.snapshot, certificate.state_root)
        if installed:
            checkpoint = Checkpoint(header=effect.header, certificate=certificate, snapshot=effect.snapshot)
            self.store.install_snapshot(checkpoint)
        self._perform(
            self.replica.on_installed(
                effect.header,
                certificate,
                installed=installed,
                period=self.application.period(),
                now_ms=self._clock_ms(),
            )
        )

    def _record(self, effect: RecordEvidence) -> None:
        first, second = effect.first, effect.second
        kind, view, sequence = place_of(first.message)
        data = encode((encode_signed(first), encode_signed(second)))
        self.store.save_evidence(
            EvidenceRecord(member=first.replica, kind=kind, view=view, sequence=sequence, data=data)
        )
        self._evidence_count = len(self.store.evidence())
        fields = {"node": self.name, "replica": self.committee.members[first.replica].name, "view": view}
        log.error("equivocation", extra={"fields": {**fields, "sequence": sequence}})
