"""Four nodes with real keys and real ledger files, over the bus in memory, and what an audit says of the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.blocks import Genesis
from ledger.committee import Committee, Member
from ledger.config import ReplicaConfig
from ledger.driver import ReplicaDriver
from ledger.errors import StoreCorrupt
from ledger.simulation.application import AccountBook, make_transaction
from ledger.store import LedgerStore
from ledger.verification import verify_chain
from mosquitto.batch import encode_batch
from mosquitto.keys import KeyPair
from mosquitto.local_bus import LocalNetwork

CHAIN = "chain-on-disk"
TIMES_MAX = 2_000


class Nodes:
    """Four drivers on `LedgerStore`s; a node that is stopped leaves the bus and closes its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = [KeyPair.derive(2, f"node-{index}") for index in range(4)]
        members = tuple(Member(name=f"node-{i}", public_key=key.public) for i, key in enumerate(self.keys))
        self.committee = Committee(chain_id=CHAIN, members=members)
        self.config = ReplicaConfig(n=4, checkpoint_interval=4, window=8, snapshot_gap=6)
        root = AccountBook().state_root()
        self.genesis = Genesis(chain_id=CHAIN, configuration=b"four nodes", state_root=root)
        self.network = LocalNetwork(1_000_000)
        self.client = self.network.bus("client")
        self.nonce = 0
        self.running: dict[int, ReplicaDriver] = {}
        self.network.on_tick(self._tick)
        for index in range(4):
            self.start(index)

    def path(self, index: int) -> Path:
        return self.folder / f"node-{index}.sqlite"

    def start(self, index: int) -> ReplicaDriver:
        try:
            store = LedgerStore.open(self.path(index), self.genesis, seal=self.keys[index])
        except StoreCorrupt:
            store, _ = LedgerStore.replace(self.path(index), self.genesis, seal=self.keys[index])
        driver = ReplicaDriver(
            committee=self.committee,
            key=self.keys[index],
            config=self.config,
            application=AccountBook(),
            store=store,
            bus=self.network.bus(f"node-{index}"),
            clock_ms=lambda: self.network.now_ms,
        )
        driver.start()
        self.running[index] = driver
        return driver

    def stop(self, index: int) -> None:
        driver = self.running.pop(index)
        driver.bus.close()
        driver.close()

    def trade(self, rounds: int) -> None:
        for _ in range(rounds):
            batch = []
            for _ in range(3):
                self.nonce += 1
                batch.append(make_transaction(b"alice", self.nonce, 1, 1_000_000))
            self.client.publish(f"gb/{CHAIN}/tx/region/host", encode_batch(batch))
            self.settle()

    def settle(self) -> None:
        """Until all running nodes have executed the same chain and nothing waits."""
        for _ in range(TIMES_MAX):
            self.client.poll(0.05)
            states = [driver.status() for driver in self.running.values()]
            if len({state.state_root for state in states}) == 1 and not any(state.pool_count for state in states):
                return
        raise AssertionError([driver.status() for driver in self.running.values()])

    def stop_all(self) -> None:
        for index in list(self.running):
            self.stop(index)

    def _tick(self, now_ms: int) -> None:
        for driver in list(self.running.values()):
            driver.tick(now_ms)


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path)


def test_four_sealed_ledgers_verify_and_agree(nodes: Nodes) -> None:
    nodes.trade(20)
    last = nodes.running[0].store.block(nodes.running[0].store.last_height)
    assert last is not None
    nodes.stop_all()
    reports = [verify_chain(nodes.path(i), nodes.genesis, nodes.committee, AccountBook) for i in range(4)]
    assert [report.findings for report in reports] == [()] * 4
    assert {report.transactions for report in reports} == {60}
    assert len({(report.height, report.block_hash, report.state_root) for report in reports}) == 1
    assert reports[0].places[last.height] == (last.block.hash, last.state_root)


def test_a_node_whose_file_was_cut_short_rejoins_silently_and_votes_again_later(nodes: Nodes) -> None:
    nodes.trade(12)
    nodes.stop(2)
    whole = nodes.path(2).read_bytes()
    nodes.path(2).write_bytes(whole[: len(whole) // 2])
    nodes.trade(12)
    driver = nodes.start(2)
    assert driver.status().recovering
    nodes.settle()
    assert driver.status().recovering and not driver.store.votes()
    nodes.trade(24)
    assert not driver.status().recovering
    nodes.trade(5)  # Votes of the last block: older ones go with their checkpoint.
    assert any(vote.kind == 3 for vote in driver.store.votes())
    nodes.stop_all()
    reports = [verify_chain(nodes.path(i), nodes.genesis, nodes.committee, AccountBook) for i in range(4)]
    assert all(report.ok for report in reports), [report.findings for report in reports]
    assert len({(report.height, report.state_root) for report in reports}) == 1
    skipped = [str(finding) for finding in reports[2].findings]
    assert len(skipped) == 1 and "were skipped" in skipped[0]
