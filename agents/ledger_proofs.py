"""Proofs as files: made from a run's ledger, verified by whoever has `committee.json` and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from agents.errors import ConfigurationError
from agents.ledger_views import NodeLedger
from ledger.committee import Committee
from ledger.errors import CommitteeError, ProofError
from ledger.proofs import Json, ProofVerdict, prove_transaction, verify_proof


def make_proof(ledger: NodeLedger, transaction_id: str, until_height: int | None = None) -> dict[str, Json]:
    """The proof that a transaction is in the chain, by its id in hexadecimal.

    With `until_height` it runs through the headers up to that block. Raises ConfigurationError when the
    transaction is not in this ledger or the blocks are not.
    """
    try:
        wanted = bytes.fromhex(transaction_id)
    except ValueError:
        raise ConfigurationError(f"transaction {transaction_id!r}: expected 64 hexadecimal digits") from None
    try:
        return prove_transaction(ledger.reader, ledger.deployment.chain_id, wanted, until_height=until_height)
    except ProofError as error:
        raise ConfigurationError(f"{ledger.node}: {error}") from None


def check_proof(proof: Path, committee: Path) -> ProofVerdict:
    """Whether the proof in a file holds for the committee in another.

    A proof that is no JSON does not hold. Raises ConfigurationError when a file cannot be read, or the
    committee's is not one: without it nothing can be said.
    """
    try:
        trusted = Committee.from_json(_read(committee))
    except CommitteeError as error:
        raise ConfigurationError(f"{committee}: {error}") from None
    try:
        value = parse_proof(_read(proof))
    except ProofError as error:
        return ProofVerdict(valid=False, reason=str(error))
    return verify_proof(value, trusted)


def parse_proof(text: str) -> Json:
    """JSON in which no object names a key twice: another reader might believe the other value.

    Raises ProofError.
    """
    try:
        value: Json = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ProofError(f"not JSON: {error}") from None
    return value


def verdict_json(verdict: ProofVerdict) -> dict[str, Json]:
    """The object that `gridbazaar ledger verify --json` prints."""
    if not verdict.valid:
        return {"valid": False, "reason": verdict.reason}
    return {
        "valid": True,
        "reason": verdict.reason,
        "transaction_id": verdict.transaction_id.hex(),
        "height": verdict.height,
        "position": verdict.position,
        "time_ms": verdict.time_ms,
        "block_hash": verdict.block_hash.hex(),
        "certified_by": list(verdict.signers),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        return ""  # Not text, so not JSON: refused as such.


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a key twice")
    return value
