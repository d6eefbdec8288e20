"""Columns of the CSV files in a run folder. Units stand in the names: see `docs/architecture.md`.

`price_micro` is millionths of the currency per kWh, `..._nano` billionths of the currency, `..._wh` Wh,
`..._ms` ms since 1970 UTC (or a duration where the name says latency). Accounts go by name.
"""

from __future__ import annotations

from typing import Final

PERIODS: Final = (
    "period",
    "start_time",
    "price_micro",
    "lowest_price_micro",
    "highest_price_micro",
    "trades",
    "traded_wh",
    "crossing_wh",
    "bid_wh",
    "offered_wh",
    "traded_value_nano",
    "fee_nano",
    "import_wh",
    "export_wh",
    "imbalance_wh",
    "penalty_nano",
    "reward_nano",
    "estimated",
    "closed_ms",
    "settled_ms",
)
"""A settled period. `price_micro` is the mean by energy; `imbalance_wh` sums absolute values; `import_wh`
and `export_wh` sum the meters that took and gave in the period; `estimated` counts missing readings."""

PRICES: Final = (
    "period",
    "region",
    "price_micro",
    "lowest_price_micro",
    "highest_price_micro",
    "highest_ask_micro",
    "traded_wh",
)
"""A region's prices in a cleared period, as published to agents; empty where nothing was traded."""

TRADES: Final = (
    "period",
    "trade",
    "buyer",
    "seller",
    "buy_order",
    "sell_order",
    "buy_region",
    "sell_region",
    "energy_wh",
    "price_micro",
    "fee_micro",
)
"""A trade, in matching order. `fee_micro` is the grid-crossing fee per kWh that the buyer pays on top."""

SETTLEMENTS: Final = (
    "period",
    "account",
    "role",
    "region",
    "bought_wh",
    "sold_wh",
    "import_wh",
    "export_wh",
    "metered_wh",
    "imbalance_wh",
    "bought_nano",
    "fee_nano",
    "sold_nano",
    "imbalance_nano",
    "penalty_nano",
    "reward_nano",
    "net_nano",
    "balance_nano",
    "reputation_ppm",
    "estimated",
)
"""An account's settlement, as `market.events.SettlementRow` has it. `bought_nano`, `fee_nano` and
`penalty_nano` were paid, `sold_nano` and `reward_nano` received, `imbalance_nano` is positive when received;
`net_nano` is what remains of the period."""

CURVES: Final = ("period", "side", "price_micro", "energy_wh")
"""The order book of a cleared period: the energy that stood at a price, best prices first."""

ORDERS: Final = (
    "order",
    "period",
    "expiry_period",
    "account",
    "region",
    "side",
    "energy_wh",
    "price_micro",
    "region_only",
    "height",
)
"""An order that the ledger accepted, at its height."""

BLOCKS: Final = ("height", "time_ms", "period", "transactions", "view", "block_hash", "state_root")
"""A block, as f + 1 nodes announced it. `state_root` is the state after it."""

LATENCIES: Final = ("period", "kind", "sent_ms", "latency_ms", "transactions")
"""Transactions of one kind that were seen on the bus together, and how long until f + 1 nodes had
receipted them alike; `latency_ms` is empty for those that never were."""

READINGS: Final = ("period", "meter", "account", "import_wh", "export_wh", "quality", "measured_ms", "height")
"""A reading that the ledger accepted and that has a mark (`market.readings.Quality`): of a real meter, after a
gap, estimated, reset. What a plain reading says stands in `settlements.csv`."""

TELEMETRY: Final = ("period", "device", "pv_wh", "soc_wh", "charged_wh", "discharged_wh")
"""What an inverter said of a period: generation, and its battery."""
