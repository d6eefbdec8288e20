"""`agents.csv`: what every agent wanted and got, one row an agent and period, appended as the run goes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from agents.market_agents import MarketAgent
from agents.tables import TableWriter

AGENTS: Final = (
    "period",
    "account",
    "role",
    "region",
    "side",
    "forecast_wh",
    "ordered_wh",
    "price_micro",
    "traded_wh",
    "traded_price_micro",
    "metered_wh",
    "balance_nano",
    "soc_wh",
    "reputation_ppm",
)
"""`forecast_wh` is expected generation less demand, `traded_wh` sold less bought, `metered_wh` export less
import. `price_micro` is what was ordered at, `traded_price_micro` the mean paid or received (fee included)."""


class AgentRecords:
    """Writes the rows of a run."""

    def __init__(self, path: Path) -> None:
        self._table = TableWriter(path, AGENTS)

    def append(self, period: int, agents: Iterable[MarketAgent]) -> None:
        """One row for each agent, in the order given."""
        self._table.append(
            *(
                (
                    period,
                    agent.name,
                    agent.role,
                    agent.region,
                    agent.side,
                    agent.forecast_wh,
                    agent.ordered_wh,
                    agent.price_micro,
                    agent.traded_wh,
                    agent.traded_price_micro,
                    agent.metered_wh,
                    agent.balance_nano,
                    round(agent.charge_wh),
                    agent.reputation_ppm,
                )
                for agent in agents
            )
        )

    def close(self) -> None:
        """Close the file."""
        self._table.close()
