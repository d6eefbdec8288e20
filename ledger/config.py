"""One frozen configuration of the replica, checked once, relations included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger.quorums import Quorums

_MESSAGE_BYTES_MAX: Final = 900_000
"""What may go into one consensus message; the codec's own limit lies a little above."""

_VOTE_BYTES: Final = 70
"""A replica's index and signature inside of a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaConfig:
    """Parameters that all replicas of a chain share. Raises ValueError when they do not fit together.

    * `n`: replicas, 3f + 1.
    * `checkpoint_interval`: a checkpoint every so many blocks; `window`: sequence numbers above the last
      stable checkpoint that may be in use (L in Castro and Liskov 1999, section 4.3).
    * `batch_count`, `batch_bytes`: the largest batch. `pipeline`: proposals that may be in flight.
    * `request_timeout_ms`: how long a known transaction may wait before this replica votes its primary
      out; `view_change_timeout_ms`: how long a new view may take to start. Both double with every view
      change that brings no progress, up to `timeout_doublings_max` times.
    * `resend_ms`: how often a replica says where it stands, and repeats what others seem to lack.
    * `time_bound_ms`: how far a proposal's time may lie from our clock.
    * `pool_count`, `pool_bytes`, `pool_count_per_sender`: bounds on waiting transactions.
    * `snapshot_gap`: a replica that is so many blocks behind takes a snapshot instead of the blocks.
    """

    n: int
    checkpoint_interval: int = 64
    window: int = 256
    batch_count: int = 500
    batch_bytes: int = 300_000
    pipeline: int = 8
    request_timeout_ms: int = 2_000
    view_change_timeout_ms: int = 2_000
    timeout_doublings_max: int = 5
    resend_ms: int = 400
    time_bound_ms: int = 60_000
    pool_count: int = 20_000
    pool_bytes: int = 16_000_000
    pool_count_per_sender: int = 2_000
    snapshot_gap: int = 5_000

    def __post_init__(self) -> None:
        Quorums(self.n)
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, was {getattr(self, name)}")
        # With less than two intervals the primary stalls at every checkpoint until 2f + 1 have answered.
        if self.window < 2 * self.checkpoint_interval:
            least = 2 * self.checkpoint_interval
            raise ValueError(f"window must be at least two checkpoint intervals ({least}), was {self.window}")
        if self.pipeline > self.window:
            raise ValueError(f"pipeline must be at most the window ({self.window}), was {self.pipeline}")
        if self.batch_bytes > _MESSAGE_BYTES_MAX // 2 or self.batch_count * 34 > _MESSAGE_BYTES_MAX // 2:
            raise ValueError(
                f"a batch of {self.batch_count} transactions and {self.batch_bytes} bytes does not fit "
                f"into messages of {_MESSAGE_BYTES_MAX} bytes twice"
            )
        quorum = self.quorums.quorum
        if self.window * quorum * quorum * _VOTE_BYTES > _MESSAGE_BYTES_MAX:
            most = _MESSAGE_BYTES_MAX // (quorum * quorum * _VOTE_BYTES)
            raise ValueError(
                f"window must be at most {most} with {self.n} replicas, or a new view with a certificate "
                f"for each number would not fit into a message; was {self.window}"
            )
        if self.pool_count_per_sender > self.pool_count:
            raise ValueError(
                f"pool_count_per_sender must be at most pool_count ({self.pool_count}), "
                f"was {self.pool_count_per_sender}"
            )

    @property
    def quorums(self) -> Quorums:
        """Quorum sizes for `n`."""
        return Quorums(self.n)

    def primary(self, view: int) -> int:
        """The replica that proposes in `view` (Castro and Liskov 1999, section 4: p = v mod |R|)."""
        return view % self.n
