"""What a page shows: immutable values, made by the feed, read by any number of browser sessions at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from market.events import Clearing, Settlement


class FeedState(StrEnum):
    """Where the facts come from at this moment."""

    WAITING = "waiting"  # Nothing was heard yet.
    LIVE = "live"
    SILENT = "silent"  # Connected, and the nodes have said nothing for a while.
    DISCONNECTED = "disconnected"  # No broker answers.
    ENDED = "ended"  # The run is over: a folder to look at.


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodFacts:
    """Everything agreed of one period: its clearing, and its settlement once there is one."""

    period: int
    clearing: Clearing | None = None
    settlement: Settlement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodLine:
    """A period in the charts over time. Prices are to the seller; None where nothing was traded."""

    period: int
    price_micro: int | None
    lowest_micro: int | None
    highest_micro: int | None
    trades: int
    traded_wh: int
    bid_wh: int
    offered_wh: int
    import_wh: int
    export_wh: int
    imbalance_wh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLine:
    """A participant as it stands after its last settled period.

    `side`, `ordered_wh` and `order_price_micro` are its last accepted order, `position_wh` sold less bought.
    `soc_wh` is None without a battery (or before its inverter has spoken). `net_nano` is what it received
    less what it paid, over all settled periods; `tariff_nano` what the same meter readings would have come to
    at the grid's tariffs alone.
    """

    index: int
    name: str
    role: str
    region: str
    side: str = ""
    ordered_wh: int = 0
    order_price_micro: int = 0
    sold_wh: int = 0
    bought_wh: int = 0
    metered_wh: int = 0
    imbalance_wh: int = 0
    balance_nano: int = 0
    reputation_ppm: int = 0
    soc_wh: int | None = None
    pv_wh: int | None = None
    net_nano: int = 0
    tariff_nano: int = 0
    penalty_nano: int = 0

    @property
    def position_wh(self) -> int:
        """Sold less bought in the last settled period."""
        return self.sold_wh - self.bought_wh

    @property
    def gain_nano(self) -> int:
        """What the market brought over the grid's tariffs, for the same meter readings."""
        return self.net_nano - self.tariff_nano


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """An order that the nodes have answered: accepted with its number, or refused with a reason code."""

    period: int
    account: bytes
    side: str
    energy_wh: int
    price_micro: int
    number: int
    code: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLine:
    """A ledger node. `state` is its own word or its last will; `latency_ms` from a block's time to its news."""

    name: str
    state: str = "unknown"
    height: int = 0
    view: int = 0
    period: int = 0
    state_root: str = ""
    block_hash: str = ""
    is_primary: bool = False
    behind: int = 0
    latency_ms: int | None = None
    latency_max_ms: int | None = None
    blocks_per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLine:
    """A block that f + 1 nodes announced alike."""

    height: int
    time_ms: int
    period: int
    transactions: int
    view: int
    block_hash: str
    state_root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterLine:
    """A meter and its last agreed reading. `period` is None before the first one."""

    meter_id: str
    owner: str
    region: str
    period: int | None = None
    import_wh: int = 0
    export_wh: int = 0
    measured_ms: int = 0
    quality: int = 0
    heard_ms: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterLine:
    """An inverter and what it last told of itself."""

    device_id: str
    owner: str
    region: str
    period: int | None = None
    pv_wh: int = 0
    soc_wh: int = 0
    charged_wh: int = 0
    discharged_wh: int = 0
    heard_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLine:
    """A component that is neither node nor device: an agent host, a device host."""

    name: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """The market at one moment. Snapshots compare by identity: another object is another moment."""

    state: FeedState = FeedState.WAITING
    now_ms: int = 0
    heard_ms: int = 0
    open_period: int = 0
    settled: int = 0
    last_period: int | None = None
    trades: int = 0
    traded_wh: int = 0
    value_nano: int = 0
    gain_nano: int = 0
    transactions: int = 0
    transactions_per_s: float = 0.0
    latency_ms: float | None = None
    refused: int = 0
    periods: tuple[PeriodLine, ...] = ()
    agents: tuple[AgentLine, ...] = ()
    book: tuple[OrderLine, ...] = ()
    nodes: tuple[NodeLine, ...] = ()
    blocks: tuple[BlockLine, ...] = ()
    meters: tuple[MeterLine, ...] = ()
    inverters: tuple[InverterLine, ...] = ()
    parts: tuple[PartLine, ...] = ()
