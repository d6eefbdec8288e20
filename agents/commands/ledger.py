"""`gridbazaar ledger`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agents.commands.common import echo_json, echo_table, json_option, run_argument
from agents.run_folder import RunFolder

if TYPE_CHECKING:
    from agents.deployment import Json

node_option = click.option("--node", metavar="NAME", help="Whose ledger.  [default: the highest]")


@click.group(name="ledger")
def command() -> None:
    """Show blocks, transactions, accounts and proofs.

    Reads what is stored; `gridbazaar audit` verifies it.

    \b
    Example:
      gridbazaar ledger blocks runs/neighbourhood
    """


@command.command(name="blocks")
@run_argument
@node_option
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many, from the end.")
@click.option("--height", type=click.IntRange(min=1), help="One block, with its transactions.")
@json_option
def blocks(run: Path, node: str | None, last: int, height: int | None, as_json: bool) -> None:
    """List the last blocks, or one block with its transactions.

    \b
    Examples:
      gridbazaar ledger blocks runs/neighbourhood --last 5
      gridbazaar ledger blocks runs/neighbourhood --height 12 --json
    """
    from agents.ledger_views import block_rows, open_ledger, transactions_of

    with open_ledger(RunFolder.open(run), node) as ledger:
        top = ledger.reader.last_height
        first, stop = (top - last + 1, top) if height is None else (height, height)
        rows = list(block_rows(ledger, first, stop))
        inside = transactions_of(ledger, height) if height is not None else None
    if as_json:
        echo_json({"node": ledger.node, "blocks": rows, **({} if inside is None else {"transactions": inside})})
        return
    numbers = ("height", "period", "view", "transactions")
    echo_table(
        (*numbers, "proposer", "block hash", "state root"),
        [
            (
                *(row[name] for name in numbers),
                row["proposer"],
                str(row["block_hash"])[:16],
                str(row["state_root"])[:16],
            )
            for row in rows
        ],
        right=numbers,
    )
    if inside is not None:
        click.echo()
        for transaction in inside:
            assert isinstance(transaction, dict)
            click.echo(_line(transaction))


def _line(transaction: dict[str, Json]) -> str:
    receipt = transaction["receipt"]
    code = receipt.get("code", "?") if isinstance(receipt, dict) else "?"
    what = transaction.get("kind", "unreadable")
    return f"{transaction['id']}  {what}  by {transaction.get('signer', '?')}  {code}"


@command.command(name="tx")
@run_argument
@click.argument("transaction_id", metavar="ID")
@node_option
@json_option
def tx(run: Path, transaction_id: str, node: str | None, as_json: bool) -> None:
    """Show a transaction: who signed it, what it asks for, where it stands, what became of it.

    ID is the transaction's id, 64 hexadecimal digits.

    \b
    Example:
      gridbazaar ledger tx runs/neighbourhood 5e0c...
    """
    from agents.ledger_views import open_ledger, transaction_json

    with open_ledger(RunFolder.open(run), node) as ledger:
        value = transaction_json(ledger, transaction_id)
    if as_json:
        echo_json(value)
    else:
        _print_fields(value)


@command.command(name="account")
@run_argument
@click.argument("who", metavar="NAME")
@node_option
@json_option
def account(run: Path, who: str, node: str | None, as_json: bool) -> None:
    """Show an account after the last block: money, reputation, meters, open orders.

    NAME is a participant's name, or its public key in hexadecimal.

    \b
    Example:
      gridbazaar ledger account runs/neighbourhood wind-north
    """
    from agents.ledger_views import account_json, open_ledger

    with open_ledger(RunFolder.open(run), node) as ledger:
        value = account_json(ledger, who)
    if as_json:
        echo_json(value)
    else:
        _print_fields(value)


@command.command(name="offers")
@run_argument
@node_option
@json_option
def offers(run: Path, node: str | None, as_json: bool) -> None:
    """Show the order book of the open period after the last block.

    Where the market lists offers, these are the orders that may be taken.

    \b
    Example:
      gridbazaar ledger offers runs/listing
    """
    from agents.ledger_views import offers_json, open_ledger

    with open_ledger(RunFolder.open(run), node) as ledger:
        rows = offers_json(ledger)
    if as_json:
        echo_json({"node": ledger.node, "offers": rows})
    else:
        columns = ("number", "side", "energy_wh", "price_micro", "owner", "region")
        echo_table(columns, [[row[name] for name in columns] for row in rows], right=columns[2:4])


@command.command(name="evidence")
@run_argument
@node_option
@json_option
def evidence(run: Path, node: str | None, as_json: bool) -> None:
    """List the proofs that a member of the committee said two things.

    Each is two signed messages that no honest ledger node signs both. Nodes report them to the regulator by a
    transaction; those without a block are known to this node alone.

    \b
    Example:
      gridbazaar ledger evidence runs/neighbourhood
    """
    from agents.ledger_views import evidence_rows, open_ledger

    with open_ledger(RunFolder.open(run), node) as ledger:
        rows = evidence_rows(ledger)
    if as_json:
        echo_json({"node": ledger.node, "evidence": rows})
    elif not rows:
        click.echo(f"{ledger.node} knows of nothing against any member.")
    else:
        echo_table(
            ("member", "said two", "view", "number", "block", "transaction"),
            [
                (
                    row["member"],
                    f"{row['kind']}s",
                    row["view"],
                    row["sequence"],
                    row["height"] if row["height"] is not None else "-",
                    row["transaction"] or "not reported yet",
                )
                for row in rows
            ],
            right=("view", "number", "block"),
        )


@command.command(name="proof")
@run_argument
@click.argument("transaction_id", metavar="ID")
@node_option
@click.option(
    "--until",
    type=click.IntRange(min=1),
    metavar="HEIGHT",
    help="End at this block, with the headers between.",
)
@json_option
def proof(run: Path, transaction_id: str, node: str | None, until: int | None, as_json: bool) -> None:
    """Print the proof that a transaction is in the chain, as JSON to be given to others.

    It holds the transaction, its Merkle path (RFC 6962), the block's header and the commit certificate of
    2f+1 members: `gridbazaar ledger verify` needs nothing else but the committee's keys. It says that the
    transaction was ordered and executed, not with what receipt.

    \b
    Example:
      gridbazaar ledger proof runs/neighbourhood 5e0c... > proof.json
    """
    from agents.ledger_proofs import make_proof
    from agents.ledger_views import open_ledger

    with open_ledger(RunFolder.open(run), node) as ledger:
        value = make_proof(ledger, transaction_id, until)
    click.echo(json.dumps(value, indent=None if as_json else 1))


@command.command(name="verify")
@click.argument("proof_file", metavar="PROOF", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--committee",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Chain id, names and keys that are trusted: committee.json of a run.",
)
@json_option
def verify(proof_file: Path, committee: Path, as_json: bool) -> int:
    """Verify a proof offline, with nothing but the committee's keys. Exit code 1 when it does not hold.

    \b
    Example:
      gridbazaar ledger verify proof.json --committee committee.json
    """
    from agents.ledger_proofs import check_proof, verdict_json

    verdict = check_proof(proof_file, committee)
    value = verdict_json(verdict)
    if as_json:
        echo_json(value)
    elif verdict.valid:
        click.echo("The proof holds.")
        _print_fields({name: item for name, item in value.items() if name not in ("valid", "reason")})
    else:
        click.echo(f"The proof does not hold: {verdict.reason}")
    return 0 if verdict.valid else 1


def _print_fields(value: dict[str, Json], indent: str = "") -> None:
    width = max(map(len, value))
    for name, item in value.items():
        if isinstance(item, dict) and item:
            click.echo(f"{indent}{name}")
            _print_fields(item, indent + "  ")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            click.echo(f"{indent}{name}")
            for entry in item:
                assert isinstance(entry, dict)
                _print_fields(entry, indent + "  ")
                click.echo()
        else:
            text = ", ".join(map(str, item)) if isinstance(item, list) else item
            click.echo(f"{indent}{name:<{width}}  {text}")
