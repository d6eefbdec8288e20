"""Reputation of providers (Cui 2022, eqs. (1) and (2)), in millionths, all divisions rounded down."""

from __future__ import annotations

from collections.abc import Sequence

from market.units import PPM


def completion_ppm(delivered_wh: int, agreed_wh: int, cap_ppm: int) -> int:
    """v = delivered / agreed of one trade (Cui 2022, eq. (1)), at most `cap_ppm`.

    The cap is ours: without it, delivering far more than agreed would buy reputation.
    """
    return min(cap_ppm, max(0, delivered_wh) * PPM // agreed_wh)


def current_ppm(completions_ppm: Sequence[int]) -> int:
    """C(T): the mean completion of the period's trades (Cui 2022, eq. (1))."""
    return sum(completions_ppm) // len(completions_ppm)


def comprehensive_ppm(current_ppm: int, before_ppm: int, alpha_ppm: int) -> int:
    """RC(T) = a C(T) + (1 - a) RC(T - 1) (Cui 2022, eq. (2)). Without trades RC does not change: do not call."""
    return (alpha_ppm * current_ppm + (PPM - alpha_ppm) * before_ppm) // PPM
