"""Evidence convicts a replica that said two things, and nobody else."""

from __future__ import annotations

import pytest

from ledger.committee import Committee, Member
from ledger.core import encode_signed
from ledger.crypto import CommitteeCrypto
from ledger.errors import MessageError
from ledger.evidence import verify_evidence
from ledger.messages import Commit, Message, Prepare, PrePrepare, Proposal, Signed, Status, encode_message
from mosquitto.codec import encode
from mosquitto.keys import KeyPair

KEYS = [KeyPair.derive(3, f"member-{index}") for index in range(4)]
COMMITTEE = Committee(
    chain_id="evidence",
    members=tuple(Member(name=f"member-{index}", public_key=key.public) for index, key in enumerate(KEYS)),
)


def say(replica: int, message: Message) -> Signed:
    body = encode_message(message)
    signature = CommitteeCrypto(COMMITTEE, KEYS[replica]).sign(body)
    return Signed(message=message, replica=replica, body=body, signature=signature)


def both(first: Signed, second: Signed) -> bytes:
    return encode((encode_signed(first), encode_signed(second)))


def prepare(view: int, sequence: int, fill: int) -> Prepare:
    return Prepare(view=view, sequence=sequence, digest=bytes([fill]) * 32)


def test_two_prepares_for_one_number_and_view_convict_their_signer() -> None:
    assert verify_evidence(both(say(2, prepare(1, 5, 1)), say(2, prepare(1, 5, 2))), COMMITTEE) == 2


def test_two_proposals_for_one_number_and_view_convict_the_primary() -> None:
    first, second = (
        PrePrepare(view=0, proposal=Proposal(sequence=1, view=0, proposer=0, time_ms=time_ms, transaction_ids=()))
        for time_ms in (1, 2)
    )
    assert verify_evidence(both(say(0, first), say(0, second)), COMMITTEE) == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (say(2, prepare(1, 5, 1)), say(2, prepare(1, 5, 1))),
        (say(2, prepare(1, 5, 1)), say(3, prepare(1, 5, 2))),
        (say(2, prepare(1, 5, 1)), say(2, prepare(2, 5, 2))),
        (say(2, prepare(1, 5, 1)), say(2, prepare(1, 6, 2))),
        (say(2, prepare(1, 5, 1)), say(2, Commit(view=1, sequence=5, block_hash=bytes(32)))),
        (
            say(2, Status(view=0, active=True, height=1, stable_height=0)),
            say(2, Status(view=0, active=True, height=2, stable_height=0)),
        ),
    ],
    ids=["the same", "two replicas", "two views", "two numbers", "two kinds", "no votes"],
)
def test_what_an_honest_replica_says_is_no_evidence(first: Signed, second: Signed) -> None:
    with pytest.raises(MessageError):
        verify_evidence(both(first, second), COMMITTEE)


def test_a_forged_message_is_no_evidence() -> None:
    genuine, message = say(2, prepare(1, 5, 1)), prepare(1, 5, 2)
    forged = Signed(message=message, replica=2, body=encode_message(message), signature=genuine.signature)
    with pytest.raises(MessageError):
        verify_evidence(both(genuine, forged), COMMITTEE)


@pytest.mark.parametrize("data", [b"", b"\x90", encode((b"x", b"y")), encode((b"x",))])
def test_rubbish_is_no_evidence(data: bytes) -> None:
    with pytest.raises(MessageError):
        verify_evidence(data, COMMITTEE)
