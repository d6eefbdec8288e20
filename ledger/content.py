"""The content of proposals: asking for what is missing, and showing what others miss.

Pre-prepares name transactions by their ids, and new views name proposals by their digests, so a replica can
lack either. Both prove themselves by their hash, so it does not matter who answers.
"""

from __future__ import annotations

from typing import Final

from ledger.core import Core
from ledger.log import Entry
from ledger.messages import Bodies, FetchBodies, FetchProposal, OfferProposal, Proposal, Signed

_ANSWERS_PER_PEER: Final = 64


class Content:
    """Proposals and transactions of the entries in the log."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def missing(self, entry: Entry, proposal: Proposal) -> tuple[bytes, ...]:
        """Ids of the proposal whose transactions are not here and are still needed.

        What an earlier block holds is left out of this one, so nobody needs it, and maybe nobody has it.
        """
        knows = self.core.rules.knows
        return tuple(item for item in proposal.transaction_ids if item not in entry.bodies and not knows(item))

    def fetch(self, entry: Entry, *, everyone: bool) -> None:
        """Ask for what keeps the accepted proposal from being prepared: first the primary, then everyone."""
        core = self.core
        proposal = entry.proposal
        message: FetchProposal | FetchBodies
        if proposal is None:
            message = FetchProposal(sequence=entry.sequence, digest=entry.digest)
        elif missing := self.missing(entry, proposal):
            message = FetchBodies(sequence=entry.sequence, transaction_ids=missing)
        else:
            return
        core.counters["content fetched"] += 1
        if everyone or core.is_primary:
            core.broadcast(message)
        else:
            core.send(core.primary, message)

    def on_fetch_proposal(self, signed: Signed, message: FetchProposal) -> None:
        """Show a proposal that we hold."""
        entry = self.core.log.get(message.sequence)
        proposal = entry.proposals.get(message.digest) if entry is not None else None
        if proposal is not None and self.core.may_answer(signed.replica, _ANSWERS_PER_PEER):
            self.core.send(signed.replica, OfferProposal(proposal=proposal))

    def on_fetch_bodies(self, signed: Signed, message: FetchBodies) -> None:
        """Show transactions that we hold."""
        core = self.core
        entry = core.log.get(message.sequence)
        found: list[bytes] = []
        for item in message.transaction_ids[: core.config.batch_count]:
            admitted = entry.bodies.get(item) if entry is not None else None
            admitted = admitted or core.pool.get(item)
            if admitted is not None:
                found.append(admitted.transaction)
        if found and core.may_answer(signed.replica, _ANSWERS_PER_PEER):
            core.send(signed.replica, Bodies(transactions=tuple(found)))
