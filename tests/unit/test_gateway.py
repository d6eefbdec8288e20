"""The gateway on two buses in memory: a home's broker with a meter, and a committee that says what is due."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devices.errors import DeviceError, StateError
from devices.gateway import Gateway, GatewayConfig, GatewayMeter
from devices.gateway_account import ReadingBook
from devices.gateway_results import HomeOwner, HomeResults
from devices.gateway_store import GatewayStore
from devices.home_meter import HomeMeter, HomeMeterConfig
from devices.meter_families import FamilyBook, settings_of
from devices.registers import RegisterLimits
from market.events import Clearing, Phase, PhaseChange, RegionPrice, Settlement, SettlementRow
from market.readings import Quality, Reading, quality_words
from mosquitto.batch import decode_batch
from mosquitto.bus import BusMessage
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.keys import KeyPair
from mosquitto.local_bus import LocalNetwork
from mosquitto.topics import Topics

CHAIN = "street-1"
BOOK = FamilyBook.load()
MINUTE = 60_000
START = 1_772_438_400_000
NODES = [KeyPair.derive(1, f"node-{number}") for number in range(4)]
METER_KEY, OWNER = KeyPair.derive(1, "meter-ann"), KeyPair.derive(1, "ann")
G = Quality.GATEWAY


class World:
    """One home with a smart meter, one gateway, and four honest replicas that say whatever a test wants."""

    def __init__(self, path: Path | None = None, family: str = "sml2mqtt", **settings: object) -> None:
        self.path = path
        self.family, self.settings = family, settings or {"prefix": "cellar"}
        self.market, self.home = LocalNetwork(), LocalNetwork()
        self.topics = Topics(CHAIN)
        self.now_ms = START - MINUTE
        self.sent: list[bytes] = []
        self.seen: dict[str, bytes] = {}
        self.nodes = self.market.bus("nodes")
        self.nodes.subscribe(self.topics.every_reading(), self._on_reading)
        self.device = self.home.bus("device")
        self.device.subscribe("#", lambda message: self.seen.__setitem__(message.topic, message.payload))
        self.gateway = self.start()

    def start(self) -> Gateway:
        self.store = GatewayStore(self.path, CHAIN, "gateway")
        home_bus = self.home.bus(f"gateway-{self.now_ms}")
        tables = BOOK.members(self.family)
        home_meter = HomeMeter(
            HomeMeterConfig(
                meter_id="meter-ann",
                families=tuple(tables),
                settings=settings_of(self.settings),
                limits=RegisterLimits(max_power_w=20_000, stale_after_ms=5 * MINUTE),
            )
        )
        meter = GatewayMeter(
            meter=home_meter, key=METER_KEY, owner=OWNER.public, owner_name="ann", region="north", home="home"
        )
        owner = HomeOwner(name="ann", account=OWNER.public, region="north", bus=home_bus)
        self.results = HomeResults([owner], self.store)
        self.gateway = Gateway(
            config=GatewayConfig(
                name="gateway",
                chain_id=CHAIN,
                committee=tuple(node.public for node in NODES),
                threshold=2,
                first_period_ms=START,
                period_ms=15 * MINUTE,
                reset_interval_periods=10,
            ),
            bus=self.market.bus(f"gateway-{self.now_ms}"),
            homes={"home": home_bus},
            key=KeyPair.derive(1, "gateway"),
            meters=[meter],
            store=self.store,
            results=self.results,
            clock=lambda: self.now_ms,
        )
        self.gateway.start()
        self.meter = home_meter
        return self.gateway

    def _on_reading(self, message: BusMessage) -> None:
        self.sent += [data for data in decode_batch(message.payload) if data not in self.sent]

    def at(self, minute: float) -> None:
        """Let time pass."""
        self.now_ms = START + round(minute * MINUTE)
        self.settle()

    def settle(self) -> None:
        while self.market.bus("pump").poll(0) or self.home.bus("pump").poll(0):
            pass
        self.gateway.tick()
        self.market.bus("pump").poll(0)
        self.home.bus("pump").poll(0)

    def register(self, minute: float, wh: float, topic: str = "cellar/energy_total") -> None:
        """The meter tells its register."""
        self.at(minute)
        self.device.publish(topic, f"{wh:.1f}".encode())
        self.settle()

    def say(self, period: int, phase: Phase, replicas: int = 2) -> None:
        change = PhaseChange(period=period, phase=phase, time_ms=self.now_ms)
        for node in NODES[:replicas]:
            payload = sign(node, Kind.PHASE, CHAIN, encode(change.to_values())).encode()
            self.nodes.publish(self.topics.phases("x"), payload)
        self.settle()

    def readings(self) -> list[Reading]:
        bodies = [decode(open_envelope(data, CHAIN).body) for data in self.sent]
        return [Reading.from_fields(body[3:]) for body in bodies if isinstance(body, tuple)]

    def answer(self, accepted: bool = True, reason: str = "OK") -> None:
        """The committee answers the newest reading."""
        self.gateway.on_receipt(open_envelope(self.sent[-1], CHAIN).content_id(), accepted, reason)

    def quarter(self, period: int, minutes_wh: dict[float, float]) -> None:
        """A period with the meter's values at some minutes of it (15 and more: after its end), all answered."""
        for minute, wh in sorted(minutes_wh.items()):
            if minute < 15:
                self.register(period * 15 + minute, wh)
        self.at(period * 15 + 15)
        self.say(period, Phase.DELIVERED)
        for minute, wh in sorted(minutes_wh.items()):
            if minute >= 15:
                self.register(period * 15 + minute, wh)
        self.at(period * 15 + 15.5)
        if self.readings() and self.readings()[-1].period == period:
            self.answer()
        self.say(period, Phase.SETTLED)


@pytest.fixture
def world() -> World:
    return World()


def words(world: World) -> list[str]:
    return [quality_words(reading.quality) for reading in world.readings()]


def test_a_period_is_told_as_the_register_stood_at_its_end(world: World) -> None:
    world.register(-0.5, 5_000_000)
    world.quarter(0, {0: 5_000_000, 14: 5_000_140, 15.05: 5_000_150.5})
    world.quarter(1, {14: 5_000_290, 15.05: 5_000_300.5})
    first, second = world.readings()
    assert (first.period, first.import_wh, first.export_wh) == (0, 150, 0)
    assert (second.period, second.import_wh) == (1, 300)
    assert words(world) == ["gateway+interpolated"] * 2
    assert second.counter > first.counter
    assert first.measured_ms == START + 15 * MINUTE


def test_readings_are_signed_with_the_meter_s_own_key(world: World) -> None:
    world.quarter(0, {-0.5: 100, 15.05: 200})
    envelope = open_envelope(world.sent[0], CHAIN)
    assert (envelope.signer, envelope.kind) == (METER_KEY.public, Kind.TRANSACTION)


def test_one_lying_replica_delivers_nothing(world: World) -> None:
    world.register(-0.5, 100)
    world.at(15)
    world.say(0, Phase.DELIVERED, replicas=1)
    world.register(15.1, 200)
    world.at(16)
    assert world.readings() == []


def test_a_meter_first_heard_in_the_middle_of_a_period_begins_with_a_baseline(world: World) -> None:
    world.quarter(0, {6: 7_000, 14: 7_300, 15.05: 7_400})
    world.quarter(1, {14: 7_600, 15.05: 7_700})
    assert words(world) == ["gateway+reset+interpolated", "gateway+interpolated"]
    first, second = world.readings()
    assert first.import_wh == 0
    assert second.import_wh == pytest.approx(300, abs=15)


def test_without_a_value_after_the_end_the_trend_has_to_do(world: World) -> None:
    world.quarter(0, {0: 1_000, 10: 1_100, 14: 1_140})
    assert words(world) == ["gateway+estimated"]
    assert world.readings()[0].import_wh == pytest.approx(145, abs=12)


def test_registers_on_the_chain_never_go_back_when_a_trend_promised_too_much(world: World) -> None:
    world.quarter(0, {0: 1_000, 10: 1_000, 14: 1_900})
    world.quarter(1, {0.6: 1_900, 14: 1_900, 15.05: 1_900})
    first, second = world.readings()
    assert second.import_wh == first.import_wh > 900


def test_a_silent_meter_sends_nothing_and_makes_good_later(world: World) -> None:
    world.quarter(0, {0: 1_000, 14.9: 1_150, 15.05: 1_150})
    world.quarter(1, {})
    world.quarter(2, {14.9: 1_450, 15.05: 1_450})
    periods = [reading.period for reading in world.readings()]
    assert periods == [0, 2]
    assert words(world)[1].startswith("gateway+gap")
    assert world.readings()[1].import_wh == pytest.approx(450, abs=3)


def test_periods_that_passed_while_the_gateway_was_down_are_told_as_estimates(tmp_path: Path) -> None:
    world = World(tmp_path / "gateway.sqlite")
    world.quarter(0, {0: 1_000, 14.9: 1_150, 15.05: 1_150})
    world.store.close()  # Killed: what was not saved is lost.
    for period in (1, 2):
        world.now_ms = START + (period + 1) * 15 * MINUTE
    world.start()
    world.say(1, Phase.DELIVERED)
    world.say(2, Phase.DELIVERED)
    assert len(world.readings()) == 1
    world.register(45.05, 1_450)
    assert [reading.period for reading in world.readings()] == [0, 1, 2]
    assert [reading.import_wh for reading in world.readings()[1:]] == pytest.approx([300, 450], abs=3)
    assert words(world)[1:] == ["gateway+estimated", "gateway+estimated"]


def test_a_kill_at_any_moment_books_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path / "gateway.sqlite")
    world.quarter(0, {0: 1_000, 14.9: 1_150, 15.05: 1_150})
    world.register(29.9, 1_300)
    world.at(30)
    world.say(1, Phase.DELIVERED)
    world.register(30.1, 1_300)
    before = list(world.sent)
    assert len(before) == 2
    world.store.close()  # After the reading left, before its answer.
    world.start()
    world.say(1, Phase.DELIVERED)
    world.register(30.4, 1_303)
    world.at(31)
    assert world.sent == before  # Sent again, the same bytes; no second reading of the period.
    world.answer()
    world.say(1, Phase.SETTLED)
    world.quarter(2, {14.9: 1_450, 15.05: 1_450})
    assert [reading.import_wh for reading in world.readings()] == pytest.approx([150, 300, 450], abs=3)


def test_an_unanswered_reading_is_sent_until_it_is_answered(world: World) -> None:
    copies: list[bytes] = []
    world.nodes.subscribe(world.topics.every_reading(), lambda message: copies.append(message.payload))
    world.register(-0.5, 100)
    world.at(15)
    world.say(0, Phase.DELIVERED)
    world.register(15.1, 200)
    for tenth in range(2, 6):
        world.at(15 + tenth / 10)
    assert len(copies) > 2
    assert len(set(copies)) == 1
    world.answer()
    count = len(copies)
    world.at(20)
    assert len(copies) == count
    assert world.gateway.answers == {"OK": 1}


def test_nothing_is_billed_for_a_period_before_the_market_knew_the_meter(world: World) -> None:
    world.register(0, 1_000)
    world.register(14.9, 1_150)
    world.at(15)
    world.say(0, Phase.DELIVERED)
    world.register(15.1, 1_150)
    world.answer(accepted=False, reason="UNKNOWN_METER")
    world.say(0, Phase.SETTLED)
    world.quarter(1, {14.9: 1_300, 15.05: 1_300})
    assert [reading.import_wh for reading in world.readings()] == pytest.approx([150, 150], abs=3)


def test_a_swapped_meter_is_a_new_baseline_on_the_chain_once_in_a_while(world: World) -> None:
    world.quarter(0, {-0.5: 9_000_000, 14.9: 9_000_150, 15.05: 9_000_150})
    world.quarter(1, {3: 500_000, 4: 500_010, 5: 500_020, 14.9: 500_100, 15.05: 500_100})
    world.quarter(2, {3: 800_000, 4: 800_010, 5: 800_020, 14.9: 800_100, 15.05: 800_100})
    assert "reset" in words(world)[1]
    assert "reset" not in words(world)[2]  # Too soon for the market: what is known is told.
    readings = world.readings()
    assert readings[1].import_wh < readings[2].import_wh < 1_000


def test_a_gateway_that_lost_its_memory_begins_with_a_new_baseline() -> None:
    world = World()
    world.quarter(0, {0: 1_000, 14.9: 1_150, 15.05: 1_150})
    first = world.readings()[0]
    world.start()  # Another memory, the same key.
    world.quarter(1, {0.6: 1_150, 14.9: 1_300, 15.05: 1_300})
    second = world.readings()[1]
    assert "reset" in words(world)[1]
    assert second.counter > first.counter


def test_a_book_that_is_younger_than_the_market_s_begins_anew_after_one_refusal(world: World) -> None:
    for minute, wh in [(0, 1_000), (14.9, 1_150), (15.05, 1_150), (29.9, 1_300), (30.05, 1_300)]:
        world.register(minute, wh)
    book = ReadingBook(reset_interval_periods=10)

    def tell(period: int) -> Reading:
        start_ms = START + period * 15 * MINUTE
        reading = book.next_reading(world.meter, period, start_ms, start_ms + 15 * MINUTE, world.now_ms)
        assert reading is not None
        return reading

    first = tell(0)
    assert "reset" not in quality_words(first.quality)
    book.refused(first.quality, "REGISTER_DECREASED")
    second = tell(1)
    assert "reset" in quality_words(second.quality)
    assert second.import_wh > first.import_wh
    book.accepted(1)
    assert book.reset_period == 1
    assert not book.needs_reset


def test_a_device_is_asked_at_a_period_s_end() -> None:
    world = World(family="tasmota-total", prefix="plug")
    world.seen.clear()
    world.at(15)
    world.say(0, Phase.DELIVERED)
    assert world.seen["cmnd/plug/Status"] == b"8"


def test_results_appear_on_the_home_s_broker_by_themselves(tmp_path: Path) -> None:
    world = World(tmp_path / "gateway.sqlite")
    world.results.announce()
    world.settle()
    config = json.loads(world.seen["homeassistant/sensor/gridbazaar_ann/earned/config"])
    assert config["state_topic"] == "gridbazaar/ann/state"
    row = SettlementRow(
        account=OWNER.public,
        sold_wh=500,
        bought_wh=0,
        import_wh=0,
        export_wh=480,
        metered_wh=480,
        imbalance_wh=-20,
        estimated=False,
        bought_nano=0,
        fee_nano=0,
        sold_nano=60_000_000,
        imbalance_nano=-6_000_000,
        penalty_nano=0,
        reward_nano=1_000_000,
        balance_nano=2_000_000_000,
        arrears_nano=0,
        owed_nano=0,
        reputation_ppm=900_000,
    )
    price = RegionPrice(
        region="north", lowest_micro=1, highest_micro=2, mean_micro=120_000, highest_ask_micro=2, volume_wh=500
    )
    clearing = Clearing(
        period=4,
        time_ms=world.now_ms,
        mechanism="hlm",
        prices=(price,),
        trades=(),
        bid_wh=0,
        offered_wh=0,
        traded_wh=0,
        ask_limit_micro=0,
        demand=(),
        supply=(),
    )
    settlement = Settlement(period=4, time_ms=world.now_ms, rows=(row,), grid_nano=0, pot_nano=0)
    for _ in range(2):  # Heard twice, counted once.
        world.results.hear_clearing(clearing)
        world.results.hear_settlement(settlement)
    world.settle()
    state = json.loads(world.seen["gridbazaar/ann/state"])
    assert (state["price"], state["sold"], state["earned"]) == (0.12, 0.5, 0.055)
    assert (state["reputation"], state["balance"], state["period"]) == (90.0, 2.0, 4)
    world.store.close()
    world.start()
    world.results.announce()
    world.settle()
    assert json.loads(world.seen["gridbazaar/ann/state"])["earned"] == 0.055


def test_two_gateways_cannot_share_a_state_and_another_chain_s_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sqlite"
    store = GatewayStore(path, CHAIN, "gateway")
    with pytest.raises(StateError):
        GatewayStore(path, CHAIN, "gateway")
    store.close()
    with pytest.raises(StateError, match="expected"):
        GatewayStore(path, "other", "gateway")


def test_two_meters_cannot_share_an_id(world: World) -> None:
    meter = GatewayMeter(
        meter=world.meter, key=METER_KEY, owner=OWNER.public, owner_name="a", region="n", home="home"
    )
    with pytest.raises(DeviceError, match="same id"):
        Gateway(
            config=world.gateway.config,
            bus=world.market.bus("x"),
            homes={"home": world.home.bus("x")},
            key=METER_KEY,
            meters=[meter, meter],
            store=GatewayStore(None, CHAIN, "gateway"),
        )
