from __future__ import annotations

import msgpack
import pytest

from mosquitto.codec import INTEGER_MAX, INTEGER_MIN, Encodable, Limits, decode, encode
from mosquitto.errors import CodecError


@pytest.mark.parametrize(
    ("spelling", "why"),
    [
        ("cd0001", "the integer 1 in three bytes"),
        ("d0ff", "the integer -1 in two bytes"),
        ("dc000101", "an array of one with a long header"),
        ("c500026162", "two bytes with a long header"),
        ("d9026162", "a short string with a long header"),
    ],
)
def test_a_second_spelling_of_a_value_is_refused(spelling: str, why: str) -> None:
    msgpack.unpackb(bytes.fromhex(spelling), use_list=False)  # MessagePack itself would take it.
    with pytest.raises(CodecError, match="canonical"):
        decode(bytes.fromhex(spelling))


@pytest.mark.parametrize("foreign", [None, True, 1.5, {"a": 1}, msgpack.ExtType(1, b"x"), [[1.5]]])
def test_types_outside_the_wires_are_refused(foreign: object) -> None:
    with pytest.raises(CodecError):
        decode(msgpack.packb(foreign))


@pytest.mark.parametrize("foreign", [None, True, 1.5, {"a": 1}, (1, (False,)), 2**64, -(2**63) - 1])
def test_what_cannot_travel_is_not_encoded(foreign: Encodable) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(foreign)


@pytest.mark.parametrize(
    "data", [b"", b"\x01\x01", b"\x91", b"\xa1", b"\xc1", b"\xa1\xff", b"\xdd\xff\xff\xff\xff"]
)
def test_truncated_trailing_and_broken_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode(data)


def test_limits_hold_exactly() -> None:
    limits = Limits(size_bytes=10, depth=2, string_bytes=3)
    assert decode(encode(((1,),)), limits) == ((1,),)
    with pytest.raises(CodecError, match="deep"):
        decode(encode((((1,),),)), limits)
    assert decode(encode("abc"), limits) == "abc"
    with pytest.raises(CodecError):
        decode(encode("abcd"), limits)
    assert decode(encode(bytes(8)), limits) == bytes(8)
    with pytest.raises(CodecError, match="11 bytes"):
        decode(encode(bytes(9)), limits)


def test_very_deep_nesting_is_refused_and_does_not_end_the_process() -> None:
    with pytest.raises(CodecError):
        decode(b"\x91" * 900_000)


def test_integers_reach_from_the_smallest_signed_to_the_largest_unsigned() -> None:
    for value in (INTEGER_MIN, INTEGER_MAX):
        assert decode(encode(value)) == value
