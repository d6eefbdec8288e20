"""Our own mosquitto: its configuration, its start and its end.

A run that is given no broker starts one on a free port of 127.0.0.1, with its files in the run folder.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mosquitto.address import BrokerAddress
from mosquitto.bus import PAYLOAD_BYTES_MAX
from mosquitto.errors import BrokerError
from mosquitto.install import BrokerBinary, require_broker

LOOPBACK: Final = "127.0.0.1"
START_LIMIT_S: Final = 15.0
STOP_LIMIT_S: Final = 5.0
PACKET_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 70_000
"""What the broker takes: our largest payload, the longest topic, and the header."""

_PORT_ATTEMPTS: Final = 5
_CONNECT: Final = bytes.fromhex("100c00044d5154540402003c0000")  # CONNECT: MQTT 3.1.1, clean, no client id.
_CONNACK: Final = bytes.fromhex("20020000")


def configuration(folder: Path, port: int) -> str:
    """The text of mosquitto.conf for a broker on loopback that keeps its files in `folder`."""
    lines = [
        f"listener {port} {LOOPBACK}",
        # Whoever reaches loopback may connect, because connecting gives no authority: every message that
        # counts is signed and checked by its readers. It could be flooded by local users, as could the CPU.
        "allow_anonymous true",
        "set_tcp_nodelay true",
        f"max_packet_size {PACKET_BYTES_MAX}",
        # The default of 1,000 queued messages loses QoS 1 messages in a burst, in silence. The bound that
        # matters is the one in bytes, for each client.
        "max_queued_messages 0",
        "max_queued_bytes 256000000",
        "max_inflight_messages 200",
        "persistent_client_expiration 7d",
        "persistence true",
        f"persistence_location {folder}/",
        # A killed broker comes back with the retained messages and sessions of this many seconds ago.
        "autosave_interval 5",
        "sys_interval 5",
        f"log_dest file {folder / 'mosquitto.log'}",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        "log_type error",
        "log_type warning",
        "log_type notice",
    ]
    if os.geteuid() == 0:
        # Started by root, mosquitto would become another user, who may not write into the run folder.
        lines.append(f"user {getpass.getuser()}")
    return "\n".join(lines) + "\n"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class BrokerProcess:
    """A mosquitto that belongs to this process. A context manager: started on entry, stopped on exit.

    `port` None takes a free one and keeps it over restarts. The broker has a session of its own, so a
    Ctrl-C in the terminal does not end it before the one who started it decides; where the system
    allows, it ends with its parent even when that is killed.
    """

    def __init__(self, folder: Path, port: int | None = None, binary: BrokerBinary | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> BrokerAddress:
        """Where it listens. Raises BrokerError before the first start without a fixed port."""
        if self.port is None:
            raise BrokerError("the broker has no port before it is started")
        return BrokerAddress(LOOPBACK, self.port)

    @property
    def log_path(self) -> Path:
        """The broker's own log."""
        return self.folder / "mosquitto.log"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self.is_alive else None

    @property
    def is_alive(self) -> bool:
        """Whether it was started and runs."""
        return self._process is not None and self._process.poll() is None

    def poll(self) -> int | None:
        """Its exit code (negative: the signal), or None while it runs or was never started."""
        return None if self._process is None else self._process.poll()

    def start(self) -> BrokerAddress:
        """Start and wait until it answers. Raises BrokerError with the end of its log when it does not."""
        if self.is_alive:
            return self.address
        binary = self._binary or require_broker()
        # Between finding a free port and listening on it somebody else may take it: then try another.
        attempts = _PORT_ATTEMPTS if self.port is None else 1
        for attempt in range(attempts):
            port = self.port or free_port()
            try:
                self._launch(binary, port)
            except BrokerError:
                if attempt == attempts - 1:
                    raise
            else:
                self.port = port
                break
        return self.address

    def stop(self) -> None:
        """End it: ask, wait, then kill. It saves retained messages and sessions when it goes in peace."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL), for tests of what comes after."""
        self._end(signal.SIGKILL)

    def restart(self) -> BrokerAddress:
        """Stop it and start it again on the same port."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, binary: BrokerBinary, port: int) -> None:
        _check_free(port)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "mosquitto.conf"
        path.write_text(configuration(self.folder, port), encoding="utf-8")
        with (self.folder / "mosquitto.out").open("ab") as output:
            self._process = subprocess.Popen(
                [*_end_with_parent(), binary.path, "-c", path],
                env={**os.environ, **binary.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not _answers(port):
            if not self.is_alive:
                raise BrokerError(f"mosquitto ended with {self.poll()} on port {port}: {self._last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerError(f"mosquitto did not answer on port {port} within {START_LIMIT_S:.0f} s")
            time.sleep(0.01)
        if not self.is_alive:
            raise BrokerError(f"another broker answers on port {port}: {self._last_words()}")

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _last_words(self) -> str:
        for path in (self.folder / "mosquitto.out", self.log_path):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
            if lines:
                return " / ".join(lines[-3:])
        return "it said nothing"


def _end_with_parent() -> list[str]:
    # The kernel's parent-death signal follows the starting *thread*: of a short-lived one it would come early.
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    try:
        shown = subprocess.run([setpriv, "--help"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [setpriv, "--pdeathsig", "TERM"] if "--pdeathsig" in shown.stdout else []


def _check_free(port: int) -> None:
    # Asked before the start: afterwards another's answer would pass for our broker's while ours is failing.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise BrokerError(f"port {port} cannot be used for a broker: {error.strerror}") from None


def _answers(port: int) -> bool:
    """Whether an MQTT broker accepts a client there. An open port alone could be anybody's."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0) as probe:
            probe.sendall(_CONNECT)
            answer = probe.recv(len(_CONNACK))
            probe.sendall(b"\xe0\x00")  # DISCONNECT
    except OSError:
        return False
    return answer == _CONNACK
