"""The sections of a scenario file, one class each, with units, defaults and bounds.

Each class is checked alone; what must fit between sections is checked in `scenario.py`.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
"""Names become topic levels, file names and broker user names."""

PRICE_MICRO_MAX: Final = 100_000_000
Price = Annotated[int, Field(ge=0, le=PRICE_MICRO_MAX)]
Ppm = Annotated[int, Field(ge=0, le=1_000_000)]
Money = Annotated[int, Field(ge=0, le=10**15)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Kilowatts = Annotated[float, Field(gt=0, le=10_000)]
KilowattHours = Annotated[float, Field(gt=0, le=100_000)]

Role = Literal["producer", "consumer", "prosumer", "speculator"]
Preset = Literal["paper", "full-reset", "literal", "true-surplus"]


class Section(BaseModel):
    """Base: frozen, no unknown keys, no silent conversion of text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)


class ScenarioSection(Section):
    """`[scenario]`: what this run is called, and the seed that every chance in it follows from."""

    name: Name
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    description: str = ""


class ReputationSection(Section):
    """`[market.reputation]`: Cui 2022, eqs. (1) and (2)."""

    alpha_ppm: Ppm = 400_000
    initial_ppm: Ppm = 0
    cap_ppm: Annotated[int, Field(ge=1_000_000, le=2_000_000)] = 1_200_000


class EscrowSection(Section):
    """`[market.escrow]`: Cui 2022, section 5.2, where `settlement = "escrow"`.

    `loss_ppm` of the agreed energy may be lost on the way; full delivery earns `reward_ppm` of the bill; a held
    payment waits `dispute_periods`. `tokens_per_unit` only says in what deposits are reported.
    """

    tokens_per_unit: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    reward_ppm: Ppm = 50_000
    loss_ppm: Ppm = 50_000
    dispute_periods: Annotated[int, Field(ge=0, le=10_000)] = 4


class EmergencySection(Section):
    """`[market.emergency]`: when the regulator caps prices, by rule.

    After `after_periods` periods in a row with a mean price above `trigger_micro`, nothing trades above
    `cap_micro` for `for_periods` periods. A trigger of 0 is no rule.
    """

    trigger_micro: Price = 0
    after_periods: Annotated[int, Field(ge=1, le=10_000)] = 2
    cap_micro: Price = 200_000
    for_periods: Annotated[int, Field(ge=1, le=10_000)] = 4


class MarketSection(Section):
    """`[market]`: rules of trade and settlement, and the pace of the operator.

    `mechanism`: `hlm` (high-low matching), `uniform` (buyer's and seller's market), `matching` (reputation, one
    provider a request; `revenue_view` says whose revenue counts) or `listing` (offers taken one by one).
    With `green_certificates` the regulator accredits everybody who generates.
    """

    period_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    periods: Annotated[int, Field(ge=1, le=1_000_000)] = 96
    pace: Literal["lockstep", "scaled", "live"] = "lockstep"
    time_factor: Annotated[float, Field(gt=0, le=100_000, strict=False)] = 1.0
    mechanism: Literal["hlm", "uniform", "matching", "listing"] = "hlm"
    settlement: Literal["imbalance", "escrow"] = "imbalance"
    revenue_view: Literal["provider", "user"] = "provider"
    price_rule: Literal["midpoint", "bid", "ask", "uniform"] = "midpoint"
    region_priority: Literal["strict", "tie"] = "strict"
    retail_micro: Price = 300_000
    feed_in_micro: Price = 80_000
    crossing_fee_micro: Price = 40_000
    regulator_limit_micro: Price = 300_000
    lowest_price_micro: Price = 0
    highest_price_micro: Price = 1_000_000
    penalty_ppm: Ppm = 50_000
    tolerance_ppm: Ppm = 100_000
    grid_capital_nano: Money = 1_000_000_000_000
    green_certificates: bool = False
    reputation: ReputationSection = ReputationSection()
    escrow: EscrowSection = EscrowSection()
    emergency: EmergencySection = EmergencySection()

    @model_validator(mode="after")
    def _prices_in_order(self) -> Self:
        if self.feed_in_micro > self.retail_micro:
            raise ValueError(
                f"feed_in_micro {self.feed_in_micro} is above retail_micro {self.retail_micro};"
                " expected feed_in_micro <= retail_micro, or the grid could be milked"
            )
        if self.price_rule == "uniform" and self.region_priority == "tie" and self.crossing_fee_micro:
            raise ValueError(
                'price_rule "uniform" in the one book of region_priority "tie" cannot carry a crossing fee;'
                ' expected region_priority = "strict" or crossing_fee_micro = 0'
            )
        if self.lowest_price_micro > self.highest_price_micro:
            raise ValueError(
                f"lowest_price_micro {self.lowest_price_micro} is above highest_price_micro"
                f" {self.highest_price_micro}; expected lowest <= highest"
            )
        for key in ("retail_micro", "feed_in_micro", "regulator_limit_micro"):
            price: int = getattr(self, key)
            if not self.lowest_price_micro <= price <= self.highest_price_micro:
                raise ValueError(
                    f"{key} {price} cannot be ordered at; expected lowest_price_micro"
                    f" {self.lowest_price_micro} to highest_price_micro {self.highest_price_micro}"
                )
        return self


class LedgerSection(Section):
    """`[ledger]`: the committee and its consensus. Times in ms of the wall clock."""

    nodes: Annotated[list[Name], Field(min_length=1, max_length=31)] = [
        "energy-bureau",
        "grid-company",
        "notary-office",
        "trading-center",
    ]
    batch_transactions: Annotated[int, Field(ge=1, le=10_000)] = 400
    batch_wait_ms: Annotated[int, Field(ge=0, le=10_000)] = 5
    checkpoint_interval: Annotated[int, Field(ge=1, le=10_000)] = 32
    request_timeout_ms: Annotated[int, Field(ge=50, le=600_000)] = 2_000
    phase_limit_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 20_000

    @model_validator(mode="after")
    def _committee_tolerates_faults(self) -> Self:
        count = len(self.nodes)
        if (count - 1) % 3:
            below = count - (count - 1) % 3
            raise ValueError(
                f"{count} nodes is not 3 f + 1; expected {below} or {below + 3} (1 tolerates no fault)"
            )
        double = sorted({name for name in self.nodes if self.nodes.count(name) > 1})
        if double:
            raise ValueError(f"node name {double[0]!r} stands twice in nodes; expected different names")
        return self


class ProfilesSection(Section):
    """`[profiles]`: which day is lived through, and where generation comes from.

    `pv_annual_kwh_per_kwp` is the yearly yield that the SimBench series are scaled to.
    """

    day: datetime.date = datetime.date(2016, 5, 18)
    pv_source: Literal["simbench", "pvlib"] = "simbench"
    pv_annual_kwh_per_kwp: Annotated[int, Field(ge=1, le=2_500)] = 950


class ForecastSection(Section):
    """`[forecast]`: how far what participants promise is from what meters see.

    Relative standard deviations of one period, and the correlation from period to period.
    """

    load_error: Annotated[float, Field(ge=0, le=2)] = 0.10
    generation_error: Annotated[float, Field(ge=0, le=2)] = 0.08
    correlation: Annotated[float, Field(ge=0, lt=1)] = 0.8


class StrategySection(Section):
    """`[strategy]`: how homes and plants find their prices. Steps in micro per kWh, sums of money in nano.

    `bidding`: `learning` by Huang 2022, eqs. (1) to (5), or `nash`, quotations by best response in ticks of
    `tick_micro` (green, section 5.3). Speculators go by their own rule in both.
    """

    bidding: Literal["learning", "nash"] = "learning"
    tick_micro: Annotated[int, Field(ge=1, le=PRICE_MICRO_MAX)] = 10_000
    preset: Preset = "paper"
    price_step_micro: Price = 5_000
    profit_tolerance_nano: Money = 1_000_000
    idle_loss_nano: Money = 1_000_000
    quantity_step_ppm: Ppm = 20_000
    quantity_floor_ppm: Ppm = 700_000
    first_margin_micro: Price = 5_000


class RegionSection(Section):
    """`[[region]]`: a microgrid. Trade between two of them pays the crossing fee."""

    name: Name


class BatterySection(Section):
    """A battery: usable capacity, power, and the efficiency of each way."""

    capacity_kwh: KilowattHours
    power_kw: Kilowatts
    efficiency: Annotated[float, Field(gt=0, le=1)] = 0.95
    lowest_charge: Fraction = 0.1
    first_charge: Fraction = 0.5

    @model_validator(mode="after")
    def _first_above_lowest(self) -> Self:
        if self.first_charge < self.lowest_charge:
            raise ValueError(
                f"first_charge {self.first_charge} is below lowest_charge {self.lowest_charge};"
                " expected at least that"
            )
        return self


class HomesSection(Section):
    """`[[homes]]`: a group of homes, spread by the seed over the ranges given here.

    `annual_kwh` and `pv_kwp` are ranges [lowest, highest], drawn uniformly. The first `with_pv` homes have
    PV, the first `with_battery` of these a battery. `export_limit_kw` curtails what is fed in; 0 is no limit.
    Homes without PV may delay `flexible_share` of their consumption to the end of a window of `delay_periods`.
    """

    name: Name
    region: Name
    count: Annotated[int, Field(ge=1, le=100_000)]
    with_pv: Annotated[int, Field(ge=0)] = 0
    with_battery: Annotated[int, Field(ge=0)] = 0
    annual_kwh: Annotated[list[KilowattHours], Field(min_length=2, max_length=2)] = [1_500.0, 6_000.0]
    pv_kwp: Annotated[list[Kilowatts], Field(min_length=2, max_length=2)] = [3.0, 10.0]
    battery: BatterySection = BatterySection(capacity_kwh=7.0, power_kw=3.5)
    export_limit_kw: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    flexible_share: Fraction = 0.0
    delay_periods: Annotated[int, Field(ge=1, le=16)] = 4
    deposit_nano: Money = 20_000_000_000

    @model_validator(mode="after")
    def _counts_and_ranges(self) -> Self:
        if self.with_pv > self.count:
            raise ValueError(f"with_pv {self.with_pv} is more than count {self.count}; expected at most count")
        if self.with_battery > self.with_pv:
            raise ValueError(
                f"with_battery {self.with_battery} is more than with_pv {self.with_pv}; expected at most with_pv"
            )
        for key in ("annual_kwh", "pv_kwp"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key} [{low}, {high}] runs backwards; expected [lowest, highest]")
        return self


class ProducerSection(Section):
    """`[[producer]]`: a generator without own use, selling from its marginal cost upwards."""

    name: Name
    region: Name
    kind: Literal["wind", "hydro", "pv"]
    power_kw: Kilowatts
    cost_micro: Price
    deposit_nano: Money = 20_000_000_000


class SpeculatorSection(Section):
    """`[[speculator]]`: shared storage that buys on falling and sells on rising prices (Huang 2022, 2.2 (3))."""

    name: Name
    region: Name
    battery: BatterySection
    window_minutes: Annotated[int, Field(ge=1, le=10_080)] = 120
    threshold_ppm: Ppm = 10_000
    deposit_nano: Money = 50_000_000_000


class ParticipantSection(Section):
    """`[[participant]]`: one participant in full, beside or in place of the groups."""

    name: Name
    role: Role
    region: Name
    annual_kwh: KilowattHours | None = None
    pv_kwp: Kilowatts | None = None
    wind_kw: Kilowatts | None = None
    hydro_kw: Kilowatts | None = None
    battery: BatterySection | None = None
    cost_micro: Price | None = None
    export_limit_kw: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    window_minutes: Annotated[int, Field(ge=1, le=10_080)] = 120
    threshold_ppm: Ppm = 10_000
    deposit_nano: Money = 20_000_000_000

    @model_validator(mode="after")
    def _role_has_what_it_needs(self) -> Self:
        generates = any(power is not None for power in (self.pv_kwp, self.wind_kw, self.hydro_kw))
        if self.role in ("consumer", "prosumer") and self.annual_kwh is None:
            raise ValueError(f"a {self.role} without annual_kwh uses nothing; expected annual_kwh above 0")
        if self.role in ("producer", "prosumer") and not generates:
            raise ValueError(
                f"a {self.role} without pv_kwp, wind_kw or hydro_kw makes nothing; expected one of them"
            )
        if self.role == "consumer" and generates:
            raise ValueError('a consumer with generation is a prosumer; expected role = "prosumer"')
        if self.role == "producer" and self.annual_kwh is not None:
            raise ValueError('a producer with annual_kwh is a prosumer; expected role = "prosumer"')
        if self.role == "speculator" and self.battery is None:
            raise ValueError("a speculator without battery cannot store; expected a battery table")
        if self.role == "speculator" and (generates or self.annual_kwh is not None):
            raise ValueError("a speculator owns storage alone; expected neither generation nor annual_kwh")
        return self
