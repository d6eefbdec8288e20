"""From a ledger file to a running replica: the application's state, the tip, the votes.

The application is brought back from its last checkpoint by executing the blocks since, and each of them
must give the state root that it gave before.
"""

from __future__ import annotations

from collections.abc import Callable

from ledger.application import Application
from ledger.certificates import CheckpointCertificate
from ledger.core import Tip
from ledger.errors import StateMismatch
from ledger.records import Store
from ledger.replica import Memory, genesis_tip

SnapshotTaker = Callable[[int, bytes], None]
"""(height, snapshot): called for each checkpoint height that is passed again."""


def load(store: Store, application: Application, interval: int, keep: SnapshotTaker) -> Memory:
    """Bring the application to the store's last block and say what the replica starts from.

    Raises StateMismatch when the application, of the same program and genesis, comes to another state.
    """
    genesis = store.genesis
    checkpoint = store.latest_checkpoint()
    stable: CheckpointCertificate | None = None
    tip = genesis_tip(genesis.header)
    if checkpoint is not None:
        stable = checkpoint.certificate
        if not application.restore(checkpoint.snapshot, stable.state_root):
            raise StateMismatch(f"the snapshot at height {checkpoint.height} does not have its state root")
        stored = store.block(checkpoint.height)
        tip = Tip(
            header=checkpoint.header,
            hash=checkpoint.header.hash,
            state_root=stable.state_root,
            period=application.period(),
            proof=stored.certificate if stored is not None else stable,
        )
    elif application.state_root() != genesis.state_root:
        raise StateMismatch("the application does not start from the genesis state of this ledger")
    for stored in store.blocks(tip.height + 1, store.last_height + 1):
        execution = application.execute(stored.height, stored.block.header.time_ms, stored.block.transactions)
        if execution.state_root != stored.state_root:
            raise StateMismatch(f"executing block {stored.height} again gives another state root than before")
        tip = Tip(
            header=stored.block.header,
            hash=stored.block.hash,
            state_root=execution.state_root,
            period=execution.period,
            proof=stored.certificate,
        )
        if stored.height % interval == 0:
            keep(stored.height, application.snapshot())
    if tip.height != store.last_height:
        raise StateMismatch(f"blocks end at {tip.height}, the store says {store.last_height}")
    return Memory(
        tip=tip,
        stable=stable,
        votes=tuple(store.votes()),
        bodies=tuple(store.bodies()),
        recovering=store.recovering,
    )
