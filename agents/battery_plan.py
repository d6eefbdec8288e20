"""What a home with panels and a battery can sell and should buy, from its own forecast.

Own use comes first: a kWh from the battery saves the retail tariff, more than any buyer pays. What the
market gets is what own use leaves over, and what the market is asked for is what own panels will not
bring. Both follow from one look ahead at the state of charge under plain self-consumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agents.speculation import Storage

_CAUTION: Final = 0.9
"""Part of what the forecast lets spare that is really sold or bought: forecasts err, and deviations cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodPlan:
    """What to offer and to ask for in one period, in Wh at the meter.

    `sell_wh` excludes buying. `need_wh` is demand that must be served now; `charge_wh` is energy for the
    battery that is bought only when cheap.
    """

    sell_wh: float = 0.0
    need_wh: float = 0.0
    charge_wh: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """How far the battery's charge could be moved now without harm later, in stored Wh.

    `spare_wh` less charge now would never be missed: surplus fills it again, or nothing needs it.
    `wanted_wh` more charge now would replace purchases later and never overflow.
    """

    spare_wh: float
    wanted_wh: float


def plan_without_battery(surplus_wh: float) -> PeriodPlan:
    """Sell the expected surplus, or buy the expected deficit."""
    return PeriodPlan(sell_wh=max(0.0, surplus_wh), need_wh=max(0.0, -surplus_wh))


def look_ahead(storage: Storage, surplus_wh: Sequence[float], hours: float) -> Reserve:
    """Follow the charge through the forecast under plain self-consumption.

    Less charge now lowers the whole path, until surplus that would have overflowed fills the gap again. More
    charge now raises it, until demand that would have been bought takes it away.
    """
    charge_wh = storage.charge_wh
    overflow_wh = unserved_wh = 0.0
    spare_wh = max(0.0, charge_wh - storage.floor_wh)
    room_wh = max(0.0, storage.capacity_wh - charge_wh)
    step_wh = storage.power_w * hours
    for flow_wh in surplus_wh:
        if flow_wh >= 0:
            charge_wh += min(flow_wh, step_wh) * storage.efficiency
            overflow_wh += max(0.0, charge_wh - storage.capacity_wh)
            charge_wh = min(charge_wh, storage.capacity_wh)
        else:
            charge_wh -= min(-flow_wh, step_wh) / storage.efficiency
            unserved_wh += max(0.0, storage.floor_wh - charge_wh)
            charge_wh = max(charge_wh, storage.floor_wh)
        spare_wh = min(spare_wh, charge_wh - storage.floor_wh + overflow_wh)
        room_wh = min(room_wh, storage.capacity_wh - charge_wh + unserved_wh)
    return Reserve(spare_wh=spare_wh, wanted_wh=min(unserved_wh, room_wh))


def plan_with_battery(storage: Storage, surplus_wh: Sequence[float], hours: float) -> PeriodPlan:
    """Plan the first period of `surplus_wh`, the expected surplus less demand of this and later periods."""
    now_wh, later_wh = surplus_wh[0], surplus_wh[1:]
    step_wh = storage.power_w * hours
    if now_wh >= 0:
        charge_wh = _own_charge_wh(storage, surplus_wh, hours)
        after = storage.charge_wh + charge_wh * storage.efficiency
        reserve = look_ahead(_with_charge(storage, after), later_wh, hours)
        if reserve.wanted_wh > 0:
            room_wh = min(storage.takes_wh(hours) - charge_wh, reserve.wanted_wh / storage.efficiency)
            # What own panels leave over goes into the battery first; the market fills the rest.
            extra_wh = _CAUTION * max(0.0, room_wh) - (now_wh - charge_wh)
            return PeriodPlan(charge_wh=extra_wh) if extra_wh > 0 else PeriodPlan(sell_wh=now_wh - charge_wh)
        if charge_wh > 0:
            return PeriodPlan(sell_wh=now_wh - charge_wh)
        spare_wh = min(step_wh, reserve.spare_wh * storage.efficiency)
        return PeriodPlan(sell_wh=now_wh + _CAUTION * spare_wh)
    from_battery_wh = min(-now_wh, storage.gives_wh(hours))
    after = storage.charge_wh - from_battery_wh / storage.efficiency
    reserve = look_ahead(_with_charge(storage, after), later_wh, hours)
    need_wh = -now_wh - from_battery_wh
    if need_wh <= 0 and reserve.spare_wh > 0:
        spare_wh = min(step_wh - from_battery_wh, reserve.spare_wh * storage.efficiency)
        return PeriodPlan(sell_wh=_CAUTION * max(0.0, spare_wh))
    if need_wh > 0:
        charge_wh = min(storage.takes_wh(hours), reserve.wanted_wh / storage.efficiency)
        return PeriodPlan(need_wh=need_wh, charge_wh=_CAUTION * max(0.0, charge_wh))
    return PeriodPlan()


def _own_charge_wh(storage: Storage, surplus_wh: Sequence[float], hours: float) -> float:
    """How much of this period's surplus the battery takes.

    It fills in the periods of the day's largest own surplus: then everybody's panels give most and the
    price is lowest, so earlier surplus is better sold. Where the forecast brings less than the room, all
    of it is taken.
    """
    step_wh = storage.power_w * hours
    room_wh = max(0.0, storage.capacity_wh - storage.charge_wh) / storage.efficiency
    block: list[float] = []
    for flow_wh in surplus_wh:
        if flow_wh < 0 and sum(block) > 0 and len(block) * hours >= _BREAK_H:
            break
        block.append(max(0.0, min(flow_wh, step_wh)))
    # A forecast may promise too much: fill earlier than it says, so that the evening finds a full battery.
    larger_wh = _CAUTION * sum(flow_wh for flow_wh in block[1:] if flow_wh > block[0])
    return min(block[0], max(0.0, room_wh - larger_wh))


_BREAK_H: Final = 1.0
"""A surplus of under an hour is a gap between clouds or a kettle, not the end of the day."""


def _with_charge(storage: Storage, charge_wh: float) -> Storage:
    return Storage(
        capacity_wh=storage.capacity_wh,
        power_w=storage.power_w,
        efficiency=storage.efficiency,
        floor_wh=storage.floor_wh,
        charge_wh=min(storage.capacity_wh, max(storage.floor_wh, charge_wh)),
    )
