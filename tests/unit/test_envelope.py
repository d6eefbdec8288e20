from __future__ import annotations

from dataclasses import replace

import nacl.bindings
import pytest

from mosquitto.codec import encode
from mosquitto.envelope import VERSION, Envelope, Kind, open_envelope, parse, sign, signed_bytes
from mosquitto.errors import CodecError, EnvelopeError
from mosquitto.keys import KeyPair, verify

KEY = KeyPair.derive(1, "alice")
OTHER = KeyPair.derive(1, "bob")


def test_an_envelope_opens_with_what_was_put_in() -> None:
    sent = sign(KEY, Kind.TRANSACTION, "chain", b"body")
    opened = open_envelope(sent.encode(), "chain")
    assert opened == sent
    assert (opened.signer, opened.body, opened.kind) == (KEY.public, b"body", Kind.TRANSACTION)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": Kind.CONSENSUS},
        {"signer": OTHER.public},
        {"body": b"other"},
        {"signature": bytes(64)},
        {"signature": sign(OTHER, Kind.TRANSACTION, "chain", b"body").signature},
    ],
)
def test_a_signature_holds_for_one_kind_signer_and_body_only(change: dict[str, object]) -> None:
    forged = replace(sign(KEY, Kind.TRANSACTION, "chain", b"body"), **change)
    with pytest.raises(EnvelopeError, match="signature"):
        open_envelope(forged.encode(), "chain")


def test_a_message_of_another_chain_is_refused_even_when_it_is_relabelled() -> None:
    sent = sign(KEY, Kind.TRANSACTION, "theirs", b"body")
    with pytest.raises(EnvelopeError, match="theirs"):
        open_envelope(sent.encode(), "ours")
    with pytest.raises(EnvelopeError, match="signature"):
        open_envelope(replace(sent, chain_id="ours").encode(), "ours")


def test_a_signature_over_the_bare_body_is_no_envelope_signature() -> None:
    bare = Envelope(
        kind=Kind.BLOCK, chain_id="chain", signer=KEY.public, body=b"body", signature=KEY.sign(b"body")
    )
    with pytest.raises(EnvelopeError):
        open_envelope(bare.encode(), "chain")


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (VERSION, 1, "chain", bytes(32), b"body"),
        (VERSION + 1, 1, "chain", bytes(32), b"body", bytes(64)),
        (VERSION, 99, "chain", bytes(32), b"body", bytes(64)),
        (VERSION, 1, b"chain", bytes(32), b"body", bytes(64)),
        (VERSION, 1, "chain", bytes(31), b"body", bytes(64)),
        (VERSION, 1, "chain", bytes(32), b"body", bytes(63)),
        (VERSION, 1, "chain", bytes(32), "body", bytes(64)),
        (VERSION, 1, "chain", bytes(32), b"body", bytes(64), 0),
    ],
)
def test_a_wrong_shape_is_refused_before_any_signature_is_checked(fields: tuple[int | bytes | str, ...]) -> None:
    with pytest.raises(EnvelopeError):
        parse(encode(fields))


def test_the_content_id_names_content_and_signer_but_not_the_signature() -> None:
    one = sign(KEY, Kind.TRANSACTION, "chain", b"body")
    assert one.content_id() == replace(one, signature=bytes(64)).content_id()
    ids = {
        sign(key, kind, chain, body).content_id()
        for key in (KEY, OTHER)
        for kind in (Kind.TRANSACTION, Kind.BLOCK)
        for chain in ("chain", "other")
        for body in (b"body", b"")
    }
    assert len(ids) == 16


def test_the_signature_is_the_standards_over_the_signed_bytes() -> None:
    sent = sign(KEY, Kind.PHASE, "chain", b"body")
    signed = signed_bytes(Kind.PHASE, "chain", KEY.public, b"body")
    assert nacl.bindings.crypto_sign_open(sent.signature + signed, KEY.public) == signed


def test_ed25519_agrees_with_the_standards_first_vectors() -> None:
    # RFC 8032, section 7.1, tests 1 and 2.
    key = KeyPair.from_seed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
    assert verify(key.public, b"", key.sign(b""))
    assert not verify(key.public, b"x", key.sign(b""))
    assert not verify(b"short", b"", key.sign(b""))


@pytest.mark.parametrize("small_order", [bytes(32), b"\x01" + bytes(31)])
def test_a_key_of_small_order_signs_nothing(small_order: bytes) -> None:
    # With such a "key", one signature could verify for every message.
    assert not verify(small_order, b"anything", b"\x01" + bytes(63))
    assert not verify(small_order, b"anything", bytes(64))


def test_a_message_above_the_size_limit_is_refused_unread() -> None:
    with pytest.raises(CodecError, match="bytes"):
        open_envelope(sign(KEY, Kind.BLOCK, "chain", bytes(1_000_000)).encode(), "chain")
