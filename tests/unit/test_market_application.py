"""The contract behind the ledger's protocol: what may be ordered, what is executed, what a snapshot restores."""

from __future__ import annotations

from agents.market_application import ClockCheck, MarketApplication
from ledger.application import Admitted, Refused
from market.config import MarketConfig
from market.orders import Role, Side
from market.receipts import ReasonCode
from market.transactions import (
    ClosePeriod,
    Decision,
    Deposit,
    MeterRegistration,
    PlaceOrder,
    Register,
    Review,
    Transaction,
    encode_call,
)
from mosquitto.codec import decode, encode
from mosquitto.envelope import Kind, sign
from mosquitto.keys import KeyPair

CHAIN = "application-test"
NODES = tuple(KeyPair.derive(2, f"node-{index}") for index in range(4))
REGULATOR, CASHIER, GRID = (KeyPair.derive(2, name) for name in ("regulator", "cashier", "grid"))
ANNA, STRANGER, METER = (KeyPair.derive(2, name) for name in ("anna", "stranger", "meter"))
CONFIG = MarketConfig(
    committee=tuple(node.public for node in NODES),
    regulator=REGULATOR.public,
    cashier=CASHIER.public,
    grid_account=GRID.public,
    regions=("north",),
)
REGISTER = Register(
    name_hash=bytes(32),
    role=Role.CONSUMER,
    region="north",
    settlement_account="a",
    meters=(MeterRegistration(meter_id="m1", key=METER.public, max_import_wh=9_000, max_export_wh=0),),
)
ORDER = PlaceOrder(side=Side.BUY, energy_wh=500, price_micro=200_000, period=0, expiry_period=0)


def envelope(
    key: KeyPair,
    transaction: Transaction,
    *,
    valid: int = 2,
    nonce: int = 0,
    chain: str = CHAIN,
    kind: Kind = Kind.TRANSACTION,
) -> bytes:
    return sign(key, kind, chain, encode(encode_call(transaction, valid, nonce))).encode()


def application(clock: ClockCheck | None = None) -> MarketApplication:
    return MarketApplication(CONFIG, CHAIN, clock)


def with_anna() -> MarketApplication:
    """Anna registered, approved and funded."""
    app = application()
    execute(
        app,
        envelope(ANNA, REGISTER),
        envelope(REGULATOR, Review(account=ANNA.public, decision=Decision.APPROVE)),
        envelope(CASHIER, Deposit(account=ANNA.public, amount_nano=10**10)),
    )
    return app


def execute(app: MarketApplication, *transactions: bytes, height: int = 1) -> list[ReasonCode]:
    execution = app.execute(height, 1_000 * height, transactions)
    assert execution.state_root == app.state.full_state_root()
    codes = []
    for receipt in execution.receipts:
        fields = decode(receipt)
        assert isinstance(fields, tuple) and isinstance(fields[0], int)
        codes.append(ReasonCode(fields[0]))
    return codes


def screened(app: MarketApplication, transaction: bytes) -> str:
    checked = app.check(transaction)
    assert isinstance(checked, Admitted)
    refused = app.screen(checked)
    return refused.reason if refused else ""


def test_a_rightly_signed_call_is_admitted_under_its_senders_key() -> None:
    checked = application().check(envelope(ANNA, ORDER))
    assert isinstance(checked, Admitted)
    assert (checked.sender, checked.valid_until_period) == (ANNA.public, 2)


def test_what_is_not_a_call_of_this_chain_is_refused_before_the_pool() -> None:
    app = application()
    good = envelope(ANNA, ORDER)
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    bad = [
        b"",
        b"\xc1" * 10,
        flipped,
        envelope(ANNA, ORDER, chain="another-chain"),
        envelope(ANNA, ORDER, kind=Kind.CONSENSUS),
        sign(ANNA, Kind.TRANSACTION, CHAIN, encode((5, 2, 0, -1))).encode(),
        sign(ANNA, Kind.TRANSACTION, CHAIN, b"\xc1").encode(),
    ]
    assert all(isinstance(app.check(data), Refused) for data in bad)


def test_screening_keeps_strangers_and_the_expired_out() -> None:
    app = with_anna()
    assert screened(app, envelope(ANNA, ORDER)) == ""
    assert screened(app, envelope(STRANGER, ORDER)) == "unknown_account"
    assert screened(app, envelope(STRANGER, ClosePeriod(period=0, time_ms=0))) == "not_operator"
    assert screened(app, envelope(ANNA, ORDER, valid=1_000)) == "valid_too_long"
    execute(app, envelope(NODES[0], ClosePeriod(period=0, time_ms=5)), height=2)
    assert screened(app, envelope(ANNA, ORDER, valid=0)) == "expired"


def test_a_replica_keeps_an_operator_out_that_is_ahead_of_its_clock() -> None:
    early = envelope(NODES[0], ClosePeriod(period=0, time_ms=50_001))
    assert screened(application(ClockCheck(lambda: 20_000, skew_ms=30_000)), early) == "wrong_time"
    assert screened(application(ClockCheck(lambda: 20_001, skew_ms=30_000)), early) == ""
    assert screened(application(), early) == "", "in lockstep, time is the operator's own"


def test_bytes_that_no_honest_replica_admits_are_executed_as_a_refusal() -> None:
    app = with_anna()
    assert execute(app, b"rubbish", height=2) == [ReasonCode.MALFORMED]
    assert app.violations == []


def test_an_executed_id_is_known_and_executes_only_once() -> None:
    app = with_anna()
    order = envelope(ANNA, ORDER)
    checked = app.check(order)
    assert isinstance(checked, Admitted) and not app.knows(checked.id)
    assert execute(app, order, order, height=2) == [ReasonCode.OK, ReasonCode.REPLAYED]
    assert app.knows(checked.id)
    assert screened(app, order) == "replayed"


def test_a_snapshot_restores_the_state_and_a_forged_one_changes_nothing() -> None:
    app = with_anna()
    execute(app, envelope(ANNA, ORDER), height=2)
    snapshot, root = app.snapshot(), app.state_root()
    other = application()
    before = other.state_root()
    assert not other.restore(snapshot, before)
    assert not other.restore(snapshot[:-1], root)
    assert not other.restore(b"rubbish", root)
    assert other.state_root() == before
    assert other.restore(snapshot, root)
    assert (other.state_root(), other.snapshot()) == (root, snapshot)
    assert screened(other, envelope(ANNA, ORDER)) == "replayed", "what was executed is part of the state"


def test_the_operator_sees_phases_and_silent_meters() -> None:
    app = with_anna()
    assert app.market_view().open_period == 0
    execute(app, envelope(NODES[0], ClosePeriod(period=0, time_ms=5)), height=2)
    view = app.market_view()
    assert (view.open_period, view.phases, view.operator_term) == (1, ((0, "closed"),), 0)
