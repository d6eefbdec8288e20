"""A whole small run on the bus in memory: four ledger nodes on disk, devices, agents, recorder, run folder.

Everything is the project's own; only the processes and the broker are left out.
"""

from __future__ import annotations

from pathlib import Path

from agents.deployment_builder import build_deployment
from agents.devices_process import hosted_sites
from agents.exchange import BusExchange, ExchangeConfig
from agents.genesis import genesis_of
from agents.key_ring import AGENTS_HOST, SimulatedKeys
from agents.ledger_node import LedgerNode
from agents.model import MarketModel
from agents.node_process import pace_config, replica_config
from agents.population import populate
from agents.recorder import Recorder
from agents.run_folder import RunFolder
from agents.scenario import Scenario
from devices.host import DeviceHost, HostConfig
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.store import DeviceStore
from ledger.store import LedgerStore
from mosquitto.local_bus import LocalNetwork

SCENARIO = """
[scenario]
name = "small"
seed = 3

[market]
periods = {periods}

[ledger]
checkpoint_interval = 8

[profiles]
day = 2016-05-18

[[region]]
name = "east"

[[region]]
name = "west"

[[homes]]
name = "east"
region = "east"
count = 3
with_pv = 2
with_battery = 1

[[homes]]
name = "west"
region = "west"
count = 3
with_pv = 1

[[producer]]
name = "hydro"
region = "west"
kind = "hydro"
power_kw = 2.0
cost_micro = 60_000
"""


def run_small_market(path: Path, periods: int = 4) -> RunFolder:
    """Run it to the end and return its folder, without a report. Keys follow from the seed: equal every time."""
    folder = RunFolder.create(path, SCENARIO.format(periods=periods))
    scenario = Scenario.load(folder.scenario)
    keys = SimulatedKeys(scenario.scenario.seed)
    population = populate(scenario)
    deployment = build_deployment(scenario, population, keys, [], scenario.first_period_ms)
    folder.write_deployment(deployment)
    network = LocalNetwork(start_ms=scenario.first_period_ms)
    recorder = Recorder(folder, deployment, network.bus("recorder"), lambda: network.now_ms)
    stores = [
        LedgerStore.open(folder.ledger(member.name), genesis_of(deployment), seal=keys.key(member.name))
        for member in deployment.committee
    ]
    nodes = [
        LedgerNode(
            deployment=deployment,
            key=keys.key(member.name),
            replica=replica_config(scenario, len(deployment.committee)),
            pace=pace_config(scenario, deployment.first_period_ms),
            store=store,
            bus=network.bus(member.name),
            clock_ms=lambda: network.now_ms,
        )
        for member, store in zip(deployment.committee, stores, strict=True)
    ]
    host = DeviceHost(
        config=HostConfig(
            name="devices",
            chain_id=deployment.chain_id,
            committee=deployment.committee_keys,
            threshold=deployment.agreement_threshold,
        ),
        bus=network.bus("devices"),
        key=keys.key("devices"),
        sites=hosted_sites(population, keys),
        library=ProfileLibrary.load(),
        calendar=ProfileCalendar(scenario.profiles.day, scenario.market.period_minutes),
        store=DeviceStore(None, deployment.chain_id, "devices"),
        clock=lambda: network.now_ms,
    )
    exchange = BusExchange(
        network.bus(AGENTS_HOST),
        ExchangeConfig(
            host=AGENTS_HOST,
            chain_id=deployment.chain_id,
            committee=deployment.committee_keys,
            threshold=deployment.agreement_threshold,
            regions={entry.account: entry.region for entry in deployment.participants},
            devices={
                device: entry.meters[0].public_key for entry in deployment.participants for device in entry.devices
            },
            default_region=deployment.regions[0],
        ),
        keys.key(AGENTS_HOST),
        lambda: network.now_ms,
    )
    for node in nodes:
        network.on_tick(node.tick)
        node.start()
    network.on_tick(lambda now_ms: host.tick())
    host.start()
    model = MarketModel(scenario, exchange, keys=keys, records=folder.agents_csv)
    while model.running:
        model.step()
    _let_all_nodes_finish(network, stores)
    model.close()
    recorder.close()
    for node in nodes:
        node.close()
    return folder


def _let_all_nodes_finish(network: LocalNetwork, stores: list[LedgerStore]) -> None:
    bus = network.bus("closing")
    heights: set[int] = set()
    for _ in range(1_000):
        heights = {store.last_height for store in stores}
        if bus.poll(0.02) == 0 and len(heights) == 1:
            return
    raise AssertionError(f"nodes ended at different heights {heights}")
