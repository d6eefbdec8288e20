"""State transfer: blocks that others have and we lack, or a snapshot when too many are missing.

Nothing here rests on trust in the sender: a block proves itself by its commit certificate, a snapshot by
the root that its checkpoint certificate names. A liar only costs us the time until another is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ledger.application import Admitted
from ledger.blocks import Block, Header
from ledger.certificates import CheckpointCertificate, CommitCertificate
from ledger.core import Core
from ledger.effects import Execute, InstallSnapshot, SendBlocks, SendSnapshot
from ledger.errors import CertificateError
from ledger.messages import Blocks, FetchBlocks, FetchSnapshot, SnapshotPart, Status

_PARTS_MAX: Final = 1_024
_BEHIND_AT_ONCE: Final = 8
"""So many blocks behind a replica fetches at once; fewer may just be on their way."""

_TRANSFERS_PER_PEER: Final = 8
"""How many blocks messages or snapshot parts a peer is sent between two ticks."""


@dataclass(slots=True)
class Collection:
    """A snapshot on its way from one donor."""

    donor: int
    header: Header
    certificate: CheckpointCertificate
    count: int
    parts: dict[int, bytes] = field(default_factory=dict)


class CatchUp:
    """Knows how far others are, fetches what is missing, answers those who fetch."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.heights: dict[int, int] = {}
        self.stables: dict[int, int] = {}
        self._donor = core.index
        self._asked_for = 0
        self._target_before = 0
        self._received: list[tuple[Block, CommitCertificate]] = []
        self._snapshot: Collection | None = None
        self._snapshot_wanted = False
        self._arriving = False
        self._attempts = 0

    @property
    def target(self) -> int:
        """The greatest height that anyone claims; only a reason to ask, never believed."""
        return max(self.heights.values(), default=0)

    def on_status(self, replica: int, status: Status) -> None:
        """Remember how far a replica says it is, and fetch at once when far behind."""
        # An old status that is played again must not lower what we know.
        self.heights[replica] = max(status.height, self.heights.get(replica, 0))
        self.stables[replica] = max(status.stable_height, self.stables.get(replica, 0))
        if status.height - self.core.tip.height >= _BEHIND_AT_ONCE and self._asked_for <= self.core.tip.height:
            self._ask()

    def tick(self) -> None:
        """Ask the next donor for what we lacked at the last tick and still lack, unless it is on its way."""
        arriving, self._arriving = self._arriving, False
        behind = self.core.tip.height < self._target_before
        self._target_before = self.target
        entry = self.core.next_entry
        if not arriving and (behind or (entry is not None and entry.final is not None)):
            self._ask()

    def _ask(self) -> None:
        core = self.core
        n, height = core.config.n, core.tip.height
        others = [(self._donor + step) % n for step in range(1, n + 1)]
        donors = [item for item in others if item != core.index and self.heights.get(item, 0) > height]
        if not donors:
            return
        core.counters["state transfers asked"] += 1
        self._asked_for = height + 1
        self._attempts += 1
        self._snapshot = None
        far = (
            self._snapshot_wanted or min(self.heights[item] for item in donors) - height > core.config.snapshot_gap
        )
        self._snapshot_wanted = False
        # Who claims a checkpoint may not have it, or show a false one, and who says that it has no blocks may
        # lie: so the other way is tried as well.
        givers = [item for item in donors if self.stables[item] > height]
        if far and givers and self._attempts % 3:
            self._donor = givers[0]
            core.send(self._donor, FetchSnapshot(height=0, index=0))
        else:
            self._donor = donors[0]
            core.send(self._donor, FetchBlocks(start=self._asked_for))

    # --- Blocks ---------------------------------------------------------------------------------------

    def on_blocks(self, replica: int, message: Blocks) -> None:
        """Queue fetched blocks; each is proven when its turn comes."""
        core = self.core
        if not message.blocks and message.first_height > core.tip.height + 1 and replica == self._donor:
            self._snapshot_wanted = True
            self._ask()
            return
        fresh = [item for item in message.blocks if item[0].height > core.tip.height]
        if fresh and fresh[0][0].height == core.tip.height + 1:
            self._received = fresh
            self._arriving = True

    def execute(self) -> bool:
        """Execute the next fetched block if it proves itself. Whether it did."""
        core = self.core
        self._received = [item for item in self._received if item[0].height > core.tip.height]
        if not self._received or core.executing or core.halted:
            return False
        block, certificate = self._received.pop(0)
        taken = self._proven(block, certificate)
        if taken is None:
            self._received = []
            return False
        core.counters["blocks fetched"] += 1
        core.executing = True
        core.emit(Execute(block=block, transactions=taken, certificate=certificate))
        return True

    def _proven(self, block: Block, certificate: CommitCertificate) -> tuple[Admitted, ...] | None:
        core = self.core
        header = block.header
        if header.height != core.tip.height + 1 or certificate.sequence != header.height:
            return None
        if certificate.block_hash != header.hash:
            return None
        try:
            certificate.verify(core.quorums, core.crypto.check)
        except CertificateError:
            core.counters["blocks refused"] += 1
            return None
        # Ids leave signatures out, so a liar could show a certified transaction with a broken signature.
        checked = [core.rules.check(transaction) for transaction in block.transactions]
        taken = tuple(item for item in checked if isinstance(item, Admitted))
        if len(taken) != len(checked) or not block.matches([item.id for item in taken]):
            core.counters["blocks refused"] += 1
            return None
        if header.previous_hash != core.tip.hash or header.state_root != core.tip.state_root:
            core.halt(f"a quorum committed block {header.height} on another chain or state than ours")
            return None
        return taken

    def after_block(self) -> None:
        """Go on fetching while the donor had more."""
        core = self.core
        self._attempts = 0
        if core.tip.height >= self._asked_for > 0 and not self._received:
            self._asked_for = 0
            if self.target - core.tip.height >= _BEHIND_AT_ONCE:
                self._ask()

    # --- Snapshots ------------------------------------------------------------------------------------

    def on_snapshot_part(self, replica: int, message: SnapshotPart) -> None:
        """Collect the parts of one donor's snapshot, then hand the whole over to be checked and installed."""
        core = self.core
        if replica != self._donor or message.header.height <= core.tip.height or core.executing:
            return
        snapshot = self._snapshot
        if snapshot is None:
            if not self._is_certified(message):
                core.counters["snapshots refused"] += 1
                return
            snapshot = self._snapshot = Collection(
                donor=replica,
                header=message.header,
                certificate=message.certificate,
                count=message.count,
            )
        if snapshot.header != message.header or snapshot.count != message.count or message.index >= message.count:
            return
        if message.index not in snapshot.parts:
            self._arriving = True
        snapshot.parts[message.index] = message.part
        missing = next((item for item in range(snapshot.count) if item not in snapshot.parts), None)
        if missing is not None:
            core.send(replica, FetchSnapshot(height=snapshot.header.height, index=missing))
            return
        self._snapshot = None
        core.executing = True
        whole = b"".join(snapshot.parts[item] for item in range(snapshot.count))
        core.emit(
            InstallSnapshot(
                header=snapshot.header,
                certificate=snapshot.certificate,
                snapshot=whole,
            )
        )

    def _is_certified(self, message: SnapshotPart) -> bool:
        core = self.core
        certificate = message.certificate
        if certificate.sequence != message.header.height or certificate.block_hash != message.header.hash:
            return False
        try:
            certificate.verify(core.quorums, core.crypto.check)
        except CertificateError:
            return False
        return 0 < message.count <= _PARTS_MAX

    def after_snapshot(self, *, installed: bool) -> None:
        """Go on with blocks after a good snapshot, with another donor after a false one."""
        if not installed:
            self.core.counters["snapshots refused"] += 1
        self._ask()

    # --- Answering ------------------------------------------------------------------------------------

    def on_fetch_blocks(self, replica: int, message: FetchBlocks) -> None:
        """Answer with blocks from our store."""
        if message.start <= self.core.tip.height and self.core.may_answer(replica, _TRANSFERS_PER_PEER):
            self.core.emit(SendBlocks(replica=replica, start=message.start))

    def on_fetch_snapshot(self, replica: int, message: FetchSnapshot) -> None:
        """Answer with a part of our newest snapshot, or of the one that is being collected."""
        if self.core.may_answer(replica, _TRANSFERS_PER_PEER):
            self.core.emit(SendSnapshot(replica=replica, height=message.height, index=message.index))
