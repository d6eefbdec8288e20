"""The process that reads real meters: the gateway with its two sides, and the answers to its readings."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from agents.announcements import parse_receipts
from agents.component import start_component
from agents.deployment import Deployment
from agents.errors import ConfigurationError, WorkError
from agents.genesis import market_config
from agents.key_ring import FolderKeys
from agents.meter_sections import GATEWAY, MeterSection
from agents.node_process import pace_config
from agents.population import Population, populate
from agents.run_folder import RunFolder
from agents.scenario import Scenario
from agents.supervisor import StopSignal
from agents.wall_clock import now_ms
from devices.errors import DeviceError
from devices.gateway import Gateway, GatewayConfig, GatewayMeter
from devices.gateway_results import HomeOwner, HomeResults
from devices.gateway_store import GatewayStore
from devices.home_meter import HomeMeter, HomeMeterConfig
from market.receipts import ReasonCode
from mosquitto.address import BrokerAddress
from mosquitto.agreement import Agreement
from mosquitto.bus import Bus, BusMessage
from mosquitto.codec import encode
from mosquitto.envelope import Kind, open_envelope
from mosquitto.errors import BrokerError, RemoteError
from mosquitto.mqtt_bus import MqttBus
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

WAIT_MAX_MS: Final = 5_000
"""How long after a period's end a gateway waits for meters: the operator waits longer."""
POLL_S: Final = 0.1
SHOW_INTERVAL_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class HomeBuses:
    """A bus for each home broker and way to enter it, and which one each meter is on."""

    buses: Mapping[str, MqttBus]
    of_meter: Sequence[str]

    def close(self) -> None:
        """Disconnect from all."""
        for bus in self.buses.values():
            bus.close()


def main(folder: RunFolder) -> None:
    """Run the gateway of a run folder until told to stop. A gateway that was killed goes on from its state."""
    scenario = Scenario.load(folder.scenario)
    if not scenario.meters:
        raise ConfigurationError(f"{folder.scenario}: no [[meter]]; expected at least one for a gateway to read")
    component = start_component(folder, GATEWAY, persistent=True)
    deployment = component.deployment
    homes = home_buses(scenario.meters, f"gridbazaar-{deployment.chain_id}")
    try:
        store = GatewayStore(folder.devices / "gateway.sqlite", deployment.chain_id, GATEWAY)
        meters = gateway_meters(scenario, populate(scenario), component.keys, homes)
        results = HomeResults(home_owners(scenario, meters, homes), store)
        gateway = Gateway(
            config=gateway_config(scenario, deployment),
            bus=component.bus,
            homes=homes.buses,
            key=component.key,
            meters=meters,
            store=store,
            results=results,
            clock=now_ms,
        )
    except DeviceError as error:
        raise WorkError(str(error)) from None
    listen_to_receipts(component.bus, deployment, gateway)
    component.bus.on_reconnect(lambda: component.say("online"))
    for name, bus in homes.buses.items():
        bus.on_reconnect(lambda name=name: _home_returned(gateway, results, name))  # type: ignore[misc]  # binds now
    gateway.start()
    results.announce()
    while not component.stop:
        gateway.poll(POLL_S)
    gateway.close()
    homes.close()
    component.bus.close()


def watch(meters: Sequence[MeterSection], *, seconds: float | None, as_json: bool) -> None:
    """Read meters without any market, and show what they say: to see that a scenario's `[[meter]]` are right."""
    homes = home_buses(meters, f"gridbazaar-watch-{os.getpid()}")
    stop = StopSignal()
    watched = []
    for section, home in zip(meters, homes.of_meter, strict=True):
        meter = HomeMeter(home_meter_config(section, section.participant))
        watched.append((meter, home))
        _listen(meter, homes.buses[home], set())
    began_s = shown_s = time.monotonic()
    while not stop and (seconds is None or time.monotonic() < began_s + seconds):
        for meter, home in watched:
            for topic, payload in meter.commands(now_ms()):
                homes.buses[home].publish(topic, payload, qos=1)
        for bus in homes.buses.values():
            bus.poll(POLL_S)
        if time.monotonic() >= shown_s + SHOW_INTERVAL_S:
            shown_s = time.monotonic()
            for meter, home in watched:
                _show(meter, homes.buses[home], as_json)
    homes.close()


def home_buses(meters: Sequence[MeterSection], client_id: str) -> HomeBuses:
    """Connect to every home broker once. Raises ConfigurationError for a password or certificate not there."""
    buses: dict[str, MqttBus] = {}
    of_meter = []
    for section in meters:
        secrets = [section.password_file, section.password_variable]
        files = [section.ca_file, section.certificate_file, section.key_file]
        name = "|".join([section.broker, *(part or "" for part in secrets + files)])
        if name not in buses:
            try:
                access = section.access(os.environ)
                address = BrokerAddress.parse(section.broker)
                buses[name] = MqttBus([address], f"{client_id}-{len(buses)}", access=access)
            except BrokerError as error:
                raise ConfigurationError(f"meter of {section.participant}: {error}") from None
        of_meter.append(name)
    return HomeBuses(buses, of_meter)


def home_meter_config(section: MeterSection, meter_id: str) -> HomeMeterConfig:
    """How a scenario's meter is read."""
    book = section.book()
    families = tuple(book.members(section.family))
    group = families[0].group
    siblings = tuple(table for table in book.tables.values() if group is not None and table.group == group)
    return HomeMeterConfig(
        meter_id=meter_id, families=families, settings=section, limits=section.limits(), siblings=siblings
    )


def gateway_meters(
    scenario: Scenario, population: Population, keys: FolderKeys, homes: HomeBuses
) -> list[GatewayMeter]:
    """The meters of a scenario with their keys and owners."""
    participants = {participant.name: participant for participant in population.participants}
    meters = []
    for section, home in zip(scenario.meters, homes.of_meter, strict=True):
        participant = participants[section.participant]
        meter_id = participant.site.meter_id
        meters.append(
            GatewayMeter(
                meter=HomeMeter(home_meter_config(section, meter_id)),
                key=keys.key(meter_id),
                owner=keys.key(participant.name).public,
                owner_name=participant.name,
                region=participant.region,
                home=home,
            )
        )
    return meters


def home_owners(scenario: Scenario, meters: Sequence[GatewayMeter], homes: HomeBuses) -> list[HomeOwner]:
    """Whose results go where: to the broker of the own meter, unless its section says no."""
    return [
        HomeOwner(name=meter.owner_name, account=meter.owner, region=meter.region, bus=homes.buses[meter.home])
        for section, meter in zip(scenario.meters, meters, strict=True)
        if section.announce
    ]


def gateway_config(scenario: Scenario, deployment: Deployment) -> GatewayConfig:
    """The gateway's parameters: whom it believes, and when periods begin on the wall clock."""
    pace = pace_config(scenario, deployment.first_period_ms)
    market = market_config(deployment)
    period_ms = pace.period_ms / (pace.factor if pace.pace == "scaled" else 1.0)
    return GatewayConfig(
        name=GATEWAY,
        chain_id=deployment.chain_id,
        committee=deployment.committee_keys,
        threshold=deployment.agreement_threshold,
        first_period_ms=deployment.first_period_ms,
        period_ms=period_ms,
        wait_ms=min(WAIT_MAX_MS, pace.reading_limit_ms // 2),
        validity_periods=min(4, market.validity_periods),
        reset_interval_periods=market.reset_interval_periods,
    )


def listen_to_receipts(bus: Bus, deployment: Deployment, gateway: Gateway) -> None:
    """Tell the gateway what f + 1 replicas answer to readings."""
    agreement = Agreement(deployment.committee_keys, deployment.agreement_threshold)

    def on_receipts(message: BusMessage) -> None:
        try:
            envelope = open_envelope(message.payload, deployment.chain_id)
            if envelope.kind is not Kind.RECEIPTS:
                return
            height, lines = parse_receipts(envelope.body)
        except RemoteError:
            return
        for line in lines:
            if not gateway.waits_for(line.transaction_id):
                continue
            statement = encode((height, line.code, line.detail))
            if agreement.hear(envelope.signer, (line.transaction_id, height), statement) is not None:
                known = line.code in [int(code) for code in ReasonCode]
                reason = ReasonCode(line.code).name if known else f"CODE_{line.code}"
                gateway.on_receipt(line.transaction_id, line.code == ReasonCode.OK, reason)

    bus.subscribe(Topics(deployment.chain_id).every_receipts(), on_receipts)


def run_folder_of(scenario: Scenario, runs: Path = Path("runs")) -> RunFolder | None:
    """The newest run folder of a scenario below `runs`; None without one."""
    found = [
        path
        for path in runs.glob(f"{scenario.scenario.name}-*")
        if (path / "deployment.json").is_file()
        and RunFolder(path).read_deployment().scenario == scenario.scenario.name
    ]
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return None if newest is None else RunFolder.open(newest)


def _home_returned(gateway: Gateway, results: HomeResults, name: str) -> None:
    gateway.home_returned(name)
    results.announce()


def _listen(meter: HomeMeter, bus: MqttBus, subscribed: set[str]) -> None:
    def hear(message: BusMessage) -> None:
        before = meter.map
        meter.hear(message.topic, message.payload, message.retained, now_ms())
        if meter.map is not before:
            _listen(meter, bus, subscribed)

    for topic in meter.filters():
        if topic not in subscribed:
            subscribed.add(topic)
            bus.subscribe(topic, hear)


def _show(meter: HomeMeter, bus: MqttBus, as_json: bool) -> None:
    level = meter.level_at(meter.heard_ms) if meter.heard_ms else None
    values = {
        "meter": meter.config.meter_id,
        "family": meter.map.family if meter.map else None,
        "broker": bus.describe(),
        "power_w": meter.power_w(now_ms()),
        "import_wh": None if level is None else level.import_uwh // 1_000_000,
        "export_wh": None if level is None else level.export_uwh // 1_000_000,
        "available": meter.available,
        "missing": meter.missing(),
        "counts": dict(meter.counts),
    }
    if as_json:
        click.echo(json.dumps(values, ensure_ascii=False))
        return
    missing = f", missing: {', '.join(meter.missing())}" if meter.missing() else ""
    click.echo(
        f"{values['meter']} ({values['family'] or 'family not known yet'}): power {values['power_w']} W,"
        f" since start import {values['import_wh']} Wh, export {values['export_wh']} Wh{missing};"
        f" {bus.describe()}"
    )
