"""Moving money between accounts. Nothing here makes or destroys a billionth.

No balance goes below zero. What a participant cannot pay the grid company is recorded as its arrears; what
the grid company cannot pay a participant as owed to it. Debts are recorded claims, not money, and are paid
first from whatever money comes later.
"""

from __future__ import annotations

from market.config import MarketConfig
from market.records import Account
from market.state import MarketState
from market.units import MONEY_NANO_MAX


class Bank:
    """The money of one state: free, locked, the grid company's, and the debts either way."""

    __slots__ = ("_grid_key", "_state")

    def __init__(self, config: MarketConfig, state: MarketState) -> None:
        self._state = state
        self._grid_key = config.grid_account

    def _grid(self) -> Account:
        return self._state.accounts.edit(self._grid_key)

    def credit(self, key: bytes, amount_nano: int) -> None:
        """Give an account money that was taken from elsewhere. Its arrears are paid from it first."""
        assert amount_nano >= 0
        account = self._state.accounts.edit(key)
        repaid_nano = min(account.arrears_nano, amount_nano)
        if repaid_nano:
            account.arrears_nano -= repaid_nano
            self._grid().free_nano += repaid_nano
        account.free_nano += amount_nano - repaid_nano

    def debit(self, key: bytes, amount_nano: int) -> None:
        """Take free money that the account is known to have."""
        account = self._state.accounts.edit(key)
        assert 0 <= amount_nano <= account.free_nano
        account.free_nano -= amount_nano

    def lock(self, key: bytes, amount_nano: int) -> None:
        """Set free money aside for an order."""
        self.debit(key, amount_nano)
        self._state.accounts.edit(key).locked_nano += amount_nano

    def take_locked(self, key: bytes, amount_nano: int) -> None:
        """Take locked money, to pay for what it was locked for."""
        account = self._state.accounts.edit(key)
        assert 0 <= amount_nano <= account.locked_nano
        account.locked_nano -= amount_nano

    def unlock(self, key: bytes, amount_nano: int) -> None:
        """Free locked money again, arrears first."""
        self.take_locked(key, amount_nano)
        self.credit(key, amount_nano)

    def charge(self, key: bytes, amount_nano: int) -> None:
        """Charge an account for the grid company. What the grid owes it is set off, what it lacks is arrears."""
        account = self._state.accounts.edit(key)
        set_off_nano = self._set_off(account, amount_nano)
        paid_nano = min(account.free_nano, amount_nano - set_off_nano)
        account.free_nano -= paid_nano
        self._grid().free_nano += paid_nano
        self._add_arrears(account, amount_nano - set_off_nano - paid_nano)

    def charge_for_pot(self, key: bytes, amount_nano: int) -> None:
        """Charge an account for the penalty pot. What it lacks becomes arrears with the grid company.

        The pot gets only what is paid now: a pot that hands out claims would reward with money nobody has.
        """
        account = self._state.accounts.edit(key)
        paid_nano = min(account.free_nano, amount_nano)
        account.free_nano -= paid_nano
        self._state.head.pot_nano += paid_nano
        self._add_arrears(account, amount_nano - paid_nano)

    def pay_from_grid(self, key: bytes, amount_nano: int) -> None:
        """The grid company pays an account. Arrears are set off, what the grid lacks it owes."""
        account = self._state.accounts.edit(key)
        set_off_nano = min(account.arrears_nano, amount_nano)
        account.arrears_nano -= set_off_nano
        grid = self._grid()
        paid_nano = min(grid.free_nano, amount_nano - set_off_nano)
        grid.free_nano -= paid_nano
        account.free_nano += paid_nano
        owed_nano = min(amount_nano - set_off_nano - paid_nano, MONEY_NANO_MAX - self._state.head.owed_nano)
        account.owed_nano += owed_nano
        self._state.head.owed_nano += owed_nano

    def pay_from_pot(self, key: bytes, amount_nano: int) -> None:
        """Reward an account from the penalty pot."""
        assert 0 <= amount_nano <= self._state.head.pot_nano
        self._state.head.pot_nano -= amount_nano
        self.credit(key, amount_nano)

    def pay_debts_of_grid(self) -> None:
        """The grid company pays what it owes as far as its money goes, in the order of account ids."""
        if not self._state.head.owed_nano:
            return
        for key in self._state.accounts.keys():  # noqa: SIM118 - a Table, whose keys come sorted
            if self._state.accounts[key].owed_nano:
                grid = self._grid()
                account = self._state.accounts.edit(key)
                paid_nano = min(account.owed_nano, grid.free_nano)
                grid.free_nano -= paid_nano
                account.free_nano += paid_nano
                account.owed_nano -= paid_nano
                self._state.head.owed_nano -= paid_nano

    def _add_arrears(self, account: Account, amount_nano: int) -> None:
        rest_nano = amount_nano - self._set_off(account, amount_nano)
        # The ceiling keeps a claim that nobody will ever pay within 63 bits.
        account.arrears_nano = min(account.arrears_nano + rest_nano, MONEY_NANO_MAX)

    def _set_off(self, account: Account, amount_nano: int) -> int:
        """Use what the grid company owes the account. Returns how much of `amount_nano` that covers."""
        set_off_nano = min(account.owed_nano, amount_nano)
        account.owed_nano -= set_off_nano
        self._state.head.owed_nano -= set_off_nano
        return set_off_nano
