"""Every error of the ledger layer.

* LedgerError
  - StoreError             our own ledger file
    + StoreCorrupt         damaged, torn or rolled back: set it aside and rejoin by state transfer
    + StoreMismatch        a sound file, but of another chain, or of another version of this program
    + StoreFull            the disk refused a write: nothing of the transaction was kept
    + VoteConflict         a second, different vote for one (kind, view, sequence) was about to be kept
  - StateMismatch          the application does not come to the state that the ledger has
  - DataError              bytes from a peer, a file or a person are not what they claim to be
    + BlockError           not a block, header or stored record
    + CertificateError     a certificate that does not hold
    + CommitteeError       a committee description that cannot be used
    + MessageError         not a consensus message
    + ProofError           an inclusion proof that cannot be made or read
"""

from __future__ import annotations

from pathlib import Path


class LedgerError(Exception):
    """Base of all errors raised by `ledger/`."""


class StoreError(LedgerError):
    """Something is wrong with our own ledger file."""


class StoreCorrupt(StoreError):  # noqa: N818 (the name says it)
    """The ledger file `path` is damaged, torn or older than what this replica has already sent."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


class StoreMismatch(StoreError):  # noqa: N818
    """The ledger file is sound but belongs to another chain or another version of this program."""


class StoreFull(StoreError):  # noqa: N818
    """The disk refused a write. The transaction was rolled back; the replica must not send what it held."""


class VoteConflict(StoreError):  # noqa: N818
    """A different vote for the same (kind, view, sequence) is already kept.

    To send it would be equivocation, so whoever sees this has a bug and must stop.
    """


class StateMismatch(LedgerError):  # noqa: N818
    """The application, started from the same bytes, does not come to the state that the ledger has kept."""


class DataError(LedgerError):
    """Bytes from outside are not what they claim to be; refuse them and carry on."""


class BlockError(DataError):
    """Bytes that are not one canonical block, header or stored record."""


class CertificateError(DataError):
    """A certificate with too few, repeated, unknown or wrong votes."""


class CommitteeError(DataError):
    """A committee description with wrong names, keys or number of members."""


class ProofError(DataError):
    """An inclusion proof that cannot be made or is not a proof at all."""


class MessageError(DataError):
    """Bytes that are not one canonical consensus message."""
