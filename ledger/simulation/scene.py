"""One simulated run: a committee, clients, a seed's worth of faults, then calm and the final questions."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from dataclasses import dataclass

from ledger.blocks import Genesis
from ledger.config import ReplicaConfig
from ledger.crypto import KeyedHashCrypto
from ledger.records import StoredBlock
from ledger.simulation.application import NEXT_PERIOD, AccountBook, make_transaction
from ledger.simulation.checker import Checker
from ledger.simulation.journal import Journal
from ledger.simulation.liar import HABITS, Accomplices, Liar
from ledger.simulation.node import SimulatedNode
from ledger.simulation.storm import Storm
from ledger.simulation.world import World

_VALID_PERIODS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What of a seed's script is played; None stands for all of it.

    `faults`: numbers of the storm's acts. `orders`: numbers of the clients' orders. `habits`: (replica, habit)
    of the liars; a liar without habits is honest in deed, and still not counted on.
    """

    faults: frozenset[int] | None = None
    orders: frozenset[int] | None = None
    habits: frozenset[tuple[int, str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneConfig:
    """What is simulated. `liar_count` None draws up to f; `storm_ms` is how long faults go on.

    `calm_ms`: within so long after the last fault everything sent must be executed everywhere. `cut`: the part
    of the script that is played. `journal`: keep the run's events as lines.
    """

    n: int | None = None
    storm_ms: int = 60_000
    calm_ms: int = 60_000
    transactions_per_s: int = 8
    liar_count: int | None = None
    cut: Cut = Cut()
    journal: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What happened in one run. `faults` and `orders` are what of the script was played, by number."""

    seed: int
    n: int
    liars: dict[int, tuple[str, ...]]
    faults: dict[int, str]
    orders: tuple[int, ...]
    events: int
    height: int
    counts: Counter[str]
    violations: list[str]
    trace: str
    ended_ms: int
    calm_after_ms: int
    journal: tuple[str, ...]


def _words_of(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"exception: {type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"


class Scene:
    """Sets the stage, lets it happen, asks the questions."""

    def __init__(self, seed: int, config: SceneConfig) -> None:
        self.seed = seed
        self.config = config
        self.world = World(seed, Journal() if config.journal else None)
        chance = self.world.stream("setting")
        drawn = chance.choice((4, 4, 4, 7))
        self.n = config.n or drawn
        self.replica_config = self._draw_replica_config(chance)
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
        self.liars = self._draw_liars(chance, liar_count, secret)
        self.checker = Checker(liars=frozenset(self.liars))
        self.storm = Storm(
            self.world,
            self.nodes,
            self.checker,
            wipes_left=quorums.f - len(self.liars),
            kept=config.cut.faults,
        )
        self.transactions: dict[bytes, bytes] = {}
        self.orders: list[int] = []
        self._client_times = self.world.stream("client times")
        self._order = 0
        self._observe()

    def _draw_replica_config(self, chance: random.Random) -> ReplicaConfig:
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

    def _draw_liars(self, chance: random.Random, count: int, secret: bytes) -> dict[int, Liar]:
        indexes = sorted(chance.sample(range(self.n), count))
        accomplices = Accomplices(cryptos={index: KeyedHashCrypto(index, secret) for index in indexes})
        kept = self.config.cut.habits
        liars: dict[int, Liar] = {}
        for index in indexes:
            drawn = chance.sample(HABITS, chance.randint(1, 4))
            habits = frozenset(habit for habit in drawn if kept is None or (index, habit) in kept)
            own = self.world.stream(f"liar/{index}")
            liars[index] = Liar(index, self.n, habits, own, accomplices)
            self.nodes[index].outgoing_filter = liars[index].filter
            self.world.tell(f"replica {index} lies: {', '.join(sorted(habits)) or 'not'}")
        return liars

    def _observe(self) -> None:
        for node in self.nodes:
            node.on_block = self._on_block
            node.on_send = self.checker.on_send
            node.on_evidence = self._on_evidence
            node.on_halt = self.checker.on_halt

    def _on_block(self, node: SimulatedNode, stored: StoredBlock) -> None:
        self.world.note("block", node.index, stored.block.hash)
        if self.world.journal is not None:
            words = f"replica {node.index} executes block {stored.height} {stored.block.hash.hex()[:6]}"
            self.world.tell(f"{words} ({len(stored.block.transactions)} orders)")
        self.checker.on_block(node, stored)

    def _on_evidence(self, node: SimulatedNode, accused: int) -> None:
        self.world.counts["evidence"] += 1
        self.world.tell(f"replica {node.index} holds evidence against {accused}")
        self.checker.on_evidence(node, accused)

    @property
    def honest(self) -> list[SimulatedNode]:
        """Replicas that follow the protocol."""
        return [node for node in self.nodes if node.index not in self.liars]

    # --- Clients --------------------------------------------------------------------------------------

    def _clients(self) -> None:
        """Send a few transactions, mostly to everyone; come back later."""
        if not self.storm.blowing:
            return
        times = self._client_times
        kept = self.config.cut.orders
        for _ in range(times.choice((1, 1, 1, 2, 10))):
            self._order += 1
            if kept is None or self._order in kept:
                self.orders.append(self._order)
                self._send_transaction(self._order)
        mean_ms = 2_500 // self.config.transactions_per_s
        self.world.at(times.randint(1, 2 * mean_ms), self._clients)

    def _send_transaction(self, number: int) -> None:
        chance = self.world.stream(f"order/{number}")
        sender = b"client-%d" % chance.randrange(6)
        amount = NEXT_PERIOD if chance.random() < 0.02 else chance.randint(1, 100)
        transaction = make_transaction(sender, number, amount, _VALID_PERIODS)
        mood = chance.random()
        copies = [transaction] * self.n
        if mood < 0.05:
            # Another signature of the same content for each replica: still one transaction.
            copies = [
                make_transaction(sender, number, amount, _VALID_PERIODS, salt=index) for index in range(self.n)
            ]
            self.world.counts["different signatures"] += 1
        receivers = range(self.n)
        if mood > 0.9:
            receivers = range(*((start := chance.randrange(self.n)), start + 1))
            self.world.counts["told to one replica"] += 1
        reached = [index for index in receivers if chance.random() >= self.world.weather.loss]
        self.world.tell(f"order {number} is sent to {reached}")
        for index in reached:
            self._deliver(index, copies[index], chance.randint(1, 5))
        if any(self.nodes[index].up and index not in self.liars for index in reached):
            self.transactions[transaction] = copies[0]

    def _deliver(self, index: int, transaction: bytes, delay_ms: int) -> None:
        self.world.at(delay_ms, lambda: self.nodes[index].receive_transactions((transaction,)))

    # --- Play -----------------------------------------------------------------------------------------

    def play(self) -> Outcome:
        """The whole run: storm, calm, questions."""
        world = self.world
        skews = world.stream("clock skews")
        for node in self.nodes:
            node.skew_ms = skews.randint(-20_000, 20_000)
            node.start()
        calm_after_ms = 0
        try:
            self._clients()
            self.storm.begin()
            world.run_until(world.now_ms + self.config.storm_ms, lambda: bool(self.checker.violations))
            if not self.checker.violations:
                calm_after_ms = self._calm()
        except Exception as error:  # Whatever a replica raises is a bug of its own, and the seed shows it.
            self.checker.violate(_words_of(error))
        for what in self.checker.violations:
            world.tell(f"VIOLATION: {what}")
        return self._outcome(calm_after_ms)

    def _outcome(self, calm_after_ms: int) -> Outcome:
        world = self.world
        for liar in self.liars.values():
            world.counts["byzantine acts"] += sum(liar.acts.values())
        for node in self.honest:
            world.counts["view changes"] += node.replica.core.counters["view changes"]
            world.counts["blocks fetched"] += node.replica.core.counters["blocks fetched"]
        return Outcome(
            seed=self.seed,
            n=self.n,
            liars={index: tuple(sorted(liar.habits)) for index, liar in self.liars.items()},
            faults=self.storm.acts,
            orders=tuple(self.orders),
            events=world.events,
            height=max((node.replica.tip.height for node in self.honest), default=0),
            counts=world.counts,
            violations=self.checker.violations,
            trace=world.trace,
            ended_ms=world.age_ms,
            calm_after_ms=calm_after_ms,
            journal=tuple(world.journal.lines) if world.journal is not None else (),
        )

    def _calm(self) -> int:
        """End all faults but the liars; everything that an honest replica was told must now be executed."""
        world = self.world
        self.storm.end()
        # A crash forgets the pool, so a client asks again when its answer does not come (section 4.1).
        delays = world.stream("calm")
        for transaction in self.transactions.values():
            for index in range(self.n):
                self._deliver(index, transaction, delays.randint(1, 5))
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
        tip = self.honest[0].replica.tip.hash
        if any(node.replica.tip.hash != tip for node in self.honest):
            return False
        return names <= self.checker.places.keys()
