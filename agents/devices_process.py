"""The process that runs the meters and inverters of one region."""

from __future__ import annotations

from agents.component import start_component
from agents.key_ring import KeyRing, devices_host
from agents.population import Population, populate
from agents.run_folder import RunFolder
from agents.scenario import Scenario
from devices.host import DeviceHost, HostConfig, HostedSite
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.store import DeviceStore


def hosted_sites(population: Population, keys: KeyRing, region: str | None = None) -> list[HostedSite]:
    """The sites of a region (of all regions when None), with their owners and the keys of their meters."""
    participants = population.participants if region is None else population.in_region(region)
    return [
        HostedSite(
            config=participant.site,
            owner=keys.key(participant.name).public,
            meter_key=keys.key(participant.site.meter_id),
        )
        for participant in participants
        if participant.real_meter_w is None
    ]


def main(folder: RunFolder, region: str) -> None:
    """Run until told to stop. A host that was killed goes on from its saved registers."""
    name = devices_host(region)
    component = start_component(folder, name, persistent=True)
    deployment = component.deployment
    scenario = Scenario.load(folder.scenario)
    host = DeviceHost(
        config=HostConfig(
            name=name,
            chain_id=deployment.chain_id,
            committee=deployment.committee_keys,
            threshold=deployment.agreement_threshold,
        ),
        bus=component.bus,
        key=component.key,
        sites=hosted_sites(populate(scenario), component.keys, region),
        library=ProfileLibrary.load(),
        calendar=ProfileCalendar(scenario.profiles.day, scenario.market.period_minutes),
        store=DeviceStore(folder.devices / f"{region}.sqlite", deployment.chain_id, name),
    )
    host.run(lambda: bool(component.stop))
    component.bus.close()
