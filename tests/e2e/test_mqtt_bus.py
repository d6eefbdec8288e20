from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mosquitto.address import CA_FILE_VARIABLE, PASSWORD_VARIABLE, BrokerAddress
from mosquitto.broker import BrokerProcess, configuration
from mosquitto.broker import free_port as closed_port
from mosquitto.bus import PAYLOAD_BYTES_MAX, BusMessage
from mosquitto.errors import BrokerError
from mosquitto.install import require_broker
from mosquitto.mqtt_bus import MqttBus

pytestmark = pytest.mark.e2e
LIMIT_S = 20.0


def start_with(folder: Path, text: str) -> subprocess.Popen[bytes]:
    """A broker with a configuration of the test's own. The bus waits for it, so we need not."""
    (folder / "own.conf").write_text(text)
    binary = require_broker()
    command = [binary.path, "-c", folder / "own.conf"]
    return subprocess.Popen(command, env={**os.environ, **binary.environment}, stderr=subprocess.DEVNULL)


class Buses:
    """Makes buses, polls them together, closes them."""

    def __init__(self) -> None:
        self.open: list[MqttBus] = []

    def add(self, bus: MqttBus, connect: bool = True) -> MqttBus:
        self.open.append(bus)
        if connect:
            assert bus.wait_connected(LIMIT_S, every=True), bus.describe()
        return bus

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, [bus.describe() for bus in self.open]
            for bus in self.open:
                bus.poll(0.01)


@pytest.fixture
def buses() -> Iterator[Buses]:
    kept = Buses()
    yield kept
    for bus in kept.open:
        bus.close()


def test_messages_arrive_on_the_polling_thread_in_order(broker: BrokerProcess, buses: Buses) -> None:
    heard: list[bytes] = []
    threads: set[int] = set()
    receiver = MqttBus([broker.address], "order-receiver")
    receiver.subscribe("gb/order/#", lambda m: (heard.append(m.payload), threads.add(threading.get_ident()))[0])
    buses.add(receiver)
    sender = buses.add(MqttBus([broker.address], "order-sender"))
    sent = [b"%d" % number for number in range(5000)]
    for payload in sent:
        sender.publish("gb/order/tx", payload)
    buses.until(lambda: len(heard) >= len(sent))
    assert heard == sent
    assert threads == {threading.get_ident()}
    assert sender.stats.dropped == 0


def test_overlapping_filters_bring_each_message_once_to_each_handler(broker: BrokerProcess, buses: Buses) -> None:
    heard: list[str] = []
    bus = MqttBus([broker.address], "overlap")
    bus.subscribe("gb/overlap/block/+", lambda m: heard.append("narrow"))
    buses.add(bus)
    bus.subscribe("gb/overlap/#", lambda m: heard.append("wide"))
    bus.subscribe("gb/overlap/block/a", lambda m: heard.append("exact"))
    assert bus.wait_connected(LIMIT_S)
    bus.publish("gb/overlap/block/a", b"1")
    bus.publish("gb/overlap/end", b"")
    buses.until(lambda: len(heard) >= 4)
    assert heard == ["narrow", "wide", "exact", "wide"]


def test_a_late_narrow_subscription_gets_its_retained_message(broker: BrokerProcess, buses: Buses) -> None:
    heard: list[BusMessage] = []
    bus = MqttBus([broker.address], "late")
    bus.subscribe("gb/late/#", lambda m: None)
    buses.add(bus)
    bus.publish("gb/late/price/north", b"7", retain=True)
    assert bus.flush(LIMIT_S)
    bus.poll(0)
    bus.subscribe("gb/late/price/+", heard.append)
    buses.until(lambda: any(message.retained for message in heard))
    assert BusMessage("gb/late/price/north", b"7", retained=True) in heard


def test_the_last_will_is_said_for_the_killed_and_not_for_the_polite(broker: BrokerProcess, buses: Buses) -> None:
    heard: list[BusMessage] = []
    watcher = MqttBus([broker.address], "watcher")
    watcher.subscribe("gb/will/status/+", heard.append)
    buses.add(watcher)
    polite = MqttBus([broker.address], "polite", will=("gb/will/status/polite", b"offline"))
    assert polite.wait_connected(LIMIT_S)
    polite.close()
    script = (
        "from mosquitto.mqtt_bus import BrokerAddress, MqttBus\n"
        "topic = 'gb/will/status/doomed'\n"
        f"bus = MqttBus([BrokerAddress('127.0.0.1', {broker.port})], 'doomed', will=(topic, b'offline'))\n"
        "bus.publish(topic, b'online', retain=True)\n"
        "while True: bus.poll(1.0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as doomed:
        try:
            buses.until(lambda: b"online" in [message.payload for message in heard])
        finally:
            doomed.kill()
    buses.until(lambda: b"offline" in [message.payload for message in heard])
    assert [message.topic for message in heard] == ["gb/will/status/doomed"] * 2


def test_what_is_published_while_the_broker_is_dead_arrives_after_its_return(
    own_broker: BrokerProcess, buses: Buses
) -> None:
    heard: list[bytes] = []
    back: list[str] = []
    receiver = MqttBus([own_broker.address], "receiver")
    receiver.subscribe("t", lambda m: heard.append(m.payload))
    receiver.on_reconnect(lambda: back.append("receiver"))
    buses.add(receiver)
    sender = buses.add(MqttBus([own_broker.address], "sender"))
    sender.publish("t", b"before")
    buses.until(lambda: heard == [b"before"])
    own_broker.kill()
    buses.until(lambda: not sender.is_connected and not receiver.is_connected)
    sender.publish("t", b"lost on purpose", qos=0)
    # The receiver's session is clean, so it has to be back before the sender is polled.
    for number in range(10):
        sender.publish("t", b"%d" % number)
    own_broker.start()
    assert receiver.wait_connected(LIMIT_S)
    buses.until(lambda: len(heard) >= 11)
    assert heard == [b"before", *(b"%d" % number for number in range(10))]
    assert receiver.stats.reconnects == 1
    assert back == ["receiver"]
    assert sender.stats.dropped == 1


def test_messages_on_their_way_when_the_broker_is_killed_are_sent_again(
    own_broker: BrokerProcess, buses: Buses
) -> None:
    heard: set[bytes] = set()
    receiver = MqttBus([own_broker.address], "receiver")
    receiver.subscribe("t", lambda m: heard.add(m.payload))
    buses.add(receiver)
    sender = buses.add(MqttBus([own_broker.address], "sender"))
    # Frozen, the broker acknowledges nothing: all of these are unconfirmed when it dies.
    assert own_broker.pid is not None
    os.kill(own_broker.pid, signal.SIGSTOP)
    for number in range(500):
        sender.publish("t", b"%d" % number)
    own_broker.kill()
    own_broker.start()
    # The receiver's session is clean, so it has to be back before the sender is polled.
    deadline = time.monotonic() + LIMIT_S
    while not receiver.stats.reconnects and time.monotonic() < deadline:
        receiver.poll(0.01)
    assert receiver.wait_connected(LIMIT_S)
    assert heard == set()
    buses.until(lambda: len(heard) == 500)
    assert sender.flush(LIMIT_S)


def test_a_persistent_session_gets_what_was_sent_while_it_was_away(broker: BrokerProcess, buses: Buses) -> None:
    heard: list[bytes] = []
    first = MqttBus([broker.address], "persistent", clean=False)
    first.subscribe("gb/persistent", lambda m: heard.append(m.payload))
    assert first.wait_connected(LIMIT_S)
    first.close()
    sender = buses.add(MqttBus([broker.address], "persistent-sender"))
    for number in range(2000):
        sender.publish("gb/persistent", b"%d" % number)
    assert sender.flush(LIMIT_S)
    second = MqttBus([broker.address], "persistent", clean=False)
    second.subscribe("gb/persistent", lambda m: heard.append(m.payload))
    buses.add(second)
    buses.until(lambda: len(heard) >= 2000)
    assert heard == [b"%d" % number for number in range(2000)]
    end = MqttBus([broker.address], "persistent")  # A clean connection of that name ends the session.
    assert end.wait_connected(LIMIT_S)
    end.close()


def test_a_broker_that_is_absent_at_the_start_is_found_when_it_comes(
    tmp_path: Path, free_port: int, buses: Buses
) -> None:
    address = BrokerAddress("127.0.0.1", free_port)
    heard: list[bytes] = []
    bus = MqttBus([address], "early")
    bus.subscribe("t", lambda m: heard.append(m.payload))
    buses.add(bus, connect=False)
    assert not bus.wait_connected(0.3)
    assert str(free_port) in bus.describe()
    with BrokerProcess(tmp_path / "broker", free_port):
        assert bus.wait_connected(LIMIT_S)
        bus.publish("t", b"here")
        buses.until(lambda: heard == [b"here"])


def test_with_two_brokers_one_copy_arrives_and_one_broker_may_die(tmp_path: Path, buses: Buses) -> None:
    heard: list[bytes] = []
    with BrokerProcess(tmp_path / "a") as a, BrokerProcess(tmp_path / "b") as b:
        addresses = [a.address, b.address]
        receiver = MqttBus(addresses, "receiver")
        receiver.subscribe("t", lambda m: heard.append(m.payload))
        buses.add(receiver)
        sender = buses.add(MqttBus(addresses, "sender"))
        sender.publish("t", b"same")
        sender.publish("t", b"same")
        buses.until(lambda: receiver.stats.received == 4)
        assert heard == [b"same", b"same"], "sent twice, so delivered twice, though it came four times"
        a.kill()
        sender.publish("t", b"one dead")
        buses.until(lambda: b"one dead" in heard)
        assert receiver.is_connected
        a.start()
        assert receiver.wait_connected(LIMIT_S, every=True)
        buses.until(lambda: sender.stats.reconnects == 1)
        b.kill()
        sender.publish("t", b"the other dead")
        buses.until(lambda: b"the other dead" in heard)


def test_the_queue_for_an_absent_broker_is_bounded_and_keeps_the_newest(
    tmp_path: Path, free_port: int, buses: Buses
) -> None:
    heard: list[bytes] = []
    sender = MqttBus([BrokerAddress("127.0.0.1", free_port)], "sender", queue_messages=10, queue_bytes=1000)
    buses.add(sender, connect=False)
    for number in range(25):
        sender.publish("t", b"%d" % number)
    assert sender.stats.dropped == 15
    sender.publish("t", bytes(995))
    assert sender.stats.dropped == 15 + 8, "bytes count as well: two of two bytes fit beside it"
    with BrokerProcess(tmp_path / "broker", free_port) as process:
        receiver = MqttBus([process.address], "receiver")
        receiver.subscribe("t", lambda m: heard.append(m.payload))
        buses.add(receiver)
        buses.until(lambda: bytes(995) in heard)
        assert heard[:-1] == [b"23", b"24"]


def test_the_largest_payload_passes_and_a_larger_one_is_refused_here(broker: BrokerProcess, buses: Buses) -> None:
    heard: list[int] = []
    bus = MqttBus([broker.address], "large")
    bus.subscribe("gb/large/" + "x" * 60_000, lambda m: heard.append(len(m.payload)))
    buses.add(bus)
    bus.publish("gb/large/" + "x" * 60_000, bytes(PAYLOAD_BYTES_MAX))
    bus.publish("gb/large/" + "x" * 60_000, bytes(PAYLOAD_BYTES_MAX + 1))
    bus.publish("gb/large/" + "x" * 60_000, b"after")
    buses.until(lambda: len(heard) >= 2)
    assert heard == [PAYLOAD_BYTES_MAX, 5]
    assert bus.stats.refused == 1


def test_a_raising_handler_keeps_the_other_messages(broker: BrokerProcess, buses: Buses) -> None:
    heard: list[bytes] = []

    def handler(message: BusMessage) -> None:
        if message.payload == b"bad":
            raise KeyError("bad")
        heard.append(message.payload)

    bus = MqttBus([broker.address], "raising")
    bus.subscribe("gb/raising", handler)
    buses.add(bus)
    for payload in (b"1", b"bad", b"2"):
        bus.publish("gb/raising", payload)
    with pytest.raises(KeyError):
        buses.until(lambda: False)
    buses.until(lambda: heard == [b"1", b"2"])


def test_something_that_is_no_broker_is_reported_and_tried_again(buses: Buses) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        bus = buses.add(MqttBus([BrokerAddress("127.0.0.1", server.getsockname()[1])], "lost"), connect=False)
        server.settimeout(0)
        visits = 0

        def visited() -> bool:
            nonlocal visits
            try:
                connection, _ = server.accept()
            except BlockingIOError:
                return visits >= 3
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()
            visits += 1
            return visits >= 3

        buses.until(visited)
        assert not bus.is_connected
        buses.until(lambda: "broke" in bus.describe() or "reset" in bus.describe())


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="only Linux tells a child that its parent died")
def test_a_broker_ends_with_its_parent_even_when_that_is_killed(tmp_path: Path, free_port: int) -> None:
    script = (
        "import sys; from pathlib import Path; from mosquitto.broker import BrokerProcess\n"
        f"process = BrokerProcess(Path({str(tmp_path)!r}), {free_port})\n"
        "process.start(); print('started', flush=True); sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        socket.create_connection(("127.0.0.1", free_port)).close()
        parent.kill()
    deadline = time.monotonic() + LIMIT_S
    with pytest.raises(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", free_port)).close()
            time.sleep(0.01)


def test_a_ctrl_c_in_the_terminal_does_not_reach_the_broker(own_broker: BrokerProcess) -> None:
    assert own_broker.pid is not None
    assert os.getpgid(own_broker.pid) != os.getpgid(0)


def test_two_brokers_cannot_share_a_port(own_broker: BrokerProcess, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="port"):
        BrokerProcess(tmp_path / "second", own_broker.port).start()


def test_a_stopped_broker_comes_back_on_its_port_with_what_it_retained(
    own_broker: BrokerProcess, buses: Buses
) -> None:
    bus = buses.add(MqttBus([own_broker.address], "first"))
    bus.publish("kept", b"value", retain=True)
    assert bus.flush(LIMIT_S)
    port = own_broker.port
    own_broker.restart()
    assert own_broker.port == port
    heard: list[BusMessage] = []
    late = MqttBus([own_broker.address], "late")
    late.subscribe("kept", heard.append)
    buses.add(late)
    buses.until(lambda: heard == [BusMessage("kept", b"value", retained=True)])


def test_over_tls_only_a_broker_with_the_right_certificate_is_believed(
    tmp_path: Path, free_port: int, buses: Buses, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    for name in ("server", "stranger"):
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")]
        subprocess.run([*openssl, *names, *files, "-days", "2"], check=True, capture_output=True)
    extra = f"listener {free_port} 127.0.0.1\ncertfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n"
    server = start_with(tmp_path, configuration(tmp_path, closed_port()) + extra)
    try:
        address = BrokerAddress.parse(f"mqtts://localhost:{free_port}")
        monkeypatch.setenv(CA_FILE_VARIABLE, str(tmp_path / "server.pem"))
        heard: list[int] = []
        bus = MqttBus([address], "tls")
        bus.subscribe("t", lambda m: heard.append(len(m.payload)))
        assert bus.wait_connected(LIMIT_S), bus.describe()
        buses.add(bus)
        for size in (0, 1, 20_000, 500_000):
            bus.publish("t", bytes(size))
        buses.until(lambda: heard == [0, 1, 20_000, 500_000])
        monkeypatch.setenv(CA_FILE_VARIABLE, str(tmp_path / "stranger.pem"))
        deceived = MqttBus([address], "deceived")
        buses.add(deceived, connect=False)
        assert not deceived.wait_connected(0.5)
        assert "certificate" in deceived.describe()
    finally:
        server.terminate()
        server.wait()


def test_a_wrong_password_is_refused_a_right_one_accepted_and_none_is_ever_shown(
    tmp_path: Path,
    free_port: int,
    buses: Buses,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "passwords").write_text(password_line("meter", "right-secret"))
    text = configuration(tmp_path, free_port).replace("allow_anonymous true", "allow_anonymous false")
    server = start_with(tmp_path, text + f"password_file {tmp_path / 'passwords'}\n")
    try:
        address = BrokerAddress.parse(f"mqtt://meter@127.0.0.1:{free_port}")
        monkeypatch.setenv(PASSWORD_VARIABLE, "wrong-secret")
        wrong = buses.add(MqttBus([address], "wrong"), connect=False)
        buses.until(lambda: "refuses us" in wrong.describe())
        monkeypatch.setenv(PASSWORD_VARIABLE, "right-secret")
        right = buses.add(MqttBus([address], "right"))
        assert not wrong.is_connected
        shown = caplog.text + wrong.describe() + right.describe() + repr(vars(right._links[0]))
        assert "secret" not in shown
    finally:
        server.terminate()
        server.wait()


def password_line(user: str, password: str) -> str:
    """A line of mosquitto's password file, whose own tool is not part of an unpacked broker."""
    salt = bytes(range(12))
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"
