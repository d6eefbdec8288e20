from __future__ import annotations

import pytest

from mosquitto.batch import BATCH_BYTES, ENVELOPES_MAX, decode_batch, encode_batch, encode_batches
from mosquitto.codec import encode
from mosquitto.envelope import Kind, sign
from mosquitto.errors import CodecError, EnvelopeError
from mosquitto.keys import KeyPair
from mosquitto.status import ComponentStatus, open_status

KEY = KeyPair.derive(5, "component")


def test_a_batch_keeps_its_envelopes_in_order() -> None:
    envelopes = (b"one", b"", b"three")
    assert decode_batch(encode_batch(envelopes)) == envelopes


@pytest.mark.parametrize(
    "payload",
    [
        encode(1),
        encode("x"),
        encode((b"x", 1)),
        encode(((b"x",),)),
        encode((b"",) * (ENVELOPES_MAX + 1)),
        b"\xff",
        b"",
    ],
)
def test_what_is_no_array_of_byte_strings_is_no_batch(payload: bytes) -> None:
    with pytest.raises(CodecError):
        decode_batch(payload)


def test_batches_are_cut_below_the_packet_limit_and_lose_nothing() -> None:
    envelopes = [bytes([number % 256]) * 1000 for number in range(1000)]
    batches = list(encode_batches(envelopes))
    assert len(batches) == 4
    assert all(len(batch) < BATCH_BYTES * 1.02 for batch in batches)
    assert [envelope for batch in batches for envelope in decode_batch(batch)] == envelopes
    assert list(encode_batches([])) == []
    assert [len(decode_batch(batch)) for batch in encode_batches([b"x"] * (ENVELOPES_MAX + 3))] == [
        ENVELOPES_MAX,
        3,
    ]


def test_a_status_opens_with_its_signer() -> None:
    status = ComponentStatus(component="node-1", state="online", ready_period=3, ready_phase="open", time_ms=5)
    envelope, opened = open_status(status.seal(KEY, "chain"), "chain")
    assert opened == status
    assert envelope.signer == KEY.public


@pytest.mark.parametrize(
    "payload",
    [
        b"online",
        sign(KEY, Kind.BLOCK, "chain", encode(("node-1", "online", 0, "", 0))).encode(),
        sign(KEY, Kind.STATUS, "other", encode(("node-1", "online", 0, "", 0))).encode(),
        sign(KEY, Kind.STATUS, "chain", encode(("node-1", "online", 0, ""))).encode(),
        sign(KEY, Kind.STATUS, "chain", encode(("node-1", "online", "0", "", 0))).encode(),
    ],
)
def test_what_is_no_status_of_this_chain_is_refused(payload: bytes) -> None:
    with pytest.raises((CodecError, EnvelopeError)):
        open_status(payload, "chain")
