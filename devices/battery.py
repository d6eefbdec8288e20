"""A battery: what flows at its terminals, what it stores, what is lost on the way.

Charging with c Wh stores c times the efficiency; giving d Wh takes d divided by the efficiency out. So at
every moment charged - discharged = stored - stored at the start + losses.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.sites import BatteryConfig


@dataclass(slots=True, kw_only=True)
class Battery:
    """One battery's state. Energies in Wh, as floats: only the meter counts in integers.

    `charged_wh`, `discharged_wh` (at the terminals) and `losses_wh` count from the beginning.
    """

    config: BatteryConfig
    stored_wh: float
    charged_wh: float = 0.0
    discharged_wh: float = 0.0
    losses_wh: float = 0.0

    @classmethod
    def fresh(cls, config: BatteryConfig) -> Battery:
        """A battery charged as its description says."""
        return cls(config=config, stored_wh=config.capacity_wh * config.soc_start)

    @property
    def soc(self) -> float:
        """State of charge as a share of the capacity."""
        return self.stored_wh / self.config.capacity_wh

    def chargeable_wh(self, hours: float) -> float:
        """The most it can take at its terminals in the next `hours`, by power and by room."""
        room_wh = self.config.capacity_wh * self.config.soc_max - self.stored_wh
        return max(0.0, min(self.config.power_w * hours, room_wh / self.config.efficiency))

    def dischargeable_wh(self, hours: float) -> float:
        """The most it can give at its terminals in the next `hours`, by power and by charge."""
        left_wh = self.stored_wh - self.config.capacity_wh * self.config.soc_min
        return max(0.0, min(self.config.power_w * hours, left_wh * self.config.efficiency))

    def dispatch(self, power_w: float, hours: float) -> float:
        """Charge (`power_w` above 0) or discharge (below 0) for `hours`; limits cut what they must.

        Returns the mean power that really flowed, in W, with the same sign.
        """
        assert hours > 0
        wanted_wh = power_w * hours
        if wanted_wh >= 0:
            flow_wh = min(wanted_wh, self.chargeable_wh(hours))
            change_wh = flow_wh * self.config.efficiency
            self.charged_wh += flow_wh
        else:
            flow_wh = -min(-wanted_wh, self.dischargeable_wh(hours))
            change_wh = flow_wh / self.config.efficiency
            self.discharged_wh -= flow_wh
        self.stored_wh += change_wh
        self.losses_wh += flow_wh - change_wh
        return flow_wh / hours
