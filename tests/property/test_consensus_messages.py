"""Consensus messages: one spelling each, and rubbish is refused with one error."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.blocks import Block, Header
from ledger.certificates import CheckpointCertificate, CommitCertificate
from ledger.errors import MessageError
from ledger.messages import (
    Blocks,
    Bodies,
    Checkpoint,
    CheckpointProof,
    Commit,
    FetchBlocks,
    FetchBodies,
    FetchProposal,
    FetchSnapshot,
    Message,
    NewView,
    OfferProposal,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedBody,
    SnapshotPart,
    Status,
    ViewChange,
    decode_message,
    encode_message,
)
from ledger.wire import EVERYONE, Packet, decode_packet, encode_packets
from mosquitto.codec import encode
from mosquitto.errors import CodecError

numbers = st.integers(0, 2**63 - 1)
hashes = st.binary(min_size=32, max_size=32)
votes = st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=64)), max_size=4).map(tuple)
ids = st.lists(hashes, max_size=5, unique=True).map(tuple)
proposals = st.builds(
    Proposal, sequence=numbers, view=numbers, proposer=numbers, time_ms=numbers, transaction_ids=ids
)
commits = st.builds(CommitCertificate, view=numbers, sequence=numbers, block_hash=hashes, votes=votes)
checkpoints = st.builds(CheckpointCertificate, sequence=numbers, block_hash=hashes, state_root=hashes, votes=votes)
prepared = st.builds(PreparedCertificate, view=numbers, sequence=numbers, digest=hashes, votes=votes)


@st.composite
def headers(draw: st.DrawFn, count: int = 0) -> Header:
    height = draw(numbers)
    return Header(
        height=height,
        time_ms=draw(numbers),
        period=draw(numbers),
        previous_hash=draw(hashes),
        transaction_root=draw(hashes),
        transaction_count=count,
        state_root=draw(hashes),
        proposer=draw(numbers),
        view=draw(numbers),
        sequence=height,
    )


@st.composite
def certified(draw: st.DrawFn) -> tuple[Block, CommitCertificate]:
    transactions = draw(st.lists(st.binary(max_size=20), max_size=3).map(tuple))
    header = draw(headers(count=len(transactions)))
    return Block(header=header, transactions=transactions), draw(commits)


messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(PrePrepare, view=numbers, proposal=proposals),
    st.builds(Prepare, view=numbers, sequence=numbers, digest=hashes),
    st.builds(Commit, view=numbers, sequence=numbers, block_hash=hashes),
    st.builds(Checkpoint, sequence=numbers, block_hash=hashes, state_root=hashes),
    st.builds(
        ViewChange,
        view=numbers,
        height=numbers,
        proof=st.one_of(st.none(), commits, checkpoints),
        prepared=st.lists(prepared, max_size=2).map(tuple),
    ),
    st.builds(
        NewView,
        view=numbers,
        view_changes=st.lists(
            st.builds(
                SignedBody, replica=st.integers(0, 9), body=st.binary(max_size=9), signature=st.binary(max_size=9)
            ),
            max_size=3,
        ).map(tuple),
        proposals=st.lists(st.tuples(numbers, hashes), max_size=3).map(tuple),
    ),
    st.builds(Status, view=numbers, active=st.booleans(), height=numbers, stable_height=numbers),
    st.builds(FetchProposal, sequence=numbers, digest=hashes),
    st.builds(OfferProposal, proposal=proposals),
    st.builds(FetchBodies, sequence=numbers, transaction_ids=ids),
    st.builds(Bodies, transactions=st.lists(st.binary(max_size=30), max_size=4).map(tuple)),
    st.builds(FetchBlocks, start=numbers),
    st.builds(Blocks, first_height=numbers, blocks=st.lists(certified(), max_size=2).map(tuple)),
    st.builds(FetchSnapshot, height=numbers, index=numbers),
    st.builds(
        SnapshotPart,
        header=headers(),
        certificate=checkpoints,
        index=numbers,
        count=numbers,
        part=st.binary(max_size=50),
    ),
    st.builds(CheckpointProof, certificate=checkpoints),
)


@given(messages)
def test_what_is_encoded_comes_back(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(messages, messages)
def test_different_messages_have_different_bodies(first: Message, second: Message) -> None:
    assert (encode_message(first) == encode_message(second)) == (first == second)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_with_one_error(data: bytes) -> None:
    try:
        message = decode_message(data)
    except MessageError:
        return
    assert encode_message(message) == data


values = st.recursive(
    st.one_of(st.integers(-(2**63), 2**64 - 1), st.binary(max_size=40), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=6).map(tuple),
    max_leaves=12,
)


@given(st.integers(-2, 40), st.lists(values, max_size=7))
@settings(max_examples=300)
def test_well_formed_arrays_of_a_wrong_shape_are_refused(tag: int, fields: list[object]) -> None:
    data = encode((tag, *fields))  # type: ignore[arg-type]
    try:
        message = decode_message(data)
    except MessageError:
        return
    assert encode_message(message) == data


@given(messages, st.data())
def test_a_flipped_bit_never_gives_the_same_message(message: Message, data: st.DataObject) -> None:
    body = bytearray(encode_message(message))
    position = data.draw(st.integers(0, 8 * len(body) - 1))
    body[position // 8] ^= 1 << position % 8
    try:
        other = decode_message(bytes(body))
    except MessageError:
        return
    assert other != message


@given(st.lists(st.tuples(st.sampled_from([EVERYONE, 0, 1, 2, 3]), st.binary(max_size=100)), max_size=10))
def test_packets_carry_every_envelope_in_order_for_each_recipient(outgoing: list[tuple[int, bytes]]) -> None:
    packets = [decode_packet(payload) for payload in encode_packets(outgoing)]
    for recipient in (EVERYONE, 0, 1, 2, 3):
        carried = [item for packet in packets if packet.recipient == recipient for item in packet.envelopes]
        assert carried == [item for wanted, item in outgoing if wanted == recipient]


@given(st.binary(max_size=100))
def test_a_packet_of_rubbish_is_refused_with_one_error(payload: bytes) -> None:
    try:
        packet = decode_packet(payload)
    except CodecError:
        return
    assert isinstance(packet, Packet)
