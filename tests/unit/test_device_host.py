from collections.abc import Callable
from pathlib import Path

import pytest

from devices.errors import DeviceError
from devices.host import DeviceHost, HostConfig, HostedSite
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.reference import run_community
from devices.sites import BatteryConfig, HouseholdConfig, PvConfig, SiteConfig
from devices.store import DeviceStore
from devices.telemetry import Telemetry, open_telemetry
from market.events import Clearing, Phase, PhaseChange, Trade
from market.readings import TAG_SUBMIT_READING, Quality, Reading
from mosquitto.batch import decode_batch
from mosquitto.bus import BusMessage
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.keys import KeyPair
from mosquitto.local_bus import LocalBus, LocalNetwork
from mosquitto.status import open_status
from mosquitto.topics import Topics

CHAIN = "chain-1"
TOPICS = Topics(CHAIN)
REPLICAS = [KeyPair.derive(1, f"replica/{number}") for number in range(4)]
HOST_KEY = KeyPair.derive(1, "host")
ANNA, BOB = KeyPair.derive(1, "anna"), KeyPair.derive(1, "bob")
HOME = SiteConfig.home(
    name="anna",
    region="east",
    household=HouseholdConfig(shape="H0-A", annual_kwh=3_000),
    pv=PvConfig(kwp=5),
    battery=BatteryConfig(capacity_wh=10_000, power_w=8_000),
)
FLAT = SiteConfig.home(name="bob", region="east", household=HouseholdConfig(shape="H0-B", annual_kwh=2_000))
SITES = [
    HostedSite(config=HOME, owner=ANNA.public, meter_key=KeyPair.derive(1, "meter-anna")),
    HostedSite(config=FLAT, owner=BOB.public, meter_key=KeyPair.derive(1, "meter-bob")),
]
SOLD_WH = 400


class World:
    """A committee that can speak, a device host, and an ear for what devices publish."""

    def __init__(self, state: Path | None = None) -> None:
        self.network = LocalNetwork(start_ms=1_000_000)
        self.committee = self.network.bus("committee")
        self.ear = self.network.bus("ear")
        self.readings: list[tuple[bytes, Reading]] = []
        self.valid_until: list[int] = []
        self.telemetry: list[Telemetry] = []
        self.statuses: list[tuple[str, int, str]] = []
        self.ear.subscribe(TOPICS.every_reading(), self._on_reading)
        self.ear.subscribe(TOPICS.every_telemetry(), self._on_telemetry)
        self.ear.subscribe(TOPICS.every_status(), self._on_status)
        self.state = state
        self.host = self.start_host()

    def end_host(self) -> None:
        """As a kill does: no goodbye, and its file is free."""
        self.network.bus("devices-east").drop()
        self.host._store.close()

    def start_host(self, bus: LocalBus | None = None) -> DeviceHost:
        host = DeviceHost(
            config=HostConfig(
                name="devices-east", chain_id=CHAIN, committee=tuple(key.public for key in REPLICAS), threshold=2
            ),
            bus=bus or self.network.bus("devices-east"),
            key=HOST_KEY,
            sites=SITES,
            library=ProfileLibrary.load(),
            calendar=ProfileCalendar(),
            store=DeviceStore(self.state, CHAIN, "devices-east"),
            clock=lambda: self.network.now_ms,
        )
        self.network.on_tick(lambda _: host.tick())
        host.start()
        return host

    def _on_reading(self, message: BusMessage) -> None:
        (data,) = decode_batch(message.payload)
        envelope = open_envelope(data, CHAIN)
        match decode(envelope.body):
            case (tag, int(valid_until_period), _, *fields):
                assert (envelope.kind, tag) == (Kind.TRANSACTION, TAG_SUBMIT_READING)
                self.valid_until.append(valid_until_period)
                self.readings.append((envelope.signer, Reading.from_fields(tuple(fields))))

    def _on_telemetry(self, message: BusMessage) -> None:
        envelope, telemetry = open_telemetry(message.payload, CHAIN)
        assert envelope.signer == SITES[0].meter_key.public
        assert TOPICS.sender(message.topic) == telemetry.device_id
        self.telemetry.append(telemetry)

    def _on_status(self, message: BusMessage) -> None:
        envelope, status = open_status(message.payload, CHAIN)
        assert envelope.signer == HOST_KEY.public
        self.statuses.append((status.state, status.ready_period, status.ready_phase))

    def settle_down(self) -> None:
        while self.committee.poll(0):
            pass

    def say_phase(self, period: int, replicas: int = 2, phase: Phase = Phase.DELIVERED) -> None:
        change = PhaseChange(period=period, phase=phase, time_ms=5_000_000 + period)
        for number, key in enumerate(REPLICAS[:replicas]):
            envelope = sign(key, Kind.PHASE, CHAIN, encode(change.to_values()))
            self.committee.publish(TOPICS.phases(f"node-{number}"), envelope.encode())
        self.settle_down()

    def say_clearing(self, period: int, sold_wh: int = SOLD_WH, keys: list[KeyPair] | None = None) -> None:
        for number, key in enumerate(REPLICAS[:2] if keys is None else keys):
            envelope = sign(key, Kind.CLEARING, CHAIN, encode(clearing(period, sold_wh).to_values()))
            self.committee.publish(TOPICS.clearings(f"node-{number}"), envelope.encode())
        self.settle_down()

    def wait(self, seconds: float) -> None:
        self.committee.poll(seconds)
        self.settle_down()

    def deliver(self, period: int, sold_wh: int = SOLD_WH) -> None:
        self.say_clearing(period, sold_wh)
        self.say_phase(period)

    def of(self, site: int) -> list[Reading]:
        return [reading for signer, reading in self.readings if signer == SITES[site].meter_key.public]


def clearing(period: int, sold_wh: int) -> Clearing:
    """Anna sells to Bob."""
    trade = Trade(
        number=1,
        buy_order=1,
        sell_order=2,
        buyer=BOB.public,
        seller=ANNA.public,
        buy_region="east",
        sell_region="east",
        energy_wh=sold_wh,
        price_micro=200_000,
        fee_micro=0,
    )
    return Clearing(
        period=period,
        time_ms=4_000_000,
        mechanism="hlm",
        prices=(),
        trades=(trade,),
        bid_wh=sold_wh,
        offered_wh=sold_wh,
        traded_wh=sold_wh,
        ask_limit_micro=0,
        demand=(),
        supply=(),
    )


def test_each_meter_signs_one_reading_of_a_delivered_period_and_the_inverter_tells_its_state() -> None:
    world = World()
    world.deliver(0)
    (reading,) = world.of(0)
    assert (reading.period, reading.counter, reading.measured_ms) == (0, 1, 5_000_000)
    assert reading.meter_id == "meter-anna"
    assert len(world.of(1)) == 1
    (state,) = world.telemetry
    assert (state.device_id, state.period, state.discharged_wh > 0) == (HOME.device_id, 0, True)
    assert world.statuses[-1] == ("online", 0, "delivered")
    assert all(until == 4 for until in world.valid_until)


def test_the_meter_shows_what_the_agreed_clearing_says_was_sold() -> None:
    world = World()
    world.deliver(0)
    world.deliver(1, sold_wh=900)
    first, second = world.of(0)
    assert (first.export_wh, second.export_wh) == (SOLD_WH, SOLD_WH + 900)
    assert second.import_wh == 0


def test_registers_are_those_of_the_same_physics_without_a_bus() -> None:
    world = World()
    for period in range(12):
        world.deliver(period, sold_wh=100 * period + 1)
    positions = {"anna": [100 * period + 1 for period in range(12)]}
    flows = run_community([HOME, FLAT], ProfileLibrary.load(), ProfileCalendar(), 12, positions)
    for site in range(2):
        assert world.of(site)[-1].import_wh == flows.import_wh[site].sum()
        assert world.of(site)[-1].export_wh == flows.export_wh[site].sum()


def test_one_replica_cannot_make_meters_read_nor_a_stranger() -> None:
    world = World()
    world.say_clearing(0)
    world.say_phase(0, replicas=1)
    stranger = sign(KeyPair.derive(1, "mallory"), Kind.PHASE, CHAIN, encode((0, int(Phase.DELIVERED), 5_000_000)))
    world.committee.publish(TOPICS.phases("node-1"), stranger.encode())
    world.settle_down()
    assert world.readings == []
    assert world.host.refused["node-1: not a replica's"] == 1
    world.say_phase(0)
    assert len(world.readings) == 2


def test_one_replica_cannot_invent_a_position() -> None:
    world = World()
    world.say_clearing(0, sold_wh=3_000, keys=[REPLICAS[0]])
    world.say_clearing(0, sold_wh=SOLD_WH, keys=REPLICAS[1:])
    world.say_phase(0)
    assert world.of(0)[0].export_wh == SOLD_WH


@pytest.mark.parametrize("payload", [b"", b"\xc1", encode((1, 9, 3)), encode((1, 2, "x"))])
@pytest.mark.parametrize("topic", [TOPICS.phases, TOPICS.clearings])
def test_rubbish_is_counted_and_changes_nothing(topic: Callable[[str], str], payload: bytes) -> None:
    world = World()
    world.committee.publish(topic("node-0"), payload)
    body = sign(REPLICAS[0], Kind.PHASE, CHAIN, payload or b"\x00").encode()
    world.committee.publish(TOPICS.phases("node-0"), body)
    world.settle_down()
    assert sum(world.host.refused.values()) == 2
    world.deliver(0)
    assert len(world.readings) == 2


def test_a_phase_that_outruns_its_clearing_waits_for_it() -> None:
    world = World()
    world.say_phase(0)
    world.wait(1.0)
    assert world.readings == []
    world.say_clearing(0)
    assert world.of(0)[0].export_wh == SOLD_WH
    assert world.host.positions_unknown == 0


def test_without_a_clearing_devices_run_in_self_consumption_after_the_limit() -> None:
    world = World()
    world.say_phase(0)
    world.wait(1.0)
    world.wait(2.5)
    assert world.host.positions_unknown == 1
    assert (world.of(0)[0].export_wh, world.of(0)[0].import_wh) == (0, 0)


def test_repeated_and_old_phases_measure_nothing_twice() -> None:
    world = World()
    world.deliver(0)
    world.deliver(1)
    world.say_phase(0, replicas=4)
    world.say_phase(1, replicas=4)
    assert len(world.of(0)) == 2


def test_a_restarted_host_goes_on_where_it_was_and_repeats_its_last_word(tmp_path: Path) -> None:
    world = World(tmp_path / "state")
    unbroken = World()
    for period in range(3):
        world.deliver(period)
        unbroken.deliver(period)
    said = list(world.readings)
    world.end_host()
    world.host = world.start_host()
    world.settle_down()
    assert world.readings[len(said) :] == said[-2:]
    world.deliver(3)
    unbroken.deliver(3)
    assert world.of(0)[-1] == unbroken.of(0)[-1]
    assert world.of(0)[-1].counter == 4


def test_a_clearing_heard_before_a_restart_is_still_followed_after_it(tmp_path: Path) -> None:
    world = World(tmp_path / "state")
    world.say_clearing(0)
    world.end_host()
    world.host = world.start_host()
    world.say_phase(0)
    assert world.of(0)[0].export_wh == SOLD_WH


def test_a_crash_between_saving_and_publishing_loses_no_reading(tmp_path: Path) -> None:
    class BrokenBus(LocalBus):
        def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
            if "/reading/" in topic:
                raise ConnectionError("the process dies here")
            super().publish(topic, payload, retain=retain, qos=qos)

    world = World(tmp_path / "state")
    world.end_host()
    world.host = world.start_host(BrokenBus(world.network, "devices-east", None))
    with pytest.raises(ConnectionError):
        world.deliver(0)
    assert world.readings == []
    world.end_host()
    again = World(tmp_path / "state")
    again.settle_down()
    assert [reading.counter for reading in again.of(0)] == [1]
    assert again.of(0)[0].export_wh == SOLD_WH


def test_periods_delivered_during_an_absence_are_measured_with_their_own_numbers(tmp_path: Path) -> None:
    world = World(tmp_path / "state")
    world.deliver(0)
    world.end_host()
    world.deliver(1)
    world.deliver(2)
    world.host = world.start_host()
    world.deliver(3)
    readings = world.of(1)
    assert [reading.period for reading in readings] == [0, 0, 1, 2, 3]
    assert [reading.counter for reading in readings] == [1, 1, 2, 3, 4]
    assert world.host.positions_unknown == 2


def test_after_a_long_absence_the_first_reading_carries_the_gap(tmp_path: Path) -> None:
    world = World(tmp_path / "state")
    world.deliver(0)
    world.deliver(30)
    periods = [reading.period for reading in world.of(1)]
    assert periods == [0, *range(23, 31)]
    assert [reading.quality for reading in world.of(1)[:3]] == [Quality.GOOD, Quality.GAP, Quality.GOOD]
    flows = run_community([FLAT], ProfileLibrary.load(), ProfileCalendar(), 31)
    assert world.of(1)[-1].import_wh == flows.import_wh.sum()


def test_two_sites_of_one_owner_on_a_host_are_refused() -> None:
    world = World()
    with pytest.raises(DeviceError, match="could not be divided"):
        DeviceHost(
            config=world.host.config,
            bus=world.ear,
            key=HOST_KEY,
            sites=[SITES[0], HostedSite(config=FLAT, owner=ANNA.public, meter_key=HOST_KEY)],
            library=ProfileLibrary.load(),
            calendar=ProfileCalendar(),
            store=DeviceStore(None, CHAIN, "x"),
        )
