"""Blocks: header, body, hash, genesis.

The header is a deterministic function of what PBFT agreed on (the proposal) and of the executed prefix, so
every correct replica builds the same bytes. Transactions are opaque here: their ids come from whoever
admitted them, and only ids are hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.errors import BlockError
from ledger.merkle import EMPTY_ROOT, merkle_root
from mosquitto.codec import WIRE_LIMITS, Limits, Value, decode, encode
from mosquitto.errors import CodecError

HASH_BYTES: Final = 32
BLOCK_DOMAIN: Final = b"gridbazaar/block/1"
GENESIS_DOMAIN: Final = b"gridbazaar/genesis/1"
INTEGER_LIMIT: Final = 2**63
"""Heights, times, periods and views stay below this, so that SQLite can hold them."""


def digest(domain: bytes, data: bytes) -> bytes:
    """BLAKE2b-256 of `data` under a domain tag, so that no hash made for one purpose serves another."""
    hasher = hashlib.blake2b(len(domain).to_bytes(1, "big"), digest_size=HASH_BYTES)
    hasher.update(domain)
    hasher.update(data)
    return hasher.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a commit certificate signs, by its hash.

    * `height`: place in the chain, genesis is 0; equal to `sequence`, PBFT's number.
    * `time_ms`: proposer's time (1970 UTC), never before the parent's.
    * `period`: the trading period after the previous block.
    * `previous_hash`: hash of the parent's header.
    * `transaction_root`: RFC 6962 root over the transaction *ids*. Not over their bytes: whoever holds a
      key can make many valid signatures of one content, and a client that sends each replica another one
      would otherwise make the replicas build different blocks from one agreed proposal.
    * `transaction_count`: a Merkle root alone does not bind the number of leaves.
    * `state_root`: the state after the *previous* block, so that a block can be proposed and certified
      before it is executed. The root after the last block is in the checkpoint or the next header.
    * `proposer`: index in the committee of the replica that made the proposal, in view `view`. A proposal
      that a view change carried over keeps both.
    """

    height: int
    time_ms: int
    period: int
    previous_hash: bytes
    transaction_root: bytes
    transaction_count: int
    state_root: bytes
    proposer: int
    view: int
    sequence: int

    def fields(self) -> tuple[int | bytes, ...]:
        """The header as the array that is encoded."""
        return (
            self.height,
            self.time_ms,
            self.period,
            self.previous_hash,
            self.transaction_root,
            self.transaction_count,
            self.state_root,
            self.proposer,
            self.view,
            self.sequence,
        )

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode(self.fields())

    @property
    def hash(self) -> bytes:
        """The block hash: BLAKE2b-256 of a domain tag and the canonical bytes."""
        return digest(BLOCK_DOMAIN, self.encode())

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Read a header. Raises BlockError for anything that is not one."""
        return cls.from_value(_decode(data, WIRE_LIMITS))

    @classmethod
    def from_value(cls, value: Value) -> Header:
        """A header from its decoded array. Raises BlockError."""
        match value:
            case (
                int(height),
                int(time_ms),
                int(period),
                bytes(previous_hash),
                bytes(transaction_root),
                int(transaction_count),
                bytes(state_root),
                int(proposer),
                int(view),
                int(sequence),
            ):
                pass
            case _:
                raise BlockError("not a header: expected its ten fields")
        for number in (height, time_ms, period, transaction_count, proposer, view, sequence):
            if not 0 <= number < INTEGER_LIMIT:
                raise BlockError(f"header with the number {number}, outside of 0 to 2**63 - 1")
        for name, hashed in (
            ("previous", previous_hash),
            ("transactions", transaction_root),
            ("state", state_root),
        ):
            if len(hashed) != HASH_BYTES:
                raise BlockError(f"header whose {name} hash has {len(hashed)} bytes, not {HASH_BYTES}")
        if sequence != height:
            raise BlockError(f"header of height {height} with sequence number {sequence}: they are the same")
        return cls(
            height=height,
            time_ms=time_ms,
            period=period,
            previous_hash=previous_hash,
            transaction_root=transaction_root,
            transaction_count=transaction_count,
            state_root=state_root,
            proposer=proposer,
            view=view,
            sequence=sequence,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A header and its transactions, opaque bytes in execution order."""

    header: Header
    transactions: tuple[bytes, ...]

    @property
    def height(self) -> int:
        """Place in the chain."""
        return self.header.height

    @property
    def hash(self) -> bytes:
        """Hash of the header."""
        return self.header.hash

    def encode(self) -> bytes:
        """The canonical bytes, as a peer that catches up receives them."""
        return encode((self.header.fields(), self.transactions))

    @classmethod
    def decode(cls, data: bytes, limits: Limits = WIRE_LIMITS) -> Block:
        """Read a block. Raises BlockError; says nothing about hashes, which `matches` checks."""
        match _decode(data, limits):
            case (tuple(header_value), tuple(items)):
                pass
            case _:
                raise BlockError("not a block: expected [header, transactions]")
        transactions = tuple(item for item in items if isinstance(item, bytes))
        header = Header.from_value(header_value)
        if len(transactions) != len(items) or len(items) != header.transaction_count:
            raise BlockError(
                f"block with {len(transactions)} transactions, its header says {header.transaction_count}"
            )
        return cls(header=header, transactions=transactions)

    def matches(self, ids: Sequence[bytes]) -> bool:
        """Whether `ids`, the ids of the transactions, have the count and root that the header names."""
        return (
            len(ids) == len(self.transactions) == self.header.transaction_count
            and merkle_root(ids) == self.header.transaction_root
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The start of a chain: what all members were configured with, and the state that follows from it.

    `configuration` is any canonical description of the deployment (committee, participants, rules); its
    digest is the genesis header's previous hash, so two deployments never share a block.
    """

    chain_id: str
    configuration: bytes
    state_root: bytes
    time_ms: int = 0
    period: int = 0

    @property
    def header(self) -> Header:
        """The header of height 0. It has no certificate: everyone computes it."""
        content = encode((self.chain_id, self.configuration))
        return Header(
            height=0,
            time_ms=self.time_ms,
            period=self.period,
            previous_hash=digest(GENESIS_DOMAIN, content),
            transaction_root=EMPTY_ROOT,
            transaction_count=0,
            state_root=self.state_root,
            proposer=0,
            view=0,
            sequence=0,
        )


def next_header(
    parent: Header,
    *,
    ids: Sequence[bytes],
    time_ms: int,
    period: int,
    state_root: bytes,
    proposer: int,
    view: int,
) -> Header:
    """The header of the block that follows `parent` with the transactions `ids`.

    `time_ms` is the proposal's; a block is never older than its parent, so that a slow clock of the next
    primary delays time instead of stopping the chain. `period` and `state_root` are those after `parent`.
    """
    return Header(
        height=parent.height + 1,
        time_ms=max(parent.time_ms, time_ms),
        period=period,
        previous_hash=parent.hash,
        transaction_root=merkle_root(ids),
        transaction_count=len(ids),
        state_root=state_root,
        proposer=proposer,
        view=view,
        sequence=parent.height + 1,
    )


def _decode(data: bytes, limits: Limits) -> Value:
    try:
        return decode(data, limits)
    except CodecError as error:
        raise BlockError(f"not a block: {error}") from None
