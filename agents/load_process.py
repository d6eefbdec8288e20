"""The process that puts a run's ledger under load: registers everybody, trades at a steady rate, reads meters.

It stands in for agents and devices alike, so that the whole contract works under load: orders trade, periods
close, meters report, money moves. Started as `python -m agents.load_process RUN NAME RATE [SECONDS]`; it writes
RUN/NAME.csv, a line an order with its receipt, and RUN/NAME.json, the totals.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.component import Component, start_component
from agents.enrolment import registration
from agents.errors import WorkError
from agents.exchange import BusExchange, ExchangeConfig
from agents.key_ring import AGENTS_HOST
from agents.load_client import COLUMNS, LoadClient, LoadParticipant
from agents.population import CASHIER, REGULATOR, Participant, populate
from agents.run_folder import RunFolder, write_atomically
from agents.scenario import Scenario
from agents.tables import TableWriter
from agents.wall_clock import now_ms
from market.errors import FormError
from market.events import Phase, PhaseChange
from market.orders import Role
from market.readings import Reading
from market.receipts import ReasonCode, Receipt
from market.transactions import Decision, Deposit, Register, Review, Transaction
from mosquitto.agreement import Agreement
from mosquitto.batch import encode_batches
from mosquitto.bus import BusMessage
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, open_envelope, sign
from mosquitto.errors import RemoteError
from mosquitto.keys import KeyPair

log = logging.getLogger(__name__)

DEPOSIT_NANO: Final = 10**13
"""Enough that no buyer runs out of money while the load lasts."""

ENROL_CHUNK: Final = 200
POLL_S: Final = 0.01
READING_VALID_PERIODS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """`rate_per_s` orders and cancellations for `seconds` (None: until told to stop), then up to `drain_s`
    for the last receipts. `record` is the CSV file of all that was sent, `summary` a JSON file at the end."""

    rate_per_s: float
    seconds: float | None = None
    drain_s: float = 20.0
    record: Path
    summary: Path


def main(folder: RunFolder, options: LoadOptions) -> None:
    """Run until the time is over or somebody says stop."""
    component = start_component(folder, AGENTS_HOST)
    scenario = Scenario.load(folder.scenario)
    people = populate(scenario).participants
    exchange = BusExchange(
        component.bus, ExchangeConfig.of(component.deployment, component.name), component.key, now_ms
    )
    try:
        enrol(exchange, component, scenario, people)
        meters = MeterReader(component, people, scenario.period_hours)
        with TableWriter(options.record, COLUMNS) as record:
            client = LoadClient(
                component.bus,
                exchange.config,
                [_load_participant(component, scenario, entry) for entry in people],
                rate_per_s=options.rate_per_s,
                open_period=lambda: exchange.open_period,
                now_ms=now_ms,
                record=record,
                seed=scenario.scenario.seed,
            )
            component.say("online")
            _drive(component, client, meters, options)
            client.close()
        write_atomically(options.summary, json.dumps(client.totals.to_json(), indent=1) + "\n")
        component.say("ended")
    finally:
        component.bus.close()


def command_line(folder: RunFolder, name: str, rate_per_s: float, seconds: float | None = None) -> tuple[str, ...]:
    """The command line that starts this process."""
    duration = () if seconds is None else (str(seconds),)
    return (sys.executable, "-m", "agents.load_process", str(folder.path), name, str(rate_per_s), *duration)


def _drive(component: Component, client: LoadClient, meters: MeterReader, options: LoadOptions) -> None:
    client.begin()
    end_s = None if options.seconds is None else time.monotonic() + options.seconds
    while not component.stop and (end_s is None or time.monotonic() < end_s):
        component.bus.poll(POLL_S)
        client.tick()
        meters.tick()
    drain_end_s = time.monotonic() + options.drain_s
    while client.waiting and time.monotonic() < drain_end_s:
        component.bus.poll(POLL_S)
        client.tick(sending=False)
        meters.tick()
    log.info("load ended", extra={"fields": client.totals.to_json()})


def enrol(exchange: BusExchange, component: Component, scenario: Scenario, people: Sequence[Participant]) -> None:
    """Register, approve and fund everybody; who is already stays as is. Raises WorkError when that fails."""
    regulator, cashier = component.keys.key(REGULATOR), component.keys.key(CASHIER)
    keys = {entry.name: component.keys.key(entry.name) for entry in people}
    registers: list[tuple[KeyPair, Transaction]] = [
        (keys[entry.name], _registration(component, scenario, entry)) for entry in people
    ]
    _submit(exchange, registers, {ReasonCode.OK, ReasonCode.ALREADY_REGISTERED})
    reviews: list[tuple[KeyPair, Transaction]] = [
        (regulator, Review(account=keys[entry.name].public, decision=Decision.APPROVE)) for entry in people
    ]
    receipts = _submit(exchange, reviews, {ReasonCode.OK, ReasonCode.WRONG_STATUS})
    deposits: list[tuple[KeyPair, Transaction]] = [
        (cashier, Deposit(account=keys[entry.name].public, amount_nano=DEPOSIT_NANO))
        for entry, receipt in zip(people, receipts, strict=True)
        if receipt.code is ReasonCode.OK
    ]
    _submit(exchange, deposits, {ReasonCode.OK})
    log.info("enrolled", extra={"fields": {"participants": len(people)}})


def _submit(
    exchange: BusExchange, calls: Sequence[tuple[KeyPair, Transaction]], expected: set[ReasonCode]
) -> list[Receipt]:
    answered: list[Receipt] = []
    for start in range(0, len(calls), ENROL_CHUNK):
        chunk = calls[start : start + ENROL_CHUNK]
        for (_, call), receipt in zip(chunk, exchange.submit(chunk), strict=True):
            if receipt is None:
                raise WorkError(f"{type(call).__name__}: no receipt from {exchange.config.threshold} ledger nodes")
            if receipt.code not in expected:
                raise WorkError(f"{type(call).__name__}: {receipt.code.sentence}")
            answered.append(receipt)
    return answered


def _registration(component: Component, scenario: Scenario, entry: Participant) -> Register:
    return registration(entry, component.keys, scenario.period_hours, scenario.scenario.seed)


def _load_participant(component: Component, scenario: Scenario, entry: Participant) -> LoadParticipant:
    return LoadParticipant(
        name=entry.name,
        key=component.keys.key(entry.name),
        region=entry.region,
        role=Role[entry.role.upper()],
        max_export_wh=entry.max_export_wh(scenario.period_hours),
    )


class MeterReader:
    """Sends every meter's reading when f + 1 nodes say that a period was delivered.

    Registers grow by a fixed part of what each meter may measure: that readings arrive is the subject here,
    not what they say.
    """

    def __init__(self, component: Component, people: Sequence[Participant], hours: float) -> None:
        self._component = component
        self._meters = [
            (
                entry.site.meter_id,
                component.keys.key(entry.site.meter_id),
                entry.max_import_wh(hours) // 8,
                entry.max_export_wh(hours) // 4,
            )
            for entry in people
        ]
        deployment = component.deployment
        self._agreement = Agreement(deployment.committee_keys, deployment.agreement_threshold)
        self._due: list[int] = []
        component.bus.subscribe(component.topics.every_phases(), self._on_phase)

    def tick(self) -> None:
        """Send the readings of newly delivered periods."""
        due, self._due = self._due, []
        for period in due:
            self._send(period)

    def _send(self, period: int) -> None:
        component = self._component
        envelopes = []
        for meter_id, key, import_wh, export_wh in self._meters:
            reading = Reading(
                meter_id=meter_id,
                period=period,
                import_wh=(period + 1) * import_wh,
                export_wh=(period + 1) * export_wh,
                measured_ms=now_ms(),
                counter=period + 1,
            )
            body = encode(reading.call_fields(period + READING_VALID_PERIODS, period))
            envelopes.append(sign(key, Kind.TRANSACTION, component.deployment.chain_id, body).encode())
        for payload in encode_batches(envelopes):
            component.bus.publish(component.topics.reading(self._meters[0][0]), payload)

    def _on_phase(self, message: BusMessage) -> None:
        try:
            envelope = open_envelope(message.payload, self._component.deployment.chain_id)
            if envelope.kind is not Kind.PHASE:
                return
            change = PhaseChange.from_values(decode(envelope.body))
        except (RemoteError, FormError):
            return
        if change.phase is not Phase.DELIVERED:
            return
        if self._agreement.hear(envelope.signer, ("phase", change.period), envelope.body) is not None:
            self._due.append(change.period)


if __name__ == "__main__":
    _, run, file, rate, *duration = sys.argv
    folder = RunFolder.open(Path(run))
    main(
        folder,
        LoadOptions(
            rate_per_s=float(rate),
            seconds=float(duration[0]) if duration else None,
            record=folder.path / f"{file}.csv",
            summary=folder.path / f"{file}.json",
        ),
    )
