from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.errors import CodecError, EnvelopeError
from mosquitto.keys import KeyPair

KEY = KeyPair.derive(3, "property")
bodies = st.binary(max_size=200)
chains = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)


@given(st.sampled_from(Kind), chains, bodies)
def test_every_signed_message_opens_and_keeps_its_bytes(kind: Kind, chain: str, body: bytes) -> None:
    data = sign(KEY, kind, chain, body).encode()
    opened = open_envelope(data, chain)
    assert (opened.kind, opened.chain_id, opened.body, opened.encode()) == (kind, chain, body, data)


@given(bodies, st.data())
def test_any_mutation_of_any_byte_is_refused(body: bytes, data: st.DataObject) -> None:
    encoded = bytearray(sign(KEY, Kind.TRANSACTION, "chain", body).encode())
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        open_envelope(bytes(encoded), "chain")
    except (CodecError, EnvelopeError):
        return
    raise AssertionError(f"byte {place} was changed and nobody noticed")


@given(st.binary(max_size=400))
def test_arbitrary_bytes_never_raise_anything_else(data: bytes) -> None:
    try:
        open_envelope(data, "chain")
    except (CodecError, EnvelopeError):
        return
    raise AssertionError("random bytes carried a valid signature")
