"""Draw the pictures of docs/markets.md from its own example: python docs/images/draw_markets.py"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.offline_clearing import Book, clear_book, make_rules, read_book
from agents.reproduce import case_study, cui2022, green, huang2022
from market.escrow import split_of
from market.orders import Side

HERE = Path(__file__).parent
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
FEE_MICRO = 20_000


def example() -> Book:
    """The book of the page."""
    text = (HERE.parent / "markets.md").read_text(encoding="utf-8")
    found = re.search(r"```csv\n(.*?)```", text, re.DOTALL)
    assert found is not None, "docs/markets.md has no book"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.csv"
        path.write_text(found[1])
        return read_book(path)


def curve(axes: Axes, book: Book, side: Side, colour: str) -> None:
    """Demand from the highest bid down, supply from the lowest ask up."""
    orders = sorted(
        (o for o in book.orders if o.side is side), key=lambda o: o.price_micro, reverse=side is Side.BUY
    )
    x, xs, ys = 0.0, [], []
    for order in orders:
        xs += [x, x + order.energy_wh / 1e3]
        ys += [order.price_micro / 1e6] * 2
        axes.text(
            x + order.energy_wh / 2e3, order.price_micro / 1e6, book.ids[order.number], fontsize=7, ha="center"
        )
        x += order.energy_wh / 1e3
    axes.plot(xs, ys, color=colour, lw=1, label="bids" if side is Side.BUY else "asks")


def mechanism(name: str, book: Book) -> Figure:
    """Both curves, and every trade as a bar from what the seller gets to what the buyer pays."""
    result = clear_book(book, name, make_rules("midpoint", "strict", FEE_MICRO, 0))
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    curve(axes, book, Side.BUY, "#888888")
    curve(axes, book, Side.SELL, "#444444")
    x = 0.0
    for trade, colour in zip(result.trades, COLOURS, strict=False):
        width, price = trade.energy_wh / 1e3, trade.price_micro / 1e6
        label = f"{book.ids[trade.buy]} buys of {book.ids[trade.sell]} at {price:.3f}"
        if trade.fee_micro:
            label += f" + {trade.fee_micro / 1e6:.2f}"
        axes.plot([x, x + width], [price, price], color=colour, lw=4, solid_capstyle="butt", label=label)
        x += width
    axes.set_xlabel("kWh")
    axes.set_ylabel("per kWh")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.2)
    return figure


def escrow() -> Figure:
    """What becomes of a deposit for 1,000 Wh, by what the user's meter shows of 1,000 Wh sent, and of 700 Wh."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    for axes, provided in zip(figure.subplots(1, 2, sharey=True), (1_000, 700), strict=True):
        received = range(0, provided + 1, 10)
        splits = [split_of(1_000, provided, wh, 50) for wh in received]
        axes.stackplot(
            list(received),
            [split.paid_wh for split in splits],
            [split.held_wh for split in splits],
            [split.refunded_wh for split in splits],
            [50 * split.reward_half_shares / 2 for split in splits],
            labels=["paid to the seller", "held", "back to the buyer", "reward"],
            colors=["#1f77b4", "#ff7f0e", "#cccccc", "#2ca02c"],
        )
        axes.set_title(f"provider's meter: {provided} of 1,000 Wh", fontsize=9)
        axes.set_xlabel("user's meter, Wh")
        axes.set_ylabel("of the agreed Wh" if provided == 1_000 else "")
    axes.legend(fontsize=7, loc="lower right")
    return figure


def main() -> None:
    """Draw all of them beside this file."""
    book = example()
    figures = {name: mechanism(name, book) for name in ("hlm", "uniform", "matching", "listing")}
    figures["escrow"] = escrow()
    figures["nash"] = green.reproduce().figures["quotations"]
    figures["reputation"] = cui2022._figure_4(cui2022.providers())
    figures["case-study"] = huang2022._figure([case_study.run(seed, "paper") for seed in range(20)])
    for name, figure in figures.items():
        figure.savefig(HERE / f"market-{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
