"""What must hold after every block, whatever the blocks contained. For tests, simulation and audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from market.errors import InvariantViolation
from market.events import Phase, Status
from market.orders import Side
from market.state import MarketState
from market.trading import committed_wh, export_limit_wh

_LIVE: Final = (Phase.OPEN, Phase.CLOSED, Phase.DELIVERED)


def check(state: MarketState) -> None:
    """Raise InvariantViolation that lists everything that does not hold."""
    found = list(violations(state))
    if found:
        raise InvariantViolation("; ".join(found))


def violations(state: MarketState) -> Iterator[str]:
    """Every invariant that does not hold, as a sentence."""
    yield from _money(state)
    yield from _nothing_below_zero(state)
    yield from _locks(state)
    yield from _energy(state)
    yield from _orders(state)
    yield from _bounds(state)
    yield from _certificates(state)


def _money(state: MarketState) -> Iterator[str]:
    inside_nano = state.head.pot_nano + sum(
        account.free_nano + account.locked_nano for account in state.accounts.records()
    )
    expected_nano = state.head.deposits_nano - state.head.withdrawals_nano
    if inside_nano != expected_nano:
        yield f"money inside is {inside_nano} nano, deposits less withdrawals are {expected_nano}"
    owed_nano = sum(account.owed_nano for account in state.accounts.records())
    if owed_nano != state.head.owed_nano:
        yield f"accounts are owed {owed_nano} nano, the head says {state.head.owed_nano}"


def _nothing_below_zero(state: MarketState) -> Iterator[str]:
    if state.head.pot_nano < 0:
        yield f"the pot holds {state.head.pot_nano} nano"
    for account in state.accounts.records():
        for name in ("free_nano", "locked_nano", "arrears_nano", "owed_nano", "reputation_ppm"):
            if getattr(account, name) < 0:
                yield f"account {account.key.hex()[:8]}: {name} is {getattr(account, name)}"
        if account.arrears_nano and (account.free_nano or account.owed_nano):
            yield f"account {account.key.hex()[:8]} has arrears beside free money or claims"


def _locks(state: MarketState) -> Iterator[str]:
    backed: dict[bytes, int] = {}
    for order in state.orders.records():
        backed[order.account] = backed.get(order.account, 0) + order.lock_nano
    for trade in state.trades.records():
        backed[trade.buyer] = backed.get(trade.buyer, 0) + trade.lock_nano
    for held in state.held.records():
        backed[held.buyer] = backed.get(held.buyer, 0) + held.amount_nano
    for account in state.accounts.records():
        if account.locked_nano != backed.get(account.key, 0):
            expected = backed.get(account.key, 0)
            yield f"account {account.key.hex()[:8]} has locked {account.locked_nano} nano for {expected}"


def _energy(state: MarketState) -> Iterator[str]:
    """Sold equals bought in every period, and equals the trades that are kept for it."""
    for period in state.live_periods():
        positions = [
            (key, position)
            for key in state.positions.keys()  # noqa: SIM118 - a Table
            if key[0] == period and (position := state.positions[key])
        ]
        sold_wh = sum(position.sold_wh for _, position in positions)
        bought_wh = sum(position.bought_wh for _, position in positions)
        traded_wh = sum(state.trades[number].energy_wh for number in state.trades_of.get(period, []))
        if not sold_wh == bought_wh == traded_wh:
            yield f"period {period}: sold {sold_wh} Wh, bought {bought_wh} Wh, trades {traded_wh} Wh"
        for (_, key), position in positions:
            if position.sold_wh and position.bought_wh:
                yield f"account {key.hex()[:8]} sold and bought in period {period}"


def _orders(state: MarketState) -> Iterator[str]:
    for order in state.orders.records():
        if not 0 < order.residual_wh <= order.energy_wh:
            yield f"order {order.number} has {order.residual_wh} of {order.energy_wh} Wh left"
        if order.expiry_period < state.open_period:
            yield f"order {order.number} expired with period {order.expiry_period}"
        if state.accounts[order.account].status is not Status.APPROVED:
            yield f"order {order.number} belongs to an account that may not trade"
    for account in state.accounts.records():
        asks = [order for order in state.open_orders(account.key) if order.side is Side.SELL]
        limit_wh = export_limit_wh(state, account)
        for start in sorted({order.period for order in asks}):
            offered_wh = committed_wh(state, account.key, start)
            if offered_wh > limit_wh:
                yield f"account {account.key.hex()[:8]} offers {offered_wh} Wh in period {start}, may {limit_wh}"


def _bounds(state: MarketState) -> Iterator[str]:
    """What has been settled, or can no longer happen, has left the state."""
    for trade in state.trades.records():
        if state.phase_of(trade.period) not in _LIVE:
            yield f"trade {trade.number} of period {trade.period} was not dropped"
    for period, _ in state.positions.keys():  # noqa: SIM118 - a Table
        if state.phase_of(period) not in _LIVE:
            yield f"a position of period {period} was not dropped"
    if state.seen_until and min(state.seen_until) < state.open_period:
        yield f"ids of calls valid until period {min(state.seen_until)} were not dropped"


def _certificates(state: MarketState) -> Iterator[str]:
    """Issued equals held plus retired, and no account was given one for energy it did not generate."""
    issued = state.head.next_certificate - 1
    if len(state.certificates) + state.head.retired != issued:
        yield f"{issued} certificates issued, {len(state.certificates)} held, {state.head.retired} retired"
    by_account = sum(account.certificates for account in state.accounts.records())
    if by_account != issued:
        yield f"{issued} certificates issued, accounts were given {by_account}"
    for serial in state.certificates.keys():  # noqa: SIM118 - a Table
        if serial > issued or state.certificates[serial].owner not in state.accounts:
            yield f"certificate {serial} was never issued or belongs to nobody"
