"""Looking into a node's ledger: blocks, transactions and accounts as plain JSON values, names put in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from typing import Final

from agents.deployment import Deployment, Json
from agents.errors import ConfigurationError, RunFolderError, WorkError
from agents.genesis import market_config
from agents.market_application import MarketApplication
from agents.run_folder import RunFolder
from ledger.certificates import TAG_CHECKPOINT, TAG_COMMIT
from ledger.errors import LedgerError
from ledger.messages import TAG_PRE_PREPARE, TAG_PREPARE
from ledger.reader import LedgerReader
from ledger.records import StoredBlock
from market.errors import MarketError
from market.orders import Side
from market.receipts import ReasonCode
from market.records import Account, OpenOrder
from market.transactions import parse_call
from mosquitto.codec import decode
from mosquitto.envelope import parse
from mosquitto.errors import RemoteError


@dataclass(frozen=True, slots=True)
class NodeLedger:
    """An opened ledger of a run, and whose it is."""

    node: str
    deployment: Deployment
    reader: LedgerReader


@contextmanager
def open_ledger(folder: RunFolder, node: str | None) -> Iterator[NodeLedger]:
    """Open a node's ledger for reading; None takes the highest of the run.

    Raises ConfigurationError for an unknown node and WorkError when no ledger can be read.
    """
    deployment = folder.read_deployment()
    members = [member.name for member in deployment.committee]
    if node is not None and node not in members:
        raise ConfigurationError(f"--node {node}: no such node; expected one of {', '.join(members)}")
    reader, name = _open(folder, [node]) if node is not None else _open(folder, members)
    try:
        yield NodeLedger(name, deployment, reader)
    except LedgerError as error:
        raise WorkError(str(error)) from None
    finally:
        reader.close()


def _open(folder: RunFolder, names: Sequence[str]) -> tuple[LedgerReader, str]:
    problems = []
    best: tuple[int, LedgerReader, str] | None = None
    for name in names:
        try:
            reader = LedgerReader.open(folder.ledger(name))
            height = reader.last_height
        except LedgerError as error:
            problems.append(str(error))
            continue
        if best is None or height > best[0]:
            if best is not None:
                best[1].close()
            best = (height, reader, name)
        else:
            reader.close()
    if best is None:
        raise WorkError("; ".join(problems))
    return best[1], best[2]


def block_rows(ledger: NodeLedger, first: int, last: int) -> Iterator[dict[str, Json]]:
    """Blocks of the heights `first` to `last`, those that are here."""
    for height in range(max(1, first), last + 1):
        stored = ledger.reader.block(height)
        if stored is not None:
            yield block_json(ledger, stored)


def block_json(ledger: NodeLedger, stored: StoredBlock) -> dict[str, Json]:
    """A block's header, who proposed and who certified it, and its result."""
    header = stored.block.header
    committee = ledger.deployment.committee
    return {
        "height": header.height,
        "time_ms": header.time_ms,
        "period": header.period,
        "view": header.view,
        "proposer": committee[header.proposer].name if header.proposer < len(committee) else header.proposer,
        "transactions": len(stored.ids),
        "block_hash": stored.block.hash.hex(),
        "previous_hash": header.previous_hash.hex(),
        "transaction_root": header.transaction_root.hex(),
        "state_root": stored.state_root.hex(),
        "certified_by": [
            committee[member].name for member, _ in stored.certificate.votes if member < len(committee)
        ],
    }


def transactions_of(ledger: NodeLedger, height: int) -> list[Json]:
    """All transactions of a block. Raises ConfigurationError when the block is not here."""
    stored = ledger.reader.block(height)
    if stored is None:
        raise ConfigurationError(
            f"--height {height}: {ledger.node} has no such block; expected 1 to {ledger.reader.last_height}"
        )
    return [
        _transaction_json(ledger, height, position, *parts)
        for position, parts in enumerate(zip(stored.ids, stored.block.transactions, stored.receipts, strict=True))
    ]


def transaction_json(ledger: NodeLedger, transaction_id: str) -> dict[str, Json]:
    """One transaction by its id in hexadecimal. Raises ConfigurationError when it is not in this ledger."""
    try:
        wanted = bytes.fromhex(transaction_id)
    except ValueError:
        raise ConfigurationError(f"transaction {transaction_id!r}: expected 64 hexadecimal digits") from None
    found = ledger.reader.find_transaction(wanted)
    if found is None:
        raise ConfigurationError(f"transaction {transaction_id}: {ledger.node} has none with this id")
    return _transaction_json(
        ledger, found.height, found.position, found.transaction_id, found.transaction, found.receipt
    )


def _transaction_json(
    ledger: NodeLedger, height: int, position: int, transaction_id: bytes, transaction: bytes, receipt: bytes
) -> dict[str, Json]:
    result: dict[str, Json] = {"id": transaction_id.hex(), "height": height, "position": position}
    try:
        envelope = parse(transaction)
        call = parse_call(decode(envelope.body))
        result |= {
            "signer": ledger.deployment.name_of(envelope.signer),
            "kind": type(call.transaction).__name__,
            "valid_until_period": call.valid_until_period,
            "fields": plain(call.transaction, ledger.deployment),
        }
    except (RemoteError, MarketError) as error:
        result["unreadable"] = str(error)
    try:
        match decode(receipt):
            case (int(code), int(detail)):
                reason = ReasonCode(code)
                result["receipt"] = {"code": reason.name, "reason": reason.sentence, "detail": detail}
            case _:
                result["receipt"] = {"unreadable": receipt.hex()}
    except (RemoteError, ValueError):
        result["receipt"] = {"unreadable": receipt.hex()}
    return result


def account_json(ledger: NodeLedger, who: str) -> dict[str, Json]:
    """An account after the last block, by participant name or public key in hexadecimal.

    The state is the newest checkpoint's, with the blocks after it executed again. Raises ConfigurationError
    when nobody is called that, WorkError when the ledger does not hold what is needed.
    """
    application = _current_application(ledger)
    key = _account_key(ledger.deployment, who)
    account = application.state.accounts.get(key)
    if account is None:
        raise ConfigurationError(f"account {who}: {key.hex()} has none at height {ledger.reader.last_height}")
    result = _account_fields(account)
    result["name"] = ledger.deployment.name_of(key)
    result["height"] = ledger.reader.last_height
    result["open_orders"] = [_order_json(order) for order in application.state.open_orders(key)]
    state = application.state
    held = state.certificates
    result["certificates_held"] = [serial for serial in held.keys() if held[serial].owner == key]  # noqa: SIM118 - a Table
    result["payments_held"] = [
        {"trade": number, "amount_nano": payment.amount_nano, "disputed": bool(payment.disputed_by)}
        for number in state.held.keys()  # noqa: SIM118 - a Table
        if key in ((payment := state.held[number]).buyer, payment.seller)
    ]
    return result


def offers_json(ledger: NodeLedger) -> list[dict[str, Json]]:
    """The order book of the open period after the last block: asks from the cheapest, then bids from the highest.

    Raises WorkError when the ledger does not hold what is needed.
    """
    state = _current_application(ledger).state
    standing = [order for order in state.orders.records() if order.stands_in(state.open_period)]
    standing.sort(
        key=lambda order: (-order.side, order.price_micro * (1 if order.side is Side.SELL else -1), order.number)
    )
    return [
        {
            "number": order.number,
            "side": order.side.name.lower(),
            "energy_wh": order.residual_wh,
            "price_micro": order.price_micro,
            "owner": ledger.deployment.name_of(order.account),
            "region": state.accounts[order.account].region,
        }
        for order in standing
    ]


CONSENSUS_KINDS: Final = {
    TAG_PRE_PREPARE: "pre-prepare",
    TAG_PREPARE: "prepare",
    TAG_COMMIT: "commit",
    TAG_CHECKPOINT: "checkpoint",
}
"""What a member can say twice."""


def evidence_rows(ledger: NodeLedger) -> list[dict[str, Json]]:
    """Every proof that a member said two things: those in the chain, then those that only this node keeps.

    Raises WorkError when the ledger does not hold what is needed.
    """
    deployment = ledger.deployment
    rows: list[dict[str, Json]] = []
    seen: set[tuple[bytes, int, int, int]] = set()
    state = _current_application(ledger).state
    for key in state.members.keys():  # noqa: SIM118 - a Table
        for item in state.members[key].convictions:
            seen.add((key, *item.place))
            found = ledger.reader.find_transaction(item.tx_id)
            rows.append(
                {
                    **_place(deployment.name_of(key), *item.place),
                    "height": found.height if found is not None else None,
                    "transaction": item.tx_id.hex(),
                }
            )
    for record in ledger.reader.evidence():
        member = deployment.committee[record.member]
        if (member.public_key, record.kind, record.view, record.sequence) not in seen:
            place = _place(member.name, record.kind, record.view, record.sequence)
            rows.append({**place, "height": None, "transaction": None})
    return rows


def _place(member: str, kind: int, view: int, sequence: int) -> dict[str, Json]:
    return {"member": member, "kind": CONSENSUS_KINDS.get(kind, str(kind)), "view": view, "sequence": sequence}


def _account_key(deployment: Deployment, who: str) -> bytes:
    for key, name in deployment.names.items():
        if name == who:
            return key
    try:
        key = bytes.fromhex(who)
    except ValueError:
        key = b""
    if len(key) != 32:
        some = ", ".join(sorted(deployment.names.values())[:8])
        raise ConfigurationError(
            f"account {who!r}: nobody is called that; expected a name such as {some},"
            " or a public key of 64 hexadecimal digits"
        )
    return key


def _current_application(ledger: NodeLedger) -> MarketApplication:
    application = MarketApplication(market_config(ledger.deployment), ledger.deployment.chain_id, check_every=0)
    checkpoint = ledger.reader.latest_checkpoint()
    start = 0
    if checkpoint is not None:
        if not application.restore(checkpoint.snapshot, checkpoint.certificate.state_root):
            raise WorkError(f"{ledger.reader.path}: checkpoint {checkpoint.height}: its snapshot has another root")
        start = checkpoint.height
    last = ledger.reader.last_height
    for stored in ledger.reader.blocks(start + 1, last + 1):
        application.execute(stored.height, stored.block.header.time_ms, stored.block.transactions)
        start = stored.height
    if start != last:
        raise RunFolderError(f"{ledger.reader.path}: blocks after {start} are missing")
    return application


def _account_fields(account: Account) -> dict[str, Json]:
    hidden = ("requested_meters", "name_hash")
    values = {field.name: getattr(account, field.name) for field in fields(account) if field.name not in hidden}
    return {name: plain(value) for name, value in values.items()}


def _order_json(order: OpenOrder) -> dict[str, Json]:
    value = plain(order)
    assert isinstance(value, dict)
    value.pop("account")
    return value


def plain(value: object, deployment: Deployment | None = None) -> Json:
    """Any value of the contract as JSON: bytes as hexadecimal text (accounts by name), enums by name."""
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, bytes):
        name = deployment.names.get(value) if deployment is not None else None
        return name or value.hex()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [plain(item, deployment) for item in value]
    assert is_dataclass(value), type(value)
    return {field.name: plain(getattr(value, field.name), deployment) for field in fields(value)}
