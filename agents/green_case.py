"""The worked hours 23 and 24 of the green-electricity paper (green, section 5.4, tables 2 and 3).

Pure: the tables' input, the reserves that follow from the state of charge, and what the battery and then the
grid take of what the market leaves. Where the paper's rows disagree with each other, the reading is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agents.nash import Iteration, Quoter, QuotingMarket, iterate
from market.orders import Side

CAPACITY_WH: Final = 50_000
LOWEST_SOC: Final = 0.30
TICK_MICRO: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GreenParticipant:
    """A row's input: what it wants to sell or buy, and its state of charge before (1 is full)."""

    name: str
    energy_wh: int
    soc: float
    printed_reserve_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GreenMarket:
    """One hour: who quotes, and how much energy the other side brings."""

    title: str
    hour: int
    side: Side
    other_side_wh: int
    participants: tuple[GreenParticipant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GreenRow:
    """A row's result. `battery_wh` is charged by a seller, discharged by a buyer; the rest is the grid's."""

    name: str
    energy_wh: int
    soc_before: float
    reserve_micro: int
    quote_micro: int
    market_wh: int
    battery_wh: int
    grid_wh: int
    soc_after: float


# The printed state of charge of table 2 is one point low: "after" is "before" + 1 - 2 q in every row (q in kWh
# from a battery of 50 kWh), B included, which uses no battery. Here stands the corrected one.
TABLE_2: Final = GreenMarket(
    title="table 2, hour 23: seller's market",
    hour=23,
    side=Side.BUY,
    other_side_wh=16_000,
    participants=(
        GreenParticipant(name="A", energy_wh=4_000, soc=0.60, printed_reserve_micro=680_000),
        GreenParticipant(name="B", energy_wh=11_000, soc=0.42, printed_reserve_micro=810_000),
        GreenParticipant(name="C", energy_wh=6_000, soc=0.64, printed_reserve_micro=650_000),
        GreenParticipant(name="D", energy_wh=10_000, soc=0.58, printed_reserve_micro=690_000),
    ),
)

# Its column heads are the buyer's, copied: the columns are surplus, sale and charge of sellers.
TABLE_3: Final = GreenMarket(
    title="table 3, hour 24: buyer's market",
    hour=24,
    side=Side.SELL,
    other_side_wh=13_000,
    participants=(
        GreenParticipant(name="E", energy_wh=12_000, soc=0.86, printed_reserve_micro=500_000),
        GreenParticipant(name="F", energy_wh=13_000, soc=0.66, printed_reserve_micro=640_000),
        GreenParticipant(name="G", energy_wh=1_000, soc=0.52, printed_reserve_micro=740_000),
        GreenParticipant(name="H", energy_wh=3_000, soc=1.00, printed_reserve_micro=400_000),
    ),
)


def seller_reserve(soc: float) -> float:
    """A seller's first-round quotation as a share of the way from the lowest to the highest reserve.

    0 with a full battery, 1 at 30 %: it sells dear what its own battery could take. The tables' eight reserves
    follow from it, on a way from 0.40 to 0.90.
    """
    return min(1.0, max(0.0, (1 - soc) / (1 - LOWEST_SOC)))


def buyer_reserve(soc: float) -> float:
    """The same for a buyer: 1 at 30 %, lower the more its own battery could give."""
    return min(1.0, max(0.0, 1 - 1.5 * (soc - LOWEST_SOC)))


def reserve_micro(side: Side, soc: float) -> int:
    """The paper's reserve, rounded to its ticks of 0.01."""
    share = seller_reserve(soc) if side is Side.SELL else buyer_reserve(soc)
    ticks = round((0.40 + 0.50 * share) * 100, 6)
    return int(ticks + 0.5) * TICK_MICRO


def battery_before_grid(side: Side, residual_wh: int, soc: float) -> tuple[int, int, float]:
    """What battery and grid take of a residual, and the state of charge after (green, section 4).

    The battery is used as far as its capacity and its lowest state of charge allow, the grid has the rest.
    """
    if side is Side.SELL:
        battery_wh = min(residual_wh, round((1 - soc) * CAPACITY_WH))
        return battery_wh, residual_wh - battery_wh, soc + battery_wh / CAPACITY_WH
    battery_wh = min(residual_wh, round((soc - LOWEST_SOC) * CAPACITY_WH))
    return battery_wh, residual_wh - battery_wh, soc - battery_wh / CAPACITY_WH


def quoting_market(market: GreenMarket) -> QuotingMarket:
    """The game of one hour."""
    quoters = tuple(
        Quoter(name=row.name, energy_wh=row.energy_wh, reserve_micro=reserve_micro(market.side, row.soc))
        for row in market.participants
    )
    return QuotingMarket(side=market.side, quoters=quoters, wanted_wh=market.other_side_wh, tick_micro=TICK_MICRO)


def play(market: GreenMarket) -> tuple[Iteration, Sequence[GreenRow]]:
    """The iteration of one hour, and the rows of its table."""
    game = quoting_market(market)
    iteration = iterate(game)
    rows = []
    for index, person in enumerate(market.participants):
        market_wh = iteration.outcome.served_wh[index]
        battery_wh, grid_wh, soc_after = battery_before_grid(market.side, person.energy_wh - market_wh, person.soc)
        rows.append(
            GreenRow(
                name=person.name,
                energy_wh=person.energy_wh,
                soc_before=person.soc,
                reserve_micro=game.quoters[index].reserve_micro,
                quote_micro=iteration.outcome.quotes_micro[index],
                market_wh=market_wh,
                battery_wh=battery_wh,
                grid_wh=grid_wh,
                soc_after=soc_after,
            )
        )
    return iteration, rows
