"""What a community's day is judged by: pure functions of energies (Chen 2025, whose text names the measures
and gives no formula; these are ours and stand beside every number in a report).

Trading alone moves no energy, so none of these changes by it: only storage, curtailment and limits do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def local_absorption(pv_available_wh: ArrayLike, pv_curtailed_wh: ArrayLike, pv_exported_wh: ArrayLike) -> float:
    """Share of available solar energy that was used or stored inside the community; 0 without any."""
    available = float(np.sum(pv_available_wh))
    if available <= 0:
        return 0.0
    return (available - float(np.sum(pv_curtailed_wh)) - float(np.sum(pv_exported_wh))) / available


def total_absorption(pv_available_wh: ArrayLike, pv_curtailed_wh: ArrayLike) -> float:
    """Share of available solar energy that was not curtailed; 0 without any."""
    available = float(np.sum(pv_available_wh))
    return 1.0 - float(np.sum(pv_curtailed_wh)) / available if available > 0 else 0.0


def peak_valley_gap_w(net_import_wh: ArrayLike, hours: float) -> float:
    """Mean over days of the daily maximum minus minimum of power at the coupling point, in W.

    Days begin with the first period; a last day that is not complete counts only when there is no other.
    """
    power_w = np.asarray(net_import_wh, dtype=np.float64) / hours
    per_day = max(1, round(24 / hours))
    if power_w.size == 0:
        return 0.0
    days = power_w[: power_w.size - power_w.size % per_day].reshape(-1, per_day)
    if days.size == 0:
        days = power_w.reshape(1, -1)
    return float(np.mean(days.max(axis=1) - days.min(axis=1)))


def self_sufficiency(load_wh: ArrayLike, net_import_wh: ArrayLike) -> float:
    """Share of consumption that did not come through the coupling point; 1 without consumption."""
    load = float(np.sum(load_wh))
    came_in = float(np.sum(np.maximum(np.asarray(net_import_wh, dtype=np.float64), 0.0)))
    return 1.0 - came_in / load if load > 0 else 1.0


def self_consumption(generated_wh: ArrayLike, net_import_wh: ArrayLike) -> float:
    """Share of generation that did not leave through the coupling point; 0 without generation."""
    generated = float(np.sum(generated_wh))
    left = float(np.sum(np.maximum(-np.asarray(net_import_wh, dtype=np.float64), 0.0)))
    return 1.0 - left / generated if generated > 0 else 0.0
