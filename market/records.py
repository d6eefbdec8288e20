"""The records of the contract's state. Mutable, and changed only through `Table.edit`, which marks them."""

from __future__ import annotations

from dataclasses import dataclass

from market.events import Phase, Status
from market.orders import Order, Role, Side
from market.transactions import MeterRegistration
from market.units import AMOUNT_NANO_MAX, INTEGER_MAX, MONEY_NANO_MAX, PERIOD_MAX, PRICE_MICRO_MAX, TIME_MS_MAX
from market.values import ID_BYTES, KEY_BYTES, FieldReader, Value

SIGNED = (-(2**63), 2**63 - 1)
_MONEY = (0, MONEY_NANO_MAX)
_COUNT = (0, INTEGER_MAX)
_PERIOD = (-1, PERIOD_MAX * 2)


@dataclass(slots=True, kw_only=True)
class Head:
    """What the state has one of.

    `deposits_nano` and `withdrawals_nano` are all money that ever came in and went out; `owed_nano` is the sum
    of what the grid company owes to accounts. `cap_micro` is the emergency price cap of the periods `cap_first` to
    `cap_last` (none while `cap_last` is -1). `retired` counts the certificates that were used up.
    """

    config_digest: bytes
    time_ms: int
    open_period: int = 0
    next_order: int = 1
    next_trade: int = 1
    operator_term: int = 0
    operator_votes: tuple[int, ...] = ()
    ask_limit_micro: int
    lowest_micro: int
    highest_micro: int
    deposits_nano: int = 0
    withdrawals_nano: int = 0
    pot_nano: int = 0
    owed_nano: int = 0
    pending_count: int = 0
    cap_micro: int = 0
    cap_first: int = 0
    cap_last: int = -1
    next_certificate: int = 1
    retired: int = 0

    def cap_in(self, period: int) -> int | None:
        """The emergency price cap of a period, or None."""
        return self.cap_micro if self.cap_first <= period <= self.cap_last else None

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (
            self.config_digest,
            self.time_ms,
            self.open_period,
            self.next_order,
            self.next_trade,
            self.operator_term,
            self.operator_votes,
            self.ask_limit_micro,
            self.lowest_micro,
            self.highest_micro,
            self.deposits_nano,
            self.withdrawals_nano,
            self.pot_nano,
            self.owed_nano,
            self.pending_count,
            self.cap_micro,
            self.cap_first,
            self.cap_last,
            self.next_certificate,
            self.retired,
        )

    @classmethod
    def from_values(cls, values: Value) -> Head:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "head")
        head = cls(
            config_digest=reader.data("config_digest", ID_BYTES),
            time_ms=reader.integer("time_ms", 0, TIME_MS_MAX),
            open_period=reader.integer("open_period", 0, PERIOD_MAX),
            next_order=reader.integer("next_order", 1, INTEGER_MAX),
            next_trade=reader.integer("next_trade", 1, INTEGER_MAX),
            operator_term=reader.integer("operator_term", *_COUNT),
            operator_votes=_integers(reader.array("operator_votes", 4096)),
            ask_limit_micro=reader.integer("ask_limit_micro", 0, PRICE_MICRO_MAX),
            lowest_micro=reader.integer("lowest_micro", 0, PRICE_MICRO_MAX),
            highest_micro=reader.integer("highest_micro", 0, PRICE_MICRO_MAX),
            deposits_nano=reader.integer("deposits_nano", *_COUNT),
            withdrawals_nano=reader.integer("withdrawals_nano", *_COUNT),
            pot_nano=reader.integer("pot_nano", *_MONEY),
            owed_nano=reader.integer("owed_nano", *_COUNT),
            pending_count=reader.integer("pending_count", *_COUNT),
            cap_micro=reader.integer("cap_micro", 0, PRICE_MICRO_MAX),
            cap_first=reader.integer("cap_first", 0, PERIOD_MAX),
            cap_last=reader.integer("cap_last", *_PERIOD),
            next_certificate=reader.integer("next_certificate", 1, INTEGER_MAX),
            retired=reader.integer("retired", *_COUNT),
        )
        reader.end()
        return head


def _integers(values: tuple[Value, ...]) -> tuple[int, ...]:
    reader = FieldReader(values, "integers")
    return tuple(reader.integer("integer", *_COUNT) for _ in values)


@dataclass(slots=True, kw_only=True)
class Account:
    """A participant, by its public key.

    Money: `free_nano` can be spent; `locked_nano` backs open bids and unsettled purchases; `arrears_nano` is
    what it owes the grid company, paid first from any later money; `owed_nano` what the grid company owes it.

    `unread_...` carry what settlements by estimate have left open: energy that was settled without being
    measured, the energy traded meanwhile, and what orders were left unfilled. `estimated_periods` counts
    settlements by estimate in a row.

    `renewable`: its exports are accredited generation. `generated_wh` is what its meters have exported less
    imported while they were; `certificates` how many certificates that has brought.
    """

    key: bytes
    name_hash: bytes
    role: Role
    region: str
    settlement_account: str
    status: Status
    requested_meters: tuple[MeterRegistration, ...] = ()
    meters: tuple[str, ...] = ()
    since_period: int = 0
    free_nano: int = 0
    locked_nano: int = 0
    arrears_nano: int = 0
    owed_nano: int = 0
    reputation_ppm: int = 0
    unread_wh: int = 0
    unread_traded_wh: int = 0
    unread_unsold_wh: int = 0
    unread_unbought_wh: int = 0
    estimated_periods: int = 0
    renewable: bool = False
    generated_wh: int = 0
    certificates: int = 0

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (
            self.name_hash,
            int(self.role),
            self.region,
            self.settlement_account,
            int(self.status),
            tuple(meter.to_values() for meter in self.requested_meters),
            self.meters,
            self.since_period,
            self.free_nano,
            self.locked_nano,
            self.arrears_nano,
            self.owed_nano,
            self.reputation_ppm,
            self.unread_wh,
            self.unread_traded_wh,
            self.unread_unsold_wh,
            self.unread_unbought_wh,
            self.estimated_periods,
            int(self.renewable),
            self.generated_wh,
            self.certificates,
        )

    @classmethod
    def from_values(cls, key: bytes, values: Value) -> Account:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "account")
        account = cls(
            key=key,
            name_hash=reader.data("name_hash", ID_BYTES),
            role=Role(reader.integer("role", Role.PRODUCER, Role.GRID)),
            region=reader.text("region", 64),
            settlement_account=reader.text("settlement_account", 128),
            status=Status(reader.integer("status", Status.PENDING, Status.DELISTED)),
            requested_meters=tuple(
                MeterRegistration.from_values(meter) for meter in reader.array("requested_meters", 64)
            ),
            meters=_names(reader.array("meters", 64)),
            since_period=reader.integer("since_period", *_PERIOD),
            free_nano=reader.integer("free_nano", *_MONEY),
            locked_nano=reader.integer("locked_nano", *_MONEY),
            arrears_nano=reader.integer("arrears_nano", *_MONEY),
            owed_nano=reader.integer("owed_nano", *_MONEY),
            reputation_ppm=reader.integer("reputation_ppm", *_COUNT),
            unread_wh=reader.integer("unread_wh", *SIGNED),
            unread_traded_wh=reader.integer("unread_traded_wh", *_COUNT),
            unread_unsold_wh=reader.integer("unread_unsold_wh", *_COUNT),
            unread_unbought_wh=reader.integer("unread_unbought_wh", *_COUNT),
            estimated_periods=reader.integer("estimated_periods", *_COUNT),
            renewable=reader.flag("renewable"),
            generated_wh=reader.integer("generated_wh", *SIGNED),
            certificates=reader.integer("certificates", *_COUNT),
        )
        reader.end()
        return account


def _names(values: tuple[Value, ...]) -> tuple[str, ...]:
    reader = FieldReader(values, "names")
    return tuple(reader.name("name") for _ in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingReading:
    """An accepted reading that no settlement has used yet, and the id of the transaction that brought it."""

    period: int
    import_wh: int
    export_wh: int
    reset: bool
    tx_id: bytes

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (self.period, self.import_wh, self.export_wh, int(self.reset), self.tx_id)

    @classmethod
    def from_values(cls, values: Value) -> PendingReading:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "pending reading")
        reading = cls(
            period=reader.integer("period", 0, PERIOD_MAX),
            import_wh=reader.integer("import_wh", *_COUNT),
            export_wh=reader.integer("export_wh", *_COUNT),
            reset=reader.flag("reset"),
            tx_id=reader.data("tx_id", ID_BYTES),
        )
        reader.end()
        return reading


@dataclass(slots=True, kw_only=True)
class Meter:
    """A registered meter.

    `booked_...` are the registers at the last settlement that used a reading; `last_...` those of the last
    accepted reading, which later ones must not go below; `last_reset` the period of the last register reset.
    """

    meter_id: str
    account: bytes
    key: bytes
    max_import_wh: int
    max_export_wh: int
    booked_import_wh: int
    booked_export_wh: int
    last_import_wh: int
    last_export_wh: int
    last_period: int
    last_counter: int = -1
    last_reset: int = -1
    readings: tuple[PendingReading, ...] = ()

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (
            self.account,
            self.key,
            self.max_import_wh,
            self.max_export_wh,
            self.booked_import_wh,
            self.booked_export_wh,
            self.last_import_wh,
            self.last_export_wh,
            self.last_period,
            self.last_counter,
            self.last_reset,
            tuple(reading.to_values() for reading in self.readings),
        )

    @classmethod
    def from_values(cls, meter_id: str, values: Value) -> Meter:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "meter record")
        meter = cls(
            meter_id=meter_id,
            account=reader.data("account", KEY_BYTES),
            key=reader.data("key", KEY_BYTES),
            max_import_wh=reader.integer("max_import_wh", *_COUNT),
            max_export_wh=reader.integer("max_export_wh", *_COUNT),
            booked_import_wh=reader.integer("booked_import_wh", *_COUNT),
            booked_export_wh=reader.integer("booked_export_wh", *_COUNT),
            last_import_wh=reader.integer("last_import_wh", *_COUNT),
            last_export_wh=reader.integer("last_export_wh", *_COUNT),
            last_period=reader.integer("last_period", *_PERIOD),
            last_counter=reader.integer("last_counter", -1, INTEGER_MAX),
            last_reset=reader.integer("last_reset", *_PERIOD),
            readings=tuple(PendingReading.from_values(item) for item in reader.array("readings", 10_000)),
        )
        reader.end()
        return meter


@dataclass(slots=True, kw_only=True)
class OpenOrder:
    """An order with energy left, standing in every clearing from `period` to `expiry_period`.

    `lock_price_micro` a kWh of the residual is locked for a bid (0 for an ask): its price, or the regulator's
    limit price when a hard bid is below it.
    """

    number: int
    account: bytes
    side: Side
    energy_wh: int
    residual_wh: int
    price_micro: int
    lock_price_micro: int
    issued_ms: int
    period: int
    expiry_period: int
    region_only: bool
    hard: bool

    @property
    def lock_nano(self) -> int:
        """The money that backs the residual."""
        return self.residual_wh * self.lock_price_micro

    def stands_in(self, period: int) -> bool:
        """Whether the order is part of this period's book."""
        return self.period <= period <= self.expiry_period

    def in_book(self, region: str, reputation_ppm: int = 0) -> Order:
        """The order as a mechanism sees it; `region` and `reputation_ppm` are its owner's."""
        return Order(
            number=self.number,
            side=self.side,
            energy_wh=self.residual_wh,
            price_micro=self.price_micro,
            issued_ms=self.issued_ms,
            region=region,
            account=self.account,
            region_only=self.region_only,
            reputation_ppm=reputation_ppm,
        )

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (
            self.account,
            int(self.side),
            self.energy_wh,
            self.residual_wh,
            self.price_micro,
            self.lock_price_micro,
            self.issued_ms,
            self.period,
            self.expiry_period,
            int(self.region_only),
            int(self.hard),
        )

    @classmethod
    def from_values(cls, number: int, values: Value) -> OpenOrder:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "open order")
        order = cls(
            number=number,
            account=reader.data("account", KEY_BYTES),
            side=Side(reader.integer("side", Side.BUY, Side.SELL)),
            energy_wh=reader.integer("energy_wh", 1, AMOUNT_NANO_MAX),
            residual_wh=reader.integer("residual_wh", 1, AMOUNT_NANO_MAX),
            price_micro=reader.integer("price_micro", 0, PRICE_MICRO_MAX),
            lock_price_micro=reader.integer("lock_price_micro", 0, 11 * PRICE_MICRO_MAX),
            issued_ms=reader.integer("issued_ms", 0, TIME_MS_MAX),
            period=reader.integer("period", 0, PERIOD_MAX),
            expiry_period=reader.integer("expiry_period", 0, PERIOD_MAX * 2),
            region_only=reader.flag("region_only"),
            hard=reader.flag("hard"),
        )
        reader.end()
        return order


@dataclass(slots=True, kw_only=True)
class OpenTrade:
    """A trade between clearing and settlement: the buyer's money is locked, the seller's energy is promised.

    `reward_micro` a kWh is locked beside the price where the market settles from escrow: what full delivery earns.
    """

    number: int
    period: int
    buyer: bytes
    seller: bytes
    energy_wh: int
    price_micro: int
    fee_micro: int
    buy_order: int
    sell_order: int
    reward_micro: int = 0

    @property
    def lock_nano(self) -> int:
        """What the buyer has locked for it."""
        return self.energy_wh * (self.price_micro + self.fee_micro + self.reward_micro)

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (
            self.period,
            self.buyer,
            self.seller,
            self.energy_wh,
            self.price_micro,
            self.fee_micro,
            self.buy_order,
            self.sell_order,
            self.reward_micro,
        )

    @classmethod
    def from_values(cls, number: int, values: Value) -> OpenTrade:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "open trade")
        trade = cls(
            number=number,
            period=reader.integer("period", 0, PERIOD_MAX),
            buyer=reader.data("buyer", KEY_BYTES),
            seller=reader.data("seller", KEY_BYTES),
            energy_wh=reader.integer("energy_wh", 1, AMOUNT_NANO_MAX),
            price_micro=reader.integer("price_micro", 0, PRICE_MICRO_MAX),
            fee_micro=reader.integer("fee_micro", 0, PRICE_MICRO_MAX),
            buy_order=reader.integer("buy_order", 1, INTEGER_MAX),
            sell_order=reader.integer("sell_order", 0, INTEGER_MAX),
            reward_micro=reader.integer("reward_micro", 0, 10 * PRICE_MICRO_MAX),
        )
        reader.end()
        return trade


@dataclass(slots=True, kw_only=True)
class Position:
    """What an account traded for a period, and what serious orders of its were left unfilled."""

    sold_wh: int = 0
    bought_wh: int = 0
    unsold_wh: int = 0
    unbought_wh: int = 0

    @property
    def net_wh(self) -> int:
        """Sold minus bought: what the meters should show."""
        return self.sold_wh - self.bought_wh

    @property
    def traded_wh(self) -> int:
        """Sold plus bought."""
        return self.sold_wh + self.bought_wh

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (self.sold_wh, self.bought_wh, self.unsold_wh, self.unbought_wh)

    @classmethod
    def from_values(cls, values: Value) -> Position:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "position")
        position = cls(
            sold_wh=reader.integer("sold_wh", *_COUNT),
            bought_wh=reader.integer("bought_wh", *_COUNT),
            unsold_wh=reader.integer("unsold_wh", *_COUNT),
            unbought_wh=reader.integer("unbought_wh", *_COUNT),
        )
        reader.end()
        return position


@dataclass(slots=True, kw_only=True)
class UnsettledPeriod:
    """A period between closing and settlement."""

    phase: Phase
    closed_ms: int

    def to_values(self) -> tuple[Value, ...]:
        """Plain values."""
        return (int(self.phase), self.closed_ms)

    @classmethod
    def from_values(cls, values: Value) -> UnsettledPeriod:
        """Read plain values. Raises FormError."""
        reader = FieldReader(values, "unsettled period")
        period = cls(
            phase=Phase(reader.integer("phase", Phase.CLOSED, Phase.DELIVERED)),
            closed_ms=reader.integer("closed_ms", 0, TIME_MS_MAX),
        )
        reader.end()
        return period
