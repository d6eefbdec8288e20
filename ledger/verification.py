"""Verifying a ledger file from genesis, by whoever holds the genesis and the committee's keys.

Nothing in the file is trusted: every hash, signature and certificate is checked and every block executed
again. The file is never changed; one that was not closed cleanly is copied first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import tables
from ledger.application import Admitted, Application
from ledger.blocks import Genesis, Header
from ledger.certificates import CheckpointCertificate, CommitCertificate
from ledger.commit_counter import COUNTER_BYTES, counter_path, unpack_counter
from ledger.committee import Committee
from ledger.core import RECORD_PREPARED, RECORD_PROPOSAL, decode_signed
from ledger.errors import CertificateError, MessageError, StoreError
from ledger.evidence import verify_evidence
from ledger.file_access import is_closed, open_unchanged
from ledger.messages import TAG_NEW_VIEW
from ledger.page_sums import check_page_sums, sums_path
from ledger.records import Checkpoint, StoredBlock
from mosquitto.codec import STORE_LIMITS, decode
from mosquitto.errors import CodecError

INTEGRITY_LINES: Final = 20

ProgressCallback = Callable[[int, int], None]
"""(blocks done, blocks in all)."""

BlockCallback = Callable[[Application, StoredBlock], Iterable[str]]
"""Called after each executed block; every sentence it returns becomes a finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong or, if not `serious`, worth knowing: in which file, where in it, what."""

    file: str
    where: str
    problem: str
    serious: bool = True

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """What an audit of one ledger file gave.

    `height`, `block_hash`, `state_root`: the last block that was verified and executed, and the state after
    it. `blocks`, `transactions`: how many were executed. `places`: block hash and state root after it for
    every height that was verified, to compare with other nodes'.
    """

    path: Path
    height: int
    block_hash: bytes
    state_root: bytes
    blocks: int
    transactions: int
    findings: tuple[Finding, ...]
    places: Mapping[int, tuple[bytes, bytes]]

    @property
    def ok(self) -> bool:
        """Whether nothing serious was found."""
        return not any(finding.serious for finding in self.findings)


def verify_chain(
    path: Path,
    genesis: Genesis,
    committee: Committee,
    application_factory: Callable[[], Application],
    *,
    progress: ProgressCallback | None = None,
    after_block: BlockCallback | None = None,
) -> VerificationReport:
    """Verify a ledger file. Never raises for what the file holds; everything wrong becomes a finding.

    `application_factory` makes the application in its genesis state; it may be called several times.
    `after_block` is where the caller checks what only the application knows, such as sums of money.
    """
    audit = _Audit(path, genesis, committee, application_factory, progress, after_block)
    with audit.step("the file"), audit.opened() as connection:
        audit.run(connection)
    return audit.report()


class _Audit:
    """One audit: where it stands, and what it found."""

    def __init__(
        self,
        path: Path,
        genesis: Genesis,
        committee: Committee,
        application_factory: Callable[[], Application],
        progress: ProgressCallback | None,
        after_block: BlockCallback | None,
    ) -> None:
        self.path = path
        self.genesis = genesis
        self.committee = committee
        self.make_application = application_factory
        self.progress = progress
        self.after_block = after_block
        self.findings: list[Finding] = []
        self.application: Application | None = application_factory()
        self.parent: Header | None = genesis.header
        self.executed = genesis.header
        self.state_root = genesis.state_root
        self.blocks = 0
        self.transactions = 0
        self.seen: dict[bytes, int] = {}
        self.places = {0: (genesis.header.hash, genesis.state_root)}
        self.owner: int | None = None

    def report(self) -> VerificationReport:
        """What has been read and found so far."""
        return VerificationReport(
            path=self.path,
            height=self.executed.height,
            block_hash=self.executed.hash,
            state_root=self.state_root,
            blocks=self.blocks,
            transactions=self.transactions,
            findings=tuple(self.findings),
            places=self.places,
        )

    def wrong(self, where: str, problem: str, *, file: Path | None = None, serious: bool = True) -> None:
        self.findings.append(Finding(file=(file or self.path).name, where=where, problem=problem, serious=serious))

    @contextmanager
    def step(self, where: str) -> Iterator[None]:
        """What cannot be read becomes a finding, and the audit goes on with the next step."""
        try:
            with tables.sqlite_errors(self.path):
                yield
        except StoreError as error:
            self.wrong(where, str(error).removeprefix(f"{self.path}: "))
        except (tables.RowError, OSError) as error:
            self.wrong(where, str(error))

    # --- The file ---------------------------------------------------------------------------------------

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """A connection to the file, or to a copy of it if it was not closed cleanly."""
        if not self.path.is_file():
            raise FileNotFoundError("there is no such ledger file")
        if is_closed(self.path):
            self._check_sums()
        else:
            note = "not closed cleanly, so that page sums do not apply: a copy was verified"
            self.wrong("the file", note, serious=False)
        with open_unchanged(self.path) as connection:
            yield connection

    def _check_sums(self) -> None:
        sums = sums_path(self.path)
        if not sums.exists():
            self.wrong("the file", "it has no page sums: unused bytes are not covered", serious=False)
            return
        result = check_page_sums(self.path)
        for problem in result.problems:
            self.wrong("page sums", problem)
        if result.signer is not None:
            self.owner = self.committee.index_of(result.signer)
            if self.owner is None:
                self.wrong("page sums", f"signed by {result.signer.hex()}, no member of the committee", file=sums)

    def run(self, connection: sqlite3.Connection) -> None:
        """Read the whole file, note everything that is wrong, and go on where that is possible."""
        with self.step("the file"):
            for (line,) in connection.execute(f"PRAGMA integrity_check({INTEGRITY_LINES})"):
                if line != "ok":
                    self.wrong("the file", str(line))
        with self.step("table meta"):
            self._check_meta(connection)
        heights: list[int] = []
        with self.step("table blocks"):
            heights = [row[0] for row in connection.execute("SELECT height FROM blocks ORDER BY height")]
        checkpoints = self._read_checkpoints(connection)
        for done, height in enumerate(heights, start=1):
            self._follow(connection, height, checkpoints)
            if self.progress is not None:
                self.progress(done, len(heights))
        self._finish_at_snapshot(checkpoints)
        self._check_checkpoints(checkpoints)
        with self.step("table transactions"):
            strays = "SELECT DISTINCT height FROM transactions WHERE height NOT IN (SELECT height FROM blocks)"
            for (height,) in connection.execute(strays):
                self.wrong("table transactions", f"transactions of block {height}, which is not here")
        with self.step("table votes"):
            self._check_votes(connection)
        with self.step("table bodies"):
            self._check_bodies(connection)
        with self.step("table evidence"):
            self._check_evidence(connection)

    def _check_meta(self, connection: sqlite3.Connection) -> None:
        data = tables.read_meta(connection, "genesis")
        if data is None or tables.decode_genesis(data) != self.genesis:
            self.wrong("table meta", f"the genesis is not that of chain {self.genesis.chain_id}")
        tables.read_meta(connection, "recovering")
        commits = unpack_counter(tables.read_meta(connection, "commits") or b"")
        counter = counter_path(self.path)
        count = unpack_counter(counter.read_bytes()[: COUNTER_BYTES + 1]) if counter.exists() else 0
        if commits is None:
            self.wrong("table meta", "the count of transactions cannot be read")
        if count is None:
            self.wrong("the whole file", "not a counter", file=counter)
        if commits is not None and count is not None and commits < count:
            self.wrong("the file", f"the last {count - commits} transactions that were on disk are missing")

    # --- The chain --------------------------------------------------------------------------------------

    def _follow(
        self, connection: sqlite3.Connection, height: int, checkpoints: dict[int, tuple[Checkpoint, bool]]
    ) -> None:
        where = f"block {height}"
        expected = self.parent.height + 1 if self.parent is not None else height
        if height != expected:
            self._skip_to(height, checkpoints)
        stored: StoredBlock | None = None
        with self.step(where):
            stored = tables.read_block(connection, height)
        if stored is None:
            self._stop_execution(where)
            self.parent = None
            return
        for problem in self._block_problems(stored):
            self.wrong(where, problem)
        self._execute(stored)
        self.parent = stored.block.header

    def _skip_to(self, height: int, checkpoints: dict[int, tuple[Checkpoint, bool]]) -> None:
        found = checkpoints.get(height - 1)
        first = self.parent.height + 1 if self.parent is not None else height
        if found is None or not found[1]:
            self.wrong(f"block {height}", f"blocks {first} to {height - 1} are missing")
            self._stop_execution(f"block {height}")
            self.parent = None
            return
        self._install(found[0], first)

    def _install(self, checkpoint: Checkpoint, first: int) -> None:
        where = f"checkpoint {checkpoint.height}"
        self.wrong(
            where,
            f"blocks {first} to {checkpoint.height} were skipped: the chain goes on from a certified snapshot",
            serious=False,
        )
        self.parent = checkpoint.header
        root = checkpoint.certificate.state_root
        application = self.make_application()
        if not application.restore(checkpoint.snapshot, root):
            self._stop_execution(where)  # Why is said by `_check_checkpoints`.
            return
        self.application = application
        self.executed, self.state_root = checkpoint.header, root
        self.places[checkpoint.height] = (checkpoint.header.hash, root)

    def _finish_at_snapshot(self, checkpoints: dict[int, tuple[Checkpoint, bool]]) -> None:
        """The replica may have installed a snapshot and not appended a block since."""
        last = max((height for height, (_, installed) in checkpoints.items() if installed), default=0)
        if self.parent is not None and last > self.parent.height:
            self._install(checkpoints[last][0], self.parent.height + 1)

    def _block_problems(self, stored: StoredBlock) -> Iterator[str]:
        block, header = stored.block, stored.block.header
        if self.parent is not None:
            if header.previous_hash != self.parent.hash:
                yield f"its previous hash is not the hash of block {self.parent.height}"
            if header.time_ms < self.parent.time_ms:
                yield f"its time {header.time_ms} is before its parent's {self.parent.time_ms}"
        if header.proposer != header.view % self.committee.quorums.n:
            yield f"proposed by member {header.proposer}, who was not the primary of view {header.view}"
        if not block.matches(stored.ids):
            yield "the transaction root in its header is not that of its transactions"
        yield from self._certificate_problems(stored.certificate, header)
        yield from self._transaction_problems(stored)

    def _certificate_problems(self, certificate: CommitCertificate, header: Header) -> Iterator[str]:
        if (certificate.sequence, certificate.block_hash) != (header.sequence, header.hash):
            yield "its certificate is about another block"
        elif certificate.view < header.view:
            yield f"certified in view {certificate.view}, before it was proposed in view {header.view}"
        yield from self._vote_problems(certificate)

    def _vote_problems(self, certificate: CommitCertificate | CheckpointCertificate) -> Iterator[str]:
        try:
            certificate.verify(self.committee.quorums, self.committee.check_vote)
        except CertificateError as error:
            yield f"its certificate does not hold: {error}"

    def _transaction_problems(self, stored: StoredBlock) -> Iterator[str]:
        checker = self.application or self.make_application()
        pairs = zip(stored.ids, stored.block.transactions, strict=True)
        for position, (transaction_id, transaction) in enumerate(pairs):
            answer = checker.check(transaction)
            if not isinstance(answer, Admitted):
                yield f"transaction {position} is not valid: {answer.reason}"
            elif answer.id != transaction_id:
                yield f"transaction {position} is kept under another id than its own"
            if transaction_id in self.seen:
                yield f"transaction {position} stands in block {self.seen[transaction_id]} already"
            self.seen.setdefault(transaction_id, stored.height)

    def _execute(self, stored: StoredBlock) -> None:
        where, header = f"block {stored.height}", stored.block.header
        if self.application is None:
            return
        if header.state_root != self.state_root:
            self.wrong(where, "the state root in its header is not that of executing the blocks before it")
        if header.period != self.application.period():
            self.wrong(
                where, f"its period is {header.period}, after the block before it was {self.application.period()}"
            )
        execution = self.application.execute(stored.height, header.time_ms, stored.block.transactions)
        if execution.receipts != stored.receipts:
            pairs = zip(execution.receipts, stored.receipts, strict=False)
            positions = [number for number, (again, kept) in enumerate(pairs) if again != kept]
            self.wrong(where, f"executing it again gives other receipts, for transactions {positions}")
        if execution.state_root != stored.state_root:
            self.wrong(where, "executing it again gives another state root than is kept")
        self.executed, self.state_root = header, execution.state_root
        self.places[stored.height] = (header.hash, execution.state_root)
        self.blocks += 1
        self.transactions += len(stored.ids)
        if self.after_block is not None:
            for problem in self.after_block(self.application, stored):
                self.wrong(where, problem)

    def _stop_execution(self, where: str) -> None:
        if self.application is not None:
            self.application = None
            self.wrong(where, "from here on blocks could not be executed again", serious=False)

    # --- Everything else --------------------------------------------------------------------------------

    def _read_checkpoints(self, connection: sqlite3.Connection) -> dict[int, tuple[Checkpoint, bool]]:
        checkpoints: dict[int, tuple[Checkpoint, bool]] = {}
        heights: list[int] = []
        with self.step("table checkpoints"):
            heights = tables.checkpoint_heights(connection)
        for height in heights:
            with self.step(f"checkpoint {height}"):
                found = tables.read_checkpoint(connection, height)
                if found is not None:
                    checkpoints[height] = found
        return checkpoints

    def _check_checkpoints(self, checkpoints: dict[int, tuple[Checkpoint, bool]]) -> None:
        for height, (checkpoint, _) in checkpoints.items():
            where, certificate = f"checkpoint {height}", checkpoint.certificate
            for problem in self._vote_problems(certificate):
                self.wrong(where, problem)
            if not self.make_application().restore(checkpoint.snapshot, certificate.state_root):
                self.wrong(where, "its snapshot does not have the certified state root")
            if height in self.places and self.places[height] != (certificate.block_hash, certificate.state_root):
                self.wrong(where, "it certifies another block or state than executing the chain gives")

    def _check_votes(self, connection: sqlite3.Connection) -> None:
        voters: set[int] = set() if self.owner is None else {self.owner}
        for record in tables.read_votes(connection):
            where = f"table votes, (kind, view, sequence) {(record.kind, record.view, record.sequence)}"
            try:
                if record.kind in (RECORD_PROPOSAL, RECORD_PREPARED):
                    decode(record.data, STORE_LIMITS)
                    continue
                signed = decode_signed(record.data)
            except (CodecError, ValueError) as error:
                self.wrong(where, f"cannot be read: {error}")
                continue
            if record.kind != TAG_NEW_VIEW:  # A backup keeps the new view of its primary.
                voters.add(signed.replica)
            if not self.committee.check_vote(signed.replica, signed.body, signed.signature):
                self.wrong(where, f"not signed by member {signed.replica}")
        if len(voters) > 1:
            self.wrong("table votes", f"votes of members {sorted(voters)}, a replica keeps only its own")

    def _check_evidence(self, connection: sqlite3.Connection) -> None:
        for record in tables.read_evidence(connection):
            try:
                convicted = verify_evidence(record.data, self.committee)
            except MessageError as error:
                self.wrong("table evidence", f"against member {record.member}: {error}")
                continue
            if convicted != record.member:
                self.wrong("table evidence", f"against member {record.member}, but it convicts member {convicted}")

    def _check_bodies(self, connection: sqlite3.Connection) -> None:
        checker = self.make_application()
        for record in tables.read_bodies(connection):
            answer = checker.check(record.transaction)
            if not isinstance(answer, Admitted) or answer.id != record.transaction_id:
                self.wrong("table bodies", f"transaction {record.transaction_id.hex()} is not what its id says")
