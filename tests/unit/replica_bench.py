"""One replica on the bench: every other replica's messages are written by the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ledger.application import Admitted
from ledger.blocks import Genesis
from ledger.certificates import CommitCertificate
from ledger.config import ReplicaConfig
from ledger.core import Tip
from ledger.crypto import KeyedHashCrypto
from ledger.effects import Broadcast, Effect, Execute, InstallSnapshot, Persist, Send, Timer
from ledger.messages import (
    Commit,
    Message,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Signed,
    SignedBody,
    ViewChange,
    encode_message,
)
from ledger.records import BodyRecord, VoteRecord
from ledger.replica import Memory, Replica, genesis_tip
from ledger.simulation.application import AccountBook, make_transaction

SECRET = b"bench"
NOW_MS = 1_000_000
M = TypeVar("M")


def genesis() -> Genesis:
    return Genesis(chain_id="bench", configuration=b"", state_root=AccountBook().state_root())


def sign(replica: int, message: Message) -> Signed:
    body = encode_message(message)
    signature = KeyedHashCrypto(replica, SECRET).sign(body)
    return Signed(message=message, replica=replica, body=body, signature=signature)


def transaction(nonce: int, sender: bytes = b"alice") -> Admitted:
    checked = AccountBook().check(make_transaction(sender, nonce, 1, 100))
    assert isinstance(checked, Admitted)
    return checked


def proposal(sequence: int, *transactions: Admitted, view: int = 0, n: int = 4, time_ms: int = NOW_MS) -> Proposal:
    ids = tuple(item.id for item in transactions)
    return Proposal(
        sequence=sequence,
        view=view,
        proposer=view % n,
        time_ms=time_ms,
        transaction_ids=ids,
    )


def prepared(view: int, sequence: int, digest: bytes, replicas: Sequence[int]) -> PreparedCertificate:
    message = Prepare(view=view, sequence=sequence, digest=digest)
    votes = tuple((index, sign(index, message).signature) for index in replicas)
    return PreparedCertificate(view=view, sequence=sequence, digest=digest, votes=votes)


def view_change(replica: int, view: int, *certificates: PreparedCertificate) -> Signed:
    message = ViewChange(view=view, height=0, proof=None, prepared=tuple(certificates))
    return sign(replica, message)


def inside(signed: Signed) -> SignedBody:
    return SignedBody(replica=signed.replica, body=signed.body, signature=signed.signature)


class Bench:
    """`effects` are those of the last input; what was kept or executed adds up."""

    def __init__(self, index: int, n: int = 4, *, memory: Memory | None = None, **settings: int) -> None:
        self.config = ReplicaConfig(n=n, **settings)
        self.application = AccountBook()
        self.replica = Replica(
            self.config,
            index,
            KeyedHashCrypto(index, SECRET),
            self.application,
            memory or Memory(tip=genesis_tip(genesis().header)),
        )
        self.now_ms = NOW_MS
        self.effects: list[Effect] = []
        self.everything: list[Effect] = []
        self.votes: list[VoteRecord] = []
        self.bodies: list[BodyRecord] = []
        self.executed: list[Execute] = []
        self.take(self.replica.start(self.now_ms))

    def take(self, effects: list[Effect]) -> None:
        self.effects = []
        while effects:
            effect = effects.pop(0)
            self.effects.append(effect)
            self.everything.append(effect)
            if isinstance(effect, Persist):
                self.votes.extend(effect.votes)
                self.bodies.extend(effect.bodies)
            elif isinstance(effect, Execute):
                self.executed.append(effect)
                effects.extend(self._execute(effect))
            elif isinstance(effect, InstallSnapshot):
                effects.extend(self._install(effect))

    def _execute(self, effect: Execute) -> list[Effect]:
        block = effect.block
        execution = self.application.execute(block.height, block.header.time_ms, block.transactions)
        return self.replica.on_executed(
            block.header,
            execution.state_root,
            execution.period,
            effect.transactions,
            effect.certificate,
            self.now_ms,
        )

    def _install(self, effect: InstallSnapshot) -> list[Effect]:
        installed = self.application.restore(effect.snapshot, effect.certificate.state_root)
        return self.replica.on_installed(
            effect.header,
            effect.certificate,
            installed=installed,
            period=self.application.period(),
            now_ms=self.now_ms,
        )

    def hear(self, replica: int, message: Message) -> None:
        self.take(self.replica.on_message(sign(replica, message), self.now_ms))

    def hear_signed(self, signed: Signed) -> None:
        self.take(self.replica.on_message(signed, self.now_ms))

    def submit(self, *transactions: Admitted) -> None:
        self.take(self.replica.on_transactions(transactions, self.now_ms))

    def fire(self, timer: Timer, after_ms: int = 0) -> None:
        self.now_ms += after_ms
        self.take(self.replica.on_timer(timer, self.now_ms))

    def sent(self, kind: type[M]) -> list[M]:
        """Own messages of a kind in the last effects."""
        messages = [effect.signed.message for effect in self.effects if isinstance(effect, Broadcast | Send)]
        return [message for message in messages if isinstance(message, kind)]

    def emitted(self, kind: type[M]) -> list[M]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def accept(self, *transactions: Admitted, sequence: int = 1, view: int = 0) -> Proposal:
        """Give a backup the transactions and the primary's proposal."""
        self.submit(*transactions)
        item = proposal(sequence, *transactions, view=view, n=self.config.n, time_ms=self.now_ms)
        self.hear(view % self.config.n, PrePrepare(view=view, proposal=item))
        return item

    def prepare_by(self, replicas: Sequence[int], item: Proposal, view: int = 0) -> None:
        for index in replicas:
            self.hear(index, Prepare(view=view, sequence=item.sequence, digest=item.digest))

    def commit_by(self, replicas: Sequence[int], block_hash: bytes, sequence: int = 1, view: int = 0) -> None:
        for index in replicas:
            self.hear(index, Commit(view=view, sequence=sequence, block_hash=block_hash))

    def memory(self) -> Memory:
        """What a restart finds, if everything kept was kept in time."""
        return Memory(tip=self.tip, votes=tuple(self.votes), bodies=tuple(self.bodies))

    @property
    def tip(self) -> Tip:
        return self.replica.tip


def certificate_for(block_hash: bytes, sequence: int, view: int, replicas: Sequence[int]) -> CommitCertificate:
    message = Commit(view=view, sequence=sequence, block_hash=block_hash)
    votes = tuple((index, sign(index, message).signature) for index in replicas)
    return CommitCertificate(view=view, sequence=sequence, block_hash=block_hash, votes=votes)
