"""The inverter: makes the meter show what its owner traded, as far as battery and line allow.

One rule serves every site. The contract's position (sold minus bought) is what the meter should show as
export minus import; the battery takes up the difference to what panels and household do by themselves. A
position of 0, or an unknown one, makes it plain self-consumption. A speculator's storage is the same rule
with neither panels nor household.

Generation that the line may not carry is curtailed, last, after the battery had its chance.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.battery import Battery


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """What happened at one site in one period, in Wh. One of import and export is 0, as is one of the
    battery's directions.

    export - import = generated - load + discharged - charged.
    """

    load_wh: float
    generated_wh: float
    curtailed_wh: float
    charged_wh: float
    discharged_wh: float
    import_wh: float
    export_wh: float


def run_period(
    *,
    load_wh: float,
    available_wh: float,
    battery: Battery | None,
    position_wh: int,
    hours: float,
    export_limit_w: int = 0,
) -> Flows:
    """Run a site for one period of `hours`; changes the battery.

    `available_wh` is what panels and turbines can give; `position_wh` what the owner sold minus bought.
    `export_limit_w` 0 means no limit. Power is taken as constant within the period.
    """
    own_wh = available_wh - load_wh
    limit_wh = export_limit_w * hours if export_limit_w else float("inf")
    flow_wh = 0.0
    if battery is not None:
        # What the line cannot carry need not be aimed at: store it rather than throw it away.
        target_wh = min(float(position_wh), limit_wh)
        flow_wh = battery.dispatch((own_wh - target_wh) / hours, hours) * hours
    net_wh = own_wh - flow_wh
    # A battery is never discharged into a full line, since its target keeps the limit: what is too much
    # comes from the generators, and can be shed there.
    curtailed_wh = min(max(0.0, net_wh - limit_wh), available_wh)
    net_wh -= curtailed_wh
    return Flows(
        load_wh=load_wh,
        generated_wh=available_wh - curtailed_wh,
        curtailed_wh=curtailed_wh,
        charged_wh=max(0.0, flow_wh),
        discharged_wh=max(0.0, -flow_wh),
        import_wh=max(0.0, -net_wh),
        export_wh=max(0.0, net_wh),
    )
