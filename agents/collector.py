"""Mesa's data collector, bounded: a market that runs for years must not fill the memory."""

from __future__ import annotations

from collections.abc import Mapping

import mesa


class BoundedDataCollector(mesa.DataCollector):  # type: ignore[misc]  # Mesa ships no types.
    """Keeps the last `model_history` rows of the model's figures and `agent_history` steps of the agents'."""

    def __init__(
        self,
        *,
        model_reporters: Mapping[str, str],
        agent_reporters: Mapping[str, str],
        model_history: int,
        agent_history: int,
    ) -> None:
        """Reporters are names of attributes, so that a model can be sent to another process."""
        if model_history < 1 or agent_history < 1:
            raise ValueError(f"at least 1 row must be kept, was {model_history} and {agent_history}")
        super().__init__(model_reporters=dict(model_reporters), agent_reporters=dict(agent_reporters))
        self.model_history = model_history
        self.agent_history = agent_history

    def collect(self, model: mesa.Model) -> None:
        """Collect one row of everything, and forget what is older than the history."""
        super().collect(model)
        for rows in self.model_vars.values():
            del rows[: -self.model_history]
        # Keyed by step, in order of insertion: the first are the oldest.
        for step in list(self._agent_records)[: -self.agent_history]:
            del self._agent_records[step]
