"""A ledger node that says two things is convicted on the chain: four real nodes on a bus in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_market import SCENARIO

from agents import cli
from agents.deployment import Deployment
from agents.deployment_builder import build_deployment
from agents.genesis import committee_of, genesis_of
from agents.key_ring import SimulatedKeys
from agents.ledger_node import LedgerNode
from agents.node_process import pace_config, replica_config
from agents.population import populate
from agents.run_folder import RunFolder
from agents.scenario import Scenario
from ledger.application import Admitted, Refused
from ledger.core import encode_signed
from ledger.crypto import CommitteeCrypto
from ledger.messages import Prepare, Signed, encode_message
from ledger.store import LedgerStore
from ledger.wire import EVERYONE, encode_packets
from market.market_events import Equivocation
from market.supervision_transactions import ReportEquivocation
from market.transactions import encode_call
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.local_bus import LocalNetwork
from mosquitto.topics import Topics

LIAR = 3


@dataclass(slots=True)
class Nodes:
    """The committee at work, without a market around it."""

    folder: RunFolder
    deployment: Deployment
    keys: SimulatedKeys
    network: LocalNetwork
    nodes: list[LedgerNode]

    def say(self, digest: bytes, sequence: int) -> Signed:
        """A prepare that the liar signs."""
        body = encode_message(Prepare(view=0, sequence=sequence, digest=digest))
        return Signed(
            message=Prepare(view=0, sequence=sequence, digest=digest),
            replica=LIAR,
            body=body,
            signature=self._crypto.sign(body),
        )

    @property
    def _crypto(self) -> CommitteeCrypto:
        name = self.deployment.committee[LIAR].name
        return CommitteeCrypto(committee_of(self.deployment), self.keys.key(name))

    def publish_as_liar(self, *said: Signed) -> None:
        topic = Topics(self.deployment.chain_id).consensus(self.deployment.committee[LIAR].name)
        envelopes = [(EVERYONE, self._crypto.envelope(item.replica, item.body, item.signature)) for item in said]
        for payload in encode_packets(envelopes):
            self.network.bus("liar").publish(topic, payload)

    def convictions(self) -> list[int]:
        """How many proofs the state of each honest node holds against the liar."""
        key = self.deployment.committee[LIAR].public_key
        records = [node.application.state.members.get(key) for node in self.nodes[:LIAR]]
        return [len(record.convictions) if record else 0 for record in records]

    def wait_for(self, count: int) -> None:
        bus = self.network.bus("waiting")
        for _ in range(4_000):
            if self.convictions() == [count] * LIAR:
                return
            bus.poll(0.02)
        raise AssertionError(f"convictions stay at {self.convictions()}")

    def report(self, proof: bytes, sequence: int = 9) -> bytes:
        """A report as the first member would sign it."""
        call = ReportEquivocation(
            accused=self.deployment.committee[LIAR].public_key, kind=2, view=0, sequence=sequence, proof=proof
        )
        key = self.keys.key(self.deployment.committee[0].name)
        return sign(key, Kind.TRANSACTION, self.deployment.chain_id, encode(encode_call(call, 1, 7))).encode()


@pytest.fixture
def committee(tmp_path: Path) -> Iterator[Nodes]:
    folder = RunFolder.create(tmp_path / "run", SCENARIO.format(periods=4))
    scenario = Scenario.load(folder.scenario)
    keys = SimulatedKeys(scenario.scenario.seed)
    deployment = build_deployment(scenario, populate(scenario), keys, [], scenario.first_period_ms)
    folder.write_deployment(deployment)
    network = LocalNetwork(start_ms=scenario.first_period_ms)
    nodes = [
        LedgerNode(
            deployment=deployment,
            key=keys.key(member.name),
            replica=replica_config(scenario, len(deployment.committee)),
            pace=pace_config(scenario, deployment.first_period_ms),
            store=LedgerStore.open(folder.ledger(member.name), genesis_of(deployment), seal=keys.key(member.name)),
            bus=network.bus(member.name),
            clock_ms=lambda: network.now_ms,
        )
        for member in deployment.committee
    ]
    for node in nodes:
        network.on_tick(node.tick)
        node.start()
    yield Nodes(folder, deployment, keys, network, nodes)
    for node in nodes:
        node.close()


def test_a_member_that_signs_two_prepares_for_one_number_stands_convicted_once(
    committee: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Equivocation] = []
    topics = Topics(committee.deployment.chain_id)
    committee.network.bus("regulator").subscribe(
        topics.every_equivocations(),
        lambda message: heard.append(
            Equivocation.from_values(decode(open_envelope(message.payload, committee.deployment.chain_id).body))
        ),
    )
    committee.publish_as_liar(committee.say(bytes(32), 9), committee.say(bytes([1]) * 32, 9))
    committee.wait_for(1)
    bus = committee.network.bus("waiting")
    end_ms = committee.network.now_ms + 40_000
    while committee.network.now_ms < end_ms:
        bus.poll(0.5)
    assert committee.convictions() == [1] * LIAR
    assert len(heard) == len(committee.deployment.committee)
    assert len({event.to_values() for event in heard}) == 1
    liar = committee.deployment.committee[LIAR].name
    assert committee.deployment.name_of(heard[0].accused) == liar

    assert cli.run(["ledger", "evidence", str(committee.folder.path), "--json"]) == cli.DONE
    rows = json.loads(capsys.readouterr().out)["evidence"]
    assert [(row["member"], row["kind"], row["sequence"]) for row in rows] == [(liar, "prepare", 9)]
    assert rows[0]["height"] > 0
    while committee.nodes:
        committee.nodes.pop().close()
    assert cli.run(["audit", str(committee.folder.path), "--json"]) == cli.DONE
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["serious"] for finding in findings] == [False]
    assert liar in findings[0]["problem"]


def test_proofs_at_other_places_are_kept_beside_the_first(committee: Nodes) -> None:
    for sequence in (3, 4):
        committee.publish_as_liar(committee.say(bytes(32), sequence), committee.say(bytes([1]) * 32, sequence))
    committee.wait_for(2)


def test_a_report_that_proves_nothing_is_refused_by_everyone_and_executed_by_none(committee: Nodes) -> None:
    application = committee.nodes[0].application
    first, second = committee.say(bytes(32), 9), committee.say(bytes([1]) * 32, 9)
    good = encode((encode_signed(first), encode_signed(second)))
    forged = encode((encode_signed(first), good[:8]))
    same = encode((encode_signed(first), encode_signed(first)))
    for proof, sequence in ((b"", 9), (forged, 9), (same, 9), (good, 8)):
        report = committee.report(proof, sequence)
        assert application.check(report) == Refused(reason="proof_does_not_hold")
        execution = application.execute(1, application.state.head.time_ms, [report])
        assert execution.receipts == (encode((1, 0)),)
    assert committee.convictions()[0] == 0
    assert isinstance(application.check(committee.report(good)), Admitted)
