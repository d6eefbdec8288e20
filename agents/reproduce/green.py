"""Hours 23 and 24 of the green-electricity paper (green, section 5.4): equilibria, batteries, the way there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agents.green_case import TABLE_2, TABLE_3, GreenMarket, GreenRow, play
from agents.nash import Iteration
from agents.reproduce.outcome import Comparison, Line, Progress, Reproduction, silent
from market.orders import Side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRINTED: Final = {
    TABLE_2.hour: {
        "A": (0.68, 0, 4, 0, 52),
        "B": (0.69, 11, 0, 0, 42),
        "C": (0.65, 0, 6, 0, 52),
        "D": (0.68, 5, 5, 0, 48),
    },
    TABLE_3.hour: {
        "E": (0.64, 10, 2, 0, 90),
        "F": (0.64, 0, 13, 0, 92),
        "G": (0.74, 0, 1, 0, 54),
        "H": (0.50, 3, 0, 0, 100),
    },
}
"""As printed: equilibrium quotation, then market, battery and grid in kWh, then state of charge after in %."""

PRICES: Final = {TABLE_2.hour: 0.68, TABLE_3.hour: 0.64}

DIFFERENCES: Final = [
    "The columns of table 3 carry the buyers' heads of table 2: deficit, purchase and discharge are read as"
    " surplus, sale and charge.",
    "The state of charge before in table 2 is one point low: after = before + 1 - 2 q (q in kWh, battery of 50"
    " kWh) holds in every row, also for B, which uses no battery. Ours begins one point higher.",
    "The text says that table 3's hour is the seller's market. With 29 kWh offered for 13 kWh it is the buyer's.",
    "The pre-printed minimum prices are not explained. All eight follow from the state of charge: a seller asks"
    " 0.40 + 0.50 (100 - SOC) / 70, a buyer bids 0.90 - 0.0075 (SOC - 30), rounded to 0.01.",
    "The paper does not say how equally good quotations are chosen between. In the first sweep a served"
    " participant takes the most extreme one; if that ends in no equilibrium, the iteration begins again with"
    " strict gains only.",
]


def reproduce(progress: Progress = silent) -> Reproduction:
    """Both hours."""
    result = Reproduction(
        paper="green",
        title="Distributed green electricity trading and management, section 5.4",
        differences=DIFFERENCES,
    )
    played: list[tuple[GreenMarket, Iteration]] = []
    for done, market in enumerate((TABLE_2, TABLE_3), start=1):
        iteration, rows = play(market)
        played.append((market, iteration))
        result.tables.append(_table(market, iteration, rows))
        result.data[f"hour {market.hour}"] = {
            "rows": [_row_data(row) for row in rows],
            "path_micro": [list(outcome.quotes_micro) for outcome in iteration.path],
            "price_micro": [outcome.price_micro for outcome in iteration.path],
            "is_equilibrium": iteration.is_equilibrium,
        }
        progress(done, 2)
    result.figures = {"quotations": _figure(played)}
    return result


def _row_data(row: GreenRow) -> dict[str, object]:
    return {
        "name": row.name,
        "energy_wh": row.energy_wh,
        "soc_before": row.soc_before,
        "reserve_micro": row.reserve_micro,
        "quote_micro": row.quote_micro,
        "market_wh": row.market_wh,
        "battery_wh": row.battery_wh,
        "grid_wh": row.grid_wh,
        "soc_after": round(row.soc_after, 4),
    }


def _table(market: GreenMarket, iteration: Iteration, rows: Sequence[GreenRow]) -> Comparison:
    lines = []
    for row in rows:
        found = (
            row.quote_micro / 1e6,
            row.market_wh // 1_000,
            row.battery_wh // 1_000,
            row.grid_wh // 1_000,
            round(row.soc_after * 100),
        )
        printed = PRINTED[market.hour][row.name]
        lines.append(Line(what=row.name, paper=_words(printed), ours=_words(found), agrees=found == printed))
    price = (iteration.outcome.price_micro or 0) / 1e6
    lines.append(
        Line(
            what="price",
            paper=f"{PRICES[market.hour]:.2f}",
            ours=f"{price:.2f}",
            agrees=price == PRICES[market.hour],
        )
    )
    lines.append(
        Line(
            what="nobody gains by deviating",
            paper="claimed",
            ours="checked" if iteration.is_equilibrium else "somebody does",
            agrees=iteration.is_equilibrium,
        )
    )
    return Comparison(
        title=f"Green, {market.title}: quotation, market, battery, grid, SOC after", lines=tuple(lines)
    )


def _words(row: tuple[float, int, int, int, int]) -> str:
    quote, market, battery, grid, soc = row
    return f"{quote:.2f}  {market:>2} kWh  {battery:>2} kWh  {grid} kWh  {soc:>3} %"


def _figure(played: Sequence[tuple[GreenMarket, Iteration]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, (market, iteration) in zip(figure.subplots(1, 2), played, strict=True):
        moves = range(len(iteration.path))
        for index, person in enumerate(market.participants):
            quotes = [outcome.quotes_micro[index] / 1e6 for outcome in iteration.path]
            axes.step(moves, quotes, where="post", marker="o", ms=4, label=person.name)
        prices = [(outcome.price_micro or 0) / 1e6 for outcome in iteration.path]
        axes.step(moves, prices, where="post", color="black", ls="--", label="price")
        kind = "buyer's" if market.side is Side.SELL else "seller's"
        axes.set_title(f"hour {market.hour}: {kind} market", fontsize=10)
        axes.set_xlabel("moves")
        axes.set_ylabel("quotation, yuan per kWh")
        axes.set_xticks(list(moves))
        axes.legend(fontsize=8)
        axes.grid(alpha=0.2)
    return figure
