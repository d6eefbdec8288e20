"""The contract's state: tables of records, the root over them, and snapshots.

A record is read with `get` and changed only through `edit`, `add` and `remove`, which mark it for hashing
again. The state stays bounded: settled periods, filled and expired orders, and ids of calls that are no
longer valid leave it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from market.config import MarketConfig
from market.errors import FormError
from market.events import Phase, Status
from market.market_records import Certificate, HeldPayment, MemberRecord, Proposal
from market.orders import NO_REGION, Role
from market.record_tree import RecordTree
from market.records import Account, Head, Meter, OpenOrder, OpenTrade, Position, UnsettledPeriod
from market.values import ID_BYTES, KEY_BYTES, FieldReader, Value

SNAPSHOT_VERSION: Final = 3
_RECORDS_MAX: Final = 10**8


class Record(Protocol):
    """What a table keeps."""

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        ...


K = TypeVar("K", int, bytes, str, tuple[int, bytes])
R = TypeVar("R", bound=Record)


class Table(Generic[K, R]):
    """Records by key, remembering which have changed since the last root."""

    __slots__ = ("_changed", "_records", "tag")

    def __init__(self, tag: int) -> None:
        self.tag = tag
        self._records: dict[K, R] = {}
        self._changed: dict[K, None] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: K) -> bool:
        return key in self._records

    def __getitem__(self, key: K) -> R:
        """Read a record that is known to be there. Not for changing."""
        return self._records[key]

    def get(self, key: K) -> R | None:
        """Read a record, or None. Not for changing."""
        return self._records.get(key)

    def edit(self, key: K) -> R:
        """A record that is about to be changed."""
        self._changed[key] = None
        return self._records[key]

    def add(self, key: K, record: R) -> None:
        """Add a record or replace it."""
        self._changed[key] = None
        self._records[key] = record

    def remove(self, key: K) -> R:
        """Take a record out."""
        self._changed[key] = None
        return self._records.pop(key)

    def keys(self) -> list[K]:
        """All keys in order, so that no history of insertions can show."""
        return sorted(self._records)

    def records(self) -> Iterator[R]:
        """All records by key order."""
        return (self._records[key] for key in sorted(self._records))

    def flush(self, tree: RecordTree) -> None:
        """Bring the tree up to date."""
        for key in self._changed:
            record = self._records.get(key)
            if record is None:
                tree.remove(self.tag, key)
            else:
                tree.put(self.tag, key, record.to_values())
        self._changed.clear()

    def to_values(self) -> tuple[Value, ...]:
        """All records with their keys, in key order."""
        return tuple((key, self._records[key].to_values()) for key in sorted(self._records))


class HashedTable(Protocol):
    """A table, whatever its keys and records are."""

    def flush(self, tree: RecordTree) -> None:
        """Bring the tree up to date."""
        ...

    def to_values(self) -> tuple[Value, ...]:
        """All records with their keys, in key order."""
        ...


class Seen:
    """The last period in which a call that was executed is valid."""

    __slots__ = ("valid_until_period",)

    def __init__(self, valid_until_period: int) -> None:
        self.valid_until_period = valid_until_period

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (self.valid_until_period,)


class MarketState:
    """Everything the contract knows. Made by `genesis_state` or `from_values`, changed by `apply` alone."""

    __slots__ = (
        "_tree",
        "accounts",
        "certificates",
        "head",
        "held",
        "members",
        "meter_keys",
        "meters",
        "orders",
        "orders_of",
        "periods",
        "positions",
        "proposals",
        "seen",
        "seen_until",
        "trades",
        "trades_of",
    )

    def __init__(self, head: Head) -> None:
        self.head = head
        self.accounts: Table[bytes, Account] = Table(1)
        self.meters: Table[str, Meter] = Table(2)
        self.orders: Table[int, OpenOrder] = Table(3)
        self.trades: Table[int, OpenTrade] = Table(4)
        self.positions: Table[tuple[int, bytes], Position] = Table(5)
        self.periods: Table[int, UnsettledPeriod] = Table(6)
        self.seen: Table[bytes, Seen] = Table(7)
        self.proposals: Table[bytes, Proposal] = Table(8)
        self.held: Table[int, HeldPayment] = Table(9)
        self.certificates: Table[int, Certificate] = Table(10)
        self.members: Table[bytes, MemberRecord] = Table(11)
        # Derived from the tables, so in no root and no snapshot.
        self.meter_keys: dict[bytes, int] = {}
        self.orders_of: dict[bytes, dict[int, None]] = {}
        self.trades_of: dict[int, list[int]] = {}
        self.seen_until: dict[int, list[bytes]] = {}
        self._tree = RecordTree()

    @property
    def open_period(self) -> int:
        """The one period that takes orders."""
        return self.head.open_period

    @property
    def operator_term(self) -> int:
        """The operator is the committee member with index `operator_term % n`."""
        return self.head.operator_term

    def live_periods(self) -> list[int]:
        """The periods that may have trades: those not settled yet, and the open one."""
        return [*self.periods.keys(), self.head.open_period]

    def phase_of(self, period: int) -> Phase | None:
        """The phase of a period; None for one that has not opened yet."""
        if period > self.head.open_period:
            return None
        if period == self.head.open_period:
            return Phase.OPEN
        unsettled = self.periods.get(period)
        return Phase.SETTLED if unsettled is None else unsettled.phase

    def knows(self, tx_id: bytes) -> bool:
        """Whether a call with this id was executed and could still be valid."""
        return tx_id in self.seen

    def add_meter(self, meter: Meter) -> None:
        """Register a meter; `meter_keys` counts the meters that each key signs for."""
        self.meters.add(meter.meter_id, meter)
        self.meter_keys[meter.key] = self.meter_keys.get(meter.key, 0) + 1

    def remove_meter(self, meter_id: str) -> None:
        """Let a meter go."""
        meter = self.meters.remove(meter_id)
        self.meter_keys[meter.key] -= 1
        if not self.meter_keys[meter.key]:
            del self.meter_keys[meter.key]

    def add_order(self, order: OpenOrder) -> None:
        """Take an order into the book."""
        self.orders.add(order.number, order)
        self.orders_of.setdefault(order.account, {})[order.number] = None

    def remove_order(self, number: int) -> OpenOrder:
        """Take an order out of the book."""
        order = self.orders.remove(number)
        numbers = self.orders_of[order.account]
        del numbers[number]
        if not numbers:
            del self.orders_of[order.account]
        return order

    def open_orders(self, account: bytes) -> list[OpenOrder]:
        """An account's open orders, earliest first."""
        return [self.orders[number] for number in self.orders_of.get(account, ())]

    def add_trade(self, trade: OpenTrade) -> None:
        """Keep a trade until its period is settled."""
        self.trades.add(trade.number, trade)
        self.trades_of.setdefault(trade.period, []).append(trade.number)

    def position(self, period: int, account: bytes) -> Position:
        """What an account traded for an unsettled period; zeros when nothing. Not for changing."""
        return self.positions.get((period, account)) or Position()

    def edit_position(self, period: int, account: bytes) -> Position:
        """The same, about to be changed."""
        key = (period, account)
        if key not in self.positions:
            self.positions.add(key, Position())
        return self.positions.edit(key)

    def remember(self, tx_id: bytes, valid_until_period: int) -> None:
        """Keep a call's id until it is no longer valid."""
        self.seen.add(tx_id, Seen(valid_until_period))
        self.seen_until.setdefault(valid_until_period, []).append(tx_id)

    def forget_calls_until(self, period: int) -> None:
        """Drop the ids of calls that were valid until `period` at most."""
        for until in sorted(self.seen_until):
            if until <= period:
                for tx_id in self.seen_until.pop(until):
                    self.seen.remove(tx_id)

    def state_root(self) -> bytes:
        """BLAKE2b-256 over the whole state; costs what has changed since the last call."""
        self._tree.put(0, 0, self.head.to_values())
        for table in self._tables():
            table.flush(self._tree)
        return self._tree.root()

    def full_state_root(self) -> bytes:
        """The same root, computed from nothing: for checks."""
        return MarketState.from_values(self.to_values()).state_root()

    def _tables(self) -> tuple[HashedTable, ...]:
        return (
            self.accounts,
            self.meters,
            self.orders,
            self.trades,
            self.positions,
            self.periods,
            self.proposals,
            self.held,
            self.certificates,
            self.members,
            self.seen,
        )

    def to_values(self) -> tuple[Value, ...]:
        """A snapshot: plain values in one canonical order."""
        return (SNAPSHOT_VERSION, self.head.to_values(), *(table.to_values() for table in self._tables()))

    @classmethod
    def from_values(cls, values: Value) -> MarketState:
        """The state of a snapshot. Raises FormError for anything else; compare the root before you trust it."""
        reader = FieldReader(values, "snapshot")
        reader.integer("version", SNAPSHOT_VERSION, SNAPSHOT_VERSION)
        state = cls(Head.from_values(reader.array("head", 64)))
        for bare, record in _entries(reader, "accounts"):
            key = _bytes(bare, KEY_BYTES)
            state.accounts.add(key, Account.from_values(key, record))
        for bare, record in _entries(reader, "meters"):
            meter_id = FieldReader((bare,), "snapshot").name("meter_id")
            state.add_meter(Meter.from_values(meter_id, record))
        for bare, record in _entries(reader, "orders"):
            state.add_order(OpenOrder.from_values(_number(bare), record))
        for bare, record in _entries(reader, "trades"):
            state.add_trade(OpenTrade.from_values(_number(bare), record))
        for bare, record in _entries(reader, "positions"):
            key_reader = FieldReader(bare, "position key")
            place = (_number(key_reader.integer("period", 0, 2**62)), key_reader.data("account", KEY_BYTES))
            state.positions.add(place, Position.from_values(record))
        for bare, record in _entries(reader, "periods"):
            state.periods.add(_number(bare), UnsettledPeriod.from_values(record))
        for bare, record in _entries(reader, "proposals"):
            state.proposals.add(_bytes(bare, KEY_BYTES), Proposal.from_values(record))
        for bare, record in _entries(reader, "held"):
            state.held.add(_number(bare), HeldPayment.from_values(record))
        for bare, record in _entries(reader, "certificates"):
            state.certificates.add(_number(bare), Certificate.from_values(record))
        for bare, record in _entries(reader, "members"):
            state.members.add(_bytes(bare, KEY_BYTES), MemberRecord.from_values(record))
        for bare, record in _entries(reader, "seen"):
            until = FieldReader(record, "seen").integer("valid_until_period", 0, 2**62)
            state.remember(_bytes(bare, ID_BYTES), until)
        reader.end()
        return state


def _entries(reader: FieldReader, table: str) -> Iterator[tuple[Value, Value]]:
    for entry in reader.array(table, _RECORDS_MAX):
        if not isinstance(entry, tuple) or len(entry) != 2:
            raise FormError(f"snapshot: a record of {table} must be a key and values")
        yield entry[0], entry[1]


def _bytes(value: Value, length: int) -> bytes:
    return FieldReader((value,), "snapshot key").data("key", length)


def _number(value: Value) -> int:
    return FieldReader((value,), "snapshot key").integer("key", 0, 2**64 - 1)


def genesis_state(config: MarketConfig) -> MarketState:
    """The state before the first block: period 0 open, the grid company's working capital deposited."""
    head = Head(
        config_digest=config.digest(),
        time_ms=config.start_ms,
        ask_limit_micro=config.ask_limit_micro,
        lowest_micro=config.lowest_micro,
        highest_micro=config.highest_micro,
        deposits_nano=config.working_capital_nano,
    )
    state = MarketState(head)
    grid = Account(
        key=config.grid_account,
        name_hash=bytes(32),
        role=Role.GRID,
        region=NO_REGION,
        settlement_account="",
        status=Status.APPROVED,
        free_nano=config.working_capital_nano,
    )
    state.accounts.add(grid.key, grid)
    return state
