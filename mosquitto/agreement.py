"""Believing a committee: what f + 1 of its members say in the same words, at least one honest member says.

The client rule of PBFT (Castro & Liskov 1999, section 4.1), for anything that replicas publish. It counts
equal bytes by distinct members, never messages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable
from typing import Final

_SUBJECTS_KEPT: Final = 4096


class Agreement:
    """Collects what members say about subjects, until `threshold` of them have said the same.

    A member's first word on a subject stands, so a liar cannot vote twice. Memory is bounded for each
    member alone: one that floods us with invented subjects only pushes out its own. A subject that was
    agreed answers once.
    """

    def __init__(self, members: Collection[bytes], threshold: int, subjects_kept: int = _SUBJECTS_KEPT) -> None:
        if not 1 <= threshold <= len(members):
            raise ValueError(f"threshold must be 1 to {len(members)} members, was {threshold}")
        self.threshold = threshold
        self.subjects_kept = subjects_kept
        self._said: dict[bytes, OrderedDict[Hashable, bytes]] = {member: OrderedDict() for member in members}
        self._agreed: OrderedDict[Hashable, None] = OrderedDict()

    def hear(self, member: bytes, subject: Hashable, statement: bytes) -> bytes | None:
        """Count one statement. Returns it when it completes the agreement, else None.

        `member` is the verified signer. Strangers, repetitions and subjects already agreed give None.
        """
        said = self._said.get(member)
        if said is None or subject in said or subject in self._agreed:
            return None
        said[subject] = statement
        if len(said) > self.subjects_kept:
            said.popitem(last=False)
        if sum(1 for other in self._said.values() if other.get(subject) == statement) < self.threshold:
            return None
        self._agreed[subject] = None
        if len(self._agreed) > self.subjects_kept:
            self._agreed.popitem(last=False)
        return statement
