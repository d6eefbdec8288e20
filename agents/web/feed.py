"""The thread that keeps the mirror: from the bus while the market runs, from the run folder afterwards."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from typing import Final

from agents.errors import RunFolderError
from agents.observer import ChainObserver
from agents.wall_clock import now_ms
from agents.web.facts import FeedState, PeriodFacts
from agents.web.folder_events import FolderEvents
from agents.web.folder_nodes import node_lines
from agents.web.hub import Hub
from agents.web.read_only_bus import ReadOnlyBus
from mosquitto.address import BrokerAddress
from mosquitto.errors import NetworkError
from mosquitto.mqtt_bus import MqttBus

log = logging.getLogger(__name__)

POLL_S: Final = 0.05
SNAPSHOT_S: Final = 0.2
LOOK_S: Final = 1.0
"""Without news there is still the clock: ages and rates change."""

FOLDER_S: Final = 1.0
SILENT_AFTER_MS: Final = 5_000
PROGRESS_PERIODS: Final = 50
"""While a folder is read, a snapshot is published after so many periods."""


class Feed(threading.Thread):
    """Owns the hub's mirror. `stop()` ends it within a second."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(name="web-feed", daemon=True)
        self.hub = hub
        self.mirror = hub.mirror
        self._past = FolderEvents(hub.folder, hub.deployment)
        self._stop_asked = threading.Event()
        self._forecasts_read: set[int] = set()
        self._published = -1

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stop_asked.set()

    def run(self) -> None:
        """Read what has been, listen until the run is over, then show the folder as it was left."""
        try:
            self._read_folder()
            if not self.hub.folder.result_json.is_file():
                self._listen()
            if not self._stop_asked.is_set():
                self._show_the_end()
        except Exception:  # Whatever it was, the page must say that its facts are old.
            log.exception("the feed ended")
            self._publish(FeedState.DISCONNECTED)

    def _listen(self) -> None:
        deployment = self.hub.deployment
        try:
            brokers = [BrokerAddress.parse(url) for url in deployment.brokers]
        except NetworkError as error:
            log.error("no broker to listen to", extra={"fields": {"reason": str(error)}})
            brokers = []
        if not brokers:
            return
        bus = MqttBus(brokers, f"{deployment.chain_id}-web-{os.getpid()}")
        try:
            ChainObserver(deployment, ReadOnlyBus(bus), self.mirror, verify_transactions=False)
            next_snapshot_s = next_look_s = next_folder_s = 0.0
            while not self._stop_asked.is_set():
                bus.poll(POLL_S)
                now_s = time.monotonic()
                if now_s >= next_folder_s:
                    next_folder_s = now_s + FOLDER_S
                    self._read_folder()
                    if self.hub.folder.result_json.is_file():
                        return
                if now_s >= next_snapshot_s and (self.mirror.changes != self._published or now_s >= next_look_s):
                    next_snapshot_s, next_look_s = now_s + SNAPSHOT_S, now_s + LOOK_S
                    self._publish(self._state(bus.is_connected))
                self.mirror.now_ms = now_ms()
        finally:
            bus.close()

    def _state(self, connected: bool) -> FeedState:
        if not connected:
            return FeedState.DISCONNECTED
        if not self.mirror.heard_ms:
            return FeedState.WAITING
        is_silent = now_ms() - self.mirror.heard_ms > SILENT_AFTER_MS
        return FeedState.SILENT if is_silent else FeedState.LIVE

    def _publish(self, state: FeedState) -> None:
        self.mirror.step()
        self._published = self.mirror.changes
        self.hub.publish(self.mirror.snapshot(state))

    def _read_folder(self) -> None:
        """Fill in what the bus did not tell: what was before us, what we missed, and agents' forecasts."""
        try:
            settled = self._past.scan()
            new = [period for period in settled if not self.mirror.is_settled(period)]
            for count, period in enumerate(new, start=1):
                if self._stop_asked.is_set():
                    return
                self._take(period)
                if count % PROGRESS_PERIODS == 0:
                    self._publish(FeedState.WAITING)
            self._read_forecasts()
        except RunFolderError as error:
            log.warning("run folder cannot be read", extra={"fields": {"reason": str(error)}})

    def _take(self, period: int) -> None:
        facts = self._past.facts(period)
        if facts is None or facts.settlement is None:
            return
        for telemetry in self._past.telemetry(period):
            if telemetry.device_id in self.mirror.inverters:
                self.mirror.on_telemetry(telemetry)
        if facts.clearing is not None:
            self.mirror.on_clearing(facts.clearing)
        for order in self._past.orders(period):
            self.mirror.hear_order(order)
        self.mirror.on_settlement(facts.settlement)
        self._take_registers(facts)
        for block in self._past.blocks(period):
            self.mirror.on_block(block)

    def _take_registers(self, facts: PeriodFacts) -> None:
        """Meters as far as settlements tell: the tables have differences, not registers."""
        assert facts.settlement is not None
        for row in facts.settlement.rows:
            entry = self.hub.deployment.participant_of(row.account)
            if entry is not None and not row.estimated and len(entry.meters) == 1:
                meter = self.mirror.meters[entry.meters[0].meter_id]
                meter.hear_difference(facts.period, row.import_wh, row.export_wh)

    def _read_forecasts(self) -> None:
        self._past.agents.scan()
        for period in self._new_forecast_periods(self._past.agents.periods()):
            for name, forecast_wh in self._past.forecasts(period):
                self.mirror.hear_forecast(period, name, forecast_wh)
            self._forecasts_read.add(period)

    def _new_forecast_periods(self, periods: Iterable[int]) -> list[int]:
        # The settlement makes the row that a forecast is put into.
        return [
            period for period in periods if period not in self._forecasts_read and self.mirror.is_settled(period)
        ]

    def _show_the_end(self) -> None:
        """The run is over: nodes are known by their ledgers, everything else by the tables."""
        self._read_folder()
        for period in self._past.block_periods():
            for block in self._past.blocks(period):
                self.mirror.on_block(block)
        for name, line in node_lines(self.hub.folder, self.hub.deployment).items():
            self.mirror.nodes[name].line = line
        self._publish(FeedState.ENDED)
