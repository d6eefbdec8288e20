from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mosquitto.codec import INTEGER_MAX, INTEGER_MIN, Limits, Value, decode, encode
from mosquitto.errors import CodecError

leaves = st.one_of(
    st.integers(INTEGER_MIN, INTEGER_MAX), st.binary(max_size=300), st.text(max_size=60), st.just("x" * 256)
)
values: st.SearchStrategy[Value] = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=20).map(tuple), max_leaves=30
)
DEEP = Limits(depth=64)


@given(values)
def test_what_is_encoded_comes_back(value: Value) -> None:
    assert decode(encode(value), DEEP) == value


@given(values, values)
def test_different_values_have_different_bytes(one: Value, other: Value) -> None:
    assert (encode(one) == encode(other)) == (one == other)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_a_value_in_its_one_spelling_or_a_codec_error(data: bytes) -> None:
    try:
        value = decode(data)
    except CodecError:
        return
    assert encode(value) == data


@given(values, st.data())
def test_a_cut_message_is_refused_at_every_byte(value: Value, data: st.DataObject) -> None:
    encoded = encode(value)
    end = data.draw(st.integers(0, len(encoded) - 1))
    try:
        decode(encoded[:end], DEEP)
    except CodecError:
        return
    raise AssertionError(f"{end} of {len(encoded)} bytes were taken for a whole message")


@given(values, st.data())
def test_a_mutated_message_is_another_value_in_its_one_spelling_or_refused(
    value: Value, data: st.DataObject
) -> None:
    encoded = bytearray(encode(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(encoded), DEEP)
    except CodecError:
        return
    assert encode(other) == bytes(encoded)
    assert other != value
