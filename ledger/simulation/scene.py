"""One simulated run: a committee, clients, a seed's worth of faults, then calm and the final questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ledger.blocks import Genesis
from ledger.config import ReplicaConfig
from ledger.crypto import KeyedHashCrypto
from ledger.records import StoredBlock
from ledger.simulation.application import NEXT_PERIOD, AccountBook, make_transaction
from ledger.simulation.checker import Checker
from ledger.simulation.liar import HABITS, Accomplices, Liar
from ledger.simulation.node import SimulatedNode
from ledger.simulation.world import World

_VALID_PERIODS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneConfig:
    """What is simulated. `liar_count` None draws up to f; `storm_ms` is how long faults go on.

    `calm_ms`: within so long after the last fault everything sent must be executed everywhere.
    """

    n: int | None = None
    storm_ms: int = 45_000
    calm_ms: int = 60_000
    transactions_per_s: int = 8
    liar_count: int | None = None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What happened in one run."""

    seed: int
    n: int
    liars: dict[int, tuple[str, ...]]
    events: int
    height: int
    counts: Counter[str]
    violations: list[str]
    trace: str
    calm_after_ms: int = field(default=0)


class Scene:
    """Sets the stage, lets it happen, asks the questions."""

    def __init__(self, seed: int, config: SceneConfig) -> None:
        self.seed = seed
        self.config = config
        self.world = World(seed)
        chance = self.world.chance
        self.n = config.n or chance.choice((4, 4, 4, 7))
        self.replica_config = self._draw_replica_config()
        quorums = self.replica_config.quorums
        genesis = Genesis(
            chain_id="simulation",
            configuration=b"",
            state_root=AccountBook().state_root(),
        )
        secret = chance.randbytes(16)
        self.nodes = [
            SimulatedNode(self.world, index, self.replica_config, genesis, secret) for index in range(self.n)
        ]
        liar_count = config.liar_count if config.liar_count is not None else chance.randint(0, quorums.f)
        self.liars = self._draw_liars(liar_count, secret)
        self.wipes_left = quorums.f - len(self.liars)
        self.checker = Checker(liars=frozenset(self.liars))
        self.transactions: dict[bytes, bytes] = {}
        self._nonce = 0
        self._stormy = True
        self._observe()

    def _draw_replica_config(self) -> ReplicaConfig:
        chance = self.world.chance
        interval = chance.choice((4, 8, 16))
        return ReplicaConfig(
            n=self.n,
            checkpoint_interval=interval,
            window=interval * chance.choice((2, 3)),
            batch_count=chance.choice((2, 8, 64)),
            pipeline=chance.choice((1, 4, 8)),
            snapshot_gap=chance.choice((10, 40, 5_000)),
            request_timeout_ms=1_000,
            view_change_timeout_ms=1_000,
            resend_ms=300,
        )

    def _draw_liars(self, count: int, secret: bytes) -> dict[int, Liar]:
        chance = self.world.chance
        indexes = sorted(chance.sample(range(self.n), count))
        accomplices = Accomplices(cryptos={index: KeyedHashCrypto(index, secret) for index in indexes})
        liars: dict[int, Liar] = {}
        for index in indexes:
            habits = frozenset(chance.sample(HABITS, chance.randint(1, 4)))
            liars[index] = Liar(index, self.n, habits, chance, accomplices)
            self.nodes[index].outgoing_filter = liars[index].filter
        return liars

    def _observe(self) -> None:
        for node in self.nodes:
            node.on_block = self._on_block
            node.on_send = self.checker.on_send
            node.on_evidence = self._on_evidence
            node.on_halt = self.checker.on_halt

    def _on_block(self, node: SimulatedNode, stored: StoredBlock) -> None:
        self.world.note("block", node.index, stored.block.hash)
        self.checker.on_block(node, stored)

    def _on_evidence(self, node: SimulatedNode, accused: int) -> None:
        self.world.counts["evidence"] += 1
        self.checker.on_evidence(node, accused)

    @property
    def honest(self) -> list[SimulatedNode]:
        """Replicas that follow the protocol."""
        return [node for node in self.nodes if node.index not in self.liars]

    # --- Clients --------------------------------------------------------------------------------------

    def _clients(self) -> None:
        """Send a few transactions, mostly to everyone; come back later."""
        if not self._stormy:
            return
        chance = self.world.chance
        for _ in range(chance.choice((1, 1, 1, 2, 10))):
            self._send_transaction()
        mean_ms = 2_500 // self.config.transactions_per_s
        self.world.at(chance.randint(1, 2 * mean_ms), self._clients)

    def _send_transaction(self) -> None:
        chance = self.world.chance
        self._nonce += 1
        sender = b"client-%d" % chance.randrange(6)
        amount = NEXT_PERIOD if chance.random() < 0.02 else chance.randint(1, 100)
        transaction = make_transaction(sender, self._nonce, amount, _VALID_PERIODS)
        mood = chance.random()
        if mood < 0.05:
            # Another signature of the same content for each replica: still one transaction.
            copies = [
                make_transaction(sender, self._nonce, amount, _VALID_PERIODS, salt=index)
                for index in range(self.n)
            ]
            self.world.counts["different signatures"] += 1
        else:
            copies = [transaction] * self.n
        receivers = range(self.n)
        if mood > 0.9:
            receivers = range(*((start := chance.randrange(self.n)), start + 1))
            self.world.counts["told to one replica"] += 1
        told = False
        for index in receivers:
            if chance.random() < self.world.weather.loss:
                continue
            told = told or (self.nodes[index].up and index not in self.liars)
            self._deliver(index, copies[index])
        if told:
            self.transactions[transaction] = copies[0]

    def _deliver(self, index: int, transaction: bytes) -> None:
        delay_ms = self.world.chance.randint(1, 5)
        self.world.at(delay_ms, lambda: self.nodes[index].receive_transactions((transaction,)))

    # --- Faults ---------------------------------------------------------------------------------------

    def _faults(self) -> None:
        """Something goes wrong, or right again; come back later."""
        if not self._stormy:
            return
        chance = self.world.chance
        acts: tuple[Callable[[], None], ...] = (
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
        chance.choice(acts)()
        self.world.at(chance.randint(100, 2_500), self._faults)

    def _change_weather(self) -> None:
        chance, weather = self.world.chance, self.world.weather
        weather.loss = chance.choice((0.0, 0.0, 0.02, 0.1, 0.3))
        weather.duplication = chance.choice((0.0, 0.05, 0.3))
        weather.straggling = chance.choice((0.0, 0.05, 0.3))
        weather.delay_ms_max = chance.choice((5, 20, 200))

    def _partition(self) -> None:
        chance = self.world.chance
        self.world.counts["partitions"] += 1
        side = frozenset(chance.sample(range(self.n), chance.randint(1, self.n // 2)))
        pairs = [(a, b) for a in range(self.n) for b in range(self.n) if (a in side) != (b in side)]
        if chance.random() < 0.3:
            pairs = [(a, b) for a, b in pairs if a in side]
        self.world.weather.blocked = frozenset(pairs)

    def _heal(self) -> None:
        self.world.weather.blocked = frozenset()

    def _crash(self) -> None:
        chance = self.world.chance
        node = chance.choice(self.nodes)
        if node.up:
            self.world.counts["crashes"] += 1
            if chance.random() < 0.5:
                node.crash_at_write = True
            else:
                node.crash()

    def _restart(self) -> None:
        for node in self.nodes:
            if not node.up:
                node.start()
                return

    def _slow_disk(self) -> None:
        chance = self.world.chance
        self.world.counts["slow disks"] += 1
        chance.choice(self.nodes).disk_delay_ms = chance.choice((0, 0, 5, 50, 400))

    def _wipe(self) -> None:
        """A disk is lost. Such a replica counts as faulty until it has recovered, so at most f may be."""
        chance = self.world.chance
        node = chance.choice(self.nodes)
        if self.wipes_left < 1 or node.index in self.liars or chance.random() < 0.5:
            return
        self.wipes_left -= 1
        self.world.counts["disks lost"] += 1
        self.checker.forgetful.add(node.index)
        node.crash()
        node.disk.wipe()

    # --- Play -----------------------------------------------------------------------------------------

    def play(self) -> Outcome:
        """The whole run: storm, calm, questions."""
        world = self.world
        for node in self.nodes:
            node.skew_ms = world.chance.randint(-20_000, 20_000)
            node.start()
        self._clients()
        world.at(500, self._faults)
        world.run_until(world.now_ms + self.config.storm_ms, lambda: bool(self.checker.violations))
        calm_after_ms = self._calm() if not self.checker.violations else 0
        for liar in self.liars.values():
            world.counts["byzantine acts"] += sum(liar.acts.values())
        for node in self.honest:
            world.counts["view changes"] += node.replica.core.counters["view changes"]
            world.counts["blocks fetched"] += node.replica.core.counters["blocks fetched"]
        return Outcome(
            seed=self.seed,
            n=self.n,
            liars={index: tuple(sorted(liar.habits)) for index, liar in self.liars.items()},
            events=world.events,
            height=max((node.replica.tip.height for node in self.honest), default=0),
            counts=world.counts,
            violations=self.checker.violations,
            trace=world.trace,
            calm_after_ms=calm_after_ms,
        )

    def _calm(self) -> int:
        """End all faults but the liars; everything that an honest replica was told must now be executed."""
        world = self.world
        self._stormy = False
        world.weather.calm()
        for node in self.nodes:
            node.crash_at_write = False
            node.disk_delay_ms = 0
            if not node.up:
                node.start()
        # A crash forgets the pool, so a client asks again when its answer does not come (section 4.1).
        for transaction in self.transactions.values():
            for index in range(self.n):
                self._deliver(index, transaction)
        start_ms = world.now_ms
        wanted = {self.nodes[0].application.check(item) for item in self.transactions.values()}
        names = {item.id for item in wanted if hasattr(item, "id")}
        world.run_until(start_ms + self.config.calm_ms, lambda: self._settled(names))
        if not self._settled(names):
            missing = len(names - self.checker.places.keys())
            heights = [(node.index, node.replica.tip.height, node.replica.view) for node in self.honest]
            self.checker.violate(
                f"liveness: {missing} of {len(names)} not executed {self.config.calm_ms} ms after the last fault; "
                f"(replica, height, view) {heights}"
            )
        return world.now_ms - start_ms

    def _settled(self, names: set[bytes]) -> bool:
        if self.checker.violations:
            return True
        if len({node.replica.tip.hash for node in self.honest}) > 1:
            return False
        return names <= self.checker.places.keys()
