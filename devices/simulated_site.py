"""One simulated connection point: its series, inverter, battery and meter, run period by period."""

from __future__ import annotations

from dataclasses import dataclass

from devices.battery import Battery
from devices.delayed_load import DelayedLoad
from devices.inverter import Flows, run_period
from devices.meter import SmartMeter
from devices.profiles import ProfileCalendar, ProfileLibrary
from devices.site_series import SiteSeries
from devices.sites import SiteConfig
from devices.telemetry import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """What of a site must survive a restart: registers, counter, last measured period, battery."""

    import_uwh: int
    export_uwh: int
    counter: int
    last_period: int
    next_period: int
    stored_wh: float
    charged_wh: float
    discharged_wh: float
    losses_wh: float
    backlog_wh: float = 0.0


class SimulatedSite:
    """Load, generation, battery and meter of one site. Periods are run in order, each once."""

    def __init__(self, config: SiteConfig, library: ProfileLibrary, calendar: ProfileCalendar) -> None:
        self.config = config
        self.series = SiteSeries(config, library, calendar)
        self.meter = SmartMeter(meter_id=config.meter_id)
        self.battery = Battery.fresh(config.battery) if config.battery else None
        home = config.household
        waits = home is not None and home.flexible_share > 0 and home.delay_periods > 1
        self.delayed = DelayedLoad(home.flexible_share, home.delay_periods) if home and waits else None
        self.next_period = 0
        self._hours = calendar.hours

    def run(self, position_wh: int, *, may_delay: bool = True) -> Flows:
        """Live through `next_period`, aiming at what the owner sold minus bought in it, and meter it.

        Without a market nobody delays anything: `may_delay` is False.
        """
        load_wh = self.series.load_wh(self.next_period)
        if self.delayed is not None and may_delay:
            load_wh = self.delayed.run(load_wh, max(0, -position_wh), self.next_period)
        flows = run_period(
            load_wh=load_wh,
            available_wh=self.series.generation_wh(self.next_period),
            battery=self.battery,
            position_wh=position_wh,
            hours=self._hours,
            export_limit_w=self.config.export_limit_w,
        )
        self.meter.count(flows.import_wh, flows.export_wh)
        self.next_period += 1
        return flows

    def telemetry(self, flows: Flows, period: int, measured_ms: int) -> Telemetry:
        """What the inverter tells after `period`."""
        return Telemetry(
            device_id=self.config.device_id,
            period=period,
            pv_wh=round(flows.generated_wh),
            soc_wh=round(self.battery.stored_wh) if self.battery else 0,
            charged_wh=round(flows.charged_wh),
            discharged_wh=round(flows.discharged_wh),
            measured_ms=measured_ms,
        )

    def state(self) -> SiteState:
        """What to save."""
        battery = self.battery
        return SiteState(
            import_uwh=self.meter.import_uwh,
            export_uwh=self.meter.export_uwh,
            counter=self.meter.counter,
            last_period=self.meter.last_period,
            next_period=self.next_period,
            stored_wh=battery.stored_wh if battery else 0.0,
            charged_wh=battery.charged_wh if battery else 0.0,
            discharged_wh=battery.discharged_wh if battery else 0.0,
            losses_wh=battery.losses_wh if battery else 0.0,
            backlog_wh=self.delayed.backlog_wh if self.delayed else 0.0,
        )

    def restore(self, state: SiteState) -> None:
        """Go on from what was saved."""
        self.meter.import_uwh = state.import_uwh
        self.meter.export_uwh = state.export_uwh
        self.meter.counter = state.counter
        self.meter.last_period = state.last_period
        self.next_period = state.next_period
        if self.delayed is not None:
            self.delayed.backlog_wh = state.backlog_wh
        if self.battery is not None:
            self.battery.stored_wh = state.stored_wh
            self.battery.charged_wh = state.charged_wh
            self.battery.discharged_wh = state.discharged_wh
            self.battery.losses_wh = state.losses_wh
