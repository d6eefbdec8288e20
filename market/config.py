"""The market's configuration: every parameter that all replicas must share, fixed at genesis."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Final

import msgpack

from market.clearing import MECHANISMS
from market.clearing_types import ClearingRules
from market.errors import ConfigError, FormError
from market.units import MONEY_NANO_MAX, PPM, PRICE_MICRO_MAX, TIME_MS_MAX
from market.values import KEY_BYTES, NAME, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketConfig:
    """All parameters of the market. Raises ConfigError that names the field when one cannot be right.

    Keys: `committee` are the ledger's members in order (operators), `regulator` reviews, limits and freezes,
    `cashier` credits deposits, `grid_account` is the grid company's account, which starts with
    `working_capital_nano`.

    Tariffs in `_micro` a kWh: the grid sells missing energy at `retail_micro`, buys surplus at
    `feed_in_micro`, and takes `crossing_fee_micro` for energy between regions. `ask_limit_micro` is the
    regulator's S_r (0: none) and `lowest_micro` to `highest_micro` what orders may name, until the regulator
    sets other limits.

    `settlement`: `imbalance` pays trades as agreed and deviations at the grid's tariffs; `escrow` pays by what was
    delivered, with a token deposit and rewards (Cui 2022, section 5.2): `tokens_per_unit` of the currency,
    `token_reward_ppm` of the bill for full delivery, `loss_ppm` of the agreed energy may be lost on the way. A
    held payment waits `dispute_periods` for somebody to dispute it, and a disputed one `decision_periods` more
    for the regulator, after which it is halved.

    Both ways: `penalty_ppm` of the value of an imbalance beyond the tolerance, which is the larger of
    `tolerance_wh` and `tolerance_ppm` of the traded energy. Reputation: Cui 2022, eq. (2), with weight
    `reputation_alpha_ppm`, start RC(0) and cap of a trade's completion.

    Bounds: `validity_periods` a transaction may be valid ahead, `horizon_periods` an order may reach ahead,
    `unsettled_periods_max` between closing and settling, `estimated_periods_max` that an account may be
    settled by estimate before it may no longer trade, `reset_interval_periods` between two register resets.
    `operator_skew_ms` bounds the operator's time against the ledger's; 0 (lockstep) does not check it.
    """

    committee: tuple[bytes, ...]
    regulator: bytes
    cashier: bytes
    grid_account: bytes
    regions: tuple[str, ...]

    mechanism: str = "hlm"
    settlement: str = "imbalance"
    revenue_view: str = "provider"
    price_rule: str = "midpoint"
    region_priority: str = "strict"
    crossing_fee_micro: int = 40_000
    retail_micro: int = 300_000
    feed_in_micro: int = 80_000
    ask_limit_micro: int = 300_000
    lowest_micro: int = 0
    highest_micro: int = 1_000_000
    working_capital_nano: int = 100_000_000_000_000

    penalty_ppm: int = 100_000
    tolerance_ppm: int = 50_000
    tolerance_wh: int = 10
    reputation_alpha_ppm: int = 400_000
    reputation_start_ppm: int = 0
    reputation_cap_ppm: int = 1_200_000

    tokens_per_unit: int = 1
    token_reward_ppm: int = 50_000
    loss_ppm: int = 50_000
    dispute_periods: int = 4
    decision_periods: int = 96
    assignments_max: int = 16

    start_ms: int = 0
    period_ms: int = 900_000
    operator_skew_ms: int = 0
    validity_periods: int = 8
    horizon_periods: int = 96
    unsettled_periods_max: int = 8
    estimated_periods_max: int = 4
    reset_interval_periods: int = 96
    open_orders_max: int = 32
    accounts_max: int = 100_000
    pending_max: int = 10_000

    def __post_init__(self) -> None:
        _check_keys(self)
        _check_regions(self)
        if self.mechanism not in MECHANISMS:
            raise ConfigError(f"mechanism must be one of {', '.join(MECHANISMS)}, was {self.mechanism!r}")
        if self.settlement not in SETTLEMENTS:
            raise ConfigError(f"settlement must be one of {', '.join(SETTLEMENTS)}, was {self.settlement!r}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"{name} must be an integer from {low} to {high}, was {value!r}")
        if self.lowest_micro > self.highest_micro:
            raise ConfigError(
                f"lowest_micro must not be above highest_micro ({self.highest_micro}), was {self.lowest_micro}"
            )
        if self.feed_in_micro > self.retail_micro:
            # Anyone could else buy from the grid and sell it back at a profit.
            raise ConfigError(
                f"feed_in_micro must not be above retail_micro ({self.retail_micro}), was {self.feed_in_micro}"
            )
        self.clearing_rules(self.ask_limit_micro)

    def clearing_rules(self, ask_limit_micro: int) -> ClearingRules:
        """The rules of a clearing under the regulator's present limit price (0: none)."""
        return ClearingRules(
            price_rule=self.price_rule,
            region_priority=self.region_priority,
            crossing_fee_micro=self.crossing_fee_micro,
            ask_limit_micro=ask_limit_micro,
            revenue_view=self.revenue_view,
        )

    @property
    def uses_escrow(self) -> bool:
        """Whether trades are settled from escrow."""
        return self.settlement == "escrow"

    def reward_micro(self, price_micro: int) -> int:
        """The full token reward a kWh of a trade at this price; 0 where the market does not use escrow."""
        return price_micro * self.token_reward_ppm // PPM if self.uses_escrow else 0

    @property
    def faulty_max(self) -> int:
        """f: how many members of the committee may be faulty."""
        return (len(self.committee) - 1) // 3

    def to_values(self) -> tuple[Value, ...]:
        """All fields in declaration order."""
        values: tuple[Value, ...] = tuple(getattr(self, field.name) for field in fields(self))
        return values

    @classmethod
    def from_values(cls, values: Value) -> MarketConfig:
        """The configuration again. Raises FormError or ConfigError."""
        names = [field.name for field in fields(cls)]
        if not isinstance(values, tuple) or len(values) != len(names):
            raise FormError(f"market configuration: expected an array of {len(names)} fields")
        arguments = dict(zip(names, values, strict=True))
        return cls(**arguments)  # type: ignore[arg-type]  # __post_init__ checks every type.

    def digest(self) -> bytes:
        """BLAKE2b-256 of all parameters: part of the state, so replicas with other parameters never agree."""
        packed = msgpack.packb(self.to_values(), use_bin_type=True)
        return hashlib.blake2b(packed, digest_size=32, person=b"gb-market-config").digest()


SETTLEMENTS: Final = ("imbalance", "escrow")

_RANGES: Final[dict[str, tuple[int, int]]] = {
    "crossing_fee_micro": (0, PRICE_MICRO_MAX),
    "retail_micro": (0, PRICE_MICRO_MAX),
    "feed_in_micro": (0, PRICE_MICRO_MAX),
    "ask_limit_micro": (0, PRICE_MICRO_MAX),
    "lowest_micro": (0, PRICE_MICRO_MAX),
    "highest_micro": (0, PRICE_MICRO_MAX),
    "working_capital_nano": (0, MONEY_NANO_MAX // 4),
    "penalty_ppm": (0, 10 * PPM),
    "tolerance_ppm": (0, PPM),
    "tolerance_wh": (0, 10**9),
    "reputation_alpha_ppm": (0, PPM),
    "reputation_start_ppm": (0, 10 * PPM),
    "reputation_cap_ppm": (PPM, 10 * PPM),
    "tokens_per_unit": (1, 10**6),
    "token_reward_ppm": (0, 10 * PPM),
    "loss_ppm": (0, PPM),
    "dispute_periods": (0, 10_000),
    "decision_periods": (0, 10_000),
    "assignments_max": (1, 1_000),
    "start_ms": (0, TIME_MS_MAX),
    "period_ms": (1, 31 * 86_400_000),
    "operator_skew_ms": (0, TIME_MS_MAX),
    "validity_periods": (1, 10_000),
    "horizon_periods": (0, 10_000),
    "unsettled_periods_max": (1, 10_000),
    "estimated_periods_max": (0, 10_000),
    "reset_interval_periods": (0, 10**6),
    "open_orders_max": (1, 10_000),
    "accounts_max": (1, 10**7),
    "pending_max": (1, 10**7),
}


def _check_keys(config: MarketConfig) -> None:
    if type(config.committee) is not tuple or not config.committee:
        raise ConfigError("committee must be an array of at least one key")
    for name in ("regulator", "cashier", "grid_account"):
        _check_key(name, getattr(config, name))
    for index, key in enumerate(config.committee):
        _check_key(f"committee[{index}]", key)
    if len(set(config.committee)) != len(config.committee):
        raise ConfigError("committee must not name a key twice")


def _check_key(name: str, key: object) -> None:
    if type(key) is not bytes or len(key) != KEY_BYTES:
        raise ConfigError(f"{name} must be a public key of {KEY_BYTES} bytes")


def _check_regions(config: MarketConfig) -> None:
    if type(config.regions) is not tuple or not config.regions:
        raise ConfigError("regions must name at least one region")
    for region in config.regions:
        if type(region) is not str or not NAME.fullmatch(region):
            raise ConfigError(f"regions: {region!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    if len(set(config.regions)) != len(config.regions):
        raise ConfigError("regions must not name a region twice")
