import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import device_host_process as child
import pytest

from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.reference import run_community
from market.events import Clearing, Phase, PhaseChange
from market.readings import Reading
from mosquitto.batch import decode_batch
from mosquitto.broker import BrokerProcess
from mosquitto.bus import BusMessage
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.mqtt_bus import MqttBus
from mosquitto.topics import Topics

pytestmark = pytest.mark.e2e

TOPICS = Topics(child.CHAIN)
PERIODS = 24
KILLED_IN = {3: 0.0, 7: 0.001, 11: 0.002, 15: 0.004, 19: 0.01}
"""Period, and how many seconds after its delivery was published the host is killed."""


class Committee:
    """Two replicas' voice, and everything that meters said."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.bus = MqttBus([broker.address], "committee")
        self.readings: dict[str, list[Reading]] = {child.HOME.meter_id: [], child.FLAT.meter_id: []}
        self.bus.subscribe(TOPICS.every_reading(), self._on_reading)

    def _on_reading(self, message: BusMessage) -> None:
        (data,) = decode_batch(message.payload)
        match decode(open_envelope(data, child.CHAIN).body):
            case (_, _, _, *fields):
                reading = Reading.from_fields(tuple(fields))
                self.readings[reading.meter_id].append(reading)

    def say_clearing(self, period: int) -> None:
        clearing = Clearing(
            period=period,
            time_ms=1,
            mechanism="hlm",
            prices=(),
            trades=(),
            bid_wh=0,
            offered_wh=0,
            traded_wh=0,
            ask_limit_micro=0,
            demand=(),
            supply=(),
        )
        self._say(Kind.CLEARING, TOPICS.clearings, encode(clearing.to_values()))

    def say_delivered(self, period: int) -> None:
        change = PhaseChange(period=period, phase=Phase.DELIVERED, time_ms=1_000 + period)
        self._say(Kind.PHASE, TOPICS.phases, encode(change.to_values()))

    def _say(self, kind: Kind, topic: Callable[[str], str], body: bytes) -> None:
        for number, key in enumerate(child.REPLICAS[:2]):
            self.bus.publish(topic(f"node-{number}"), sign(key, kind, child.CHAIN, body).encode())

    def has_read(self, period: int) -> bool:
        return all(any(it.period == period for it in readings) for readings in self.readings.values())


def wait(committee: Committee, until: Callable[[], bool], again: Callable[[], None], what: str) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, f"waited 60 s for {what}"
        again()
        for _ in range(20):
            if until():
                break
            committee.bus.poll(0.05)


def test_a_host_killed_at_any_moment_neither_loses_nor_repeats_energy(
    own_broker: BrokerProcess, tmp_path: Path
) -> None:
    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, child.__file__, str(own_broker.address.port), str(tmp_path / "state")]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    committee = Committee(own_broker)
    host = start()
    try:
        for period in range(PERIODS):

            def say(period: int = period) -> None:
                committee.say_clearing(period)
                committee.say_delivered(period)

            if period in KILLED_IN:
                say()
                committee.bus.poll(KILLED_IN[period])
                host.kill()
                host.wait()
                host = start()
            wait(committee, lambda period=period: committee.has_read(period), say, f"readings of {period}")
    finally:
        host.kill()
        host.wait()
        committee.bus.close()
    flows = run_community([child.HOME, child.FLAT], ProfileLibrary.load(), ProfileCalendar(), PERIODS)
    for row, site in enumerate((child.HOME, child.FLAT)):
        readings = {reading.counter: reading for reading in committee.readings[site.meter_id]}
        assert all(readings[reading.counter] == reading for reading in committee.readings[site.meter_id])
        assert [readings[counter].period for counter in sorted(readings)] == list(range(PERIODS))
        assert readings[PERIODS].import_wh == flows.import_wh[row].sum()
        assert readings[PERIODS].export_wh == flows.export_wh[row].sum()
