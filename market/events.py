"""Events: what the contract announces. Frozen values that turn into plain arrays and back.

Every honest replica makes byte-equal events, so a reader believes what f + 1 replicas say in the same bytes.
`to_values` gives arrays of int, bytes and str for the wire codec; `from_values` raises FormError for
anything that is not such an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from market.market_events import (
    CapChange,
    CertificateChange,
    Equivocation,
    EscrowLine,
    HeldChange,
    OfferList,
)
from market.orders import NO_REGION
from market.units import INTEGER_MAX, PERIOD_MAX, PRICE_MICRO_MAX, TIME_MS_MAX
from market.values import ID_BYTES, KEY_BYTES, NAME, FieldReader, Value

ROWS_MAX: Final = 1_000_000
_SIGNED: Final = (-(2**63), 2**63 - 1)


class Phase(IntEnum):
    """The phases of a trading period, in order."""

    OPEN = 0
    CLOSED = 1
    DELIVERED = 2
    SETTLED = 3


class Status(IntEnum):
    """The status of an account."""

    PENDING = 0
    APPROVED = 1
    FROZEN = 2
    DELISTED = 3
    REFUSED = 4  # Seen in events only: a refused account leaves the state.


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChange:
    """`period` has entered `phase`, at the ledger's time."""

    period: int
    phase: Phase
    time_ms: int

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (self.period, int(self.phase), self.time_ms)

    @classmethod
    def from_values(cls, values: Value) -> PhaseChange:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "phase change")
        change = cls(
            period=reader.integer("period", 0, PERIOD_MAX),
            phase=Phase(reader.integer("phase", Phase.OPEN, Phase.SETTLED)),
            time_ms=reader.integer("time_ms", 0, TIME_MS_MAX),
        )
        reader.end()
        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One bid and one ask matched.

    `price_micro` is what the seller gets a kWh; the buyer pays `price_micro + fee_micro`, the fee to the grid
    company. `sell_order` 0 is the regulator's standing ask, whose seller is the grid company.
    """

    number: int
    buy_order: int
    sell_order: int
    buyer: bytes
    seller: bytes
    buy_region: str
    sell_region: str
    energy_wh: int
    price_micro: int
    fee_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionPrice:
    """Prices of the trades in which a region bought or sold; all 0 when `volume_wh` is 0.

    `mean_micro` is weighted by energy and rounded down: the clearing price where there is one.
    `highest_ask_micro` is the highest matched ask (what Huang 2022, figure 9 calls trading price).
    """

    region: str
    lowest_micro: int
    highest_micro: int
    mean_micro: int
    highest_ask_micro: int
    volume_wh: int

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (
            self.region,
            self.lowest_micro,
            self.highest_micro,
            self.mean_micro,
            self.highest_ask_micro,
            self.volume_wh,
        )

    @classmethod
    def from_values(cls, values: Value) -> RegionPrice:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "region price")
        price = cls(
            region=reader.name("region"),
            lowest_micro=reader.integer("lowest_micro", 0, PRICE_MICRO_MAX),
            highest_micro=reader.integer("highest_micro", 0, PRICE_MICRO_MAX),
            mean_micro=reader.integer("mean_micro", 0, PRICE_MICRO_MAX),
            highest_ask_micro=reader.integer("highest_ask_micro", 0, PRICE_MICRO_MAX),
            volume_wh=reader.integer("volume_wh", 0, INTEGER_MAX),
        )
        reader.end()
        return price


Level = tuple[int, int]
"""One step of a supply or demand curve: price_micro and the energy_wh that stands at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """The result of clearing one period: trades in matching order, prices, and both curves of the book.

    `demand` runs from the highest bid down, `supply` from the lowest ask up, one level a price, without the
    regulator's standing ask (`ask_limit_micro`, 0 for none). Books with very many prices are thinned.

    `solver` submitted the assignment that was used, where the mechanism is one: empty for the contract's own.
    `degree_ppm` is its sum of matching degrees, `own_degree_ppm` what the contract's own would have had.
    """

    period: int
    time_ms: int
    mechanism: str
    prices: tuple[RegionPrice, ...]
    trades: tuple[Trade, ...]
    bid_wh: int
    offered_wh: int
    traded_wh: int
    ask_limit_micro: int
    demand: tuple[Level, ...]
    supply: tuple[Level, ...]
    solver: bytes = b""
    degree_ppm: int = 0
    own_degree_ppm: int = 0

    def position_wh(self, account: bytes) -> int:
        """What `account` sold minus what it bought for the period: what its meters should show."""
        sold = sum(trade.energy_wh for trade in self.trades if trade.seller == account)
        return sold - sum(trade.energy_wh for trade in self.trades if trade.buyer == account)

    def positions_wh(self) -> dict[bytes, int]:
        """`position_wh` of every account that traded, in one pass."""
        positions: dict[bytes, int] = {}
        for trade in self.trades:
            positions[trade.seller] = positions.get(trade.seller, 0) + trade.energy_wh
            positions[trade.buyer] = positions.get(trade.buyer, 0) - trade.energy_wh
        return positions

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order. Accounts and regions stand once, trades name them by index."""
        accounts = sorted({key for trade in self.trades for key in (trade.buyer, trade.seller)})
        regions = sorted({name for trade in self.trades for name in (trade.buy_region, trade.sell_region)})
        account_index = {key: index for index, key in enumerate(accounts)}
        region_index = {name: index for index, name in enumerate(regions)}
        trades: tuple[Value, ...] = tuple(
            (
                trade.number,
                trade.buy_order,
                trade.sell_order,
                account_index[trade.buyer],
                account_index[trade.seller],
                region_index[trade.buy_region],
                region_index[trade.sell_region],
                trade.energy_wh,
                trade.price_micro,
                trade.fee_micro,
            )
            for trade in self.trades
        )
        return (
            self.period,
            self.time_ms,
            self.mechanism,
            tuple(price.to_values() for price in self.prices),
            tuple(accounts),
            tuple(regions),
            trades,
            self.bid_wh,
            self.offered_wh,
            self.traded_wh,
            self.ask_limit_micro,
            self.demand,
            self.supply,
            (self.solver,) if self.solver else (),
            self.degree_ppm,
            self.own_degree_ppm,
        )

    @classmethod
    def from_values(cls, values: Value) -> Clearing:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "clearing")
        period = reader.integer("period", 0, PERIOD_MAX)
        time_ms = reader.integer("time_ms", 0, TIME_MS_MAX)
        mechanism = reader.text("mechanism", 32)
        prices = tuple(RegionPrice.from_values(price) for price in reader.array("prices", 4096))
        account_fields = reader.array("accounts", ROWS_MAX)
        region_fields = reader.array("regions", 4096)
        account_reader = FieldReader(account_fields, "accounts")
        accounts = [account_reader.data("account", KEY_BYTES) for _ in account_fields]
        region_reader = FieldReader(region_fields, "regions")
        regions = [_region(region_reader) for _ in region_fields]
        clearing = cls(
            period=period,
            time_ms=time_ms,
            mechanism=mechanism,
            prices=prices,
            trades=tuple(_trade(trade, accounts, regions) for trade in reader.array("trades", ROWS_MAX)),
            bid_wh=reader.integer("bid_wh", 0, INTEGER_MAX),
            offered_wh=reader.integer("offered_wh", 0, INTEGER_MAX),
            traded_wh=reader.integer("traded_wh", 0, INTEGER_MAX),
            ask_limit_micro=reader.integer("ask_limit_micro", 0, PRICE_MICRO_MAX),
            demand=tuple(_level(level) for level in reader.array("demand", ROWS_MAX)),
            supply=tuple(_level(level) for level in reader.array("supply", ROWS_MAX)),
            solver=_solver(reader.array("solver", 1)),
            degree_ppm=reader.integer("degree_ppm", 0, INTEGER_MAX),
            own_degree_ppm=reader.integer("own_degree_ppm", 0, INTEGER_MAX),
        )
        reader.end()
        return clearing


def _solver(values: tuple[Value, ...]) -> bytes:
    reader = FieldReader(values, "solver")
    return b"".join(reader.data("solver", KEY_BYTES) for _ in values)


def _region(reader: FieldReader) -> str:
    name = reader.text("region", 64)
    if name != NO_REGION and not NAME.fullmatch(name):
        return FieldReader((name,), "region").name("region")
    return name


def _level(values: Value) -> Level:
    reader = FieldReader(values, "level")
    level = (reader.integer("price_micro", 0, PRICE_MICRO_MAX), reader.integer("energy_wh", 0, INTEGER_MAX))
    reader.end()
    return level


def _trade(values: Value, accounts: list[bytes], regions: list[str]) -> Trade:
    reader = FieldReader(values, "trade")
    trade = Trade(
        number=reader.integer("number", 0, INTEGER_MAX),
        buy_order=reader.integer("buy_order", 0, INTEGER_MAX),
        sell_order=reader.integer("sell_order", 0, INTEGER_MAX),
        buyer=accounts[reader.integer("buyer", 0, len(accounts) - 1)],
        seller=accounts[reader.integer("seller", 0, len(accounts) - 1)],
        buy_region=regions[reader.integer("buy_region", 0, len(regions) - 1)],
        sell_region=regions[reader.integer("sell_region", 0, len(regions) - 1)],
        energy_wh=reader.integer("energy_wh", 1, INTEGER_MAX),
        price_micro=reader.integer("price_micro", 0, PRICE_MICRO_MAX),
        fee_micro=reader.integer("fee_micro", 0, PRICE_MICRO_MAX),
    )
    reader.end()
    return trade


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementRow:
    """One account's settlement of one period.

    `metered_wh` is export minus import since the last settlement by meter; `estimated` says that a reading
    was missing and the position was taken as met, to be corrected by the next reading. `imbalance_wh` is
    metered minus position (and minus what estimates have settled already). Money: `bought_nano` paid for
    energy, `fee_nano` crossing fees paid, `sold_nano` received, `imbalance_nano` received from the grid (or
    paid to it, negative), `penalty_nano` paid into and `reward_nano` received from the pot. `balance_nano` is
    the free money afterwards, `arrears_nano` what the account owes the grid, `owed_nano` what the grid owes it.
    """

    account: bytes
    sold_wh: int
    bought_wh: int
    import_wh: int
    export_wh: int
    metered_wh: int
    imbalance_wh: int
    estimated: bool
    bought_nano: int
    fee_nano: int
    sold_nano: int
    imbalance_nano: int
    penalty_nano: int
    reward_nano: int
    balance_nano: int
    arrears_nano: int
    owed_nano: int
    reputation_ppm: int

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (
            self.account,
            self.sold_wh,
            self.bought_wh,
            self.import_wh,
            self.export_wh,
            self.metered_wh,
            self.imbalance_wh,
            int(self.estimated),
            self.bought_nano,
            self.fee_nano,
            self.sold_nano,
            self.imbalance_nano,
            self.penalty_nano,
            self.reward_nano,
            self.balance_nano,
            self.arrears_nano,
            self.owed_nano,
            self.reputation_ppm,
        )

    @classmethod
    def from_values(cls, values: Value) -> SettlementRow:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "settlement row")
        row = cls(
            account=reader.data("account", KEY_BYTES),
            sold_wh=reader.integer("sold_wh", 0, INTEGER_MAX),
            bought_wh=reader.integer("bought_wh", 0, INTEGER_MAX),
            import_wh=reader.integer("import_wh", 0, INTEGER_MAX),
            export_wh=reader.integer("export_wh", 0, INTEGER_MAX),
            metered_wh=reader.integer("metered_wh", *_SIGNED),
            imbalance_wh=reader.integer("imbalance_wh", *_SIGNED),
            estimated=reader.flag("estimated"),
            bought_nano=reader.integer("bought_nano", 0, INTEGER_MAX),
            fee_nano=reader.integer("fee_nano", 0, INTEGER_MAX),
            sold_nano=reader.integer("sold_nano", 0, INTEGER_MAX),
            imbalance_nano=reader.integer("imbalance_nano", *_SIGNED),
            penalty_nano=reader.integer("penalty_nano", 0, INTEGER_MAX),
            reward_nano=reader.integer("reward_nano", 0, INTEGER_MAX),
            balance_nano=reader.integer("balance_nano", 0, INTEGER_MAX),
            arrears_nano=reader.integer("arrears_nano", 0, INTEGER_MAX),
            owed_nano=reader.integer("owed_nano", 0, INTEGER_MAX),
            reputation_ppm=reader.integer("reputation_ppm", 0, INTEGER_MAX),
        )
        reader.end()
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The settlement of one period: a row for every account with a meter or a trade, by account id.

    `grid_nano` is the grid company's balance afterwards, `pot_nano` what the penalty pot carries over. `escrow`
    has a line for every trade where the market settles from escrow.
    """

    period: int
    time_ms: int
    rows: tuple[SettlementRow, ...]
    grid_nano: int
    pot_nano: int
    escrow: tuple[EscrowLine, ...] = ()

    def row(self, account: bytes) -> SettlementRow | None:
        """The row of `account`, or None when it has none."""
        return next((row for row in self.rows if row.account == account), None)

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (
            self.period,
            self.time_ms,
            tuple(row.to_values() for row in self.rows),
            self.grid_nano,
            self.pot_nano,
            tuple(line.to_values() for line in self.escrow),
        )

    @classmethod
    def from_values(cls, values: Value) -> Settlement:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "settlement")
        settlement = cls(
            period=reader.integer("period", 0, PERIOD_MAX),
            time_ms=reader.integer("time_ms", 0, TIME_MS_MAX),
            rows=tuple(SettlementRow.from_values(row) for row in reader.array("rows", ROWS_MAX)),
            grid_nano=reader.integer("grid_nano", 0, INTEGER_MAX),
            pot_nano=reader.integer("pot_nano", 0, INTEGER_MAX),
            escrow=tuple(EscrowLine.from_values(line) for line in reader.array("escrow", ROWS_MAX)),
        )
        reader.end()
        return settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """An account was registered or reviewed."""

    account: bytes
    status: Status
    reason: str

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (self.account, int(self.status), self.reason)

    @classmethod
    def from_values(cls, values: Value) -> AccountChange:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "account change")
        change = cls(
            account=reader.data("account", KEY_BYTES),
            status=Status(reader.integer("status", Status.PENDING, Status.REFUSED)),
            reason=reader.text("reason", 128),
        )
        reader.end()
        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorChange:
    """The committee has begun operator term `term`: its member with index `member` drives the phases now."""

    term: int
    member: int

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (self.term, self.member)

    @classmethod
    def from_values(cls, values: Value) -> OperatorChange:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "operator change")
        change = cls(term=reader.integer("term", 0, INTEGER_MAX), member=reader.integer("member", 0, INTEGER_MAX))
        reader.end()
        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsChange:
    """The regulator has set new price limits. `tx_id` names the transaction."""

    ask_limit_micro: int
    lowest_micro: int
    highest_micro: int
    tx_id: bytes

    def to_values(self) -> tuple[Value, ...]:
        """Plain values in wire order."""
        return (self.ask_limit_micro, self.lowest_micro, self.highest_micro, self.tx_id)

    @classmethod
    def from_values(cls, values: Value) -> LimitsChange:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "limits change")
        change = cls(
            ask_limit_micro=reader.integer("ask_limit_micro", 0, PRICE_MICRO_MAX),
            lowest_micro=reader.integer("lowest_micro", 0, PRICE_MICRO_MAX),
            highest_micro=reader.integer("highest_micro", 0, PRICE_MICRO_MAX),
            tx_id=reader.data("tx_id", ID_BYTES),
        )
        reader.end()
        return change


Event = (
    PhaseChange
    | Clearing
    | Settlement
    | AccountChange
    | OperatorChange
    | LimitsChange
    | HeldChange
    | CapChange
    | CertificateChange
    | OfferList
    | Equivocation
)
