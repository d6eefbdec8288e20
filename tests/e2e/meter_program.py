"""A program that speaks like real meters: every family's topics and payloads, digit for digit, on a home broker.

Each meter's registers are a known function of time, so a test can say to the Wh what a period must settle to.
Runs as a thread of the test, on a bus of its own.
"""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mosquitto.address import BrokerAddress
from mosquitto.bus import BusMessage
from mosquitto.mqtt_bus import MqttBus

Message = tuple[str, bytes, bool]
SPEAK_INTERVAL_S: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What truly flows: constant power in both directions, from a start on. Wh registers with a history."""

    import_w: float
    export_w: float
    import_start_wh: float
    export_start_wh: float
    start_s: float

    def import_wh(self, now_s: float) -> float:
        """The import register at a moment."""
        return self.import_start_wh + self.import_w * max(0.0, now_s - self.start_s) / 3_600

    def export_wh(self, now_s: float) -> float:
        """The export register at a moment."""
        return self.export_start_wh + self.export_w * max(0.0, now_s - self.start_s) / 3_600

    @property
    def power_w(self) -> float:
        """Net power, import positive."""
        return self.import_w - self.export_w


@dataclass(slots=True)
class SpeakingMeter:
    """A meter: its course, how it speaks, the lines that a scenario needs to read it."""

    family: str
    course: Course
    speak: Callable[[Course, float, int], list[Message]]
    settings: dict[str, object]
    needs: str = ""
    """A topic that must have been published to before it speaks."""
    asked: bool = field(default=False)


def js(topic: str, value: object, retain: bool = False) -> Message:
    return topic, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), retain


def text(topic: str, value: str, retain: bool = False) -> Message:
    return topic, value.encode(), retain


def stamp(now_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now_s))


def tasmota_total(course: Course, now_s: float, turn: int) -> list[Message]:
    energy = {"TotalStartTime": "2025-11-14T18:39:40", "Total": round(course.import_wh(now_s) / 1e3, 3)}
    energy |= {"Yesterday": 5.34, "Today": 0.954, "Period": 217, "Power": round(course.power_w), "Voltage": 227}
    return [
        js("tele/boiler/SENSOR", {"Time": stamp(now_s), "ENERGY": energy}),
        text("tele/boiler/LWT", "Online", True),
    ]


def tasmota_bidirectional(course: Course, now_s: float, turn: int) -> list[Message]:
    imports, exports = course.import_wh(now_s) / 1e3, course.export_wh(now_s) / 1e3
    energy = {"Total": 16_647.945, "ImportActive": [round(imports * share, 3) for share in (0.5, 0.25, 0.25)]}
    energy |= {"ExportActive": [round(exports, 3), 0.0, 0.0], "Power": [round(course.power_w, 3), 0.0, 0.0]}
    return [js("tele/Zaehler/SENSOR", {"Time": "1970-01-01T00:00:01", "ENERGY": energy})]


def shelly_gen1(course: Course, now_s: float, turn: int) -> list[Message]:
    messages = []
    for phase in range(3):
        topic = f"shellies/shellyem3-485519D6FEC7/emeter/{phase}"
        messages += [
            text(f"{topic}/power", f"{course.power_w / 3:.2f}"),
            text(f"{topic}/total", f"{course.import_wh(now_s) / 3:.1f}"),
            text(f"{topic}/total_returned", f"{course.export_wh(now_s) / 3:.1f}"),
        ]
    return messages


def shelly_gen2(course: Course, now_s: float, turn: int) -> list[Message]:
    prefix = "shellypro3em-0a1b2c"
    power = {"id": 0, "a_current": 1.2, "n_current": None, "total_act_power": round(course.power_w, 3)}
    energy = {
        "id": 0,
        "total_act": round(course.import_wh(now_s), 2),
        "total_act_ret": round(course.export_wh(now_s), 2),
    }
    if turn % 2:
        params = {"ts": round(now_s, 2), "em:0": power, "emdata:0": energy}
        return [js(f"{prefix}/events/rpc", {"src": prefix, "method": "NotifyStatus", "params": params})]
    return [js(f"{prefix}/status/em:0", power), js(f"{prefix}/status/emdata:0", energy)]


def zigbee(course: Course, now_s: float, turn: int) -> list[Message]:
    value = {"energy": round(course.import_wh(now_s) / 1e3, 3), "linkquality": 43, "power": round(course.power_w)}
    value |= {"produced_energy": round(course.export_wh(now_s) / 1e3, 3), "state": "ON", "identify": None}
    return [js("zigbee2mqtt/main meter", value)]


def opendtu(course: Course, now_s: float, turn: int) -> list[Message]:
    dip = turn % 9 == 4  # A zero out of nowhere, as after a restart at night.
    total = "0.000" if dip else f"{course.export_wh(now_s) / 1e3:.3f}"
    return [
        text("solar/114180012345/0/power", f"{course.export_w:.1f}", True),
        text("solar/114180012345/0/yieldday", "1420", True),
        text("solar/114180012345/0/yieldtotal", total, True),
        text("solar/114180012345/status/reachable", "1", True),
    ]


def dsmr(course: Course, now_s: float, turn: int) -> list[Message]:
    imports, exports = course.import_wh(now_s) / 1e3, course.export_wh(now_s) / 1e3
    values = {
        "electricity_delivered_1": 3_000.0,
        "electricity_delivered_2": imports,
        "electricity_returned_1": 10.0,
        "electricity_returned_2": exports,
        "electricity_currently_delivered": course.import_w / 1e3,
        "electricity_currently_returned": course.export_w / 1e3,
    }
    return [text(f"dsmr/reading/{name}", f"{value:.3f}", True) for name, value in values.items()]


def victron(course: Course, now_s: float, turn: int) -> list[Message]:
    base = "N/c0619ab12345/grid/30/Ac"
    if turn % 7 == 3:
        return [text(f"{base}/Power", ""), js(f"{base}/Energy/Forward", {"value": None})]
    return [
        js(f"{base}/Power", {"value": round(course.power_w)}),
        js(f"{base}/Energy/Forward", {"value": round(course.import_wh(now_s) / 1e3, 3)}),
        js(f"{base}/Energy/Reverse", {"value": round(course.export_wh(now_s) / 1e3, 3)}),
    ]


def sml2mqtt(course: Course, now_s: float, turn: int) -> list[Message]:
    return [
        text("sml2mqtt/cellar/energy_total", f"{course.import_wh(now_s):.1f}"),
        text("sml2mqtt/cellar/power", f"{course.power_w:.0f}"),
    ]


def ams(course: Course, now_s: float, turn: int) -> list[Message]:
    if turn % 5 == 2:  # The firmware's own mistake: an escape that JSON does not have.
        return [
            text("han/kitchen", '{"id":"70:04","up":34,"t":1,"rssi":-81,"data":{"meterId":"KFM\\x10","P":60}}')
        ]
    data = {"lv": "", "P": round(course.import_w), "PO": round(course.export_w)}
    data |= {"tPI": round(course.import_wh(now_s) / 1e3, 3), "tPO": round(course.export_wh(now_s) / 1e3, 3)}
    return [
        js("han/kitchen", {"id": "70:04", "name": "ams", "up": 55, "t": round(now_s), "rssi": -81, "data": data})
    ]


def announced(course: Course, now_s: float, turn: int) -> list[Message]:
    config = {
        "dev": {"name": "Energy_11", "ids": ["e11"]},
        "name": "Import",
        "uniq_id": "e11_a",
        "dev_cla": "energy",
    }
    config |= {"stat_cla": "total_increasing", "unit_of_meas": "kWh", "~": "esp/e11", "stat_t": "~/ImpA"}
    topic = "homeassistant/sensor/e11/a/config"
    return [js(topic, config, True), text("esp/e11/ImpA", f"{course.import_wh(now_s) / 1e3:.3f}")]


def esphome(course: Course, now_s: float, turn: int) -> list[Message]:
    value = "nan" if turn % 6 == 5 else f"{course.power_w:.1f}"
    return [text("cellar/sensor/grid_power/state", value, True)]


def sparkplug(course: Course, now_s: float, turn: int) -> list[Message]:
    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    def inside(number: int, data: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(data)) + data

    now_ms = round(now_s * 1_000)
    value = b"\x20\x0a\x69" + struct.pack("<d", course.import_wh(now_s) / 1e3)
    is_birth = turn % 10 == 0
    name = inside(1, b"Energy/Import") if is_birth else b""
    metric = name + b"\x10\x07" + b"\x18" + varint(now_ms) + value
    payload = b"\x08" + varint(now_ms) + inside(2, metric) + b"\x18" + varint(turn % 256)
    return [(f"spBv1.0/Street/{'DBIRTH' if is_birth else 'DDATA'}/edge-1/meter-1", payload, False)]


def every_meter(start_s: float) -> dict[str, SpeakingMeter]:
    """One meter of each kind, by the name of the participant that owns it."""
    meters: dict[str, SpeakingMeter] = {}

    def add(
        family: str,
        speak: Callable[[Course, float, int], list[Message]],
        import_w: float,
        export_w: float = 0.0,
        needs: str = "",
        **settings: object,
    ) -> None:
        number = len(meters)
        course = Course(
            import_w=import_w,
            export_w=export_w,
            import_start_wh=100_000.0 + 1_111.0 * number,
            export_start_wh=5_000.0 * (export_w > 0),
            start_s=start_s,
        )
        meters[family.replace(".", "-")] = SpeakingMeter(family, course, speak, settings, needs=needs)

    add("tasmota-total", tasmota_total, 9_000, prefix="boiler")
    add("tasmota", tasmota_bidirectional, 6_000, 3_000, prefix="Zaehler")
    add("shelly-gen1-em", shelly_gen1, 12_000, 3_000, prefix="shellyem3-485519D6FEC7")
    add("shelly-gen2-em", shelly_gen2, 8_000, prefix="shellypro3em-0a1b2c")
    add("zigbee2mqtt-plug", zigbee, 7_000, 1_000, prefix="main meter")
    add("opendtu", opendtu, 0, 5_000, prefix="solar/114180012345")
    add("dsmr-reader", dsmr, 10_000, prefix="dsmr/reading")
    add("victron-grid", victron, 4_000, 2_000, needs="R/c0619ab12345/keepalive", prefix="N/c0619ab12345/grid/30")
    add("sml2mqtt", sml2mqtt, 11_000, prefix="sml2mqtt/cellar")
    add("amsreader", ams, 5_000, 1_000, topic="han/kitchen")
    config = {"discovery": "homeassistant/sensor/e11/a/config"}
    add("ha-discovery", announced, 6_500, **{"import": config})
    add("esphome", esphome, 7_500, prefix="cellar", parameters={"power": "grid_power"})
    metric = {"path": 'metrics."Energy/Import"', "unit": "kWh"}
    add("sparkplug-b", sparkplug, 8_500, topic="spBv1.0/Street/+/edge-1/meter-1", **{"import": metric})
    return meters


class MeterProgram:
    """All meters at once, speaking until closed. `published` is what the home's broker was told by others."""

    def __init__(self, broker: BrokerAddress, meters: dict[str, SpeakingMeter]) -> None:
        self.meters = meters
        self.heard: dict[str, bytes] = {}
        self._bus = MqttBus([broker], "meter-program")
        self._bus.subscribe("#", self._hear)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter program", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Fall silent."""
        self._end.set()
        self._thread.join(10)
        self._bus.close()

    def _hear(self, message: BusMessage) -> None:
        self.heard[message.topic] = message.payload
        for meter in self.meters.values():
            meter.asked = meter.asked or meter.needs == message.topic

    def _run(self) -> None:
        turn, next_s = 0, time.time()
        while not self._end.is_set():
            self._bus.poll(0.05)
            if time.time() < next_s:
                continue
            next_s, turn = next_s + SPEAK_INTERVAL_S, turn + 1
            for meter in self.meters.values():
                if meter.needs and not meter.asked:
                    # All that Venus says to who does not ask.
                    serial = js("N/c0619ab12345/system/0/Serial", {"value": "c0619ab12345"}, retain=True)
                    self._bus.publish(*serial[:2], retain=True, qos=0)
                    continue
                for topic, payload, retain in meter.speak(meter.course, time.time(), turn):
                    self._bus.publish(topic, payload, retain=retain, qos=0)
