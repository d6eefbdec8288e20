"""The market contract as the ledger's application: bytes in, bytes out.

The only place that knows both what a transaction is on the wire (an envelope around a call) and what it
is to the contract. Deterministic; only `screen` looks at a clock, and nothing agreed on depends on it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agents.market_operator import MarketView
from ledger.application import Admitted, Execution, Refused
from ledger.committee import Committee, Member
from ledger.errors import MessageError
from ledger.evidence import read_evidence
from market.config import MarketConfig
from market.contract import BlockInput, BlockOutcome, SignedCall, admit, apply, genesis_state
from market.errors import MarketError, TransactionError
from market.events import Clearing, Event, Phase, PhaseChange, Settlement
from market.invariants import check as check_invariants
from market.market_events import Equivocation, OfferList
from market.receipts import ReasonCode
from market.state import MarketState
from market.supervision_transactions import ReportEquivocation
from market.transactions import TAGS, ClosePeriod, DeliverPeriod, SettlePeriod, Transaction, parse_call
from mosquitto.codec import STORE_LIMITS, Value, decode, encode
from mosquitto.envelope import Envelope, Kind, open_envelope, parse
from mosquitto.errors import RemoteError

log = logging.getLogger(__name__)

INVARIANT_BROKEN: Final = "contract invariant broken"
"""The log event of a block after which the contract's books do not hold: a bug, and the run says so."""

PUBLISHED: Final[dict[type[Event], Kind]] = {
    PhaseChange: Kind.PHASE,
    Clearing: Kind.CLEARING,
    Settlement: Kind.SETTLEMENT,
    OfferList: Kind.OFFERS,
    Equivocation: Kind.EQUIVOCATION,
}
"""Which of the contract's events nodes publish, and as what."""


OPENED_MAX: Final = 32_768
"""Transactions whose opened form is kept: more than the pool holds."""


@dataclass(frozen=True, slots=True)
class ClockCheck:
    """Holds an operator's time against this replica's own clock, where periods follow the wall clock.

    `now_ms` asks the clock, `earliest_ms` says when a phase may end. A backup that finds a phase
    transaction too early does not take it into its pool, so it prepares no block that holds it.
    """

    now_ms: Callable[[], int]
    skew_ms: int

    def refuses(self, time_ms: int) -> bool:
        """Whether the operator's time is further ahead of ours than clocks may differ."""
        return time_ms > self.now_ms() + self.skew_ms


class MarketApplication:
    """`ledger.application.Application` around `market.contract`.

    `clock` is None where time is the operator's alone (lockstep, audit). The contract's invariants are checked
    after every block that moved a period on, and of the others after each whose height `check_every` divides
    (0: never); a violation is kept in `violations`, it does not stop the node.
    """

    def __init__(
        self, config: MarketConfig, chain_id: str, clock: ClockCheck | None = None, check_every: int = 1
    ) -> None:
        self.config = config
        self.chain_id = chain_id
        self.violations: list[str] = []
        self.last_events: tuple[Event, ...] = ()
        self._clock = clock
        self._check_every = check_every
        self._state = genesis_state(config)
        self._opened: OrderedDict[bytes, tuple[Admitted, SignedCall]] = OrderedDict()
        # Only the keys matter here, so the names need not be known.
        self._committee = Committee(
            chain_id=chain_id,
            members=tuple(
                Member(name=f"member-{index}", public_key=key) for index, key in enumerate(config.committee)
            ),
        )

    @property
    def state(self) -> MarketState:
        """The present state, for reading."""
        return self._state

    def check(self, transaction: bytes) -> Admitted | Refused:
        """Whether the bytes are a rightly signed, well-formed call of this chain."""
        known = self._opened.get(transaction)
        if known is not None:
            return known[0]
        checked = self._check(transaction)
        if isinstance(checked, Admitted):
            # What bytes say, and whether their signature holds, never changes: sent again, screened and executed,
            # they need not be opened again. By all the bytes, as equal content may carry another signature.
            self._opened[transaction] = (checked, _signed_call(transaction))
            if len(self._opened) > OPENED_MAX:
                self._opened.popitem(last=False)
        return checked

    def _check(self, transaction: bytes) -> Admitted | Refused:
        try:
            envelope = open_envelope(transaction, self.chain_id)
            if envelope.kind is not Kind.TRANSACTION:
                return Refused(reason="not a transaction")
            call = parse_call(decode(envelope.body))
        except TransactionError as error:
            return Refused(reason=error.code.name.lower())
        except RemoteError as error:
            return Refused(reason=type(error).__name__)
        if not self._proof_holds(call.transaction):
            return Refused(reason="proof_does_not_hold")
        return Admitted(
            id=envelope.content_id(),
            sender=envelope.signer,
            valid_until_period=call.valid_until_period,
            transaction=transaction,
        )

    def screen(self, transaction: Admitted) -> Refused | None:
        """Keep out of the pool what is bound to be refused: strangers, the expired, phases before their time."""
        signed = self._signed_call(transaction.transaction)
        code = admit(self.config, self._state, signed)
        if code is not ReasonCode.OK:
            return Refused(reason=code.name.lower())
        if self._clock is not None:
            match parse_call(signed.fields or ()).transaction:
                case ClosePeriod(time_ms=time_ms) | DeliverPeriod(time_ms=time_ms) | SettlePeriod(time_ms=time_ms):
                    if self._clock.refuses(time_ms):
                        return Refused(reason=ReasonCode.WRONG_TIME.name.lower())
        return None

    def knows(self, transaction_id: bytes) -> bool:
        """Whether the contract executed this id and it could still be valid."""
        return self._state.knows(transaction_id)

    def execute(self, height: int, time_ms: int, transactions: Sequence[bytes]) -> Execution:
        """Apply one block. The signatures were checked when each transaction was admitted."""
        calls = tuple(self._signed_call(transaction) for transaction in transactions)
        outcome = apply(self.config, self._state, BlockInput(height=height, time_ms=time_ms, calls=calls))
        self.last_events = outcome.events
        moved_on = any(isinstance(event, PhaseChange) for event in outcome.events)
        if self._check_every and (height % self._check_every == 0 or moved_on):
            self._look_for_violations(height, outcome.state_root)
        return self._execution(outcome)

    def _signed_call(self, transaction: bytes) -> SignedCall:
        known = self._opened.get(transaction)
        if known is not None:
            return known[1]
        signed = _signed_call(transaction)
        if signed.fields is not None and signed.fields[:1] == (TAGS[ReportEquivocation],):
            try:
                holds = self._proof_holds(parse_call(signed.fields).transaction)
            except TransactionError:
                holds = True  # The contract itself says what is wrong with its form.
            if not holds:
                return SignedCall(tx_id=signed.tx_id, sender=signed.sender, fields=None)
        return signed

    def _proof_holds(self, transaction: Transaction) -> bool:
        """Whether a report of equivocation proves what it says. The contract cannot tell."""
        if not isinstance(transaction, ReportEquivocation):
            return True
        try:
            guilt = read_evidence(transaction.proof, self._committee)
        except MessageError:
            return False
        place = (transaction.kind, transaction.view, transaction.sequence)
        return (guilt.kind, guilt.view, guilt.sequence) == place and (
            self._committee.members[guilt.member].public_key == transaction.accused
        )

    def snapshot(self) -> bytes:
        """The whole state."""
        return encode(self._state.to_values())

    def restore(self, snapshot: bytes, state_root: bytes) -> bool:
        """Take over a state whose root is `state_root`; False, and nothing changed, for anything else."""
        try:
            state = MarketState.from_values(decode(snapshot, STORE_LIMITS))
        except (RemoteError, MarketError):
            return False
        if state.state_root() != state_root:
            return False
        self._state = state
        return True

    def state_root(self) -> bytes:
        """Root of the present state."""
        return self._state.state_root()

    def period(self) -> int:
        """The period that takes orders."""
        return self._state.open_period

    def market_view(self) -> MarketView:
        """What the operator judges by."""
        state = self._state
        unsettled = [(period, state.periods[period].phase) for period in state.periods.keys()]  # noqa: SIM118 - a Table
        return MarketView(
            open_period=state.open_period,
            phases=tuple((period, phase.name.lower()) for period, phase in unsettled),
            missing_readings={
                period: sum(1 for meter in state.meters.records() if meter.last_period < period)
                for period, phase in unsettled
                if phase is Phase.DELIVERED
            },
            operator_term=state.operator_term,
        )

    def _look_for_violations(self, height: int, state_root: bytes) -> None:
        """Check the present state, whose root is `state_root`."""
        try:
            check_invariants(self._state)
        except AssertionError as error:
            self.violations.append(f"block {height}: {error}")
            log.error(INVARIANT_BROKEN, extra={"fields": {"height": height, "reason": str(error)}})

    def _execution(self, outcome: BlockOutcome) -> Execution:
        events = tuple(
            encode((int(PUBLISHED[type(event)]), encode(event.to_values())))
            for event in outcome.events
            if type(event) in PUBLISHED
        )
        return Execution(
            receipts=tuple(encode((int(receipt.code), receipt.detail)) for receipt in outcome.receipts),
            events=events,
            state_root=outcome.state_root,
            period=self._state.open_period,
        )


def decode_event(data: bytes) -> Event:
    """A published event out of an `Execution`; the bytes are our own."""
    match decode(data, STORE_LIMITS):
        case (int(kind), bytes(body)):
            wanted = next(event_type for event_type, of_kind in PUBLISHED.items() if of_kind == kind)
            return wanted.from_values(decode(body, STORE_LIMITS))
    raise ValueError("not an event of an execution")


def _signed_call(transaction: bytes) -> SignedCall:
    """What the contract executes. Bytes that no honest replica admits still give a call, to be refused."""
    try:
        envelope: Envelope = parse(transaction)
    except RemoteError:
        return SignedCall(tx_id=bytes(32), sender=bytes(32), fields=None)
    fields: tuple[Value, ...] | None = None
    try:
        body = decode(envelope.body)
        fields = body if isinstance(body, tuple) else None
    except RemoteError:
        pass
    return SignedCall(tx_id=envelope.content_id(), sender=envelope.signer, fields=fields)
