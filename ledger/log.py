"""The message log: one entry for each sequence number between the executed prefix and the high watermark.

What a peer can grow here is bounded: one prepare and one commit of each replica for each entry, the one
of the highest view, and entries only inside of the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ledger.application import Admitted
from ledger.blocks import Block
from ledger.certificates import CommitCertificate, Vote
from ledger.messages import PreparedCertificate, Proposal, Signed

_PROPOSALS_KEPT: Final = 16
NO_VIEW: Final = -1


@dataclass(frozen=True, slots=True)
class Ballot:
    """One replica's vote: in which view, for which digest or block hash."""

    view: int
    value: bytes
    signed: Signed


class Ballots:
    """Votes for one sequence number. Counts equal votes of distinct replicas, never messages."""

    __slots__ = ("_by_replica",)

    def __init__(self) -> None:
        self._by_replica: dict[int, Ballot] = {}

    def add(self, view: int, value: bytes, signed: Signed) -> Signed | None:
        """Count a vote; a later view's replaces an earlier one.

        Returns the vote that it contradicts: of the same replica, in the same view, for something else.
        """
        held = self._by_replica.get(signed.replica)
        if held is not None and held.view == view and held.value != value:
            return held.signed
        if held is None or held.view < view:
            self._by_replica[signed.replica] = Ballot(view, value, signed)
        return None

    def votes(self, view: int, value: bytes) -> list[Vote]:
        """The votes for `value` in `view`, in ascending order of replicas."""
        return [
            (replica, ballot.signed.signature)
            for replica, ballot in sorted(self._by_replica.items())
            if ballot.view == view and ballot.value == value
        ]


@dataclass(slots=True)
class Entry:
    """All that is known about one sequence number that is not executed.

    `view` and `digest`: what was accepted last, by a pre-prepare or a new view. `proposals`: every proposal
    accepted or certified here in any view, since a later view may choose an earlier one again. `prepared`:
    the certificate of the highest view, the paper's P. `final`: the commit certificate. `prepare_view` and
    `commit_view`: the last view in which this replica voted, so that it never votes twice in one. `sent`:
    its own messages of the present view, to be repeated as they are.
    """

    sequence: int
    view: int = NO_VIEW
    digest: bytes = b""
    since_ms: int = 0
    proposals: dict[bytes, Proposal] = field(default_factory=dict)
    bodies: dict[bytes, Admitted] = field(default_factory=dict)
    pre_prepare: Signed | None = None
    prepares: Ballots = field(default_factory=Ballots)
    commits: Ballots = field(default_factory=Ballots)
    prepared: PreparedCertificate | None = None
    final: CommitCertificate | None = None
    prepare_view: int = NO_VIEW
    commit_view: int = NO_VIEW
    sent: list[Signed] = field(default_factory=list)
    built: tuple[bytes, Block, tuple[Admitted, ...]] | None = None

    @property
    def proposal(self) -> Proposal | None:
        """The accepted proposal, if its content is here."""
        return self.proposals.get(self.digest)

    def keep(self, proposal: Proposal) -> None:
        """Hold a proposal's content."""
        self.proposals[proposal.digest] = proposal
        if len(self.proposals) > _PROPOSALS_KEPT:
            spare = next(key for key in self.proposals if key not in (self.digest, proposal.digest))
            del self.proposals[spare]


class Log:
    """Entries by sequence number, inside of the window."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter([self._entries[sequence] for sequence in sorted(self._entries)])

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, sequence: int) -> Entry | None:
        """The entry, if there is one."""
        return self._entries.get(sequence)

    def open(self, sequence: int) -> Entry:
        """The entry, made if there is none; the caller has checked the window."""
        entry = self._entries.get(sequence)
        if entry is None:
            entry = self._entries[sequence] = Entry(sequence=sequence)
        return entry

    def drop_through(self, sequence: int) -> None:
        """Forget everything up to and with `sequence`."""
        for key in [key for key in self._entries if key <= sequence]:
            del self._entries[key]
