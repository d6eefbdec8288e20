"""What it costs to watch: processor time a period and memory, for the page's observer with many agents.

    python tests/bench/web_observer_cost.py [AGENTS] [PERIODS]

A committee of four says everything that a period of a real market says (orders, receipts, clearing,
settlement, telemetry, blocks), signed; what is measured is the observer alone, from bytes to snapshots, two
snapshots a period. At one period a second, ms of processor time a period are thousandths of a core.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from synthetic_run import START_MS, SyntheticCommittee, deployment, home_wh, make_clearing, make_settlement

from agents.announcements import ReceiptLine
from agents.observer import ChainObserver
from agents.web.facts import FeedState
from agents.web.mirror import MirrorModel
from agents.web.read_only_bus import ReadOnlyBus
from market.orders import Side
from market.receipts import ReasonCode
from mosquitto.bus import BusMessage
from mosquitto.local_bus import LocalNetwork


def main() -> None:
    """Print one JSON object."""
    agents = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    periods = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    deployed = deployment(agents, periods)
    committee = SyntheticCommittee(LocalNetwork(start_ms=START_MS), deployed)
    spoken: list[BusMessage] = []
    committee.network.bus("tape").subscribe("#", spoken.append)
    network = LocalNetwork(start_ms=START_MS)
    mirror = MirrorModel(deployed)
    ChainObserver(deployed, ReadOnlyBus(network.bus("web")), mirror, verify_transactions=False)
    speaker = network.bus("speaker")
    cpu_s, snapshot_s, memory_kb = 0.0, 0.0, []
    for period in range(periods):
        _speak(committee, period)
        for message in spoken:
            speaker.publish(message.topic, message.payload)
        spoken.clear()
        mirror.now_ms = START_MS + period * 1_000
        before_s = time.process_time()
        speaker.poll(0)
        heard_s = time.process_time()
        for _ in range(2):
            mirror.step()
            mirror.snapshot(FeedState.LIVE)
        cpu_s += time.process_time() - before_s
        snapshot_s += time.process_time() - heard_s
        memory_kb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    result = {
        "agents": agents,
        "periods": periods,
        "cpu_ms_a_period": round(cpu_s / periods * 1_000, 1),
        "of_it_two_snapshots_ms": round(snapshot_s / periods * 1_000, 1),
        "memory_mb_after_a_quarter": round(memory_kb[periods // 4] / 1_024),
        "memory_mb_at_the_end": round(memory_kb[-1] / 1_024),
    }
    print(json.dumps(result))


def _speak(committee: SyntheticCommittee, period: int) -> None:
    """Everything of one period."""
    deployed = committee.deployment
    lines = []
    for index, home in enumerate(deployed.participants):
        load, sun = home_wh(index, period, deployed.periods)
        side = Side.SELL if sun > load else Side.BUY
        tx_id = committee.order(home.name, side, max(1, abs(sun - load)), 100_000 + index, period)
        lines.append(ReceiptLine(tx_id, ReasonCode.OK, 10_000 * period + index + 1))
        if home.devices:
            committee.telemetry(home.name, period, sun, 3_000)
    committee.receipts(2 * period + 1, lines)
    committee.block(2 * period + 1, period, len(lines))
    # The book of so many homes would have prices below nothing.
    clearing = replace(make_clearing(deployed, period), demand=(), supply=())
    committee.clearing(clearing)
    committee.settlement(make_settlement(deployed, clearing))
    committee.block(2 * period + 2, period, len(lines))
    committee.bus.poll(0)


if __name__ == "__main__":
    main()
