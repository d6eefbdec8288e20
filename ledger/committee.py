"""The committee: who may vote on a chain, in which order, with which keys."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ledger.errors import CommitteeError
from ledger.quorums import Quorums
from mosquitto.envelope import Kind, signed_bytes
from mosquitto.keys import PUBLIC_KEY_BYTES, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One replica: its name (a topic level) and Ed25519 public key."""

    name: str
    public_key: bytes


@dataclass(frozen=True, kw_only=True)
class Committee:
    """The 3f + 1 members of one chain. A member's index is its place here; the primary of view v is v mod n.

    Raises CommitteeError for another number of members, repeated names or keys, or keys of a wrong length.
    """

    chain_id: str
    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        try:
            Quorums(len(self.members))
        except ValueError as error:
            raise CommitteeError(str(error)) from None
        if len({member.name for member in self.members}) != len(self.members):
            raise CommitteeError("two members of the committee have one name")
        if len({member.public_key for member in self.members}) != len(self.members):
            raise CommitteeError("two members of the committee have one key: a quorum would count it twice")
        for member in self.members:
            if len(member.public_key) != PUBLIC_KEY_BYTES:
                raise CommitteeError(f"the key of {member.name} has {len(member.public_key)} bytes, not 32")

    @cached_property
    def quorums(self) -> Quorums:
        """Quorum sizes of this committee."""
        return Quorums(len(self.members))

    @cached_property
    def _indexes(self) -> dict[bytes, int]:
        return {member.public_key: index for index, member in enumerate(self.members)}

    def index_of(self, public_key: bytes) -> int | None:
        """The index of the member with this key, or None for a stranger."""
        return self._indexes.get(public_key)

    def check_vote(self, index: int, body: bytes, signature: bytes) -> bool:
        """Whether member `index` signed the consensus message `body` on this chain.

        The signature is the one of the envelope in which the vote travelled, so a certificate is made of
        votes as they were sent. Never raises.
        """
        if not 0 <= index < len(self.members):
            return False
        key = self.members[index].public_key
        return verify(key, signed_bytes(Kind.CONSENSUS, self.chain_id, key, body), signature)

    def to_json(self) -> str:
        """The text of `committee.json`, all that someone needs to verify certificates and proofs."""
        members = [{"name": member.name, "public_key": member.public_key.hex()} for member in self.members]
        return json.dumps({"chain_id": self.chain_id, "members": members}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Committee:
        """Read `committee.json`. Raises CommitteeError that says what is wrong."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CommitteeError(f"not JSON: {error}") from None
        match value:
            case {"chain_id": str(chain_id), "members": list(members)}:
                return cls(chain_id=chain_id, members=tuple(_members(members)))
        raise CommitteeError('expected {"chain_id": "...", "members": [{"name": "...", "public_key": "..."}]}')


def _members(items: Iterable[object]) -> Iterable[Member]:
    for item in items:
        match item:
            case {"name": str(name), "public_key": str(key)}:
                try:
                    yield Member(name=name, public_key=bytes.fromhex(key))
                except ValueError:
                    raise CommitteeError(f"the key of {name} is not hexadecimal: {key!r}") from None
            case _:
                raise CommitteeError(f'a member is {{"name": "...", "public_key": "..."}}, was {item!r}')
