"""Opening blocks and transactions from the run folder's ledgers, and verifying them in this process."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Final

from agents.deployment import Deployment, Json
from agents.errors import ApplicationError
from agents.genesis import committee_of
from agents.ledger_proofs import make_proof
from agents.ledger_views import block_json, open_ledger, transaction_json, transactions_of
from agents.run_folder import RunFolder
from agents.web.folder_nodes import NodeFile, read_node
from ledger.committee import Committee
from ledger.errors import LedgerError
from ledger.merkle import merkle_root
from ledger.proofs import verify_proof
from ledger.records import StoredBlock
from mosquitto.envelope import parse
from mosquitto.errors import RemoteError

NODE_FILES_S: Final = 2.0
"""How old what we know of the nodes' files may be: a page that redraws must not read four files each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockView:
    """A block as JSON values, its transactions, and why it does not verify (empty: it does)."""

    block: dict[str, Json]
    transactions: list[Json]
    problem: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionView:
    """A transaction as JSON values, its proof as the text of a file, and why that does not verify."""

    transaction: dict[str, Json]
    proof: str
    problem: str
    node: str


class LedgerDesk:
    """Answers for all sessions of the process; may be asked from any thread.

    Every method raises ApplicationError when the ledgers do not hold what was asked for.
    """

    def __init__(self, folder: RunFolder, deployment: Deployment) -> None:
        self.folder = folder
        self.deployment = deployment
        self._files: dict[str, NodeFile] = {}
        self._files_read_s = float("-inf")
        self._lock = threading.Lock()

    def block(self, height: int) -> BlockView:
        """Open a block in the highest ledger here."""
        with open_ledger(self.folder, None) as ledger:
            transactions = transactions_of(ledger, height)
            stored = ledger.reader.block(height)
            assert stored is not None
            problem = block_problem(stored, committee_of(self.deployment))
            return BlockView(
                block=block_json(ledger, stored), transactions=transactions, problem=problem, node=ledger.node
            )

    def transaction(self, transaction_id: str) -> TransactionView:
        """Find a transaction, and prove it with the committee's keys alone."""
        with open_ledger(self.folder, None) as ledger:
            transaction = transaction_json(ledger, transaction_id)
            proof = make_proof(ledger, transaction_id)
            verdict = verify_proof(dict(proof), committee_of(self.deployment))
            return TransactionView(
                transaction=transaction,
                proof=json.dumps(proof, indent=1) + "\n",
                problem="" if verdict.valid else verdict.reason,
                node=ledger.node,
            )

    def node_files(self) -> dict[str, NodeFile]:
        """What the nodes' files say, at most `NODE_FILES_S` old."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._files_read_s > NODE_FILES_S:
                self._files_read_s = now_s
                names = [member.name for member in self.deployment.committee]
                self._files = {name: read_node(self.folder, self.deployment, name) for name in names}
            return dict(self._files)


def block_problem(stored: StoredBlock, committee: Committee) -> str:
    """Why a block is not what a quorum of the committee committed; empty when it is.

    Checked: the certificate's signatures, that they are for this header, that the header's transaction root is
    that of these transactions, and that their ids follow from their content.
    """
    header = stored.block.header
    if stored.certificate.block_hash != stored.block.hash:
        return "the certificate is for another block"
    try:
        stored.certificate.verify(committee.quorums, committee.check_vote)
        ids = tuple(parse(transaction).content_id() for transaction in stored.block.transactions)
    except (LedgerError, RemoteError) as error:
        return str(error)
    if ids != tuple(stored.ids):
        return "a transaction's id does not follow from its content"
    if merkle_root(ids) != header.transaction_root:
        return "the transaction root is not that of these transactions"
    return ""


def sentence(error: ApplicationError, folder: RunFolder) -> str:
    """What went wrong, without where this folder lies."""
    return str(error).replace(f"{folder.path}/", "")
