"""Whatever arrives on a home broker, reading it neither raises nor makes numbers that are none."""

from __future__ import annotations

import contextlib
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from devices.message_check import check_message
from devices.meter_families import FamilyBook
from devices.meter_paths import InvalidValue
from devices.sparkplug import decode_payload, rebirth_command

BOOK = FamilyBook.load()
KEYS = ["ENERGY", "Total", "Power", "StatusSNS", "linkquality", "energy", "params", "switch:0", "aenergy", "value"]
KEYS += ["data", "P", "tPI", "t", "rssi", "up", "idx", "stype", "svalue1", "svalue2", "total_act", "ImportActive"]
TOPICS = [
    "tele/x/SENSOR",
    "zigbee2mqtt/x",
    "x/status/switch:0",
    "x/events/rpc",
    "N/1/grid/3/Ac/Power",
    "domoticz/out",
]
TOPICS += ["shellies/x/emeter/0/total", "solar/1/0/yieldtotal", "spBv1.0/a/DDATA/b", "domoticz/out", "x"]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("12.5"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
payloads = values.map(json.dumps) | st.text(max_size=30) | st.binary(max_size=60)


@given(st.sampled_from(TOPICS) | st.none(), payloads, st.sampled_from([None, *BOOK.names()]))
def test_any_message_is_read_or_refused(topic: str | None, payload: bytes | str, family: str | None) -> None:
    check = check_message(BOOK, topic, payload, family)
    for register in (check.import_wh, check.export_wh):
        assert register is None or (math.isfinite(register) and register >= 0)
    assert check.power_w is None or math.isfinite(check.power_w)
    assert check.quality


@given(st.binary(max_size=200))
def test_any_bytes_are_a_sparkplug_payload_or_invalid(data: bytes) -> None:
    with contextlib.suppress(InvalidValue):
        decode_payload(data)


@given(st.integers(min_value=0, max_value=2**53), st.integers(min_value=0, max_value=199))
def test_a_cut_sparkplug_payload_is_invalid_or_shorter(now_ms: int, length: int) -> None:
    command = rebirth_command("spBv1.0/street/+/edge/meter", now_ms)
    assert command is not None
    whole = decode_payload(command[1])
    assert whole.metrics[0].name == "Node Control/Rebirth"
    assert whole.metrics[0].value is True
    with contextlib.suppress(InvalidValue):
        assert decode_payload(command[1][:length]).metrics in ((), whole.metrics)
