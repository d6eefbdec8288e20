"""What a replica gives to one that catches up: blocks and snapshot parts out of its store."""

from __future__ import annotations

from typing import Final

from ledger.messages import Blocks, SnapshotPart
from ledger.records import Store, StoredBlock

_BLOCKS_BYTES: Final = 300_000
_PART_BYTES: Final = 200_000
_BLOCK_OVERHEAD_BYTES: Final = 1_000
"""About what header and certificate take."""


def blocks_from(store: Store, start: int) -> Blocks | None:
    """Certified blocks from `start` on, as many as fit into one message.

    When a snapshot stands where `start` was, the answer is empty and says where our blocks begin.
    """
    found: list[StoredBlock] = []
    size = 0
    for stored in store.blocks(start, store.last_height + 1):
        size += sum(len(item) for item in stored.block.transactions) + _BLOCK_OVERHEAD_BYTES
        if found and size > _BLOCKS_BYTES:
            break
        found.append(stored)
    if found:
        return Blocks(first_height=start, blocks=tuple((item.block, item.certificate) for item in found))
    checkpoint = store.latest_checkpoint()
    return Blocks(first_height=checkpoint.height + 1, blocks=()) if checkpoint is not None else None


def snapshot_part(store: Store, height: int, index: int) -> SnapshotPart | None:
    """Part `index` of the newest snapshot, or nothing when that is no longer the one at `height`."""
    checkpoint = store.latest_checkpoint()
    if checkpoint is None or height not in (0, checkpoint.height):
        return None
    count = max(1, -(-len(checkpoint.snapshot) // _PART_BYTES))
    if index >= count:
        return None
    return SnapshotPart(
        header=checkpoint.header,
        certificate=checkpoint.certificate,
        index=index,
        count=count,
        part=checkpoint.snapshot[index * _PART_BYTES : (index + 1) * _PART_BYTES],
    )
