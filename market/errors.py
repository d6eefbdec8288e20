"""Every error of the contract layer.

* MarketError
  - ConfigError          a market configuration that contradicts itself: fix the configuration
  - FormError            values from outside that do not have the form they should have
    + TransactionError   a transaction: carries the reason code of its receipt
  - InvariantViolation   a bug of ours: money or energy appeared, vanished or went below zero
"""

from __future__ import annotations

from market.receipts import ReasonCode


class MarketError(Exception):
    """Base of all errors raised by `market/`."""


class ConfigError(MarketError, ValueError):
    """A market configuration that contradicts itself; the message names the field and what would be right."""


class FormError(MarketError, ValueError):
    """Values from outside that are not the message, event or snapshot they should be."""


class TransactionError(FormError):
    """A transaction that cannot be read. `code` is the reason that its receipt gives."""

    def __init__(self, code: ReasonCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvariantViolation(MarketError, AssertionError):  # noqa: N818 - it is what it says, not a mistake of a caller
    """Something that must hold after every block does not: only a bug can raise this."""
