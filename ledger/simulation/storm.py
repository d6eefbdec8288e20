"""What goes wrong in a run: a script of faults that the seed decides, act by act.

Each act draws from a stream of its own and the times of all are drawn beforehand, so an act can be left out
and the others stay what they were. That is what `shrink` needs to find the few that matter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ledger.simulation.checker import Checker
from ledger.simulation.node import SimulatedNode
from ledger.simulation.world import World

_FIRST_ACT_MS = 500
_MOVES = 6
_MOVE_MS = 400


class Storm:
    """Plays faults on the nodes and the network until it is stopped.

    `kept`: the numbers of the acts to play, None for all. At most `wipes_left` replicas lose their disk: until
    it has recovered, such a replica counts as one of the f. `acts` are those that did something.
    """

    def __init__(
        self,
        world: World,
        nodes: Sequence[SimulatedNode],
        checker: Checker,
        *,
        wipes_left: int,
        kept: frozenset[int] | None,
    ) -> None:
        self.world = world
        self.nodes = nodes
        self.checker = checker
        self.n = len(nodes)
        self.blowing = True
        self.acts: dict[int, str] = {}
        self._wipes_left = wipes_left
        self._kept = kept
        self._times = world.stream("fault times")
        self._number = 0

    def begin(self) -> None:
        """Let the first act come."""
        self.world.at(_FIRST_ACT_MS, self._next)

    def end(self) -> None:
        """End every fault but the liars; what is down comes up."""
        self.blowing = False
        self.world.weather.calm()
        self.world.tell("the storm is over: network and disks are sound, every replica is up")
        for node in self.nodes:
            node.crash_at_write = False
            node.disk_delay_ms = 0
            if not node.up:
                node.start()

    def _next(self) -> None:
        if not self.blowing:
            return
        number, self._number = self._number, self._number + 1
        self.world.at(self._times.randint(100, 2_500), self._next)
        if self._kept is not None and number not in self._kept:
            return
        chance = self.world.stream(f"fault/{number}")
        acts: tuple[Callable[[random.Random], str], ...] = (
            self._change_weather,
            self._change_weather,
            self._partition,
            self._heal,
            self._crash,
            self._crash,
            self._restart,
            self._restart,
            self._restart,
            self._slow_disk,
            self._wipe,
        )
        words = chance.choice(acts)(chance)
        if words:
            self.acts[number] = f"{self.world.age_ms:>7} ms  fault {number}: {words}"
            self.world.tell(f"fault {number}: {words}")

    # --- Acts: each says what it did, or nothing when there was nothing to do ---------------------------

    def _change_weather(self, chance: random.Random) -> str:
        weather = self.world.weather
        weather.loss = chance.choice((0.0, 0.0, 0.02, 0.1, 0.3))
        weather.duplication = chance.choice((0.0, 0.05, 0.3))
        weather.straggling = chance.choice((0.0, 0.05, 0.3))
        weather.delay_ms_max = chance.choice((5, 20, 200))
        return (
            f"the network loses {weather.loss:.0%}, doubles {weather.duplication:.0%}, delays "
            f"{weather.straggling:.0%} much and all up to {weather.delay_ms_max} ms"
        )

    def _partition(self, chance: random.Random) -> str:
        self.world.counts["partitions"] += 1
        side = chance.sample(range(self.n), chance.randint(1, self.n // 2))
        one_way = chance.random() < 0.3
        self._separate(side, one_way=one_way)
        moving = chance.random() < 0.25
        if moving:
            self.world.counts["moving partitions"] += 1
            self._move_later(side, self.world.weather.blocked, one_way=one_way, moves=_MOVES)
        return (
            f"partition: {sorted(side)} apart from the others"
            + (", one way" if one_way else "")
            + (f", moving on every {_MOVE_MS} ms" if moving else "")
        )

    def _separate(self, side: Sequence[int], *, one_way: bool) -> None:
        pairs = [(a, b) for a in range(self.n) for b in range(self.n) if (a in side) != (b in side)]
        if one_way:
            pairs = [(a, b) for a, b in pairs if a in side]
        self.world.weather.blocked = frozenset(pairs)

    def _move_later(
        self, side: list[int], blocked: frozenset[tuple[int, int]], *, one_way: bool, moves: int
    ) -> None:
        def move() -> None:
            # Healed or replaced by another partition meanwhile: then this one is over.
            if self.world.weather.blocked is not blocked or not moves:
                return
            moved = [(index + 1) % self.n for index in side]
            self._separate(moved, one_way=one_way)
            self._move_later(moved, self.world.weather.blocked, one_way=one_way, moves=moves - 1)

        self.world.at(_MOVE_MS, move)

    def _heal(self, _: random.Random) -> str:
        was_parted = bool(self.world.weather.blocked)
        self.world.weather.blocked = frozenset()
        return "the partition heals" if was_parted else ""

    def _crash(self, chance: random.Random) -> str:
        node = chance.choice(self.nodes)
        if not node.up:
            return ""
        self.world.counts["crashes"] += 1
        if chance.random() < 0.5:
            node.crash_at_write = True
            return f"replica {node.index} will crash at its next write"
        node.crash()
        return f"replica {node.index} crashes"

    def _restart(self, _: random.Random) -> str:
        for node in self.nodes:
            if not node.up:
                node.start()
                return f"replica {node.index} starts again"
        return ""

    def _slow_disk(self, chance: random.Random) -> str:
        self.world.counts["slow disks"] += 1
        node, delay_ms = chance.choice(self.nodes), chance.choice((0, 0, 5, 50, 400))
        node.disk_delay_ms = delay_ms
        return f"the disk of replica {node.index} takes {delay_ms} ms"

    def _wipe(self, chance: random.Random) -> str:
        node = chance.choice(self.nodes)
        if self._wipes_left < 1 or node.index in self.checker.liars or chance.random() < 0.5:
            return ""
        self._wipes_left -= 1
        self.world.counts["disks lost"] += 1
        self.checker.forgetful.add(node.index)
        node.crash()
        node.disk.wipe()
        return f"replica {node.index} crashes and loses its disk"
