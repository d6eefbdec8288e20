"""The one wire encoding: MessagePack arrays of integers, bytes and short strings, in canonical form.

PBFT counts votes by digest, so every value must have exactly one spelling. Decoding encodes again and
refuses bytes that differ (an integer in nine bytes instead of one, a non-minimal array header). Floats,
maps, booleans, nil and extension types have no place on this wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgpack

from mosquitto.errors import CodecError

Value = int | bytes | str | tuple["Value", ...]
"""What a decoded message is made of. Arrays come back as tuples."""

Encodable = int | bytes | str | Sequence["Encodable"]
"""What can be encoded. Lists and tuples alike become arrays."""

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what a peer may make us decode.

    `size_bytes`: the whole message. `depth`: nested arrays, the outermost counts 1. `string_bytes`: one
    text string; `bytes` values are bounded by the message alone.
    """

    size_bytes: int = 1_000_000
    depth: int = 8
    string_bytes: int = 256


WIRE_LIMITS: Final = Limits()
"""For anything that came from the bus."""

STORE_LIMITS: Final = Limits(size_bytes=256_000_000, depth=16, string_bytes=65_536)
"""For what this node wrote itself, and for snapshots whose digest a quorum has signed."""


def encode(value: Encodable) -> bytes:
    """Encode `value` canonically. Raises TypeError or ValueError for what the wire does not carry."""
    _check_encodable(value)
    packed = msgpack.packb(value, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def decode(data: bytes, limits: Limits = WIRE_LIMITS) -> Value:
    """Decode exactly one canonical value.

    Raises CodecError, and nothing else, for every other input: too long, too deep, truncated, trailing
    bytes, a type outside the wire's, or a spelling that is not the canonical one.
    """
    if len(data) > limits.size_bytes:
        raise CodecError(f"message of {len(data)} bytes, at most {limits.size_bytes} are read")
    try:
        value = msgpack.unpackb(
            data,
            use_list=False,
            raw=False,
            strict_map_key=True,
            max_str_len=limits.string_bytes,
            max_bin_len=limits.size_bytes,
            max_array_len=limits.size_bytes,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise CodecError(f"not one MessagePack value: {error or type(error).__name__}") from None
    checked = _check_decoded(value, limits.depth)
    if msgpack.packb(checked, use_bin_type=True) != data:
        raise CodecError("not in canonical form: encoding it again gives other bytes")
    return checked


def _check_encodable(value: Encodable) -> None:
    kind = type(value)
    if kind is int:
        assert isinstance(value, int)
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise ValueError(f"integer {value} does not fit into 64 bits")
    elif kind is tuple or kind is list:
        assert isinstance(value, (tuple, list))
        for item in value:
            _check_encodable(item)
    elif kind is not bytes and kind is not str and not isinstance(value, (int, str, bytes)):
        raise TypeError(f"{kind.__name__} cannot travel: use int, bytes, str or a sequence of them")
    elif kind is bool:
        raise TypeError("bool cannot travel: use 0 or 1")


def _check_decoded(value: object, depth: int) -> Value:
    # `type(...) is` on purpose: bool is an int to isinstance, and has another spelling on the wire.
    kind = type(value)
    if kind is int or kind is bytes or kind is str:
        return value  # type: ignore[return-value]
    if kind is tuple:
        assert isinstance(value, tuple)
        if depth == 0:
            raise CodecError("arrays are nested too deeply")
        for item in value:
            _check_decoded(item, depth - 1)
        return value
    raise CodecError(f"{kind.__name__} has no place on the wire: only int, bytes, str and arrays")
