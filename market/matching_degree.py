"""Revenue and matching degree of a request and a provider (Cui 2022, eqs. (3) and (4)), in integers.

The degree mixes money with a ratio, so as printed the ranking of providers depends on the currency's unit: the
revenue is therefore taken as a share of the period's largest. Money in nano, shares and degrees in ppm, all
divisions rounded down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from market.orders import Order
from market.units import PPM

REVENUE_VIEWS: Final = ("provider", "user")
"""`provider`: revenue as printed, which favours the dearest provider that the request still accepts. `user`: what
the request saves against its own limit, which favours the cheapest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A request that a provider may serve: its matching degree, and what the user would pay in all."""

    degree_ppm: int
    bill_nano: int


def revenue_nano(request: Order, offer: Order, fee_micro: int, view: str) -> int:
    """zeta = R r - eta (Cui 2022, eq. (3)); in the `user` view R (limit - r) - eta.

    Below zero the pair is forbidden.
    """
    price_micro = offer.price_micro if view == "provider" else request.price_micro - offer.price_micro
    return request.energy_wh * (price_micro - fee_micro)


def degree_ppm(revenue_ppm: int, reputation_ppm: int) -> int:
    """M = zeta RC / (zeta + RC) (Cui 2022, eq. (4)); 0/0 is 0."""
    total = revenue_ppm + reputation_ppm
    return revenue_ppm * reputation_ppm // total if total else 0


def allowed_pairs(
    requests: Sequence[Order], offers: Sequence[Order], crossing_fee_micro: int, view: str
) -> dict[tuple[int, int], Pair]:
    """Every pair that may trade, by the indices of request and offer, in that order.

    A provider must be able to supply the whole request, at a price that with the crossing fee is within the
    request's limit; conditions on regions hold; the revenue is not negative.
    """
    revenues: dict[tuple[int, int], tuple[int, int]] = {}
    for i, request in enumerate(requests):
        for j, offer in enumerate(offers):
            crosses = request.region != offer.region
            if crosses and (request.region_only or offer.region_only):
                continue
            fee_micro = crossing_fee_micro if crosses else 0
            all_in_micro = offer.price_micro + fee_micro
            revenue = revenue_nano(request, offer, fee_micro, view)
            if request.energy_wh <= offer.energy_wh and all_in_micro <= request.price_micro and revenue >= 0:
                revenues[i, j] = (revenue, request.energy_wh * all_in_micro)
    largest = max((revenue for revenue, _ in revenues.values()), default=0)
    return {
        place: Pair(
            degree_ppm=degree_ppm(
                revenue * PPM // largest if largest else 0, max(0, offers[place[1]].reputation_ppm)
            ),
            bill_nano=bill_nano,
        )
        for place, (revenue, bill_nano) in revenues.items()
    }
