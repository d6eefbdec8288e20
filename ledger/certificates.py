"""Quorum certificates: 2f + 1 signed, equal statements that convince anyone who knows the committee.

A vote is the statement's canonical bytes and the signature of the envelope in which it was sent, so
certificates hold exactly what replicas said and nothing is ever signed a second time. The shape of the
two statements is fixed here because certificates must be readable without the protocol.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger.blocks import HASH_BYTES, INTEGER_LIMIT
from ledger.errors import CertificateError
from ledger.quorums import Quorums
from mosquitto.codec import WIRE_LIMITS, Value, decode, encode
from mosquitto.errors import CodecError

TAG_COMMIT: Final = 3
TAG_CHECKPOINT: Final = 4

Vote = tuple[int, bytes]
"""Index of the member, signature."""

VoteCheck = Callable[[int, bytes, bytes], bool]
"""(member index, statement, signature) -> whether that member signed it. `Committee.check_vote` is one."""


def commit_statement(view: int, sequence: int, block_hash: bytes) -> bytes:
    """The body of a commit: "in `view` I commit the block `block_hash` as number `sequence`"."""
    return encode((TAG_COMMIT, view, sequence, block_hash))


def checkpoint_statement(sequence: int, block_hash: bytes, state_root: bytes) -> bytes:
    """The body of a checkpoint: "after block number `sequence` my state is `state_root`"."""
    return encode((TAG_CHECKPOINT, sequence, block_hash, state_root))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitCertificate:
    """2f + 1 commits for one block: the block is final. Votes in ascending order of members."""

    view: int
    sequence: int
    block_hash: bytes
    votes: tuple[Vote, ...]

    @property
    def statement(self) -> bytes:
        """What every vote signed."""
        return commit_statement(self.view, self.sequence, self.block_hash)

    def verify(self, quorums: Quorums, check: VoteCheck) -> None:
        """Raises CertificateError unless a quorum of distinct members signed exactly this statement."""
        _verify_votes(self.statement, self.votes, quorums, check)

    def fields(self) -> tuple[int | bytes | tuple[Vote, ...], ...]:
        """The certificate as the array that is encoded."""
        return (self.view, self.sequence, self.block_hash, self.votes)

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode(self.fields())

    @classmethod
    def decode(cls, data: bytes) -> CommitCertificate:
        """Read a certificate. Raises CertificateError; the votes are not verified yet."""
        return cls.from_value(_decode(data))

    @classmethod
    def from_value(cls, value: Value) -> CommitCertificate:
        """A certificate from its decoded array. Raises CertificateError."""
        match value:
            case (int(view), int(sequence), bytes(block_hash), tuple(votes)):
                _check_numbers(view, sequence)
                _check_hashes(block_hash)
                return cls(view=view, sequence=sequence, block_hash=block_hash, votes=_votes(votes))
        raise CertificateError("not a commit certificate: expected [view, sequence, block hash, votes]")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointCertificate:
    """2f + 1 checkpoints: the state after block `sequence` is `state_root`, and the checkpoint is stable."""

    sequence: int
    block_hash: bytes
    state_root: bytes
    votes: tuple[Vote, ...]

    @property
    def statement(self) -> bytes:
        """What every vote signed."""
        return checkpoint_statement(self.sequence, self.block_hash, self.state_root)

    def verify(self, quorums: Quorums, check: VoteCheck) -> None:
        """Raises CertificateError unless a quorum of distinct members signed exactly this statement."""
        _verify_votes(self.statement, self.votes, quorums, check)

    def fields(self) -> tuple[int | bytes | tuple[Vote, ...], ...]:
        """The certificate as the array that is encoded."""
        return (self.sequence, self.block_hash, self.state_root, self.votes)

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode(self.fields())

    @classmethod
    def decode(cls, data: bytes) -> CheckpointCertificate:
        """Read a certificate. Raises CertificateError; the votes are not verified yet."""
        return cls.from_value(_decode(data))

    @classmethod
    def from_value(cls, value: Value) -> CheckpointCertificate:
        """A certificate from its decoded array. Raises CertificateError."""
        match value:
            case (int(sequence), bytes(block_hash), bytes(state_root), tuple(votes)):
                _check_numbers(sequence)
                _check_hashes(block_hash, state_root)
                return cls(sequence=sequence, block_hash=block_hash, state_root=state_root, votes=_votes(votes))
        raise CertificateError("not a checkpoint certificate: expected [sequence, block hash, state root, votes]")


def _verify_votes(statement: bytes, votes: tuple[Vote, ...], quorums: Quorums, check: VoteCheck) -> None:
    members = [index for index, _ in votes]
    # Order is part of the canonical form, and strictly ascending means that nobody is counted twice.
    if any(later <= earlier for earlier, later in itertools.pairwise(members)):
        raise CertificateError(f"members {members} voted: not in ascending order, or one of them twice")
    if any(not 0 <= index < quorums.n for index in members):
        raise CertificateError(f"members {members} voted, the committee has {quorums.n}")
    if len(members) < quorums.quorum:
        raise CertificateError(f"{len(members)} votes, a certificate has at least {quorums.quorum}")
    for index, signature in votes:
        # Surplus votes are verified too: a certificate with one wrong vote was not made by a correct replica.
        if not check(index, statement, signature):
            raise CertificateError(f"the vote of member {index} is not a signature of this statement")


def _votes(items: tuple[Value, ...]) -> tuple[Vote, ...]:
    votes: list[Vote] = []
    for item in items:
        match item:
            case (int(index), bytes(signature)):
                votes.append((index, signature))
            case _:
                raise CertificateError("a vote is [member, signature]")
    return tuple(votes)


def _check_numbers(*numbers: int) -> None:
    for number in numbers:
        if not 0 <= number < INTEGER_LIMIT:
            raise CertificateError(f"certificate with the number {number}, outside of 0 to 2**63 - 1")


def _check_hashes(*hashes: bytes) -> None:
    for hashed in hashes:
        if len(hashed) != HASH_BYTES:
            raise CertificateError(f"certificate with a hash of {len(hashed)} bytes, not {HASH_BYTES}")


def _decode(data: bytes) -> Value:
    try:
        return decode(data, WIRE_LIMITS)
    except CodecError as error:
        raise CertificateError(f"not a certificate: {error}") from None
