"""A random walk through a market: plausible transactions, impossible ones and rubbish, from one seed.

Counts what happened, so that a test can insist that the walk traded, settled and was refused, not just ran.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections import Counter
from collections.abc import Callable

from market_world import CASHIER, COMMITTEE, GRID, REGULATOR, World, key

from market.contract import SignedCall, encode_call
from market.events import Clearing, Phase, Settlement
from market.offer_transactions import RequestSupply, SubmitAssignment, TakeOffer
from market.orders import Role, Side
from market.readings import Quality, Reading
from market.supervision_transactions import (
    Accredit,
    Dispute,
    ResolveDispute,
    RetireCertificates,
    SetPriceCap,
    TransferCertificates,
)
from market.transactions import (
    CancelOrder,
    ClosePeriod,
    Decision,
    DeliverPeriod,
    Deposit,
    PlaceOrder,
    ReplaceOperator,
    Review,
    SetLimits,
    SettlePeriod,
    SubmitReading,
    Transaction,
    Withdraw,
)
from market.units import NANO

NAMES = ("ann", "bob", "cat", "dan", "eve", "fay")
ROLES = (Role.PROSUMER, Role.PROSUMER, Role.CONSUMER, Role.PRODUCER, Role.SPECULATOR, Role.PROSUMER)
RUBBISH: tuple[object, ...] = (None, (), (5,), (5, 0, 0, "x"), (12, 0, 0, 1, 2), (2**63, 0, 0), (b"", -1, ()))


class Walk:
    """Random blocks on a `World`, which checks the invariants after each."""

    def __init__(self, seed: int | random.Random, **changes: object) -> None:
        self.random = seed if isinstance(seed, random.Random) else random.Random(seed)
        self.world = World(
            **(
                {
                    "working_capital_nano": self.random.choice((0, 0, 1000 * NANO)),
                    "price_rule": self.random.choice(("midpoint", "bid", "ask", "uniform")),
                    "crossing_fee_micro": self.random.choice((0, 40_000)),
                    "penalty_ppm": self.random.choice((0, 100_000, 2_000_000)),
                    "unsettled_periods_max": 3,
                    "open_orders_max": 4,
                    "validity_periods": 2,
                    "reset_interval_periods": 3,
                }
                | changes
            )
        )
        self.counts: Counter[str] = Counter()
        self.roots: list[bytes] = []
        self.sent: list[SignedCall] = []
        self.registers = dict.fromkeys(NAMES, (0, 0))
        self.counter = 0
        self.enrol()

    def run(self, blocks: int) -> None:
        for _ in range(blocks):
            calls = [self.any_call() for _ in range(self.random.randint(0, 6))]
            if self.random.random() < 0.35:
                calls.append(self.world.call(*self.a_phase()))
            calls += self.due_readings()
            self.step(calls)

    def enrol(self) -> None:
        """Everybody but one begins with an account and a little money."""
        for name, role in zip(NAMES[:-1], ROLES, strict=False):
            index = NAMES.index(name)
            self.world.join(name, role, ("east", "west")[index % 2], money=self.random.choice((0, 1, 5)))

    def due_readings(self) -> list[SignedCall]:
        """What most meters would report now; few deliver exactly what their owners traded."""
        state, calls = self.world.state, []
        for period in state.periods.keys():  # noqa: SIM118 - a Table
            if state.periods[period].phase is not Phase.DELIVERED:
                continue
            for name in NAMES:
                meter = state.meters.get(f"meter-{name}")
                if meter is None or meter.last_period >= period or self.random.random() < 0.5:
                    continue
                net_wh = state.position(period, key(name)).net_wh + self.random.choice(
                    (0, 0, 0, 30, -30, -900, 2000)
                )
                imported, exported = meter.last_import_wh, meter.last_export_wh
                self.registers[name] = (imported + max(0, -net_wh), exported + max(0, net_wh))
                calls.append(self.world.call(*self._reading(name, period)))
        return calls

    def step(self, calls: list[SignedCall]) -> None:
        outcome = self.world.block(*calls)
        self.roots.append(outcome.state_root)
        self.sent += calls
        for receipt in outcome.receipts:
            self.counts[receipt.code.name] += 1
        for event in outcome.events:
            if isinstance(event, Clearing):
                self.counts["trades"] += len(event.trades)
                self.counts["crossings"] += sum(1 for trade in event.trades if trade.fee_micro)
                self.counts["solved"] += bool(event.solver)
                self.counts["standing"] += sum(1 for trade in event.trades if trade.sell_order == 0)
            elif isinstance(event, Settlement):
                self.counts["settlements"] += 1
                self.counts["rewards"] += sum(1 for row in event.rows if row.reward_nano)
                self.counts["arrears"] += sum(1 for row in event.rows if row.arrears_nano)
                self.counts["held"] += sum(1 for line in event.escrow if line.held_nano)
                for line in event.escrow:
                    self.counts[f"escrow {line.case.name}"] += 1
                self.counts["owed"] += sum(1 for row in event.rows if row.owed_nano)
                self.counts["estimated"] += sum(1 for row in event.rows if row.estimated)

    def any_call(self) -> SignedCall:
        kind = self.random.random()
        if kind < 0.04 and self.sent:
            return self.random.choice(self.sent)
        if kind < 0.07:
            fields = self.random.choice(RUBBISH)
            return SignedCall(tx_id=self.random.randbytes(32), sender=self.someone(), fields=fields)  # type: ignore[arg-type]
        if kind < 0.10:
            sender, transaction = self.any_transaction()
            until = self.world.state.open_period + self.random.randint(-1, 4)
            return self._garbled(sender, encode_call(transaction, max(0, until), self.random.getrandbits(60)))
        sender, transaction = self.any_transaction()
        if kind < 0.14:
            sender = self.someone()
        return self.world.call(sender, transaction, self.world.state.open_period + self.random.randint(0, 2))

    def _garbled(self, sender: bytes, fields: tuple[object, ...]) -> SignedCall:
        values = list(fields)
        values[self.random.randrange(len(values))] = self.random.choice((-1, 0, 2**62, b"", "", (), key("ann")))
        return SignedCall(tx_id=self.random.randbytes(32), sender=sender, fields=tuple(values))  # type: ignore[arg-type]

    def someone(self) -> bytes:
        return self.random.choice((*map(key, NAMES), REGULATOR, CASHIER, GRID, *COMMITTEE, key("meter-ann")))

    def any_transaction(self) -> tuple[bytes, Transaction]:
        choices = (
            (60, self.an_order),
            (2, self.a_phase),
            (8, self.a_reading),
            (6, self.a_deposit),
            (6, self.a_registration),
            (8, self.a_review),
            (3, self.a_cancellation),
            (3, self.a_withdrawal),
            (1, self.limits),
            (1, self.a_vote),
            *self.of_the_mechanism(),
        )
        weights = [weight for weight, _ in choices]
        return self.random.choices([make for _, make in choices], weights)[0]()

    def of_the_mechanism(self) -> tuple[tuple[float, Callable[[], tuple[bytes, Transaction]]], ...]:
        """What only some markets offer, weighted by where it can succeed; elsewhere it is refused."""
        config = self.world.config
        listing, matching = config.mechanism == "listing", config.mechanism == "matching"
        return (
            (40 if listing else 0.3, self.a_take),
            (10 if matching else 0.3, self.a_request),
            (10 if matching else 0.3, self.an_assignment),
            (8 if config.uses_escrow else 0.3, self.a_dispute),
            (8 if config.uses_escrow else 0.3, self.a_resolution),
            (1, self.a_cap),
            (1, self.an_accreditation),
            (2, self.of_certificates),
        )

    def a_take(self) -> tuple[bytes, Transaction]:
        numbers = self.world.state.orders.keys() or [1]
        order = self.world.state.orders.get(self.random.choice(numbers))
        energy_wh = self.random.choice((1, 100, order.residual_wh if order else 1))
        number, price_micro = (order.number, order.price_micro) if order else (1, 0)
        return key(self.a_name()), TakeOffer(order=number, energy_wh=energy_wh, price_micro=price_micro)

    def a_request(self) -> tuple[bytes, Transaction]:
        price_micro = self.random.choice((100_000, 200_000, 300_000))
        request = RequestSupply(
            energy_wh=self.random.choice((100, 500, 1000)),
            price_micro=price_micro,
            period=self.world.state.open_period,
        )
        return key(self.a_name()), request

    def an_assignment(self) -> tuple[bytes, Transaction]:
        """Pairs that are often possible: bids to asks, drawn at random."""
        state = self.world.state
        orders = [order for order in state.orders.records() if order.stands_in(state.open_period)]
        bids = [order.number for order in orders if order.side is Side.BUY]
        asks = [order.number for order in orders if order.side is Side.SELL]
        pairs = tuple((bid, self.random.choice(asks)) for bid in bids if asks and self.random.random() < 0.6)
        return self.random.choice((REGULATOR, *map(key, NAMES))), SubmitAssignment(
            period=state.open_period, pairs=pairs
        )

    def a_dispute(self) -> tuple[bytes, Transaction]:
        held = self.world.state.held
        if not len(held):
            return key(self.a_name()), Dispute(trade=1, evidence=(bytes(32),))
        number = self.random.choice(held.keys())
        sender = self.random.choice((held[number].buyer, held[number].seller))
        return sender, Dispute(trade=number, evidence=held[number].evidence[:1])

    def a_resolution(self) -> tuple[bytes, Transaction]:
        number = self.random.choice(self.world.state.held.keys() or [1])
        return REGULATOR, ResolveDispute(trade=number, buyer_ppm=self.random.choice((0, 333_333, 1_000_000)))

    def a_cap(self) -> tuple[bytes, Transaction]:
        first = self.world.state.open_period + self.random.choice((0, 0, 1))
        last = first + self.random.choice((0, 0, 2, -1))
        cap = SetPriceCap(
            cap_micro=self.random.choice((120_000, 200_000)), first_period=first, last_period=max(0, last)
        )
        return REGULATOR, cap

    def an_accreditation(self) -> tuple[bytes, Transaction]:
        return REGULATOR, Accredit(account=key(self.a_name()), renewable=self.random.random() < 0.8)

    def of_certificates(self) -> tuple[bytes, Transaction]:
        certificates = self.world.state.certificates
        serial = self.random.choice(certificates.keys() or [1])
        certificate = certificates.get(serial)
        owner = certificate.owner if certificate else key(self.a_name())
        if self.random.random() < 0.5:
            return owner, RetireCertificates(serials=(serial,))
        return owner, TransferCertificates(serials=(serial,), receiver=key(self.a_name()))

    def a_name(self) -> str:
        return self.random.choice(NAMES)

    def an_order(self) -> tuple[bytes, Transaction]:
        period = self.world.state.open_period + self.random.choice((0, 0, 0, 0, 1, -1))
        name = self.a_name()
        role = ROLES[NAMES.index(name)]
        open_side = next((order.side for order in self.world.state.open_orders(key(name))), None)
        side = self.random.choice((Side.BUY, Side.SELL))
        if self.random.random() < 0.9:
            side = open_side or (side if role.may_trade(side) else side.other)
        order = PlaceOrder(
            side=side,
            energy_wh=self.random.choice((1, 100, 500, 1000, 3000, 20_000)),
            price_micro=self.random.choice((0, 80_000, 100_000, 150_000, 200_000, 300_000)),
            period=max(0, period),
            expiry_period=max(0, period) + self.random.choice((0, 0, 0, 1, 3)),
            region_only=self.random.random() < 0.1,
            hard=side is Side.BUY and self.random.random() < 0.1,
        )
        return key(name), order

    def a_phase(self) -> tuple[bytes, Transaction]:
        """Mostly the phase change that is due, now and then any."""
        state = self.world.state
        operator = COMMITTEE[state.operator_term % len(COMMITTEE)]
        if self.random.random() < 0.1:
            kind = self.random.choice((ClosePeriod, DeliverPeriod, SettlePeriod))
            return operator, kind(period=max(0, state.open_period + self.random.randint(-2, 1)), time_ms=0)
        closed = [period for period in state.periods.keys() if state.periods[period].phase is Phase.CLOSED]  # noqa: SIM118
        delivered = [period for period in state.periods.keys() if period not in closed]  # noqa: SIM118
        if delivered and self.random.random() < 0.4:
            return operator, SettlePeriod(period=delivered[0], time_ms=0)
        if closed and self.random.random() < 0.7:
            return operator, DeliverPeriod(period=closed[0], time_ms=0)
        return operator, ClosePeriod(period=state.open_period, time_ms=0)

    def a_reading(self) -> tuple[bytes, Transaction]:
        """A reading that may be wrong in every way."""
        state, name = self.world.state, self.a_name()
        imported, exported = self.registers[name]
        imported += self.random.choice((0, 0, 100, 500, 9_000))
        exported += self.random.choice((0, 0, 100, 500, 9_000))
        self.registers[name] = (imported if self.random.random() < 0.9 else 0, exported)
        period = self.random.choice([*state.periods.keys(), state.open_period])
        quality = Quality.RESET if self.random.random() < 0.2 else Quality.GOOD
        return self._reading(name, period, quality)

    def _reading(self, name: str, period: int, quality: int = 0) -> tuple[bytes, Transaction]:
        imported, exported = self.registers[name]
        self.counter += self.random.random() < 0.98
        reading = Reading(
            meter_id=f"meter-{name}",
            period=period,
            import_wh=imported,
            export_wh=exported,
            measured_ms=0,
            quality=quality,
            counter=self.counter,
        )
        return key(f"meter-{name}"), SubmitReading(reading=reading)

    def a_deposit(self) -> tuple[bytes, Transaction]:
        amount_nano = self.random.choice((1, NANO // 10, NANO, 10 * NANO))
        receiver = self.random.choice((*map(key, NAMES), *map(key, NAMES), GRID))
        return CASHIER, Deposit(account=receiver, amount_nano=amount_nano)

    def a_registration(self) -> tuple[bytes, Transaction]:
        index = self.random.randrange(len(NAMES))
        region = ("east", "west")[index % 2]
        return key(NAMES[index]), self.world.registration(NAMES[index], ROLES[index], region)

    def a_review(self) -> tuple[bytes, Transaction]:
        decision = self.random.choices(
            (Decision.APPROVE, Decision.FREEZE, Decision.REFUSE, Decision.DELIST), (30, 2, 1, 0.1)
        )[0]
        return REGULATOR, Review(account=key(self.a_name()), decision=decision)

    def a_cancellation(self) -> tuple[bytes, Transaction]:
        numbers = self.world.state.orders.keys() or [1]
        number = self.random.choice(numbers)
        order = self.world.state.orders.get(number)
        return (order.account if order else key("ann")), CancelOrder(order=number)

    def a_withdrawal(self) -> tuple[bytes, Transaction]:
        return key(self.a_name()), Withdraw(amount_nano=self.random.choice((1, NANO // 2, 5 * NANO)))

    def limits(self) -> tuple[bytes, Transaction]:
        return REGULATOR, SetLimits(
            ask_limit_micro=self.random.choice((0, 200_000, 300_000)),
            lowest_micro=self.random.choice((0, 80_000)),
            highest_micro=self.random.choice((300_000, 1_000_000)),
        )

    def a_vote(self) -> tuple[bytes, Transaction]:
        return self.random.choice(COMMITTEE), ReplaceOperator(term=self.world.state.operator_term + 1)


def digest_of_walk(seed: int, blocks: int) -> str:
    """One hash over every state root of a walk."""
    walk = Walk(seed)
    walk.run(blocks)
    return hashlib.sha256(b"".join(walk.roots)).hexdigest()


if __name__ == "__main__":
    print(digest_of_walk(int(sys.argv[1]), int(sys.argv[2])))
