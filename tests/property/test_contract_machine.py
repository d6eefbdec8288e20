"""The contract under whatever Hypothesis thinks of, shrunk to the shortest history that breaks it."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from market_walk import Walk

from market.contract import SignedCall
from market.values import Value

RANDOM = st.randoms(use_true_random=False)
VALUES = st.recursive(
    st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=12,
)


class ContractMachine(RuleBasedStateMachine):
    """`World.block` checks the invariants after every block."""

    walk: Walk

    @initialize(chance=RANDOM)
    def begin(self, chance: random.Random) -> None:
        self.walk = Walk(chance)

    @rule(chance=RANDOM)
    def orders(self, chance: random.Random) -> None:
        self.walk.random = chance
        self.walk.step([self.walk.world.call(*self.walk.an_order()) for _ in range(4)])

    @rule(chance=RANDOM)
    def readings(self, chance: random.Random) -> None:
        self.walk.random = chance
        self.walk.step(self.walk.due_readings())

    @rule(chance=RANDOM)
    def phase(self, chance: random.Random) -> None:
        self.walk.random = chance
        self.walk.step([self.walk.world.call(*self.walk.a_phase())])

    @rule(chance=RANDOM)
    def anything(self, chance: random.Random) -> None:
        self.walk.random = chance
        self.walk.step([self.walk.any_call() for _ in range(3)])

    @rule(
        tag=st.integers(0, 16),
        until=st.integers(0, 3),
        fields=st.lists(VALUES, max_size=8).map(tuple),
        sender=st.sampled_from((b"ann", b"regulator", b"cashier", b"member-0", b"meter-ann")),
    )
    def rubbish(self, tag: int, until: int, fields: tuple[Value, ...], sender: bytes) -> None:
        world = self.walk.world
        world.nonce += 1
        call = SignedCall(
            tx_id=world.nonce.to_bytes(32, "big"),
            sender=sender.ljust(32, b"."),
            fields=(tag, world.state.open_period + until, 0, *fields),
        )
        self.walk.step([call])

    @invariant()
    def the_incremental_root_is_the_full_root(self) -> None:
        if hasattr(self, "walk"):
            assert self.walk.world.state.state_root() == self.walk.world.state.full_state_root()


ContractMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestContract = ContractMachine.TestCase
