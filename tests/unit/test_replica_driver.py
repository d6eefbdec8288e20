"""Four real drivers with Ed25519 keys over the bus in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ledger.application import Execution
from ledger.blocks import Genesis
from ledger.committee import Committee, Member
from ledger.config import ReplicaConfig
from ledger.driver import ReplicaDriver
from ledger.errors import StoreError, StoreFull
from ledger.memory_store import MemoryStore
from ledger.messages import Prepare, Status, encode_message
from ledger.records import BodyRecord, StoredBlock, VoteRecord
from ledger.simulation.application import AccountBook, make_transaction
from ledger.wire import EVERYONE, encode_packets
from mosquitto.batch import encode_batch
from mosquitto.bus import BusMessage
from mosquitto.envelope import Kind, sign
from mosquitto.keys import KeyPair
from mosquitto.local_bus import LocalNetwork

CHAIN = "test-chain"


class Cluster:
    def __init__(self, n: int = 4, **settings: int) -> None:
        self.network = LocalNetwork(1_000_000)
        self.keys = [KeyPair.derive(1, f"node-{index}") for index in range(n)]
        members = tuple(Member(name=f"node-{i}", public_key=key.public) for i, key in enumerate(self.keys))
        self.committee = Committee(chain_id=CHAIN, members=members)
        self.config = ReplicaConfig(n=n, **settings)
        root = AccountBook().state_root()
        self.genesis = Genesis(chain_id=CHAIN, configuration=b"test", state_root=root)
        self.blocks: list[list[StoredBlock]] = [[] for _ in range(n)]
        self.stores = [MemoryStore(self.genesis) for _ in range(n)]
        self.down: set[str] = set()
        self.network.deliver_if(lambda sender, receiver, _: not {sender, receiver} & self.down)
        self.drivers = [self.make(index) for index in range(n)]
        self.client = self.network.bus("client")
        self.nonce = 0

    def make(self, index: int) -> ReplicaDriver:
        def on_block(stored: StoredBlock, execution: Execution) -> None:
            assert len(execution.receipts) == len(stored.ids)
            self.blocks[index].append(stored)

        driver = ReplicaDriver(
            committee=self.committee,
            key=self.keys[index],
            config=self.config,
            application=AccountBook(),
            store=self.stores[index],
            bus=self.network.bus(f"node-{index}"),
            clock_ms=lambda: self.network.now_ms,
            on_block=on_block,
        )
        driver.start()
        self.network.on_tick(lambda now_ms: None if driver.name in self.down else driver.tick(now_ms))
        return driver

    def send(self, count: int) -> None:
        batch = []
        for _ in range(count):
            self.nonce += 1
            batch.append(make_transaction(b"alice", self.nonce, 1, 100))
        self.client.publish(f"gb/{CHAIN}/tx/region/host", encode_batch(batch))

    def run(self, ms: int) -> None:
        end = self.network.now_ms + ms
        while self.network.now_ms < end:
            self.client.poll(0.05)

    def executed(self, index: int) -> int:
        return sum(len(stored.ids) for stored in self.blocks[index])

    def hashes(self, index: int) -> list[bytes]:
        return [stored.block.hash for stored in self.blocks[index]]


def test_four_nodes_execute_the_same_blocks_with_certificates() -> None:
    cluster = Cluster()
    for _ in range(5):
        cluster.send(20)
        cluster.run(100)
    assert [cluster.executed(index) for index in range(4)] == [100] * 4
    for index in range(4):
        assert cluster.hashes(index) == cluster.hashes(0)
        for stored in cluster.blocks[index]:
            stored.certificate.verify(cluster.committee.quorums, cluster.committee.check_vote)
            assert stored.certificate.block_hash == stored.block.hash


def test_a_committee_of_one_executes_alone() -> None:
    cluster = Cluster(n=1)
    cluster.send(3)
    cluster.run(100)
    assert cluster.executed(0) == 3


def test_seven_nodes_go_on_without_two_of_them() -> None:
    cluster = Cluster(n=7)
    cluster.down = {"node-0", "node-4"}
    cluster.send(10)
    cluster.run(10_000)
    assert [cluster.executed(index) for index in (1, 2, 3, 5, 6)] == [10] * 5


def test_a_silent_primary_is_replaced_and_catches_up_when_it_comes_back() -> None:
    cluster = Cluster()
    cluster.send(1)
    cluster.run(200)
    cluster.down = {"node-0"}
    cluster.send(30)
    cluster.run(8_000)
    assert [cluster.executed(index) for index in range(4)] == [1, 31, 31, 31]
    assert cluster.drivers[1].replica.view == 1
    cluster.down = set()
    cluster.run(3_000)
    assert cluster.executed(0) == 31
    assert cluster.hashes(0) == cluster.hashes(1)
    assert cluster.drivers[0].replica.view == 1


def test_a_restarted_node_starts_from_its_store_and_goes_on() -> None:
    cluster = Cluster(checkpoint_interval=4, window=8)
    for _ in range(30):
        cluster.send(2)
        cluster.run(50)
    assert cluster.drivers[2].status().stable_height >= 20
    cluster.network.bus("node-2").close()
    cluster.drivers[2] = cluster.make(2)
    cluster.send(4)
    cluster.run(2_000)
    assert cluster.drivers[2].status().state_root == cluster.drivers[0].status().state_root
    assert cluster.executed(2) == 64


def test_rubbish_on_every_topic_is_counted_and_changes_nothing() -> None:
    cluster = Cluster()
    for topic in ("pbft/node-1", "tx/region/host", "clock", "reading/meter-1"):
        for payload in (b"", b"\xc1", b"\x93\x01\x02\x03", b"\x92\xff\x91\xc4\x01x", b"\x91\xc4\x03abc"):
            cluster.client.publish(f"gb/{CHAIN}/{topic}", payload)
    cluster.send(1)
    cluster.run(200)
    status = cluster.drivers[0].status()
    assert status.transactions_executed == 1
    assert sum(status.refused.values()) >= 15


def test_the_topic_gives_no_authority_the_signature_does() -> None:
    cluster = Cluster()
    heard: list[BusMessage] = []
    cluster.client.subscribe(f"gb/{CHAIN}/pbft/+", heard.append)
    cluster.send(1)
    cluster.run(500)
    before = cluster.drivers[1].status().refused
    # A member's genuine message on another member's topic, then a stranger's message on a member's.
    cluster.client.publish(f"gb/{CHAIN}/pbft/node-3", heard[0].payload)
    cluster.run(100)
    assert cluster.drivers[1].status().refused == before
    body = encode_message(Status(view=0, active=True, height=10**9, stable_height=0))
    stranger = sign(KeyPair.derive(1, "stranger"), Kind.CONSENSUS, CHAIN, body).encode()
    cluster.client.publish(f"gb/{CHAIN}/pbft/node-3", next(encode_packets([(EVERYONE, stranger)])))
    cluster.run(100)
    assert cluster.drivers[1].status().refused.get("not a member") == 1


def test_a_members_message_of_another_chain_or_with_a_wrong_signature_is_refused() -> None:
    cluster = Cluster()
    body = encode_message(Prepare(view=0, sequence=1, digest=bytes(32)))
    elsewhere = sign(cluster.keys[3], Kind.CONSENSUS, "other-chain", body)
    as_transaction = sign(cluster.keys[3], Kind.TRANSACTION, CHAIN, body)
    forged = replace(elsewhere, chain_id=CHAIN)
    packets = encode_packets([(EVERYONE, item.encode()) for item in (elsewhere, as_transaction, forged)])
    cluster.client.publish(f"gb/{CHAIN}/pbft/node-3", next(packets))
    cluster.run(100)
    refused = cluster.drivers[1].status().refused
    assert refused == {"another kind or chain": 2, "wrong signature": 1}
    assert len(cluster.drivers[1].replica.core.log) == 0


def test_after_a_failed_write_a_driver_says_nothing_any_more() -> None:
    cluster = Cluster()
    heard: list[BusMessage] = []
    cluster.client.subscribe(f"gb/{CHAIN}/pbft/node-0", heard.append)
    cluster.run(100)
    heard.clear()

    class FullStore(MemoryStore):
        def save_votes(self, votes: Sequence[VoteRecord], bodies: Sequence[BodyRecord] = ()) -> None:
            raise StoreFull("no space left")

    driver = cluster.drivers[0]
    driver.store = FullStore(cluster.genesis)
    with pytest.raises(StoreFull):
        driver.submit([make_transaction(b"alice", 1, 1, 100)])
    driver.store = MemoryStore(cluster.genesis)
    with pytest.raises(StoreError):
        driver.submit([make_transaction(b"alice", 2, 1, 100)])
    cluster.down = {"node-0"}
    cluster.run(2_000)
    assert heard == []
