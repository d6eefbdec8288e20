"""How much each battery can hold: from the scenario in the run folder, since no message says it."""

from __future__ import annotations

import logging

from agents.errors import ConfigurationError
from agents.run_folder import RunFolder

log = logging.getLogger(__name__)


def battery_capacities(folder: RunFolder) -> dict[str, int]:
    """Wh by participant. Empty where the scenario is not here or is not one: then only kWh can be shown."""
    from agents.population import populate
    from agents.scenario import Scenario
    from devices.errors import DeviceError

    try:
        participants = populate(Scenario.load(folder.scenario)).participants
    except (ConfigurationError, DeviceError) as error:
        log.info("batteries are of unknown size", extra={"fields": {"reason": str(error).splitlines()[0]}})
        return {}
    return {entry.name: entry.site.battery.capacity_wh for entry in participants if entry.site.battery is not None}
