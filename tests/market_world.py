"""A small market for tests: short calls for transactions, invariants and roots checked after every block."""

from __future__ import annotations

from dataclasses import replace

from market import invariants
from market.config import MarketConfig
from market.contract import BlockInput, BlockOutcome, SignedCall, apply, encode_call, genesis_state
from market.events import Clearing, Settlement, SettlementRow
from market.orders import Role, Side
from market.readings import Reading
from market.receipts import ReasonCode, Receipt
from market.records import Account
from market.transactions import (
    CancelOrder,
    ClosePeriod,
    Decision,
    DeliverPeriod,
    Deposit,
    MeterRegistration,
    PlaceOrder,
    Register,
    Review,
    SettlePeriod,
    SubmitReading,
    Transaction,
    Withdraw,
)
from market.units import NANO


def key(name: str) -> bytes:
    """A public key that is no key: the contract never looks inside one."""
    return name.encode().ljust(32, b".")


COMMITTEE = tuple(key(f"member-{index}") for index in range(4))
OPERATOR = COMMITTEE[0]
REGULATOR = key("regulator")
CASHIER = key("cashier")
GRID = key("grid-company")

CONFIG = MarketConfig(
    committee=COMMITTEE, regulator=REGULATOR, cashier=CASHIER, grid_account=GRID, regions=("east", "west")
)


class World:
    """A market in one process. Names stand for keys; each name's meter is `meter-<name>`."""

    def __init__(self, **changes: object) -> None:
        self.config = replace(CONFIG, **changes)  # type: ignore[arg-type]
        self.state = genesis_state(self.config)
        self.height = 0
        self.nonce = 0
        self.counter = 0
        self.registers: dict[str, tuple[int, int]] = {}
        self.outcome = self.block()

    def call(self, sender: bytes, transaction: Transaction, valid_until: int | None = None) -> SignedCall:
        self.nonce += 1
        until = self.state.open_period if valid_until is None else valid_until
        fields = encode_call(transaction, until, self.nonce)
        return SignedCall(tx_id=self.nonce.to_bytes(32, "big"), sender=sender, fields=fields)

    def block(self, *calls: SignedCall) -> BlockOutcome:
        self.height += 1
        block = BlockInput(height=self.height, time_ms=self.height * 1000, calls=calls)
        self.outcome = apply(self.config, self.state, block)
        assert len(self.outcome.receipts) == len(calls)
        invariants.check(self.state)
        return self.outcome

    def send(self, sender: bytes, transaction: Transaction, valid_until: int | None = None) -> Receipt:
        return self.block(self.call(sender, transaction, valid_until)).receipts[0]

    def code(self, sender: bytes, transaction: Transaction, valid_until: int | None = None) -> ReasonCode:
        return self.send(sender, transaction, valid_until).code

    def done(self, sender: bytes, transaction: Transaction) -> Receipt:
        receipt = self.send(sender, transaction)
        assert receipt.code is ReasonCode.OK, receipt.code.name
        return receipt

    def registration(
        self, name: str, role: Role = Role.PROSUMER, region: str = "east", limit_wh: int = 10_000
    ) -> Register:
        meter = MeterRegistration(
            meter_id=f"meter-{name}", key=key(f"meter-{name}"), max_import_wh=limit_wh, max_export_wh=limit_wh
        )
        return Register(name_hash=bytes(32), role=role, region=region, settlement_account="bank", meters=(meter,))

    def join(
        self, name: str, role: Role = Role.PROSUMER, region: str = "east", money: int = 100, limit_wh: int = 10_000
    ) -> bytes:
        """Register, approve and fund a participant with `money` whole units of the currency."""
        self.done(key(name), self.registration(name, role, region, limit_wh))
        self.done(REGULATOR, Review(account=key(name), decision=Decision.APPROVE))
        if money:
            self.done(CASHIER, Deposit(account=key(name), amount_nano=money * NANO))
        self.registers[name] = (0, 0)
        return key(name)

    def order(
        self, name: str, side: Side, energy_wh: int, price_micro: int, last: int | None = None, **conditions: bool
    ) -> int:
        """Place an order for the open period; returns its number."""
        period = self.state.open_period
        order = PlaceOrder(
            side=side,
            energy_wh=energy_wh,
            price_micro=price_micro,
            period=period,
            expiry_period=period if last is None else last,
            **conditions,
        )
        return self.done(key(name), order).detail

    def buy(self, name: str, energy_wh: int, price_micro: int, last: int | None = None, **conditions: bool) -> int:
        return self.order(name, Side.BUY, energy_wh, price_micro, last, **conditions)

    def sell(
        self, name: str, energy_wh: int, price_micro: int, last: int | None = None, **conditions: bool
    ) -> int:
        return self.order(name, Side.SELL, energy_wh, price_micro, last, **conditions)

    def cancel(self, name: str, order: int) -> ReasonCode:
        return self.code(key(name), CancelOrder(order=order))

    def withdraw(self, name: str, amount_nano: int) -> ReasonCode:
        return self.code(key(name), Withdraw(amount_nano=amount_nano))

    def close(self) -> Clearing:
        self.done(OPERATOR, ClosePeriod(period=self.state.open_period, time_ms=0))
        clearing = self.outcome.events[0]
        assert isinstance(clearing, Clearing)
        return clearing

    def deliver(self, period: int) -> None:
        self.done(OPERATOR, DeliverPeriod(period=period, time_ms=0))

    def settle(self, period: int) -> Settlement:
        self.done(OPERATOR, SettlePeriod(period=period, time_ms=0))
        settlement = self.outcome.events[0]
        assert isinstance(settlement, Settlement)
        return settlement

    def reading(self, name: str, period: int, import_wh: int, export_wh: int, quality: int = 0) -> SubmitReading:
        """A reading of absolute registers with the next counter."""
        self.counter += 1
        reading = Reading(
            meter_id=f"meter-{name}",
            period=period,
            import_wh=import_wh,
            export_wh=export_wh,
            measured_ms=0,
            quality=quality,
            counter=self.counter,
        )
        return SubmitReading(reading=reading)

    def measure(self, name: str, period: int, net_wh: int) -> None:
        """Let a meter count `net_wh` (export positive) and report it for `period`."""
        self.count(name, net_wh)
        self.done(key(f"meter-{name}"), self.reading(name, period, *self.registers[name]))

    def count(self, name: str, net_wh: int) -> None:
        """Let a meter count without reporting."""
        imported, exported = self.registers[name]
        self.registers[name] = (imported + max(0, -net_wh), exported + max(0, net_wh))

    def run_period(self, **net_wh: int) -> tuple[Clearing, Settlement]:
        """Close the open period, deliver it, report the given meters, settle it."""
        period = self.state.open_period
        clearing = self.close()
        self.deliver(period)
        for name, energy_wh in net_wh.items():
            self.measure(name, period, energy_wh)
        return clearing, self.settle(period)

    def account(self, name: str) -> Account:
        return self.state.accounts[key(name)]

    def grid_nano(self) -> int:
        return self.state.accounts[GRID].free_nano


def row_of(settlement: Settlement, name: str) -> SettlementRow:
    """The settlement row of a participant."""
    row = settlement.row(key(name))
    assert row is not None
    return row
