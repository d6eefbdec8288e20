"""Proofs that a transaction is in the chain, verified offline with nothing but the committee's keys.

A proof is the transaction, its inclusion proof under the transaction root of its block's header, that
header and those that follow it up to one with a commit certificate (usually its own), and the certificate.
Every field in it is either hashed, signed or compared, so no field can be changed without being noticed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from ledger.blocks import Header
from ledger.certificates import CommitCertificate
from ledger.committee import Committee
from ledger.errors import DataError, ProofError
from ledger.merkle import inclusion_proof, verify_inclusion
from ledger.records import StoredBlock, StoredTransaction
from mosquitto.envelope import Kind, open_envelope
from mosquitto.errors import RemoteError

FORMAT: Final = "gridbazaar transaction proof 1"
HEADERS_MAX: Final = 100_000

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What a JSON file can hold."""

_FIELDS: Final = {
    "format",
    "chain_id",
    "transaction_id",
    "transaction",
    "index",
    "size",
    "inclusion",
    "headers",
    "certificate",
}
_NUMBERS: Final = ("height", "time_ms", "period", "transaction_count", "proposer", "view", "sequence")
_HASHES: Final = ("previous_hash", "transaction_root", "state_root")


class ChainSource(Protocol):
    """What a proof is made from: any `records.Store`, or a `reader.LedgerReader`."""

    def block(self, height: int) -> StoredBlock | None:
        """The block of this height."""
        ...

    def find_transaction(self, transaction_id: bytes) -> StoredTransaction | None:
        """Where a transaction stands in the chain."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofVerdict:
    """Whether a proof holds. If so: which transaction is at which place; if not: `reason` says why not."""

    valid: bool
    reason: str
    transaction_id: bytes = b""
    height: int = 0
    position: int = 0
    time_ms: int = 0
    block_hash: bytes = b""
    signers: tuple[str, ...] = ()


def prove_transaction(
    source: ChainSource, chain_id: str, transaction_id: bytes, *, until_height: int | None = None
) -> dict[str, Json]:
    """The proof of a transaction, ready for `json.dumps`.

    With `until_height` it runs through the headers up to that block and shows that block's certificate: one
    certificate then serves many proofs, and the next header proves the state root after the transaction's
    block. Raises ProofError when the transaction or a block is not in this ledger.
    """
    found = source.find_transaction(transaction_id)
    if found is None:
        raise ProofError(f"transaction {transaction_id.hex()} is not in this ledger")
    last = found.height if until_height is None else until_height
    if not found.height <= last < found.height + HEADERS_MAX:
        raise ProofError(f"the transaction is in block {found.height}, a proof cannot end at block {last}")
    blocks = []
    for height in range(found.height, last + 1):
        block = source.block(height)
        if block is None:
            raise ProofError(f"block {height} is not in this ledger")
        blocks.append(block)
    path = inclusion_proof(blocks[0].ids, found.position)
    return {
        "format": FORMAT,
        "chain_id": chain_id,
        "transaction_id": transaction_id.hex(),
        "transaction": found.transaction.hex(),
        "index": found.position,
        "size": len(blocks[0].ids),
        "inclusion": [node.hex() for node in path],
        "headers": [header_to_json(block.block.header) for block in blocks],
        "certificate": certificate_to_json(blocks[-1].certificate),
    }


def verify_proof(proof: Json, committee: Committee) -> ProofVerdict:
    """Whether a proof, as read from JSON, holds for this committee's chain. Never raises."""
    try:
        return _verify(proof, committee)
    except DataError as error:
        return ProofVerdict(valid=False, reason=str(error))


def _verify(proof: Json, committee: Committee) -> ProofVerdict:
    fields = _object(proof, "the proof", _FIELDS)
    if fields["format"] != FORMAT:
        raise ProofError(f"format {fields['format']!r}, this program reads {FORMAT!r}")
    if fields["chain_id"] != committee.chain_id:
        raise ProofError(f"a proof of chain {fields['chain_id']!r}, the committee's is {committee.chain_id!r}")
    transaction_id = _bytes(fields["transaction_id"], "transaction_id")
    _check_transaction(_bytes(fields["transaction"], "transaction"), transaction_id, committee.chain_id)
    headers = [header_from_json(item) for item in _list(fields["headers"], "headers")]
    certificate = certificate_from_json(fields["certificate"])
    _check_chain(headers, certificate, committee)
    header = headers[0]
    index, size = _number(fields["index"], "index"), _number(fields["size"], "size")
    if size != header.transaction_count:
        raise ProofError(f"size {size}, the block has {header.transaction_count} transactions")
    path = [_bytes(node, "inclusion") for node in _list(fields["inclusion"], "inclusion")]
    if not verify_inclusion(transaction_id, index, size, path, header.transaction_root):
        raise ProofError(
            f"the transaction is not number {index} under the transaction root of block {header.height}"
        )
    return ProofVerdict(
        valid=True,
        reason=f"transaction {index} of block {header.height}, certified by {len(certificate.votes)} members",
        transaction_id=transaction_id,
        height=header.height,
        position=index,
        time_ms=header.time_ms,
        block_hash=header.hash,
        signers=tuple(committee.members[member].name for member, _ in certificate.votes),
    )


def _check_transaction(transaction: bytes, transaction_id: bytes, chain_id: str) -> None:
    try:
        envelope = open_envelope(transaction, chain_id)
    except RemoteError as error:
        raise ProofError(f"the transaction does not hold: {error}") from None
    if envelope.kind is not Kind.TRANSACTION or envelope.content_id() != transaction_id:
        raise ProofError("the transaction has another id than the proof says")


def _check_chain(headers: list[Header], certificate: CommitCertificate, committee: Committee) -> None:
    if not 1 <= len(headers) <= HEADERS_MAX:
        raise ProofError(f"a proof has 1 to {HEADERS_MAX} headers, was {len(headers)}")
    for parent, header in itertools.pairwise(headers):
        if header.height != parent.height + 1 or header.previous_hash != parent.hash:
            raise ProofError(f"header {header.height} does not follow header {parent.height}")
    last = headers[-1]
    if certificate.sequence != last.sequence or certificate.block_hash != last.hash:
        raise ProofError(f"the certificate is not about block {last.height} as its header has it")
    certificate.verify(committee.quorums, committee.check_vote)


def header_to_json(header: Header) -> dict[str, Json]:
    """A header with its fields by name, hashes as lower-case hexadecimal."""
    numbers: dict[str, Json] = {name: getattr(header, name) for name in _NUMBERS}
    return numbers | {name: getattr(header, name).hex() for name in _HASHES}


def header_from_json(value: Json) -> Header:
    """Read it back. Raises ProofError or BlockError."""
    fields = _object(value, "a header", {*_NUMBERS, *_HASHES})
    numbers = {name: _number(fields[name], name) for name in _NUMBERS}
    hashes = {name: _bytes(fields[name], name) for name in _HASHES}
    header = Header(**numbers, **hashes)  # type: ignore[arg-type]
    with _representable():
        return Header.decode(header.encode())  # For its checks of ranges and lengths.


def certificate_to_json(certificate: CommitCertificate) -> dict[str, Json]:
    """A commit certificate with its fields by name."""
    votes: list[Json] = [{"member": index, "signature": signature.hex()} for index, signature in certificate.votes]
    return {
        "view": certificate.view,
        "sequence": certificate.sequence,
        "block_hash": certificate.block_hash.hex(),
        "votes": votes,
    }


def certificate_from_json(value: Json) -> CommitCertificate:
    """Read it back. Raises ProofError or CertificateError."""
    fields = _object(value, "the certificate", {"view", "sequence", "block_hash", "votes"})
    votes = []
    for item in _list(fields["votes"], "votes"):
        vote = _object(item, "a vote", {"member", "signature"})
        votes.append((_number(vote["member"], "member"), _bytes(vote["signature"], "signature")))
    certificate = CommitCertificate(
        view=_number(fields["view"], "view"),
        sequence=_number(fields["sequence"], "sequence"),
        block_hash=_bytes(fields["block_hash"], "block_hash"),
        votes=tuple(votes),
    )
    with _representable():
        return CommitCertificate.decode(certificate.encode())


@contextmanager
def _representable() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ProofError(str(error)) from None


def _object(value: Json, what: str, keys: set[str]) -> dict[str, Json]:
    # No more keys than are checked: an extra one would be a claim that nothing backs.
    if not isinstance(value, dict) or value.keys() != keys:
        raise ProofError(f"{what} must be an object with the keys {', '.join(sorted(keys))}")
    return value


def _list(value: Json, what: str) -> list[Json]:
    if not isinstance(value, list):
        raise ProofError(f"{what} must be a list")
    return value


def _number(value: Json, what: str) -> int:
    if type(value) is not int:
        raise ProofError(f"{what} must be an integer, was {value!r}")
    return value


def _bytes(value: Json, what: str) -> bytes:
    if isinstance(value, str):
        try:
            data = bytes.fromhex(value)
        except ValueError:
            data = b""
        if data.hex() == value:  # One spelling only: no capitals, no blanks.
            return data
    raise ProofError(f"{what} must be lower-case hexadecimal text")
