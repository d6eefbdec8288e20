"""From a scenario to its people: every participant by name, with what stands on its site.

The same scenario and seed give the same population, whatever the order of the groups in memory: each home
draws from a generator of its own name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from agents.scenario import Scenario
from agents.scenario_sections import (
    BatterySection,
    HomesSection,
    ParticipantSection,
    ProducerSection,
    SpeculatorSection,
)
from devices.sites import (
    GRAVITY_M_S2,
    HYDRO_SHAPES,
    PV_SHAPES,
    WATER_KG_M3,
    WIND_SHAPES,
    BatteryConfig,
    HouseholdConfig,
    HydroConfig,
    PvConfig,
    SiteConfig,
    WindConfig,
)

REGULATOR: Final = "regulator"
CASHIER: Final = "cashier"

_HYDRO_HEAD_M: Final = 4.0
_HYDRO_EFFICIENCY: Final = 0.8
# A meter may read a little above the rated power: sensors err, and batteries overshoot.
_RATING_SLACK: Final = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One participant of a scenario: what it is, what it owns and what it pays in at the start.

    `cost_micro` is what a kWh costs to make: its marginal cost, or for panels the feed-in tariff that a
    sale forgoes. `window_periods` and `threshold` are a speculator's. `real_meter_w` is the largest power of
    the real meter that measures it, None where devices are simulated.
    """

    name: str
    role: str
    region: str
    site: SiteConfig
    cost_micro: int
    deposit_nano: int
    window_periods: int = 8
    threshold: float = 0.01
    real_meter_w: int | None = None

    def max_import_wh(self, hours: float) -> int:
        """The most its meter can read as import in a period."""
        return _rating_wh(self.real_meter_w or self.site.max_import_w(), hours)

    def max_export_wh(self, hours: float) -> int:
        """The most its meter can read as export in a period."""
        return _rating_wh(self.real_meter_w or self.site.max_export_w(), hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Everybody of a scenario, in a fixed order."""

    participants: tuple[Participant, ...]

    @property
    def sites(self) -> tuple[SiteConfig, ...]:
        """What the devices have to simulate or measure."""
        return tuple(participant.site for participant in self.participants)

    def in_region(self, region: str) -> tuple[Participant, ...]:
        """The participants of one microgrid."""
        return tuple(participant for participant in self.participants if participant.region == region)


def seeded_generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator of its own for each purpose, so that one more draw here changes nothing there."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=32, person=b"gridbazaar-rng").digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def name_hash(seed: int, name: str) -> bytes:
    """The salted hash under which a name stands on the chain, 32 bytes. The salt follows from the seed."""
    salt = hashlib.blake2b(f"{seed}/salt/{name}".encode(), digest_size=16).digest()
    return hashlib.blake2b(name.encode(), digest_size=32, salt=salt).digest()


def populate(scenario: Scenario) -> Population:
    """Spell out everybody who takes part. Deterministic in the scenario, its seed included."""
    # Imported here: profiles need NumPy's files, and reading a scenario should not.
    from devices.profiles import distinct_households

    homes = sum(group.count for group in scenario.homes)
    named = [entry for entry in scenario.participants if entry.annual_kwh is not None]
    variants = iter(distinct_households(homes + len(named)))
    participants: list[Participant] = []
    for group in scenario.homes:
        participants += (_home(scenario, group, number, next(variants)) for number in range(1, group.count + 1))
    participants += _producers(scenario)
    participants += (_speculator(scenario, entry) for entry in scenario.speculators)
    for entry in scenario.participants:
        variant = next(variants) if entry.annual_kwh is not None else None
        participants.append(_participant(scenario, entry, variant))
    real_meters_w = {meter.participant: meter.max_power_w for meter in scenario.meters}
    return Population(
        participants=tuple(replace(one, real_meter_w=real_meters_w.get(one.name)) for one in participants)
    )


def _home(scenario: Scenario, group: HomesSection, number: int, variant: tuple[str, int, int]) -> Participant:
    name = f"{group.name}-{number:02d}"
    rng = seeded_generator(scenario.scenario.seed, f"home/{name}")
    # All draws in one order, used or not: panels on one more roof change nobody's consumption.
    annual_kwh = round(float(rng.uniform(group.annual_kwh[0], group.annual_kwh[1])))
    kwp = round(float(rng.uniform(group.pv_kwp[0], group.pv_kwp[1])), 1)
    pv_shape, tilt_deg, azimuth_deg = _roof(rng)
    has_pv, has_battery = number <= group.with_pv, number <= group.with_battery
    pv = _panels(scenario, kwp, pv_shape, tilt_deg, azimuth_deg) if has_pv else None
    site = SiteConfig.home(
        name=name,
        region=group.region,
        household=_household(variant, annual_kwh, 0.0 if has_pv else group.flexible_share, group.delay_periods),
        pv=pv,
        battery=_battery(group.battery) if has_battery else None,
        export_limit_w=round(group.export_limit_kw * 1_000),
    )
    return Participant(
        name=name,
        role="prosumer" if has_pv else "consumer",
        region=group.region,
        site=site,
        cost_micro=scenario.market.feed_in_micro,
        deposit_nano=group.deposit_nano,
    )


def _producers(scenario: Scenario) -> Iterator[Participant]:
    number = {"wind": 0, "hydro": 0, "pv": 0}
    for entry in scenario.producers:
        site = _plant(scenario, entry, number[entry.kind])
        number[entry.kind] += 1
        yield Participant(
            name=entry.name,
            role="producer",
            region=entry.region,
            site=site,
            cost_micro=entry.cost_micro,
            deposit_nano=entry.deposit_nano,
        )


def _plant(scenario: Scenario, entry: ProducerSection, number: int) -> SiteConfig:
    """A generator's site. The `number`-th of its kind takes the next series, so that plants differ."""
    name, region = entry.name, entry.region
    if entry.kind == "wind":
        return SiteConfig.wind_plant(name=name, region=region, wind=_turbine(entry.power_kw, number))
    if entry.kind == "hydro":
        return SiteConfig.hydro_plant(name=name, region=region, hydro=_river_plant(entry.power_kw, number))
    roof = _roof(seeded_generator(scenario.scenario.seed, f"plant/{name}"))
    return SiteConfig(
        name=name, region=region, meter_id=f"meter-{name}", pv=_panels(scenario, entry.power_kw, *roof)
    )


def _speculator(scenario: Scenario, entry: SpeculatorSection) -> Participant:
    return Participant(
        name=entry.name,
        role="speculator",
        region=entry.region,
        site=SiteConfig.storage(name=entry.name, region=entry.region, battery=_battery(entry.battery)),
        cost_micro=scenario.market.feed_in_micro,
        deposit_nano=entry.deposit_nano,
        window_periods=max(1, entry.window_minutes // scenario.market.period_minutes),
        threshold=entry.threshold_ppm / 1e6,
    )


def _participant(
    scenario: Scenario, entry: ParticipantSection, variant: tuple[str, int, int] | None
) -> Participant:
    roof = _roof(seeded_generator(scenario.scenario.seed, f"home/{entry.name}"))
    household = None
    if variant is not None and entry.annual_kwh is not None:
        household = _household(variant, round(entry.annual_kwh))
    site = SiteConfig(
        name=entry.name,
        region=entry.region,
        meter_id=f"meter-{entry.name}",
        household=household,
        pv=_panels(scenario, entry.pv_kwp, *roof) if entry.pv_kwp else None,
        wind=_turbine(entry.wind_kw, 0) if entry.wind_kw else None,
        hydro=_river_plant(entry.hydro_kw, 0) if entry.hydro_kw else None,
        battery=_battery(entry.battery) if entry.battery else None,
        export_limit_w=round(entry.export_limit_kw * 1_000),
    )
    cost_micro = scenario.market.feed_in_micro if entry.cost_micro is None else entry.cost_micro
    return Participant(
        name=entry.name,
        role=entry.role,
        region=entry.region,
        site=site,
        cost_micro=cost_micro,
        deposit_nano=entry.deposit_nano,
        window_periods=max(1, entry.window_minutes // scenario.market.period_minutes),
        threshold=entry.threshold_ppm / 1e6,
    )


def _household(
    variant: tuple[str, int, int], annual_kwh: int, flexible_share: float = 0.0, delay_periods: int = 1
) -> HouseholdConfig:
    shape, week_shift, quarter_shift = variant
    return HouseholdConfig(
        shape=shape,
        annual_kwh=max(1, annual_kwh),
        week_shift=week_shift,
        quarter_shift=quarter_shift,
        flexible_share=flexible_share,
        delay_periods=delay_periods,
    )


def _roof(rng: np.random.Generator) -> tuple[str, float, float]:
    """A measured series, a tilt and a direction: roofs face anywhere from south-east to south-west."""
    shape = PV_SHAPES[int(rng.integers(len(PV_SHAPES)))]
    return shape, round(float(rng.uniform(25, 45)), 1), round(float(rng.uniform(135, 225)), 1)


def _panels(scenario: Scenario, kwp: float, shape: str, tilt_deg: float, azimuth_deg: float) -> PvConfig:
    return PvConfig(
        kwp=kwp,
        source=scenario.profiles.pv_source,
        shape=shape,
        annual_kwh_per_kwp=scenario.profiles.pv_annual_kwh_per_kwp,
        tilt_deg=tilt_deg,
        azimuth_deg=azimuth_deg,
    )


def _turbine(power_kw: float, number: int) -> WindConfig:
    return WindConfig(rated_kw=power_kw, shape=WIND_SHAPES[number % len(WIND_SHAPES)])


def _river_plant(power_kw: float, number: int) -> HydroConfig:
    """A plant of the wanted power on a low fall: its design flow follows from the head."""
    flow_m3_s = power_kw * 1_000 / (WATER_KG_M3 * GRAVITY_M_S2 * _HYDRO_HEAD_M * _HYDRO_EFFICIENCY)
    return HydroConfig(
        head_m=_HYDRO_HEAD_M,
        design_flow_m3_s=flow_m3_s,
        efficiency=_HYDRO_EFFICIENCY,
        shape=HYDRO_SHAPES[number % len(HYDRO_SHAPES)],
    )


def _battery(section: BatterySection) -> BatteryConfig:
    return BatteryConfig(
        capacity_wh=round(section.capacity_kwh * 1_000),
        power_w=round(section.power_kw * 1_000),
        efficiency=section.efficiency,
        soc_min=section.lowest_charge,
        soc_start=section.first_charge,
    )


def _rating_wh(power_w: float, hours: float) -> int:
    return int(power_w * hours * _RATING_SLACK) + 1 if power_w > 0 else 0
