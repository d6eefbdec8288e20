"""What replicas say to each other, and its one encoding.

A message's body is the array `[tag, *fields]`; it travels in an envelope of kind CONSENSUS, whose signer
is the replica that speaks. The sender is therefore not a field: a vote's body is the same bytes for every
replica, and a certificate is one body with many signatures. Tags are append-only.

One departure from the paper's messages: the primary sends a prepare as well. There a certificate is the
primary's pre-prepare and 2f prepares of backups; here it is 2f + 1 prepares of any replicas. The same 2f + 1
replicas speak in both, and no certificate needs the proposal itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ledger.blocks import HASH_BYTES, INTEGER_LIMIT, Block, Header, digest
from ledger.certificates import (
    TAG_CHECKPOINT,
    TAG_COMMIT,
    CheckpointCertificate,
    CommitCertificate,
    Vote,
    VoteCheck,
    checkpoint_statement,
    commit_statement,
)
from ledger.errors import DataError, MessageError
from ledger.quorums import Quorums
from mosquitto.codec import Encodable, Value, decode, encode
from mosquitto.errors import CodecError

PROPOSAL_DOMAIN: Final = b"gridbazaar/proposal/1"

TAG_PRE_PREPARE: Final = 1
TAG_PREPARE: Final = 2
TAG_VIEW_CHANGE: Final = 5
TAG_NEW_VIEW: Final = 6
TAG_STATUS: Final = 7
TAG_FETCH_PROPOSAL: Final = 8
TAG_OFFER_PROPOSAL: Final = 9
TAG_FETCH_BODIES: Final = 10
TAG_BODIES: Final = 11
TAG_FETCH_BLOCKS: Final = 12
TAG_BLOCKS: Final = 13
TAG_FETCH_SNAPSHOT: Final = 14
TAG_SNAPSHOT_PART: Final = 15
TAG_CHECKPOINT_PROOF: Final = 16


FinalProof = CommitCertificate | CheckpointCertificate
"""What shows that a block, and with it the whole chain before it, is final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is agreed on for one sequence number: which transactions, in which order, at what time.

    `view` is the view in which it was first proposed and `proposer` that view's primary; a view change
    carries the proposal over unchanged. Without transactions it is the null request that fills a gap.
    """

    sequence: int
    view: int
    proposer: int
    time_ms: int
    transaction_ids: tuple[bytes, ...]
    digest: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest(PROPOSAL_DOMAIN, encode(self.fields())))

    @property
    def is_null(self) -> bool:
        """Whether this is a null request."""
        return not self.transaction_ids

    def fields(self) -> tuple[int | tuple[bytes, ...], ...]:
        """The proposal as the array that is encoded."""
        return (self.sequence, self.view, self.proposer, self.time_ms, self.transaction_ids)

    @classmethod
    def from_value(cls, value: Value) -> Proposal:
        """A proposal from its decoded array. Raises MessageError."""
        match value:
            case (int(sequence), int(view), int(proposer), int(time_ms), tuple(ids)):
                _numbers(sequence, view, proposer, time_ms)
                hashes = _hash_list(ids)
                if len(set(hashes)) != len(hashes):
                    raise MessageError("proposal that holds one transaction twice")
                return cls(
                    sequence=sequence, view=view, proposer=proposer, time_ms=time_ms, transaction_ids=hashes
                )
        raise MessageError("not a proposal: expected [sequence, view, proposer, time, ids]")


def null_proposal(sequence: int, view: int, primary: int) -> Proposal:
    """The null request of a new view for one number; a block made of it takes its parent's time."""
    return Proposal(sequence=sequence, view=view, proposer=primary, time_ms=0, transaction_ids=())


@dataclass(frozen=True, slots=True, kw_only=True)
class PrePrepare:
    """The primary of `view` gives the proposal its sequence number."""

    view: int
    proposal: Proposal

    @property
    def sequence(self) -> int:
        """The number that the primary assigned."""
        return self.proposal.sequence

    @property
    def digest(self) -> bytes:
        """What the prepares repeat."""
        return self.proposal.digest

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.view, self.proposal.fields())


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """The sender holds the proposal with all its transactions and accepts no other here in this view."""

    view: int
    sequence: int
    digest: bytes

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.view, self.sequence, self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The sender holds a prepared certificate, has executed the prefix and so knows the block's hash.

    The paper's commit names the proposal's digest. Here it names the block that the proposal becomes on
    top of the executed prefix, so that the commits are the block's certificate. It is as safe: a correct
    replica sends it only when prepared(m, v, n), and the hash is a function of m and of the prefix, on
    which all agree by induction; 2f + 1 equal commits thus imply f + 1 correct replicas that prepared m,
    and the view change argument holds word for word. What it adds: replicas whose execution differs
    cannot form a certificate, so a fault in the application stops the chain instead of forking the state.
    """

    view: int
    sequence: int
    block_hash: bytes

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.view, self.sequence, self.block_hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The sender's state after block `sequence`."""

    sequence: int
    block_hash: bytes
    state_root: bytes

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.sequence, self.block_hash, self.state_root)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCertificate:
    """2f + 1 prepares for one proposal in one view: no other can be prepared there."""

    view: int
    sequence: int
    digest: bytes
    votes: tuple[Vote, ...]

    def fields(self) -> tuple[Encodable, ...]:
        """The certificate as the array that is encoded."""
        return (self.view, self.sequence, self.digest, self.votes)

    def holds(self, quorums: Quorums, check: VoteCheck) -> bool:
        """Whether a quorum of distinct replicas signed exactly this prepare."""
        members = [index for index, _ in self.votes]
        if len(members) < quorums.quorum or members != sorted(set(members)):
            return False
        statement = encode_message(Prepare(view=self.view, sequence=self.sequence, digest=self.digest))
        return all(0 <= index < quorums.n and check(index, statement, vote) for index, vote in self.votes)

    @classmethod
    def from_value(cls, value: Value) -> PreparedCertificate:
        """A certificate from its decoded array. Raises MessageError; votes are not verified yet."""
        match value:
            case (int(view), int(sequence), bytes(hashed), tuple(items)):
                _numbers(view, sequence)
                return cls(view=view, sequence=sequence, digest=_hash(hashed), votes=_votes(items))
        raise MessageError("not a prepared certificate: expected [view, sequence, digest, votes]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewChange:
    """The sender leaves for `view` and takes no part in earlier ones any more.

    `height` and `proof` say up to where its chain is final: the commit certificate of its last block, or the
    checkpoint certificate of a snapshot that it started from; none for genesis. It stands where the paper has
    the last stable checkpoint and its proof, and covers more recent history. `prepared` is the paper's P: a
    certificate for each higher number that prepared here.
    """

    view: int
    height: int
    proof: FinalProof | None
    prepared: tuple[PreparedCertificate, ...]

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        proof: tuple[Encodable, ...] = ()
        if self.proof is not None:
            tag = TAG_COMMIT if isinstance(self.proof, CommitCertificate) else TAG_CHECKPOINT
            proof = (tag, *self.proof.fields())
        return (self.view, self.height, proof, tuple(item.fields() for item in self.prepared))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBody:
    """Another replica's message inside of a message: who, what bytes, with which signature."""

    replica: int
    body: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewView:
    """The primary of `view` shows 2f + 1 view changes and what follows from them.

    `proposals` is the paper's O: for each number above the highest proven block, the digest that has to be
    proposed again. Every replica computes it from `view_changes` and refuses another.
    """

    view: int
    view_changes: tuple[SignedBody, ...]
    proposals: tuple[tuple[int, bytes], ...]

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        changes = tuple((item.replica, item.body, item.signature) for item in self.view_changes)
        return (self.view, changes, self.proposals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where the sender stands. Moves nobody's vote; tells others what it lacks."""

    view: int
    active: bool
    height: int
    stable_height: int

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.view, int(self.active), self.height, self.stable_height)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchProposal:
    """Asks for the proposal with this digest, which a new view named."""

    sequence: int
    digest: bytes

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.sequence, self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferProposal:
    """Answers `FetchProposal`. Its digest speaks for it, so the sender need not be trusted."""

    proposal: Proposal

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.proposal.fields(),)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBodies:
    """Asks for transactions of the proposal for `sequence` by their ids."""

    sequence: int
    transaction_ids: tuple[bytes, ...]

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.sequence, self.transaction_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """Transactions: the answer to `FetchBodies`, or a backup's relay of what its primary seems not to know."""

    transactions: tuple[bytes, ...]

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.transactions,)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBlocks:
    """Asks for certified blocks from height `start` on."""

    start: int

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.start,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Answers `FetchBlocks` with as many as fit. Each block is proven by its own certificate.

    `first_height` is the lowest block that the sender has: with it a replica sees that it needs a snapshot.
    """

    first_height: int
    blocks: tuple[tuple[Block, CommitCertificate], ...]

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        items = tuple((block.header.fields(), block.transactions, proof.fields()) for block, proof in self.blocks)
        return (self.first_height, items)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSnapshot:
    """Asks for part `index` of the sender's snapshot at `height`; height 0 means its latest."""

    height: int
    index: int

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.height, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPart:
    """One part of a snapshot, with the proof of what the whole must be."""

    header: Header
    certificate: CheckpointCertificate
    index: int
    count: int
    part: bytes

    @property
    def height(self) -> int:
        """Height of the snapshot."""
        return self.header.height

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.header.fields(), self.certificate.fields(), self.index, self.count, self.part)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointProof:
    """A stable checkpoint for a replica whose status shows an older one."""

    certificate: CheckpointCertificate

    def fields(self) -> tuple[Encodable, ...]:
        """Everything after the tag."""
        return (self.certificate.fields(),)


Message = (
    PrePrepare
    | Prepare
    | Commit
    | Checkpoint
    | ViewChange
    | NewView
    | Status
    | FetchProposal
    | OfferProposal
    | FetchBodies
    | Bodies
    | FetchBlocks
    | Blocks
    | FetchSnapshot
    | SnapshotPart
    | CheckpointProof
)

_TAGS: Final[dict[type[Message], int]] = {
    PrePrepare: TAG_PRE_PREPARE,
    Prepare: TAG_PREPARE,
    Commit: TAG_COMMIT,
    Checkpoint: TAG_CHECKPOINT,
    ViewChange: TAG_VIEW_CHANGE,
    NewView: TAG_NEW_VIEW,
    Status: TAG_STATUS,
    FetchProposal: TAG_FETCH_PROPOSAL,
    OfferProposal: TAG_OFFER_PROPOSAL,
    FetchBodies: TAG_FETCH_BODIES,
    Bodies: TAG_BODIES,
    FetchBlocks: TAG_FETCH_BLOCKS,
    Blocks: TAG_BLOCKS,
    FetchSnapshot: TAG_FETCH_SNAPSHOT,
    SnapshotPart: TAG_SNAPSHOT_PART,
    CheckpointProof: TAG_CHECKPOINT_PROOF,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A message as its sender signed it; `replica` is the verified signer. Kept whole: it may be evidence."""

    message: Message
    replica: int
    body: bytes
    signature: bytes


def encode_message(message: Message) -> bytes:
    """The body that is signed."""
    match message:
        case Commit():
            return commit_statement(message.view, message.sequence, message.block_hash)
        case Checkpoint():
            return checkpoint_statement(message.sequence, message.block_hash, message.state_root)
        case _:
            return encode((_TAGS[type(message)], *message.fields()))


def decode_message(body: bytes) -> Message:
    """Read a body. Raises MessageError, and nothing else, for whatever is not one of ours."""
    try:
        value = decode(body)
        match value:
            case (int(tag), *fields):
                return _from_fields(tag, tuple(fields))
    except (CodecError, DataError) as error:
        raise MessageError(f"not a consensus message: {error}") from None
    raise MessageError("not a consensus message: expected [tag, ...]")


def _from_fields(tag: int, fields: tuple[Value, ...]) -> Message:
    match (tag, *fields):
        case (1, int(view), tuple(proposal)):
            _numbers(view)
            return PrePrepare(view=view, proposal=Proposal.from_value(proposal))
        case (2, int(view), int(sequence), bytes(hashed)):
            _numbers(view, sequence)
            return Prepare(view=view, sequence=sequence, digest=_hash(hashed))
        case (3, int(view), int(sequence), bytes(hashed)):
            _numbers(view, sequence)
            return Commit(view=view, sequence=sequence, block_hash=_hash(hashed))
        case (4, int(sequence), bytes(hashed), bytes(root)):
            _numbers(sequence)
            return Checkpoint(sequence=sequence, block_hash=_hash(hashed), state_root=_hash(root))
        case (5, int(view), int(height), tuple(proof), tuple(prepared)):
            _numbers(view, height)
            return ViewChange(
                view=view,
                height=height,
                proof=_final_proof(proof),
                prepared=tuple(PreparedCertificate.from_value(item) for item in prepared),
            )
        case (6, int(view), tuple(changes), tuple(proposals)):
            _numbers(view)
            return NewView(view=view, view_changes=_signed_bodies(changes), proposals=_pairs(proposals))
        case (7, int(view), int(active), int(height), int(stable_height)):
            _numbers(view, height, stable_height)
            if active not in (0, 1):
                raise MessageError("status whose flag is neither 0 nor 1")
            return Status(view=view, active=active == 1, height=height, stable_height=stable_height)
        case _:
            return _transfer_from_fields(tag, fields)


def _transfer_from_fields(tag: int, fields: tuple[Value, ...]) -> Message:
    match (tag, *fields):
        case (8, int(sequence), bytes(hashed)):
            _numbers(sequence)
            return FetchProposal(sequence=sequence, digest=_hash(hashed))
        case (9, tuple(proposal)):
            return OfferProposal(proposal=Proposal.from_value(proposal))
        case (10, int(sequence), tuple(ids)):
            _numbers(sequence)
            return FetchBodies(sequence=sequence, transaction_ids=_hash_list(ids))
        case (11, tuple(transactions)):
            return Bodies(transactions=_byte_strings(transactions))
        case (12, int(start)):
            _numbers(start)
            return FetchBlocks(start=start)
        case (13, int(first_height), tuple(items)):
            _numbers(first_height)
            return Blocks(first_height=first_height, blocks=tuple(_certified(item) for item in items))
        case (14, int(height), int(index)):
            _numbers(height, index)
            return FetchSnapshot(height=height, index=index)
        case (15, tuple(header), tuple(certificate), int(index), int(count), bytes(part)):
            _numbers(index, count)
            return SnapshotPart(
                header=Header.from_value(header),
                certificate=CheckpointCertificate.from_value(certificate),
                index=index,
                count=count,
                part=part,
            )
        case (16, tuple(certificate)):
            return CheckpointProof(certificate=CheckpointCertificate.from_value(certificate))
    raise MessageError(f"no message has tag {tag} and these fields")


def _final_proof(proof: tuple[Value, ...]) -> FinalProof | None:
    match proof:
        case ():
            return None
        case (3, *fields):
            return CommitCertificate.from_value(tuple(fields))
        case (4, *fields):
            return CheckpointCertificate.from_value(tuple(fields))
    raise MessageError("the proof of a final block is a commit or a checkpoint certificate")


def _certified(item: Value) -> tuple[Block, CommitCertificate]:
    match item:
        case (tuple(header), tuple(transactions), tuple(proof)):
            block = Block(header=Header.from_value(header), transactions=_byte_strings(transactions))
            return block, CommitCertificate.from_value(proof)
    raise MessageError("a certified block is [header, transactions, certificate]")


def _signed_bodies(items: tuple[Value, ...]) -> tuple[SignedBody, ...]:
    bodies: list[SignedBody] = []
    for item in items:
        match item:
            case (int(replica), bytes(body), bytes(signature)):
                bodies.append(SignedBody(replica=replica, body=body, signature=signature))
            case _:
                raise MessageError("a signed body is [replica, body, signature]")
    return tuple(bodies)


def _pairs(items: tuple[Value, ...]) -> tuple[tuple[int, bytes], ...]:
    pairs: list[tuple[int, bytes]] = []
    for item in items:
        match item:
            case (int(sequence), bytes(hashed)):
                _numbers(sequence)
                pairs.append((sequence, _hash(hashed)))
            case _:
                raise MessageError("O holds [sequence, digest]")
    return tuple(pairs)


def _votes(items: tuple[Value, ...]) -> tuple[Vote, ...]:
    votes: list[Vote] = []
    for item in items:
        match item:
            case (int(index), bytes(signature)):
                votes.append((index, signature))
            case _:
                raise MessageError("a vote is [replica, signature]")
    return tuple(votes)


def _byte_strings(items: tuple[Value, ...]) -> tuple[bytes, ...]:
    strings = tuple(item for item in items if isinstance(item, bytes))
    if len(strings) != len(items):
        raise MessageError("transactions are byte strings")
    return strings


def _hash_list(items: tuple[Value, ...]) -> tuple[bytes, ...]:
    return tuple(_hash(item) for item in _byte_strings(items))


def _hash(value: bytes) -> bytes:
    if len(value) != HASH_BYTES:
        raise MessageError(f"hash of {len(value)} bytes, not {HASH_BYTES}")
    return value


def _numbers(*numbers: int) -> None:
    for number in numbers:
        if not 0 <= number < INTEGER_LIMIT:
            raise MessageError(f"number {number}, outside of 0 to 2**63 - 1")
