"""A real committee under load: broker, ledger nodes and the load generator as processes, and what they say.

What `gridbazaar chaos` and `gridbazaar bench` share. Like the runner it only observes the chain; unlike the
runner it lets its owner take processes down.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from agents.announcements import BlockAnnouncement
from agents.deployment import Deployment
from agents.errors import WorkError
from agents.load_process import command_line
from agents.run_folder import RunFolder
from agents.runner import Interrupt, prepare
from agents.scenario import Scenario
from agents.supervisor import ChildGaveUpError, ChildSpec, Supervisor, python_command
from mosquitto.address import BrokerAddress
from mosquitto.broker import BrokerProcess
from mosquitto.bus import BusMessage
from mosquitto.envelope import Kind, open_envelope
from mosquitto.errors import NetworkError, RemoteError
from mosquitto.mqtt_bus import MqttBus
from mosquitto.status import open_status
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

START_LIMIT_S: Final = 60.0
AGREE_LIMIT_S: Final = 30.0
POLL_S: Final = 0.05
LOAD: Final = "load"


class Interrupted(WorkError):  # noqa: N818 - no failure: somebody said stop
    """A person asked for the end."""


@dataclass(slots=True)
class NodeSeen:
    """What a node said last: its newest block, and whether it is there. `heard_s` on the observer's clock."""

    height: int = 0
    view: int = 0
    block_hash: bytes = b""
    heard_s: float = 0.0
    online: bool = False


def under_fire(text: str | None, file: str, *, period_s: float, name: str | None = None) -> Scenario:
    """A scenario for chaos or bench: paced by the wall clock, a period every `period_s`, without an end.

    `text` None takes a neighbourhood of our own. Raises ScenarioError.
    """
    scenario = Scenario.parse(text or NEIGHBOURHOOD, file)
    values = scenario.model_dump(by_alias=True)
    values["market"] |= {
        "pace": "scaled",
        "periods": 1_000_000,
        "time_factor": scenario.market.period_minutes * 60 / period_s,
    }
    if name is not None:
        values["scenario"]["name"] = name
    return Scenario.from_values(values, file)


class Cluster:
    """The processes of one run under load. A context manager: everything it started is ended on exit."""

    def __init__(self, folder: RunFolder, scenario: Scenario) -> None:
        self.folder = folder
        self.scenario = scenario
        self.supervisor = Supervisor()
        self.broker = BrokerProcess(folder.broker)
        self.nodes: dict[str, NodeSeen] = {}
        self.interrupt = Interrupt()
        self.restarted: list[str] = []
        """Parts that the supervisor started again, in order; whoever asks may clear it."""
        self._online: dict[str, str] = {}
        self._names: dict[bytes, str] = {}
        self.deployment: Deployment
        self.bus: MqttBus

    def __enter__(self) -> Self:
        self.interrupt.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.interrupt.__exit__()

    def _start(self) -> None:
        address = self.start_broker()
        self.deployment = prepare(self.folder, self.scenario, address)
        self._names = {entry.public_key: entry.name for entry in self.deployment.committee}
        self._names |= {host.public_key: host.name for host in self.deployment.hosts}
        self.nodes = {entry.name: NodeSeen() for entry in self.deployment.committee}
        topics = Topics(self.deployment.chain_id)
        self.bus = MqttBus([address], f"{self.deployment.chain_id}-observer")
        self.bus.subscribe(topics.every_status(), self._on_status)
        self.bus.subscribe(topics.every_blocks(), self._on_block)
        if not self.bus.wait_connected(10.0):
            raise WorkError(f"the broker does not answer; see {self.broker.log_path}")
        for name in self.nodes:
            self._spawn(name, python_command("node", str(self.folder.path), name))
        if not self.wait(lambda: all(node.online for node in self.nodes.values()), START_LIMIT_S):
            raise WorkError(f"not every node is ready after {START_LIMIT_S:.0f} s; see {self.folder.logs}")

    def start_broker(self) -> BrokerAddress:
        """Start the broker, or start it again. Raises WorkError when it does not come."""
        try:
            return self.broker.start()
        except NetworkError as error:
            raise WorkError(str(error)) from None

    def start_load(self, rate_per_s: float, *, name: str = LOAD, seconds: float | None = None) -> None:
        """Start a load generator and wait until everybody is enrolled and orders flow."""
        self._online.pop("agents", None)
        self._spawn(name, command_line(self.folder, name, rate_per_s, seconds), finite=True)
        if not self.wait(lambda: self._online.get("agents") == "online", START_LIMIT_S):
            raise WorkError(f"no orders flow after {START_LIMIT_S:.0f} s; see {self.folder.output(name)}")

    def stop_load(self, limit_s: float, name: str = LOAD) -> bool:
        """Let the load generator wait for its last receipts and end. False when it does not within the limit."""
        child = self.supervisor.children[name]
        if child.process.poll() is None:
            child.process.terminate()
        return self.wait(lambda: self.supervisor.has_ended(name), limit_s)

    def poll(self) -> None:
        """Hear what is said, keep parts alive. Raises WorkError when one is given up, or Interrupted."""
        self.bus.poll(POLL_S)
        if self.interrupt.is_set:
            raise Interrupted("stopped")
        try:
            self.restarted += self.supervisor.check()
        except ChildGaveUpError as error:
            raise WorkError(str(error)) from None

    def wait(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Poll until `done`, or False when the limit passes."""
        deadline_s = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > deadline_s:
                return False
            self.poll()
        return True

    def watch(self, seconds: float) -> None:
        """Poll for so long."""
        self.wait(lambda: False, seconds)

    @property
    def height(self) -> int:
        """The height that f + 1 nodes have reached: an honest one is there."""
        heights = sorted((node.height for node in self.nodes.values()), reverse=True)
        return heights[self.deployment.faults]

    @property
    def primary(self) -> str:
        """The primary of the view that f + 1 nodes have reached."""
        views = sorted((node.view for node in self.nodes.values()), reverse=True)
        members = self.deployment.committee
        return members[views[self.deployment.faults] % len(members)].name

    def pid(self, name: str) -> int:
        """The process id of a part."""
        return self.supervisor.children[name].process.pid

    def agree(self) -> bool:
        """Whether all nodes announced the same newest block."""
        return len({(node.height, node.block_hash) for node in self.nodes.values()}) == 1

    def stop(self) -> None:
        """End every process, nodes first."""
        self.supervisor.stop(patience_s=10.0)
        if hasattr(self, "bus"):
            self.bus.close()
        self.broker.stop()

    def _spawn(self, name: str, command: tuple[str, ...], *, finite: bool = False) -> None:
        output = self.folder.output(name)
        self.supervisor.start(ChildSpec(name=name, command=command, output=output, finite=finite))

    def _on_status(self, message: BusMessage) -> None:
        try:
            envelope, status = open_status(message.payload, self.deployment.chain_id)
        except RemoteError:
            return
        if self._names.get(envelope.signer) != status.component:
            return
        self._online[status.component] = status.state
        if status.component in self.nodes:
            self.nodes[status.component].online = status.state == "online"

    def _on_block(self, message: BusMessage) -> None:
        try:
            envelope = open_envelope(message.payload, self.deployment.chain_id)
            if envelope.kind is not Kind.BLOCK:
                return
            block = BlockAnnouncement.parse(envelope.body)
        except RemoteError:
            return
        node = self.nodes.get(self._names.get(envelope.signer, ""))
        if node is None:
            return
        node.height, node.view, node.block_hash = block.height, block.view, block.block_hash
        node.heard_s = time.monotonic()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far, user and system; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    # The name in parentheses may hold blanks; what follows it does not.
    words = text[text.rindex(")") + 2 :].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


NEIGHBOURHOOD: Final = """
[scenario]
name = "under-fire"
seed = 1

[ledger]
checkpoint_interval = 32
request_timeout_ms = 2_000

[[region]]
name = "north"

[[region]]
name = "south"

[[homes]]
name = "north"
region = "north"
count = 20
with_pv = 10

[[homes]]
name = "south"
region = "south"
count = 20
with_pv = 10
"""
