"""Byzantine replicas: the real replica inside, and lies on the way out.

A liar signs as itself only, and may hold the signatures of its accomplices. Each habit below is one from
the checklists of those who broke consensus before.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Final

from ledger.blocks import Block
from ledger.certificates import CommitCertificate
from ledger.crypto import KeyedHashCrypto
from ledger.messages import (
    Blocks,
    Bodies,
    Checkpoint,
    Commit,
    Message,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Signed,
    SnapshotPart,
    Status,
    ViewChange,
    encode_message,
)

HABITS: Final = (
    "mute",
    "mute as primary",
    "equivocate",
    "wrong digests",
    "lie in view changes",
    "tamper with new views",
    "replay",
    "lie in state transfer",
    "withhold bodies",
    "run ahead",
    "delay one",
)


@dataclass(slots=True)
class Accomplices:
    """What liars share: the twin of each proposal they equivocate about, so that they do it in unison."""

    twins: dict[bytes, Proposal] = field(default_factory=dict)
    cryptos: dict[int, KeyedHashCrypto] = field(default_factory=dict)


class Liar:
    """One Byzantine replica's outgoing filter: what it tells whom."""

    def __init__(
        self,
        index: int,
        n: int,
        habits: frozenset[str],
        chance: random.Random,
        accomplices: Accomplices,
    ) -> None:
        self.index = index
        self.n = n
        self.habits = habits
        self.chance = chance
        self.accomplices = accomplices
        self.acts: Counter[str] = Counter()
        self._heard: deque[Signed] = deque(maxlen=64)
        # Half of the replicas get one story, the other half another.
        self._fooled = frozenset(chance.sample(range(n), n // 2))

    def filter(self, receiver: int, packet: tuple[Signed, ...]) -> tuple[Signed, ...]:
        """What leaves for `receiver` instead of the packet."""
        if "mute" in self.habits and self.chance.random() < 0.9:
            self.acts["mute"] += 1
            return ()
        out: list[Signed] = []
        for signed in packet:
            self._heard.append(signed)
            if signed.replica != self.index:
                out.append(signed)
                continue
            message = self._lie(receiver, signed.message)
            if message is signed.message:
                out.append(signed)
            elif message is not None:
                out.append(self._sign(message))
        if "replay" in self.habits and self._heard and self.chance.random() < 0.2:
            self.acts["replay"] += 1
            out.append(self.chance.choice(self._heard))
        return tuple(out)

    def _sign(self, message: Message) -> Signed:
        body = encode_message(message)
        signature = self.accomplices.cryptos[self.index].sign(body)
        return Signed(message=message, replica=self.index, body=body, signature=signature)

    def _lie(self, receiver: int, message: Message) -> Message | None:
        told: Message | None = message
        match message:
            case PrePrepare():
                told = self._lie_about_proposal(receiver, message)
            case Prepare():
                told = self._lie_in_prepare(receiver, message)
            case Commit() if "wrong digests" in self.habits and self.chance.random() < 0.3:
                told = replace(message, block_hash=self.chance.randbytes(32))
            case Checkpoint() if "wrong digests" in self.habits and self.chance.random() < 0.5:
                told = replace(message, state_root=self.chance.randbytes(32))
            case ViewChange() if "lie in view changes" in self.habits:
                told = self._lie_in_view_change(message)
            case NewView() if "tamper with new views" in self.habits:
                told = self._tamper(message)
            case Status() if "run ahead" in self.habits or "lie in state transfer" in self.habits:
                told = replace(message, height=message.height + self.chance.randint(1, 10**6))
            case Blocks() if "lie in state transfer" in self.habits:
                told = self._lie_in_blocks(message)
            case SnapshotPart() if "lie in state transfer" in self.habits:
                told = replace(message, part=message.part[:-1] + self.chance.randbytes(1))
            case Bodies() if "withhold bodies" in self.habits:
                told = None
        if told is not message:
            self.acts[type(message).__name__] += 1
        return told

    def _lie_about_proposal(self, receiver: int, message: PrePrepare) -> Message | None:
        if "mute as primary" in self.habits:
            return None
        if "delay one" in self.habits and receiver in self._fooled:
            return None
        if "withhold bodies" in self.habits and self.chance.random() < 0.3:
            ids = (*message.proposal.transaction_ids, self.chance.randbytes(32))
            return replace(message, proposal=_again(message.proposal, ids))
        if "equivocate" not in self.habits or receiver not in self._fooled:
            return message
        return replace(message, proposal=self._twin(message.proposal))

    def _twin(self, proposal: Proposal) -> Proposal:
        twin = self.accomplices.twins.get(proposal.digest)
        if twin is None:
            ids = proposal.transaction_ids
            if len(ids) > 1:
                twin = _again(proposal, tuple(reversed(ids)))
            else:
                twin = Proposal(
                    sequence=proposal.sequence,
                    view=proposal.view,
                    proposer=proposal.proposer,
                    time_ms=proposal.time_ms + 1,
                    transaction_ids=ids,
                )
            self.accomplices.twins[proposal.digest] = twin
        return twin

    def _lie_in_prepare(self, receiver: int, message: Prepare) -> Message | None:
        if "mute as primary" in self.habits and message.view % self.n == self.index:
            return None
        twin = self.accomplices.twins.get(message.digest)
        if "equivocate" in self.habits and twin is not None and receiver in self._fooled:
            return replace(message, digest=twin.digest)
        if "wrong digests" in self.habits and self.chance.random() < 0.3:
            return replace(message, digest=self.chance.randbytes(32))
        return message

    def _lie_in_view_change(self, message: ViewChange) -> Message | None:
        story = self.chance.randrange(5)
        if story == 0:  # As if nothing had ever been agreed on.
            return replace(message, height=0, proof=None, prepared=())
        if story == 1:  # As if nothing had been prepared.
            return replace(message, prepared=())
        if story == 2:  # A certificate that only the accomplices have signed.
            return replace(message, prepared=(self._forged(message),))
        if story == 3 and isinstance(message.proof, CommitCertificate):
            return replace(message, height=message.height + 1)
        return replace(message, view=message.view + self.chance.randint(1, 50))

    def _forged(self, message: ViewChange) -> PreparedCertificate:
        prepare = Prepare(
            view=message.view - 1,
            sequence=message.height + 1,
            digest=self.chance.randbytes(32),
        )
        body = encode_message(prepare)
        real = [(index, crypto.sign(body)) for index, crypto in sorted(self.accomplices.cryptos.items())]
        false = [(index, real[0][1]) for index in range(self.n) if index not in self.accomplices.cryptos]
        return PreparedCertificate(
            view=prepare.view,
            sequence=prepare.sequence,
            digest=prepare.digest,
            votes=tuple(sorted(real + false)),
        )

    def _tamper(self, message: NewView) -> Message | None:
        story = self.chance.randrange(4)
        if story == 0 and message.proposals:
            return replace(message, proposals=message.proposals[:-1])
        if story == 1 and message.proposals:
            sequence, _ = message.proposals[0]
            return replace(message, proposals=((sequence, self.chance.randbytes(32)), *message.proposals[1:]))
        if story == 2:
            return replace(message, view_changes=message.view_changes[:-1])
        return replace(message, view_changes=(*message.view_changes[:-1], message.view_changes[0]))

    def _lie_in_blocks(self, message: Blocks) -> Message | None:
        if not message.blocks or self.chance.random() < 0.3:
            return Blocks(first_height=10**9, blocks=())
        block, certificate = message.blocks[0]
        if block.transactions and self.chance.random() < 0.5:
            forged = Block(header=block.header, transactions=(b"\x00", *block.transactions[1:]))
        else:
            forged = Block(
                header=replace(block.header, time_ms=block.header.time_ms + 1),
                transactions=block.transactions,
            )
        return Blocks(first_height=message.first_height, blocks=((forged, certificate), *message.blocks[1:]))


def _again(proposal: Proposal, ids: tuple[bytes, ...]) -> Proposal:
    return Proposal(
        sequence=proposal.sequence,
        view=proposal.view,
        proposer=proposal.proposer,
        time_ms=proposal.time_ms,
        transaction_ids=ids,
    )
