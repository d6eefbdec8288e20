"""`gridbazaar clear`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agents.commands.common import echo_json, echo_table, json_option

if TYPE_CHECKING:
    from agents.offline_clearing import Book
    from market.clearing import ClearingResult


@click.command(name="clear")
@click.argument("book", type=click.Path(path_type=Path, allow_dash=True), metavar="BOOK.csv")
@click.option(
    "--mechanism",
    default="hlm",
    show_default=True,
    help="hlm: high-low matching; uniform: buyer's or seller's market, one price; matching: by reputation, one"
    " provider a request; listing: in order of issue, at the listed price.",
)
@click.option(
    "--price-rule",
    type=click.Choice(["midpoint", "bid", "ask", "uniform"]),
    default="midpoint",
    show_default=True,
    help="How a pair's price is found.",
)
@click.option(
    "--region-priority",
    type=click.Choice(["strict", "tie"]),
    default="strict",
    show_default=True,
    help="strict: each region first, then across; tie: one book, the region breaks ties.",
)
@click.option("--crossing-fee-micro", type=click.IntRange(min=0), default=0, show_default=True, help="Per kWh.")
@click.option(
    "--regulator-limit-micro",
    type=click.IntRange(min=0),
    default=0,
    help="Price of the regulator's unlimited ask.  [default: none]",
)
@click.option(
    "--revenue-view",
    type=click.Choice(["provider", "user"]),
    default="provider",
    show_default=True,
    help="matching: whose revenue counts.",
)
@click.option(
    "--solve", is_flag=True, help="matching: also search for the best assignment, and say how far off we are."
)
@json_option
def command(
    book: Path,
    mechanism: str,
    price_rule: str,
    region_priority: str,
    crossing_fee_micro: int,
    regulator_limit_micro: int,
    revenue_view: str,
    solve: bool,
    as_json: bool,
) -> None:
    """Clear an order book offline.

    BOOK.csv has the columns order_id,side,energy_wh,price_micro,issued_ms,region, in any order, and for matching
    reputation_ppm; side is buy or sell; - reads standard input. Prices are millionths of the currency per kWh.
    A bid's price is the most its owner pays, the crossing fee included.

    \b
    Example:
      gridbazaar clear book.csv --mechanism hlm --json

    \b
    Result with --json, trades in matching order:
      {"trades": [{"buy": "b1", "sell": "s1", "energy_wh": 500, "price_micro": 150000}],
       "unmatched": [{"order_id": "b2", "energy_wh": 200}]}
    """
    from agents.offline_clearing import assignment_quality, clear_book, make_rules, read_book, result_json

    rules = make_rules(price_rule, region_priority, crossing_fee_micro, regulator_limit_micro, revenue_view)
    orders = read_book(book)
    result = clear_book(orders, mechanism, rules)
    quality = assignment_quality(orders, rules) if solve and mechanism == "matching" else None
    if as_json:
        assignment = {} if quality is None else {"assignment": asdict(quality)}
        echo_json({**result_json(orders, result), **assignment})
        return
    _print(orders, result)
    if quality is not None:
        click.echo(
            f"{quality.served} of {quality.requests} requests served, the best found serves {quality.best_served};"
            f" degree {quality.degree_ppm} against {quality.best_degree_ppm}, gap to the bound {quality.gap:.3%}"
        )


def _print(book: Book, result: ClearingResult) -> None:
    from agents import formatting
    from agents.offline_clearing import result_json

    plain = result_json(book, result)
    fees = [trade.fee_micro for trade in result.trades]
    rows = [
        (trade["buy"], trade["sell"], trade["energy_wh"], trade["price_micro"], fee)
        for trade, fee in zip(plain["trades"], fees, strict=True)
    ]
    numbers = ("energy_wh", "price_micro", "fee_micro")
    if rows:
        echo_table(("buy", "sell", *numbers), rows, right=numbers)
        click.echo()
    if plain["unmatched"]:
        echo_table(
            ("unmatched", "energy_wh"),
            [(left["order_id"], left["energy_wh"]) for left in plain["unmatched"]],
            right=("energy_wh",),
        )
        click.echo()
    energy_wh = sum(trade.energy_wh for trade in result.trades)
    value_nano = sum(trade.energy_wh * trade.price_micro for trade in result.trades)
    mean = formatting.price(value_nano / energy_wh if energy_wh else None)
    click.echo(
        f"{len(rows)} {'trade' if len(rows) == 1 else 'trades'}, {formatting.energy(energy_wh)}, mean price {mean}"
    )
