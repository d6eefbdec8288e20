"""A whole run: broker, ledger nodes, devices, agents and the recorder, started by readiness and watched.

The runner is an observer with the power to start and stop processes. It takes no part in the market:
what it knows of it, it hears on the bus like anybody else.
"""

from __future__ import annotations

import itertools
import json
import logging
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agents.deployment import Deployment
from agents.deployment_builder import build_deployment, key_names
from agents.errors import ConfigurationError, WorkError
from agents.genesis import committee_of
from agents.key_ring import AGENTS_HOST, FolderKeys, devices_host
from agents.logging_setup import configure_logging
from agents.market_application import INVARIANT_BROKEN
from agents.meter_sections import GATEWAY
from agents.page_process import PageProcess
from agents.population import populate
from agents.progress import ProgressDisplay
from agents.recorder import Recorder
from agents.run_folder import RunFolder, write_atomically
from agents.run_options import RunOptions, RunResult
from agents.scenario import Scenario
from agents.supervisor import ChildGaveUpError, ChildSpec, Supervisor, python_command
from agents.wall_clock import now_ms
from ledger.driver import HALTED
from mosquitto.address import BrokerAddress
from mosquitto.broker import BrokerProcess
from mosquitto.bus import BusMessage
from mosquitto.errors import NetworkError, RemoteError
from mosquitto.mqtt_bus import MqttBus
from mosquitto.status import ComponentStatus, open_status
from mosquitto.topics import Topics

log = logging.getLogger(__name__)

START_LIMIT_S: Final = 60.0
START_MARGIN_MS: Final = 20_000
"""How long parts may take to start and participants to register before a market on the clock opens."""
BROKER_LIMIT_S: Final = 5.0
AGREE_LIMIT_S: Final = 15.0
POLL_S: Final = 0.05
BROKER_RESTARTS_MAX: Final = 5
BROKER_STEADY_S: Final = 60.0
"""A broker that has run for so long works: its next end is a first one again."""


def run_scenario(options: RunOptions) -> RunResult:
    """Run a scenario from its file to its report.

    Raises ConfigurationError before anything is started when something asked for cannot be, and WorkError
    when a part dies more often than it may. Ctrl-C and SIGTERM end the run early: the result says so.
    """
    began_s = time.monotonic()
    scenario = Scenario.load(options.scenario_path).changed(seed=options.seed, periods=options.periods)
    given = _broker_address(options.broker)
    if given is not None:
        _require_answer(given)
    folder = RunFolder.create(options.out or _new_folder(scenario.scenario.name), scenario.to_toml())
    configure_logging("runner", folder.log("runner"))
    interrupt = Interrupt()
    with ExitStack() as stack:
        progress = stack.enter_context(ProgressDisplay(scenario.market.periods, enabled=options.progress))
        progress.stage("starting")
        stack.enter_context(interrupt)
        broker = BrokerProcess(folder.broker) if given is None else None
        if broker is not None:
            _start_broker(broker)
            stack.callback(broker.stop)
        address = given or (broker.address if broker is not None else None)
        assert address is not None
        deployment = prepare(folder, scenario, address)
        page = PageProcess(folder, wanted=options.web)
        stack.callback(page.stop)
        run = Run(folder, deployment, address, broker, progress, interrupt, page)
        stack.callback(run.close)
        run.go()
    result = run.result(time.monotonic() - began_s)
    write_atomically(folder.result_json, json.dumps(result.to_json(), indent=1) + "\n")
    # Whoever presses Ctrl-C wants the terminal back at once: `gridbazaar report` makes up for it.
    if not interrupt.is_set:
        _write_report(folder)
    return result


def prepare(folder: RunFolder, scenario: Scenario, address: BrokerAddress) -> Deployment:
    """Make keys and `deployment.json`: after this every component can be started with the folder alone."""
    population = populate(scenario)
    keys = FolderKeys(folder)
    keys.create(key_names(scenario, population))
    deployment = build_deployment(scenario, population, keys, [str(address)], _first_period_ms(scenario))
    write_atomically(folder.deployment, deployment.to_text())
    write_atomically(folder.committee, committee_of(deployment).to_json())
    return deployment


class Interrupt:
    """Turns Ctrl-C and SIGTERM into a flag while the run is on, and gives the signals back afterwards."""

    def __init__(self) -> None:
        self.is_set = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave us

    def _on_signal(self, number: int, frame: object) -> None:
        self.is_set = True


class Run:
    """One run under way: its processes, its observer, and what it came to."""

    def __init__(
        self,
        folder: RunFolder,
        deployment: Deployment,
        address: BrokerAddress,
        broker: BrokerProcess | None,
        progress: ProgressDisplay,
        interrupt: Interrupt,
        page: PageProcess,
    ) -> None:
        self.folder = folder
        self.deployment = deployment
        self.broker = broker
        self.progress = progress
        self.interrupt = interrupt
        self.page = page
        self.supervisor = Supervisor()
        self.states: dict[str, ComponentStatus] = {}
        self.bus = MqttBus([address], f"{deployment.chain_id}-recorder")
        self._broker_restarts = 0
        self._broker_started_s = time.monotonic()
        self._component_keys = {entry.name: entry.public_key for entry in deployment.committee}
        self._component_keys.update((host.name, host.public_key) for host in deployment.hosts)
        if not self.bus.wait_connected(10.0):
            raise WorkError(f"broker {address}: does not answer; expected an MQTT 3.1.1 broker there")
        self.recorder = Recorder(folder, deployment, self.bus, now_ms)
        self.bus.subscribe(Topics(deployment.chain_id).every_status(), self._on_status)

    def go(self) -> None:
        """Start everything in the order of need, watch until the last period is settled, stop."""
        nodes = [entry.name for entry in self.deployment.committee]
        hosts = [host.name for host in self.deployment.hosts]
        self.progress.stage("starting ledger nodes")
        for name in nodes:
            self._start(name, "node", name)
        for region in self.deployment.regions:
            if devices_host(region) in hosts:
                self._start(devices_host(region), "devices", region)
        if GATEWAY in hosts:
            self._start(GATEWAY, "gateway")
        self._start(AGENTS_HOST, "agents", finite=True)
        started = self._watch_until(lambda: self._are_online([*nodes, *hosts]), START_LIMIT_S)
        if not started and not self.interrupt.is_set:
            silent = [name for name in (*nodes, *hosts) if not self._are_online([name])]
            raise WorkError(f"{', '.join(silent)}: not ready after {START_LIMIT_S:.0f} s; see {self.folder.logs}")
        self.progress.stage("market open")
        self.page.start()  # Last, so that nothing waits for it.
        self._watch_until(lambda: self.supervisor.has_ended(AGENTS_HOST), None)
        self.progress.stage("catching up")
        self._watch_until(self._nodes_agree, AGREE_LIMIT_S)

    def close(self) -> None:
        """Stop every process of the run and finish the tables."""
        self.progress.stage("stopping")
        self.supervisor.stop()
        self.recorder.close()
        self.bus.close()

    def result(self, seconds: float) -> RunResult:
        """What the run came to."""
        figures = self.recorder.figures
        return RunResult(
            folder=self.folder.path,
            periods_settled=figures.periods_settled,
            trades=figures.trades,
            energy_wh=figures.energy_wh,
            seconds=seconds,
            nodes=self.recorder.nodes(),
            violations=tuple(self._violations()),
            interrupted=figures.periods_settled < self.deployment.periods,
        )

    def _start(self, name: str, *arguments: str, finite: bool = False) -> None:
        command, *rest = arguments
        self.supervisor.start(
            ChildSpec(
                name=name,
                command=python_command(command, str(self.folder.path), *rest),
                output=self.folder.output(name),
                finite=finite,
            )
        )

    def _watch_until(self, done: Callable[[], bool], limit_s: float | None) -> bool:
        """Poll, keep parts alive, show figures. False when the limit passed or a person interrupted."""
        deadline_s = None if limit_s is None else time.monotonic() + limit_s
        while not done():
            if self.interrupt.is_set or (deadline_s is not None and time.monotonic() > deadline_s):
                return False
            self.bus.poll(POLL_S)
            self._keep_alive()
            if (url := self.page.look()) is not None:
                self.progress.say(f"Watch: {url}")
            self.progress.show(self.recorder.figures)
        self.progress.show(self.recorder.figures)
        return True

    def _keep_alive(self) -> None:
        try:
            self.supervisor.check()
        except ChildGaveUpError as error:
            raise WorkError(str(error)) from None
        if self.broker is not None and not self.broker.is_alive:
            now_s = time.monotonic()
            if now_s > self._broker_started_s + BROKER_STEADY_S:
                self._broker_restarts = 0
            self._broker_started_s = now_s
            self._broker_restarts += 1
            if self._broker_restarts > BROKER_RESTARTS_MAX:
                raise WorkError(
                    f"the broker ended {self._broker_restarts} times in a row; see {self.broker.log_path}"
                )
            log.warning("broker started again", extra={"fields": {"restarts": self._broker_restarts}})
            _start_broker(self.broker)

    def _on_status(self, message: BusMessage) -> None:
        try:
            envelope, status = open_status(message.payload, self.deployment.chain_id)
        except RemoteError:
            return
        if self._component_keys.get(status.component) == envelope.signer:
            self.states[status.component] = status

    def _are_online(self, names: list[str]) -> bool:
        return all((status := self.states.get(name)) is not None and status.state != "offline" for name in names)

    def _nodes_agree(self) -> bool:
        nodes = self.recorder.nodes()
        return len(nodes) == len(self.deployment.committee) and len(set(nodes.values())) == 1

    def _violations(self) -> Iterator[str]:
        """Broken promises: different states at one height, and what nodes noticed of themselves."""
        for (name, node), (other, its) in itertools.combinations(self.recorder.nodes().items(), 2):
            if node.height == its.height and node.state_root != its.state_root:
                yield f"{name} and {other} have different state roots at height {node.height}"
        for entry in self.deployment.committee:
            for line in _log_lines(self.folder.log(entry.name)):
                if line.get("event") in (INVARIANT_BROKEN, HALTED):
                    yield f"{entry.name}: {line['event']}: {line.get('reason')}"


def _log_lines(path: Path) -> Iterator[dict[str, object]]:
    """The lines of a component's log; one that a kill cut short is passed over."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def _broker_address(text: str | None) -> BrokerAddress | None:
    if text is None:
        return None
    try:
        return BrokerAddress.parse(text)
    except NetworkError as error:
        raise ConfigurationError(f"--broker {text}: {error}") from None


def _require_answer(address: BrokerAddress) -> None:
    """Look for the user's broker before there is a folder: what is not there need not be cleaned up."""
    bus = MqttBus([address], f"probe-{secrets.token_hex(4)}")
    try:
        if not bus.wait_connected(BROKER_LIMIT_S):
            raise WorkError(f"no MQTT broker answers within {BROKER_LIMIT_S:.0f} s: {bus.describe()}")
    finally:
        bus.close()


def _start_broker(broker: BrokerProcess) -> None:
    try:
        broker.start()
    except NetworkError as error:
        raise WorkError(str(error)) from None


def _new_folder(name: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = Path("runs") / f"{name}-{stamp}"
    number = 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{name}-{stamp}-{number}"
    return path


def _first_period_ms(scenario: Scenario) -> int:
    """When period 0 begins.

    In lockstep, on the day that is lived through. On the wall clock everybody must be registered before: at
    the next boundary of a period in a live market, as soon as that can be where time is scaled.
    """
    if scenario.market.pace == "lockstep":
        return scenario.first_period_ms
    earliest_ms = now_ms() + START_MARGIN_MS
    if scenario.market.pace == "scaled":
        return earliest_ms
    return -(-earliest_ms // scenario.period_ms) * scenario.period_ms


def _write_report(folder: RunFolder) -> None:
    # Imported late: plotting takes a second to load, which the start of a run need not pay.
    from agents.report import write_report

    write_report(folder)
