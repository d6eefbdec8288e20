"""A whole market in one process and on one thread: one replica, devices, and a bus in memory.

Nothing is left out but the network and the other three nodes: the same ledger node, contract, device host
and exchange as in a deployment. Time is virtual and keys follow from the seed, so equal runs are equal.
"""

from __future__ import annotations

from agents.deployment_builder import build_deployment
from agents.devices_process import hosted_sites
from agents.exchange import BusExchange, ExchangeConfig
from agents.genesis import genesis_of
from agents.key_ring import AGENTS_HOST, KeyRing, SimulatedKeys
from agents.ledger_node import LedgerNode
from agents.node_process import pace_config, replica_config
from agents.population import populate
from agents.scenario import Scenario
from devices.host import DeviceHost, HostConfig
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.store import DeviceStore
from ledger.memory_store import MemoryStore
from mosquitto.local_bus import LocalNetwork

BLOCKS_KEPT = 512


def local_exchange(scenario: Scenario, keys: KeyRing | None = None) -> BusExchange:
    """Build the market of a scenario in memory, with a committee of one, and return the way to it."""
    ring = keys or SimulatedKeys(scenario.scenario.seed)
    population = populate(scenario)
    deployment = build_deployment(
        scenario, population, ring, [], scenario.first_period_ms, nodes=scenario.ledger.nodes[:1]
    )
    network = LocalNetwork(start_ms=scenario.first_period_ms)

    def clock_ms() -> int:
        return network.now_ms

    member = deployment.committee[0]
    node = LedgerNode(
        deployment=deployment,
        key=ring.key(member.name),
        replica=replica_config(scenario, 1),
        pace=pace_config(scenario, scenario.first_period_ms),
        store=MemoryStore(genesis_of(deployment), keep_blocks=BLOCKS_KEPT),
        bus=network.bus(member.name),
        clock_ms=clock_ms,
    )
    host = DeviceHost(
        config=HostConfig(
            name="devices",
            chain_id=deployment.chain_id,
            committee=deployment.committee_keys,
            threshold=deployment.agreement_threshold,
        ),
        bus=network.bus("devices"),
        key=ring.key("devices"),
        sites=hosted_sites(population, ring),
        library=ProfileLibrary.load(),
        calendar=ProfileCalendar(scenario.profiles.day, scenario.market.period_minutes),
        store=DeviceStore(None, deployment.chain_id, "devices"),
        clock=clock_ms,
    )
    config = ExchangeConfig.of(deployment, AGENTS_HOST)
    exchange = BusExchange(network.bus(AGENTS_HOST), config, ring.key(AGENTS_HOST), clock_ms)
    network.on_tick(node.tick)
    network.on_tick(lambda now_ms: host.tick())
    node.start()
    host.start()
    return exchange
