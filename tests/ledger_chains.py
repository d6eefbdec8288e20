"""Small, real chains for the tests of the ledger's data: real keys, signatures, certificates and roots."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.application import Admitted, Execution, Refused
from ledger.blocks import Block, Genesis, next_header
from ledger.certificates import CheckpointCertificate, CommitCertificate, checkpoint_statement, commit_statement
from ledger.committee import Committee, Member
from ledger.records import Checkpoint, StoredBlock
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, open_envelope, parse, sign
from mosquitto.errors import RemoteError
from mosquitto.keys import KeyPair

CHAIN_ID = "chain-under-test"
EMPTY_STATE = hashlib.sha256(b"state").digest()


class HashChainApplication:
    """An application whose state is a hash of everything that it executed."""

    def __init__(self) -> None:
        self._root = EMPTY_STATE
        self._period = 0

    def check(self, transaction: bytes) -> Admitted | Refused:
        try:
            envelope = open_envelope(transaction, CHAIN_ID)
        except RemoteError as error:
            return Refused(reason=str(error))
        return Admitted(
            id=envelope.content_id(), sender=envelope.signer, valid_until_period=10, transaction=transaction
        )

    def screen(self, transaction: Admitted) -> Refused | None:
        return None

    def knows(self, transaction_id: bytes) -> bool:
        return False

    def execute(self, height: int, time_ms: int, transactions: Sequence[bytes]) -> Execution:
        receipts = []
        for transaction in transactions:
            self._root = hashlib.sha256(self._root + parse(transaction).content_id()).digest()
            receipts.append(encode((0, height, self._root[:4])))
        self._period = height // 3
        self._root = hashlib.sha256(self._root + time_ms.to_bytes(8, "big")).digest()
        return Execution(receipts=tuple(receipts), events=(), state_root=self._root, period=self._period)

    def snapshot(self) -> bytes:
        return encode((self._root, self._period))

    def restore(self, snapshot: bytes, state_root: bytes) -> bool:
        match decode(snapshot):
            case (bytes(root), int(period)) if root == state_root:
                self._root, self._period = root, period
                return True
        return False

    def state_root(self) -> bytes:
        return self._root

    def period(self) -> int:
        return self._period


@dataclass
class Chain:
    """Makes the next certified block of a committee of `n`, on and on."""

    n: int = 4
    keys: list[KeyPair] = field(init=False)
    committee: Committee = field(init=False)
    genesis: Genesis = field(init=False)
    application: HashChainApplication = field(init=False)

    def __post_init__(self) -> None:
        self.keys = [KeyPair.derive(7, f"replica-{index}") for index in range(self.n)]
        members = tuple(Member(name=f"replica-{i}", public_key=key.public) for i, key in enumerate(self.keys))
        self.committee = Committee(chain_id=CHAIN_ID, members=members)
        self.genesis = Genesis(
            chain_id=CHAIN_ID, configuration=b"configuration", state_root=EMPTY_STATE, time_ms=1_000
        )
        self.application = HashChainApplication()
        self.client = KeyPair.derive(7, "client")
        self.parent = self.genesis.header
        self._nonce = 0

    def transaction(self, size: int = 40) -> bytes:
        self._nonce += 1
        body = encode((self._nonce, b"\x2a" * size))
        return sign(self.client, Kind.TRANSACTION, CHAIN_ID, body).encode()

    def votes(self, statement: bytes, signers: Sequence[int] | None = None) -> tuple[tuple[int, bytes], ...]:
        chosen = range(self.committee.quorums.quorum) if signers is None else signers
        return tuple((i, sign(self.keys[i], Kind.CONSENSUS, CHAIN_ID, statement).signature) for i in chosen)

    def next_block(self, transactions: int = 3, *, size: int = 40, time_step_ms: int = 500) -> StoredBlock:
        bodies = tuple(self.transaction(size) for _ in range(transactions))
        return self.block_of(bodies, time_step_ms=time_step_ms)

    def block_of(self, bodies: tuple[bytes, ...], *, time_step_ms: int = 500) -> StoredBlock:
        ids = tuple(parse(body).content_id() for body in bodies)
        header = next_header(
            self.parent,
            ids=ids,
            time_ms=self.parent.time_ms + time_step_ms,
            period=self.application.period(),
            state_root=self.application.state_root(),
            proposer=0,
            view=0,
        )
        execution = self.application.execute(header.height, header.time_ms, bodies)
        self.parent = header
        votes = self.votes(commit_statement(0, header.sequence, header.hash))
        return StoredBlock(
            block=Block(header=header, transactions=bodies),
            certificate=CommitCertificate(view=0, sequence=header.sequence, block_hash=header.hash, votes=votes),
            ids=ids,
            receipts=execution.receipts,
            state_root=execution.state_root,
        )

    def checkpoint(self) -> Checkpoint:
        """A stable checkpoint after the last block made."""
        header, root = self.parent, self.application.state_root()
        statement = checkpoint_statement(header.sequence, header.hash, root)
        certificate = CheckpointCertificate(
            sequence=header.sequence, block_hash=header.hash, state_root=root, votes=self.votes(statement)
        )
        return Checkpoint(header=header, certificate=certificate, snapshot=self.application.snapshot())
