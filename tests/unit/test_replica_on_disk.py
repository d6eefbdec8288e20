"""Drivers on real ledger files: killed, restarted, damaged, and far behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_replica_driver import Cluster

from ledger.boot import load
from ledger.errors import StateMismatch, StoreCorrupt
from ledger.simulation.application import AccountBook, make_transaction
from ledger.store import LedgerStore


class DiskCluster(Cluster):
    def __init__(self, directory: Path, **settings: int) -> None:
        self.directory = directory
        super().__init__(**settings)
        for index in range(4):
            self.restart(index)

    def path(self, index: int) -> Path:
        return self.directory / f"node-{index}.sqlite"

    def restart(self, index: int) -> None:
        """Kill the node's process and start it from its file."""
        self.kill(index)
        try:
            store = LedgerStore.open(self.path(index), self.genesis)
        except StoreCorrupt:
            store, _ = LedgerStore.replace(self.path(index), self.genesis)
        self.down.discard(f"node-{index}")
        self.blocks[index] = []
        self.stores[index] = store  # type: ignore[assignment,call-overload]
        self.drivers[index] = self.make(index)

    def kill(self, index: int) -> None:
        if f"node-{index}" in self.down:
            return
        self.down.add(f"node-{index}")
        self.drivers[index]._timers.clear()
        self.stores[index].close()

    def roots(self) -> set[bytes]:
        return {driver.status().state_root for driver in self.drivers}


def test_a_node_that_was_killed_goes_on_from_its_file(tmp_path: Path) -> None:
    cluster = DiskCluster(tmp_path, checkpoint_interval=4, window=8)
    for round_number in range(12):
        cluster.send(3)
        cluster.run(100)
        if round_number % 3 == 2:
            cluster.restart(round_number % 4)
    cluster.send(1)
    cluster.run(6_000)
    assert len(cluster.roots()) == 1
    assert {cluster.drivers[index].replica.tip.height for index in range(4)} == {
        cluster.drivers[0].replica.tip.height
    }
    names = [name for stored in cluster.stores[0].blocks(1, 1_000) for name in stored.ids]
    assert len(names) == len(set(names)) == 37
    assert not any(store.evidence() for store in cluster.stores)


def test_a_damaged_ledger_is_set_aside_and_the_node_rejoins_silently_and_then_votes(tmp_path: Path) -> None:
    cluster = DiskCluster(tmp_path, checkpoint_interval=4, window=8)
    for _ in range(10):
        cluster.send(3)
        cluster.run(100)
    cluster.kill(3)
    data = bytearray(cluster.path(3).read_bytes())
    data[len(data) // 2] ^= 0xFF
    cluster.path(3).write_bytes(bytes(data[: len(data) * 3 // 4]))
    cluster.restart(3)
    assert cluster.drivers[3].status().recovering
    for _ in range(30):
        cluster.send(3)
        cluster.run(500)
    assert len(cluster.roots()) == 1
    assert not cluster.drivers[3].status().recovering
    cluster.down = {"node-2"}
    before = cluster.drivers[3].replica.tip.height
    cluster.send(3)
    cluster.run(10_000)
    # Three of four go on, so the one that rejoined takes part again.
    assert cluster.drivers[3].replica.tip.height > before


def test_a_node_far_behind_starts_from_a_snapshot_and_also_after_a_restart(tmp_path: Path) -> None:
    cluster = DiskCluster(tmp_path, checkpoint_interval=4, window=8, snapshot_gap=10)
    cluster.kill(3)
    for _ in range(40):
        cluster.send(2)
        cluster.run(50)
    cluster.restart(3)
    cluster.run(3_000)
    assert len(cluster.roots()) == 1
    assert cluster.stores[3].block(1) is None
    cluster.restart(3)
    cluster.send(2)
    cluster.run(3_000)
    assert len(cluster.roots()) == 1
    assert cluster.drivers[3].status().height == cluster.drivers[0].status().height


class OtherBook(AccountBook):
    """Executes differently from the program that wrote the ledger."""

    def state_root(self) -> bytes:
        root = super().state_root()
        return root if self.period() == 0 and not self._balances else bytes(32)


def test_an_application_that_comes_to_another_state_is_not_started(tmp_path: Path) -> None:
    cluster = DiskCluster(tmp_path)
    cluster.send(3)
    cluster.run(200)
    cluster.kill(1)
    store = LedgerStore.open(cluster.path(1), cluster.genesis)
    with pytest.raises(StateMismatch, match="block 1"):
        load(store, OtherBook(), 64, lambda height, snapshot: None)
    store.close()


def test_a_client_that_signs_one_order_in_many_ways_is_executed_once(tmp_path: Path) -> None:
    cluster = DiskCluster(tmp_path)
    for index, driver in enumerate(cluster.drivers):
        driver.submit([make_transaction(b"alice", 1, 5, 100, salt=index)])
    cluster.run(3_000)
    assert len(cluster.roots()) == 1
    names = [name for stored in cluster.stores[0].blocks(1, 1_000) for name in stored.ids]
    assert len(names) == 1
