"""Listening to a home broker for a while, for `gridbazaar meters discover`."""

from __future__ import annotations

import os
import time
from typing import Final

from agents.errors import ConfigurationError, WorkError
from agents.wall_clock import now_ms
from devices.discovery import Discovery
from devices.meter_families import FamilyBook
from mosquitto.access import BrokerAccess
from mosquitto.address import BrokerAddress
from mosquitto.bus import BusMessage
from mosquitto.errors import BrokerError
from mosquitto.mqtt_bus import MqttBus

CONNECT_LIMIT_S: Final = 10.0


def discover_on(address: BrokerAddress, access: BrokerAccess, book: FamilyBook, seconds: float) -> Discovery:
    """Everything that speaks on a broker within a time.

    Raises ConfigurationError for a certificate that cannot be read, WorkError when the broker does not let us in.
    """
    try:
        bus = MqttBus([address], f"gridbazaar-discover-{os.getpid()}", access=access)
    except BrokerError as error:
        raise ConfigurationError(str(error)) from None
    discovery = Discovery(book)

    def hear(message: BusMessage) -> None:
        discovery.hear(message.topic, message.payload)
        for topic, payload in discovery.questions(message.topic, now_ms()):
            bus.publish(topic, payload, qos=0)

    bus.subscribe("#", hear)
    try:
        if not bus.wait_connected(CONNECT_LIMIT_S):
            raise WorkError(f"broker {address}: {bus.describe()}; expected an MQTT 3.1.1 broker that lets us in")
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            bus.poll(min(0.2, left_s))
    finally:
        bus.close()
    return discovery
