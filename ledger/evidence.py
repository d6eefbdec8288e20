"""Evidence: two messages with one signer that no correct replica signs both."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.certificates import TAG_CHECKPOINT, TAG_COMMIT
from ledger.committee import Committee
from ledger.core import decode_signed
from ledger.errors import DataError, MessageError
from ledger.messages import (
    TAG_PRE_PREPARE,
    TAG_PREPARE,
    Checkpoint,
    Commit,
    Message,
    Prepare,
    PrePrepare,
    decode_message,
)
from mosquitto.codec import STORE_LIMITS, decode
from mosquitto.errors import CodecError


def place_of(message: Message) -> tuple[int, int, int]:
    """(kind, view, sequence): where a correct replica says one thing only. Raises MessageError elsewhere."""
    match message:
        case PrePrepare():
            return TAG_PRE_PREPARE, message.view, message.sequence
        case Prepare():
            return TAG_PREPARE, message.view, message.sequence
        case Commit():
            return TAG_COMMIT, message.view, message.sequence
        case Checkpoint():
            return TAG_CHECKPOINT, 0, message.sequence
    raise MessageError(f"two different messages of type {type(message).__name__} prove nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guilt:
    """What evidence proves: member `member` (its index) said two things at (kind, view, sequence)."""

    member: int
    kind: int
    view: int
    sequence: int


def verify_evidence(data: bytes, committee: Committee) -> int:
    """The index of the member that the kept evidence convicts. Raises MessageError when it proves nothing."""
    return read_evidence(data, committee).member


def read_evidence(data: bytes, committee: Committee) -> Guilt:
    """What the kept evidence proves. Raises MessageError, and nothing else, when it proves nothing."""
    try:
        match decode(data, STORE_LIMITS):
            case (bytes(first_data), bytes(second_data)):
                first, second = decode_signed(first_data), decode_signed(second_data)
            case _:
                raise MessageError("evidence is two signed messages")
        messages = decode_message(first.body), decode_message(second.body)
    except (CodecError, ValueError, DataError) as error:
        raise MessageError(f"not evidence: {error}") from None
    if first.replica != second.replica or first.body == second.body:
        raise MessageError("not evidence: it takes two different messages of one replica")
    kind, view, sequence = place_of(messages[0])
    if (kind, view, sequence) != place_of(messages[1]):
        raise MessageError("not evidence: the messages are about different places")
    for item in (first, second):
        if not committee.check_vote(item.replica, item.body, item.signature):
            raise MessageError("not evidence: a signature does not hold")
    return Guilt(member=first.replica, kind=kind, view=view, sequence=sequence)
