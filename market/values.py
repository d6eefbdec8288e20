"""Reading plain values: the arrays of int, bytes and str that transactions, events and snapshots travel as."""

from __future__ import annotations

import re
from typing import Final

from market.errors import FormError

Value = int | bytes | str | tuple["Value", ...]
"""What a message is made of, as the wire codec delivers it."""

KEY_BYTES: Final = 32
ID_BYTES: Final = 32
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""A meter id or a region: it must be usable as one topic level."""


class FieldReader:
    """Takes the fields of an array one after the other. Every method raises FormError for a wrong one."""

    __slots__ = ("_fields", "_index", "_what")

    def __init__(self, fields: Value, what: str) -> None:
        if type(fields) is not tuple:
            raise FormError(f"{what}: expected an array, was {type(fields).__name__}")
        self._fields = fields
        self._index = 0
        self._what = what

    def _next(self, name: str) -> Value:
        if self._index >= len(self._fields):
            raise FormError(f"{self._what}: {name} is missing, there are {len(self._fields)} fields")
        value = self._fields[self._index]
        self._index += 1
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        value = self._next(name)
        # `type(...) is` on purpose: True is an int to isinstance, and has no place on the wire.
        if type(value) is not int:
            raise FormError(f"{self._what}: {name} must be an integer, was {type(value).__name__}")
        if not low <= value <= high:
            raise FormError(f"{self._what}: {name} must be {low} to {high}, was {value}")
        return value

    def flag(self, name: str) -> bool:
        """0 or 1."""
        return self.integer(name, 0, 1) == 1

    def data(self, name: str, length: int) -> bytes:
        """Exactly `length` bytes."""
        value = self._next(name)
        if type(value) is not bytes or len(value) != length:
            raise FormError(f"{self._what}: {name} must be {length} bytes")
        return value

    def blob(self, name: str, length_max: int) -> bytes:
        """At most `length_max` bytes."""
        value = self._next(name)
        if type(value) is not bytes or len(value) > length_max:
            raise FormError(f"{self._what}: {name} must be at most {length_max} bytes")
        return value

    def text(self, name: str, length_max: int) -> str:
        """A printable string of at most `length_max` characters."""
        value = self._next(name)
        if type(value) is not str or len(value) > length_max or (value and not value.isprintable()):
            raise FormError(f"{self._what}: {name} must be printable text of at most {length_max} characters")
        return value

    def name(self, name: str) -> str:
        """A name that can stand as one topic level."""
        value = self._next(name)
        if type(value) is not str or not NAME.fullmatch(value):
            raise FormError(f"{self._what}: {name} must be 1 to 64 of A-Z a-z 0-9 _ -")
        return value

    def array(self, name: str, length_max: int) -> tuple[Value, ...]:
        """An array of at most `length_max` values."""
        value = self._next(name)
        if type(value) is not tuple or len(value) > length_max:
            raise FormError(f"{self._what}: {name} must be an array of at most {length_max} values")
        return value

    def end(self) -> None:
        """Nothing may be left over."""
        left = len(self._fields) - self._index
        if left:
            raise FormError(f"{self._what}: {left} fields too many")
