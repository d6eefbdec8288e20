"""What the market tells the home: the local price, energy traded, money earned, reputation, on the home's broker.

Retained topics `gridbazaar/<home>/...` and Home Assistant's discovery, so that they stand in a dashboard by
themselves. Only what f + 1 replicas said gets here. Sums are kept over restarts and count each period once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from devices.gateway_store import GatewayStore
from devices.home_assistant import announcement
from market.events import Clearing, Settlement, SettlementRow
from mosquitto.bus import Bus

ROOT: Final = "gridbazaar"
_NANO: Final = 1e9
_MICRO: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeOwner:
    """Whose results go to which home broker."""

    name: str
    account: bytes
    region: str
    bus: Bus


@dataclass(slots=True)
class _Sums:
    """An owner's sums over all periods up to `period`, each counted once."""

    period: int = -1
    sold_wh: int = 0
    bought_wh: int = 0
    earned_nano: int = 0
    price_micro: int | None = None
    last: dict[str, float | int | bool | None] = field(default_factory=dict)


_SENSORS: Final = (
    # key, name, unit, device class, state class
    ("price", "Local price", "{currency}/kWh", None, "measurement"),
    ("sold", "Energy sold", "kWh", "energy", "total_increasing"),
    ("bought", "Energy bought", "kWh", "energy", "total_increasing"),
    ("earned", "Money earned", "{currency}", "monetary", "total"),
    ("balance", "Balance", "{currency}", "monetary", "total"),
    ("reputation", "Reputation", "%", None, "measurement"),
    ("period_energy", "Energy traded last period", "kWh", None, "measurement"),
)


class HomeResults:
    """Publishes each owner's results. `currency` is a word for displays, the market knows none."""

    def __init__(self, owners: Sequence[HomeOwner], store: GatewayStore, currency: str = "EUR") -> None:
        self._owners = owners
        self._store = store
        self._currency = currency
        saved = store.load_results()
        self._sums = {owner.account: _read_sums(saved.get(owner.account, {})) for owner in owners}

    def announce(self) -> None:
        """Say to each home what there is to see, and what is known so far."""
        for owner in self._owners:
            node = f"gridbazaar_{owner.name}"
            for key, name, unit, device_class, state_class in _SENSORS:
                topic, config = announcement(
                    node=node,
                    key=key,
                    name=name,
                    device=f"Gridbazaar {owner.name}",
                    state_topic=f"{ROOT}/{owner.name}/state",
                    template=f"{{{{ value_json.{key} }}}}",
                    unit=unit.format(currency=self._currency),
                    device_class=device_class,
                    state_class=state_class,
                )
                owner.bus.publish(topic, json.dumps(config, ensure_ascii=False).encode(), retain=True)
            self._publish(owner)

    def hear_clearing(self, clearing: Clearing) -> None:
        """The prices of a period are known."""
        prices = {price.region: price.mean_micro for price in clearing.prices if price.volume_wh}
        for owner in self._owners:
            if owner.region in prices:
                self._sums[owner.account].price_micro = prices[owner.region]
                self._publish(owner)

    def hear_settlement(self, settlement: Settlement) -> None:
        """A period was paid."""
        rows = {row.account: row for row in settlement.rows}
        for owner in self._owners:
            row, sums = rows.get(owner.account), self._sums[owner.account]
            if row is None or settlement.period <= sums.period:
                continue
            sums.period = settlement.period
            sums.sold_wh += row.sold_wh
            sums.bought_wh += row.bought_wh
            sums.earned_nano += earned_nano(row)
            sums.last = {
                "period": settlement.period,
                "balance": row.balance_nano / _NANO,
                "reputation": row.reputation_ppm / 1e4,
                "period_energy": (row.sold_wh - row.bought_wh) / 1e3,
                "period_metered": row.metered_wh / 1e3,
                "period_earned": earned_nano(row) / _NANO,
                "estimated": row.estimated,
            }
            self._store.save_result(owner.account, _write_sums(sums))
            self._publish(owner)

    def _publish(self, owner: HomeOwner) -> None:
        sums = self._sums[owner.account]
        state = {
            "price": None if sums.price_micro is None else sums.price_micro / _MICRO,
            "sold": sums.sold_wh / 1e3,
            "bought": sums.bought_wh / 1e3,
            "earned": round(sums.earned_nano / _NANO, 6),
            **(dict.fromkeys(("period", "balance", "reputation", "period_energy")) | sums.last),
        }
        owner.bus.publish(f"{ROOT}/{owner.name}/state", json.dumps(state).encode(), retain=True)


def earned_nano(row: SettlementRow) -> int:
    """What a period brought an account in all: received less paid."""
    received = row.sold_nano + row.imbalance_nano + row.reward_nano
    return received - row.bought_nano - row.fee_nano - row.penalty_nano


def _write_sums(sums: _Sums) -> dict[str, object]:
    return {
        "period": sums.period,
        "sold_wh": sums.sold_wh,
        "bought_wh": sums.bought_wh,
        "earned_nano": sums.earned_nano,
        "price_micro": sums.price_micro,
        "last": sums.last,
    }


def _read_sums(values: Mapping[str, object]) -> _Sums:
    """A saved sum. What cannot be read begins anew: it is for displays, money is on the chain."""
    sums = _Sums()
    for key in ("period", "sold_wh", "bought_wh", "earned_nano", "price_micro"):
        value = values.get(key)
        if type(value) is int:
            setattr(sums, key, value)
    last = values.get("last")
    sums.last = last if isinstance(last, dict) else {}
    return sums
