"""What stands at each connection point: household, panels, turbines, battery. Plain descriptions, JSON-able.

The scenario is spread over sites elsewhere; here is only their form, checked when one is built.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final, TypeVar, get_args, get_type_hints

from devices.errors import SiteError
from mosquitto.errors import TopicError
from mosquitto.topics import level

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

HOUSEHOLD_SHAPES: Final = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L")
PV_SHAPES: Final = ("PV1", "PV2", "PV3", "PV4", "PV5", "PV6", "PV7", "PV8")
WIND_SHAPES: Final = ("WP3", "WP4", "WP12")
HYDRO_SHAPES: Final = ("Hydro1", "Hydro2", "Hydro3")

GRAVITY_M_S2: Final = 9.81
WATER_KG_M3: Final = 1_000.0


def _require_shape(shape: str, key: str, known: tuple[str, ...]) -> None:
    _require(shape in known, key, shape, "one of " + ", ".join(known))


def _require(holds: bool, key: str, value: object, expected: str) -> None:
    if not holds:
        raise SiteError(f"{key} = {value!r}: expected {expected}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseholdConfig:
    """A home's consumption: a measured shape, moved in time so that no two homes are alike.

    `annual_kwh` scales the shape. Whole weeks keep weekdays in place; `quarter_shift` moves the day by
    quarter hours (a family that gets up later). `flexible_share` of each period's consumption may wait, at most
    to the end of a window of `delay_periods` (1: nothing waits).
    """

    shape: str
    annual_kwh: int
    week_shift: int = 0
    quarter_shift: int = 0
    flexible_share: float = 0.0
    delay_periods: int = 1

    def __post_init__(self) -> None:
        _require(0 <= self.flexible_share <= 1, "household.flexible_share", self.flexible_share, "0 to 1")
        _require(1 <= self.delay_periods <= 96, "household.delay_periods", self.delay_periods, "1 to 96")
        _require_shape(self.shape, "household.shape", HOUSEHOLD_SHAPES)
        _require(0 < self.annual_kwh <= 1_000_000, "household.annual_kwh", self.annual_kwh, "1 to 1000000 kWh")
        _require(-52 <= self.week_shift <= 52, "household.week_shift", self.week_shift, "-52 to 52")
        _require(-48 <= self.quarter_shift <= 48, "household.quarter_shift", self.quarter_shift, "-48 to 48")


@dataclass(frozen=True, slots=True, kw_only=True)
class PvConfig:
    """Solar panels.

    `source` is `simbench` (a measured-weather series, `shape`) or `pvlib` (panel and sun geometry under the
    same sky's cloudiness, with `tilt_deg` and `azimuth_deg`, 180 = south). `annual_kwh_per_kwp` scales a
    simbench series to that yield; 0 leaves it as published, about 650 kWh a kWp.
    """

    kwp: float
    source: str = "simbench"
    shape: str = "PV1"
    annual_kwh_per_kwp: int = 0
    tilt_deg: float = 35.0
    azimuth_deg: float = 180.0

    def __post_init__(self) -> None:
        _require(0 < self.kwp <= 10_000, "pv.kwp", self.kwp, "above 0 and at most 10000 kW peak")
        _require(self.source in ("simbench", "pvlib"), "pv.source", self.source, "simbench or pvlib")
        _require_shape(self.shape, "pv.shape", PV_SHAPES)
        _require(
            0 <= self.annual_kwh_per_kwp <= 2_500, "pv.annual_kwh_per_kwp", self.annual_kwh_per_kwp, "to 2500"
        )
        _require(0 <= self.tilt_deg <= 90, "pv.tilt_deg", self.tilt_deg, "0 (flat) to 90 (upright)")
        _require(0 <= self.azimuth_deg < 360, "pv.azimuth_deg", self.azimuth_deg, "0 to 360, 180 is south")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindConfig:
    """A wind turbine of `rated_kw` that follows the series `shape` (wind.py).

    `speed_ratio` is the wind at its hub over that of the series: below 1 on a short mast or behind trees.
    """

    rated_kw: float
    shape: str = "WP4"
    speed_ratio: float = 1.0

    def __post_init__(self) -> None:
        _require(0 < self.rated_kw <= 100_000, "wind.rated_kw", self.rated_kw, "above 0 and at most 100000 kW")
        _require_shape(self.shape, "wind.shape", WIND_SHAPES)
        _require(0 < self.speed_ratio <= 2, "wind.speed_ratio", self.speed_ratio, "above 0 and at most 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class HydroConfig:
    """A run-of-river plant: head and design flow give its power, the series its water (hydro.py)."""

    head_m: float
    design_flow_m3_s: float
    efficiency: float = 0.8
    shape: str = "Hydro1"

    def __post_init__(self) -> None:
        _require(0 < self.head_m <= 2_000, "hydro.head_m", self.head_m, "above 0 and at most 2000 m")
        _require(0 < self.design_flow_m3_s <= 10_000, "hydro.design_flow_m3_s", self.design_flow_m3_s, "above 0")
        _require(0 < self.efficiency <= 1, "hydro.efficiency", self.efficiency, "above 0 and at most 1")
        _require_shape(self.shape, "hydro.shape", HYDRO_SHAPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryConfig:
    """A battery. `efficiency` counts each way, so 0.95 returns 90 % of what goes in; shares are of capacity."""

    capacity_wh: int
    power_w: int
    efficiency: float = 0.95
    soc_min: float = 0.1
    soc_max: float = 1.0
    soc_start: float = 0.5

    def __post_init__(self) -> None:
        _require(self.capacity_wh > 0, "battery.capacity_wh", self.capacity_wh, "a capacity above 0 Wh")
        _require(self.power_w > 0, "battery.power_w", self.power_w, "a power above 0 W")
        _require(0 < self.efficiency <= 1, "battery.efficiency", self.efficiency, "above 0 and at most 1")
        _require(0 <= self.soc_min < self.soc_max <= 1, "battery.soc_min", self.soc_min, "below soc_max <= 1")
        in_window = self.soc_min <= self.soc_start <= self.soc_max
        _require(in_window, "battery.soc_start", self.soc_start, f"{self.soc_min} to {self.soc_max}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteConfig:
    """One connection point with one meter.

    `name` is the participant that owns it. `export_limit_w` is what the line or the operator allows to feed
    in: generation above it is curtailed; 0 means no limit. `device_id` names the inverter's telemetry.
    """

    name: str
    region: str
    meter_id: str
    household: HouseholdConfig | None = None
    pv: PvConfig | None = None
    wind: WindConfig | None = None
    hydro: HydroConfig | None = None
    battery: BatteryConfig | None = None
    export_limit_w: int = 0

    def __post_init__(self) -> None:
        for key in ("name", "region", "meter_id"):
            value = getattr(self, key)
            try:
                level(value)
            except TopicError as error:
                raise SiteError(f"{key}: {error}") from None
        _require(self.export_limit_w >= 0, "export_limit_w", self.export_limit_w, "0 (no limit) or a power in W")

    @property
    def device_id(self) -> str:
        """The name under which the inverter publishes its telemetry."""
        return f"{self.meter_id}-inverter"

    @property
    def generates(self) -> bool:
        """Whether anything here makes energy (a battery does not)."""
        return self.pv is not None or self.wind is not None or self.hydro is not None

    @property
    def has_inverter(self) -> bool:
        """Whether something here publishes telemetry: generators or a battery."""
        return self.generates or self.battery is not None

    def max_export_w(self) -> int:
        """The most that can leave the site: for the registration of its meter."""
        watts = self.generation_peak_w() + (self.battery.power_w if self.battery else 0)
        return min(watts, self.export_limit_w) if self.export_limit_w else watts

    def generation_peak_w(self) -> int:
        """What all generators give at most, together."""
        watts = 0.0
        if self.pv is not None:
            watts += 1_000 * self.pv.kwp
        if self.wind is not None:
            watts += 1_000 * self.wind.rated_kw
        if self.hydro is not None:
            watts += hydro_rated_w(self.hydro)
        return round(watts)

    def max_import_w(self) -> int:
        """The most that can come in. A house connection of the usual 3 x 63 A carries 43 kW."""
        return (43_000 if self.household else 0) + (self.battery.power_w if self.battery else 0)

    def to_json(self) -> dict[str, Json]:
        """A plain dictionary for `deployment.json`; `from_json` reads it back."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: Json) -> SiteConfig:
        """Read what `to_json` wrote. Raises SiteError that names the key at fault."""
        return _build(cls, value, "site")

    @classmethod
    def home(
        cls,
        *,
        name: str,
        region: str,
        household: HouseholdConfig,
        pv: PvConfig | None = None,
        battery: BatteryConfig | None = None,
        export_limit_w: int = 0,
    ) -> SiteConfig:
        """A household, with panels and a battery when it has them. Its meter is called `meter-<name>`."""
        return cls(
            name=name,
            region=region,
            meter_id=f"meter-{name}",
            household=household,
            pv=pv,
            battery=battery,
            export_limit_w=export_limit_w,
        )

    @classmethod
    def wind_plant(cls, *, name: str, region: str, wind: WindConfig) -> SiteConfig:
        """A producer with a wind turbine and nothing else."""
        return cls(name=name, region=region, meter_id=f"meter-{name}", wind=wind)

    @classmethod
    def hydro_plant(cls, *, name: str, region: str, hydro: HydroConfig) -> SiteConfig:
        """A producer with a run-of-river plant and nothing else."""
        return cls(name=name, region=region, meter_id=f"meter-{name}", hydro=hydro)

    @classmethod
    def storage(cls, *, name: str, region: str, battery: BatteryConfig) -> SiteConfig:
        """A speculator's battery at a meter of its own."""
        return cls(name=name, region=region, meter_id=f"meter-{name}", battery=battery)


def hydro_rated_w(config: HydroConfig) -> float:
    """Power at design flow, in W: density x gravity x flow x head x efficiency."""
    return WATER_KG_M3 * GRAVITY_M_S2 * config.design_flow_m3_s * config.head_m * config.efficiency


_Config = TypeVar("_Config", SiteConfig, HouseholdConfig, PvConfig, WindConfig, HydroConfig, BatteryConfig)


def _build(cls: type[_Config], value: Json, path: str) -> _Config:
    if not isinstance(value, Mapping):
        raise SiteError(f"{path} = {value!r}: expected a table")
    hints = get_type_hints(cls)
    known = [field.name for field in fields(cls)]
    for key in value:
        if key not in known:
            raise SiteError(f"{path}.{key}: unknown key, expected one of {', '.join(known)}")
    arguments = {key: _convert(hints[key], item, f"{path}.{key}") for key, item in value.items()}
    try:
        return cls(**arguments)  # type: ignore[arg-type]  # every value was checked against its field above
    except TypeError as error:
        raise SiteError(f"{path}: {error}") from None


def _convert(hint: object, value: Json, path: str) -> object:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in get_args(hint) if option is not types.NoneType)
    if hint in (HouseholdConfig, PvConfig, WindConfig, HydroConfig, BatteryConfig):
        return _build(hint, value, path)  # type: ignore[type-var]  # `hint` is one of the five
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # `type(...) is`: True is an int to isinstance, and no number of kWh.
    if type(value) is not hint:
        raise SiteError(f"{path} = {value!r}: expected {getattr(hint, '__name__', hint)}")
    return value
