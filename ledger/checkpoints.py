"""Checkpoints (Castro and Liskov 1999, section 4.3): agreeing on states, moving the watermarks, letting go.

Every `checkpoint_interval` blocks each replica signs its state root. 2f + 1 equal ones make the checkpoint
stable: the low watermark moves there, votes and snapshots before it go.
"""

from __future__ import annotations

from ledger.certificates import TAG_CHECKPOINT, CheckpointCertificate
from ledger.core import Core
from ledger.effects import Broadcast, KeepCheckpoint, TakeCheckpoint
from ledger.errors import CertificateError
from ledger.messages import Checkpoint, CheckpointProof, Signed, Status


class Checkpoints:
    """Our own checkpoints, the others' votes for them, and the last stable one."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.stable: CheckpointCertificate | None = None
        self._own: dict[int, Signed] = {}
        # One per replica, of its highest checkpoint; and one proof that is ahead of what we executed.
        self._votes: dict[int, Signed] = {}
        self._ahead: CheckpointCertificate | None = None
        self._answered: set[int] = set()

    def restore(self, stable: CheckpointCertificate) -> None:
        """Start from a stable checkpoint that was kept or installed."""
        self.stable = stable
        self.core.low = stable.sequence
        self._own = {height: item for height, item in self._own.items() if height > stable.sequence}

    def after_block(self) -> None:
        """Sign the state after every `checkpoint_interval`-th block."""
        core = self.core
        height = core.tip.height
        if height % core.config.checkpoint_interval == 0:
            core.emit(TakeCheckpoint(height=height))
            message = Checkpoint(
                sequence=height,
                block_hash=core.tip.hash,
                state_root=core.tip.state_root,
            )
            signed = core.vote(message, TAG_CHECKPOINT, 0, height)
            self._own[height] = signed
            self._count(signed, message)
        if self._ahead is not None and self._ahead.sequence <= height:
            proof, self._ahead = self._ahead, None
            self._settle(proof)

    def sign_again(self) -> None:
        """Sign the last block's checkpoint if a crash came between the block and the signature."""
        height = self.core.tip.height
        if height > self.core.low and height not in self._own:
            self.after_block()

    def on_checkpoint(self, signed: Signed, message: Checkpoint) -> None:
        """Count a checkpoint vote."""
        if message.sequence > self.core.low:
            self._count(signed, message)

    def _count(self, signed: Signed, message: Checkpoint) -> None:
        held = self._votes.get(signed.replica)
        if held is not None and isinstance(held.message, Checkpoint):
            if held.message.sequence > message.sequence:
                return
            if held.message.sequence == message.sequence:
                if held.message != message:
                    self.core.accuse(held, signed)
                return
        self._votes[signed.replica] = signed
        votes = tuple(
            (replica, item.signature) for replica, item in sorted(self._votes.items()) if item.message == message
        )
        quorum = self.core.quorums.quorum
        if len(votes) >= quorum:
            certificate = CheckpointCertificate(
                sequence=message.sequence,
                block_hash=message.block_hash,
                state_root=message.state_root,
                votes=votes[:quorum],
            )
            self._settle(certificate)

    def on_proof(self, message: CheckpointProof) -> None:
        """Take a certificate that someone shows us because we seem to lack it."""
        core = self.core
        certificate = message.certificate
        if certificate.sequence <= max(core.low, self._ahead.sequence if self._ahead else 0):
            return
        try:
            certificate.verify(core.quorums, core.crypto.check)
        except CertificateError:
            core.counters["checkpoint proofs refused"] += 1
            return
        self._settle(certificate)

    def _settle(self, certificate: CheckpointCertificate) -> None:
        core = self.core
        if certificate.sequence <= core.low:
            return
        if certificate.sequence > core.tip.height:
            self._ahead = certificate
            return
        own = self._own.get(certificate.sequence)
        if own is None:
            return  # Executed before a restart and not signed then; the next one will do.
        if own.message != Checkpoint(
            sequence=certificate.sequence,
            block_hash=certificate.block_hash,
            state_root=certificate.state_root,
        ):
            core.halt(f"a quorum has another state after block {certificate.sequence}")
            return
        self.restore(certificate)
        core.emit(KeepCheckpoint(certificate=certificate, view=core.view))

    @property
    def known_height(self) -> int:
        """The highest checkpoint that is proven to us, whether or not we are there."""
        return max(self.core.low, self._ahead.sequence if self._ahead is not None else 0)

    def repeat(self) -> None:
        """Send our newest checkpoint again while it is not stable."""
        self._answered.clear()
        if self._own:
            newest = self._own[max(self._own)]
            self.core.emit(Broadcast(signed=newest))

    def adopt_own(self, signed: Signed, message: Checkpoint) -> None:
        """Take back a checkpoint vote that was kept before a restart."""
        self._own[message.sequence] = signed
        self._votes[signed.replica] = signed

    def on_status(self, replica: int, status: Status) -> None:
        """Show our stable checkpoint to a replica whose own is older."""
        if self.stable is None or status.stable_height >= self.stable.sequence or replica in self._answered:
            return
        self._answered.add(replica)
        self.core.send(replica, CheckpointProof(certificate=self.stable))
