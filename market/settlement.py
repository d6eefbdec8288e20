"""Settlement of one period: meters decide who is paid.

1. Traded energy is paid as agreed: price to the seller, crossing fee to the grid company.
2. Imbalance = metered - (sold - bought). The grid company sells what is missing at the retail tariff and buys
   what is left over at the feed-in tariff, so nobody's energy goes unpaid, in either direction.
3. Penalty: a share of the value of a deviation beyond the tolerance, into a pot. The deviation is the distance
   of the meter from the band between what was traded and what was ordered: who offered 5 kWh, sold 1 and
   delivers 5 broke no promise. Only who traded can have broken one.
4. Reward: the pot goes to those who traded and kept within tolerance, by energy; what division leaves over is
   carried to the next period.
5. Reputation of sellers (Cui 2022, eqs. (1) and (2)) from delivered over sold energy.
6. Green certificates for what accredited accounts generated.

Where the market settles from escrow, step 1 pays by what was delivered (`escrow.py`), and what a trade did not
deliver is neither sold nor bought: both imbalances are those of the energy that is left.

When a meter is silent, the account is settled by estimate: its position counts as met. Registers are
cumulative, so the next reading corrects it: that period's imbalance then contains what the estimate got
wrong. After a register reset nothing is known about the energy before it, and nothing is corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

from market.certificates import count_generation
from market.context import Context
from market.escrow import Delivery, release_due, settle_trade, share_wh
from market.events import Settlement, SettlementRow, Status
from market.market_events import EscrowCase, EscrowLine
from market.metering import Measured, book_readings
from market.participants import free_meters_of_delisted
from market.records import Account, OpenTrade, Position
from market.reputation import completion_ppm, comprehensive_ppm, current_ppm
from market.units import MONEY_NANO_MAX, PPM


@dataclass(slots=True, kw_only=True)
class _Line:
    """One account's settlement while it is worked out.

    `delivered_wh` is what its meters show for this period: export less import, less what estimates settled.
    """

    key: bytes
    position: Position
    measured: Measured
    metered_wh: int = 0
    delivered_wh: int = 0
    imbalance_wh: int = 0
    estimated: bool = False
    deviation_wh: int = 0
    beyond_wh: int = 0
    bought_nano: int = 0
    fee_nano: int = 0
    sold_nano: int = 0
    imbalance_nano: int = 0
    penalty_nano: int = 0
    reward_nano: int = 0


def settle_period(context: Context, period: int) -> Settlement:
    """Settle a delivered period, pay everybody, and let it leave the state."""
    state = context.state
    lines = {
        account.key: _measure(context, account, period)
        for account in state.accounts.records()
        if _takes_part(context, account, period)
    }
    escrow = _pay_trades(context, period, lines)
    _pay_imbalances(context, lines)
    _pay_penalties(context, lines)
    _pay_rewards(context, lines)
    context.bank.pay_debts_of_grid()
    _update_reputations(context, lines, escrow)
    _count_generation(context, period, lines)
    release_due(context, period)
    _forget(context, period, lines)
    return Settlement(
        period=period,
        time_ms=state.head.time_ms,
        rows=tuple(_row(state.accounts[line.key], line) for line in lines.values()),
        grid_nano=state.accounts[context.config.grid_account].free_nano,
        pot_nano=state.head.pot_nano,
        escrow=escrow,
    )


def _takes_part(context: Context, account: Account, period: int) -> bool:
    if account.key == context.config.grid_account or account.status is Status.PENDING:
        return False
    has_meter = bool(account.meters) and account.since_period <= period
    return has_meter or (period, account.key) in context.state.positions


def _measure(context: Context, account: Account, period: int) -> _Line:
    """Metered energy, imbalance and deviation of one account; marks an estimate and its later correction."""
    state = context.state
    position = state.position(period, account.key)
    measured = book_readings(state, account, period)
    line = _Line(key=account.key, position=position, measured=measured)
    line.estimated = measured.missing or measured.reset
    if line.estimated:
        line.metered_wh = line.delivered_wh = position.net_wh
        _carry_estimate(state.accounts.edit(account.key), position, measured)
        return line
    line.metered_wh = measured.net_wh
    line.delivered_wh = measured.net_wh - account.unread_wh
    line.imbalance_wh = line.delivered_wh - position.net_wh
    highest_wh = position.unsold_wh + account.unread_unsold_wh
    lowest_wh = -(position.unbought_wh + account.unread_unbought_wh)
    line.deviation_wh = line.imbalance_wh - max(lowest_wh, min(line.imbalance_wh, highest_wh))
    traded_wh = position.traded_wh + account.unread_traded_wh
    tolerance_wh = max(context.config.tolerance_wh, traded_wh * context.config.tolerance_ppm // PPM)
    if traded_wh:
        line.beyond_wh = max(0, abs(line.deviation_wh) - tolerance_wh)
    _clear_estimate(state.accounts.edit(account.key))
    return line


def _carry_estimate(account: Account, position: Position, measured: Measured) -> None:
    account.estimated_periods = account.estimated_periods + 1 if measured.missing else 0
    if measured.reset:
        _clear_carried(account)
        return
    account.unread_wh += position.net_wh - measured.net_wh
    account.unread_traded_wh += position.traded_wh
    account.unread_unsold_wh += position.unsold_wh
    account.unread_unbought_wh += position.unbought_wh


def _clear_estimate(account: Account) -> None:
    account.estimated_periods = 0
    _clear_carried(account)


def _clear_carried(account: Account) -> None:
    account.unread_wh = 0
    account.unread_traded_wh = 0
    account.unread_unsold_wh = 0
    account.unread_unbought_wh = 0


def _pay_trades(context: Context, period: int, lines: dict[bytes, _Line]) -> tuple[EscrowLine, ...]:
    """Pay every trade; with escrow by what was delivered, and say so in a line each."""
    bank, grid = context.bank, context.config.grid_account
    escrow: list[EscrowLine] = []
    for number in context.state.trades_of.get(period, []):
        trade = context.state.trades[number]
        if context.config.uses_escrow and trade.seller != grid:
            escrow.append(_pay_from_escrow(context, trade, lines))
            continue
        value_nano = trade.energy_wh * trade.price_micro
        fee_nano = trade.energy_wh * trade.fee_micro
        bank.take_locked(trade.buyer, value_nano + fee_nano)
        bank.credit(trade.seller, value_nano)
        bank.credit(grid, fee_nano)
        buyer = lines[trade.buyer]
        buyer.bought_nano += value_nano
        buyer.fee_nano += fee_nano
        if trade.seller != grid:
            lines[trade.seller].sold_nano += value_nano
    return tuple(escrow)


def _pay_from_escrow(context: Context, trade: OpenTrade, lines: dict[bytes, _Line]) -> EscrowLine:
    """Bill and reward stand in the rows as bought and sold; held money in neither until it is released."""
    buyer, seller = lines[trade.buyer], lines[trade.seller]
    provided_wh = share_wh(trade.energy_wh, seller.delivered_wh, seller.position.sold_wh)
    received_wh = share_wh(trade.energy_wh, -buyer.delivered_wh, buyer.position.bought_wh)
    delivery = Delivery(
        provided_wh=provided_wh,
        received_wh=min(received_wh, provided_wh),
        estimated=buyer.estimated or seller.estimated,
        evidence=(*buyer.measured.evidence, *seller.measured.evidence),
    )
    split, line = settle_trade(context, trade, delivery)
    undelivered_wh = trade.energy_wh - split.delivered_wh
    seller.imbalance_wh += undelivered_wh
    buyer.imbalance_wh -= undelivered_wh
    buyer.bought_nano += line.bill_nano + line.reward_nano
    buyer.fee_nano += line.fee_nano
    seller.sold_nano += line.bill_nano + line.reward_nano
    return line


def _pay_imbalances(context: Context, lines: dict[bytes, _Line]) -> None:
    """First what comes in, so that the grid company can pay out of it."""
    for line in lines.values():
        if line.imbalance_wh < 0:
            amount_nano = min(-line.imbalance_wh * context.config.retail_micro, MONEY_NANO_MAX)
            line.imbalance_nano = -amount_nano
            context.bank.charge(line.key, amount_nano)
    for line in lines.values():
        if line.imbalance_wh > 0:
            line.imbalance_nano = min(line.imbalance_wh * context.config.feed_in_micro, MONEY_NANO_MAX)
            context.bank.pay_from_grid(line.key, line.imbalance_nano)


def _pay_penalties(context: Context, lines: dict[bytes, _Line]) -> None:
    config = context.config
    for line in lines.values():
        tariff_micro = config.retail_micro if line.deviation_wh < 0 else config.feed_in_micro
        line.penalty_nano = min(line.beyond_wh * tariff_micro * config.penalty_ppm // PPM, MONEY_NANO_MAX)
        context.bank.charge_for_pot(line.key, line.penalty_nano)


def _pay_rewards(context: Context, lines: dict[bytes, _Line]) -> None:
    kept = [
        line for line in lines.values() if line.position.traded_wh and not line.estimated and not line.beyond_wh
    ]
    energy_wh = sum(line.position.traded_wh for line in kept)
    pot_nano = context.state.head.pot_nano
    for line in kept:
        line.reward_nano = pot_nano * line.position.traded_wh // energy_wh
        context.bank.pay_from_pot(line.key, line.reward_nano)


def _update_reputations(context: Context, lines: dict[bytes, _Line], escrow: tuple[EscrowLine, ...]) -> None:
    """Sellers that were measured. One meter serves all trades of a period, so each has the same completion, but
    with escrow, where more than a tolerable loss counts as not delivered."""
    config = context.config
    of_trades: dict[bytes, list[int]] = {}
    for trade in escrow:
        lost = trade.case is EscrowCase.EXCESS_LOSS
        delivered_wh = trade.received_wh if lost else trade.provided_wh
        completion = completion_ppm(delivered_wh, trade.agreed_wh, config.reputation_cap_ppm)
        of_trades.setdefault(trade.seller, []).append(completion)
    for line in lines.values():
        sold_wh = line.position.sold_wh
        if not sold_wh or line.estimated:
            continue
        whole = completion_ppm(line.delivered_wh, sold_wh, config.reputation_cap_ppm)
        account = context.state.accounts.edit(line.key)
        account.reputation_ppm = comprehensive_ppm(
            current_ppm(of_trades.get(line.key, [whole])), account.reputation_ppm, config.reputation_alpha_ppm
        )


def _count_generation(context: Context, period: int, lines: dict[bytes, _Line]) -> None:
    """What was measured counts whenever it was measured; after a reset nothing is known of what was before."""
    for line in lines.values():
        count_generation(context, line.key, line.measured.net_wh, period)


def _forget(context: Context, period: int, lines: dict[bytes, _Line]) -> None:
    state = context.state
    for number in state.trades_of.pop(period, []):
        state.trades.remove(number)
    for key in [*lines, context.config.grid_account]:
        if (period, key) in state.positions:
            state.positions.remove((period, key))
    state.periods.remove(period)
    for key in lines:
        free_meters_of_delisted(state, key)


def _row(account: Account, line: _Line) -> SettlementRow:
    return SettlementRow(
        account=line.key,
        sold_wh=line.position.sold_wh,
        bought_wh=line.position.bought_wh,
        import_wh=line.measured.import_wh,
        export_wh=line.measured.export_wh,
        metered_wh=line.metered_wh,
        imbalance_wh=line.imbalance_wh,
        estimated=line.estimated,
        bought_nano=line.bought_nano,
        fee_nano=line.fee_nano,
        sold_nano=line.sold_nano,
        imbalance_nano=line.imbalance_nano,
        penalty_nano=line.penalty_nano,
        reward_nano=line.reward_nano,
        balance_nano=account.free_nano,
        arrears_nano=account.arrears_nano,
        owed_nano=account.owed_nano,
        reputation_ppm=account.reputation_ppm,
    )
