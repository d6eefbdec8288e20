"""A device host as a process of its own, for tests that kill it: BROKER_PORT STATE_FILE."""

import sys
from pathlib import Path

from devices.host import DeviceHost, HostConfig, HostedSite
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.sites import BatteryConfig, HouseholdConfig, PvConfig, SiteConfig
from devices.store import DeviceStore
from mosquitto.keys import KeyPair
from mosquitto.mqtt_bus import BrokerAddress, MqttBus

CHAIN = "devices-killed"
REPLICAS = [KeyPair.derive(7, f"replica/{number}") for number in range(4)]
CONFIG = HostConfig(
    name="devices-east", chain_id=CHAIN, committee=tuple(key.public for key in REPLICAS), threshold=2
)
HOME = SiteConfig.home(
    name="anna",
    region="east",
    household=HouseholdConfig(shape="H0-A", annual_kwh=3_000),
    pv=PvConfig(kwp=5),
    battery=BatteryConfig(capacity_wh=10_000, power_w=8_000),
)
FLAT = SiteConfig.home(name="bob", region="east", household=HouseholdConfig(shape="H0-B", annual_kwh=2_000))
SITES = [
    HostedSite(
        config=config,
        owner=KeyPair.derive(7, config.name).public,
        meter_key=KeyPair.derive(7, config.meter_id),
    )
    for config in (HOME, FLAT)
]


def main() -> None:
    bus = MqttBus([BrokerAddress("127.0.0.1", int(sys.argv[1]))], CONFIG.name, clean=False)
    host = DeviceHost(
        config=CONFIG,
        bus=bus,
        key=KeyPair.derive(7, "host"),
        sites=SITES,
        library=ProfileLibrary.load(),
        calendar=ProfileCalendar(),
        store=DeviceStore(Path(sys.argv[2]), CHAIN, CONFIG.name),
    )
    host.run(stop=lambda: False)


if __name__ == "__main__":
    main()
