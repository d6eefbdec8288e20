"""From a scenario to a deployment: keys, committee, genesis, who takes part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from agents.deployment import Deployment, HostEntry, MemberEntry, MeterEntry, ParticipantEntry
from agents.genesis import config_to_json
from agents.key_ring import AGENTS_HOST, GRID_ACCOUNT, KeyRing, devices_host
from agents.meter_sections import GATEWAY
from agents.population import CASHIER, REGULATOR, Participant, Population
from agents.scenario import Scenario
from market.config import MarketConfig
from mosquitto.codec import encode

OPERATOR_SKEW_MS = 30_000
"""How far the operator's time may lie from the ledger's where periods follow the wall clock."""


def key_names(scenario: Scenario, population: Population) -> list[str]:
    """Everybody who needs a key of their own."""
    names = [*scenario.ledger.nodes, REGULATOR, CASHIER, GRID_ACCOUNT, AGENTS_HOST]
    names += [devices_host(region) for region in scenario.region_names]
    for participant in population.participants:
        names += [participant.name, participant.site.meter_id]
    if scenario.meters:
        names.append(GATEWAY)
    return names


def build_deployment(
    scenario: Scenario,
    population: Population,
    keys: KeyRing,
    brokers: Sequence[str],
    first_period_ms: int,
    nodes: Sequence[str] | None = None,
) -> Deployment:
    """Spell out a chain. `nodes` stands in for the scenario's committee (one node for a run in memory)."""
    committee = tuple(
        MemberEntry(name=name, public_key=keys.key(name).public) for name in (nodes or scenario.ledger.nodes)
    )
    config = market_config_of(scenario, keys, [entry.public_key for entry in committee], first_period_ms)
    # Different keys or rules make another chain, so that nothing signed for one passes on the other.
    digest = hashlib.blake2b(encode((scenario.scenario.name, config.to_values())), digest_size=4).hexdigest()
    return Deployment(
        chain_id=f"{scenario.scenario.name}-{digest}",
        scenario=scenario.scenario.name,
        brokers=tuple(brokers),
        committee=committee,
        genesis=config_to_json(config),
        participants=tuple(_participant(entry, keys) for entry in population.participants),
        hosts=tuple(_hosts(scenario, population, keys)),
        authorities=tuple(
            MemberEntry(name=name, public_key=keys.key(name).public) for name in (REGULATOR, CASHIER, GRID_ACCOUNT)
        ),
        periods=scenario.market.periods,
        period_ms=scenario.period_ms,
        first_period_ms=first_period_ms,
        pace=scenario.market.pace,
        seed=scenario.scenario.seed,
    )


def market_config_of(
    scenario: Scenario, keys: KeyRing, committee: Sequence[bytes], first_period_ms: int
) -> MarketConfig:
    """The contract's parameters that a scenario asks for."""
    market = scenario.market
    return MarketConfig(
        committee=tuple(committee),
        regulator=keys.key(REGULATOR).public,
        cashier=keys.key(CASHIER).public,
        grid_account=keys.key(GRID_ACCOUNT).public,
        regions=scenario.region_names,
        mechanism=market.mechanism,
        settlement=market.settlement,
        revenue_view=market.revenue_view,
        tokens_per_unit=market.escrow.tokens_per_unit,
        token_reward_ppm=market.escrow.reward_ppm,
        loss_ppm=market.escrow.loss_ppm,
        dispute_periods=market.escrow.dispute_periods,
        price_rule=market.price_rule,
        region_priority=market.region_priority,
        crossing_fee_micro=market.crossing_fee_micro,
        retail_micro=market.retail_micro,
        feed_in_micro=market.feed_in_micro,
        ask_limit_micro=market.regulator_limit_micro,
        lowest_micro=market.lowest_price_micro,
        highest_micro=market.highest_price_micro,
        working_capital_nano=market.grid_capital_nano,
        penalty_ppm=market.penalty_ppm,
        tolerance_ppm=market.tolerance_ppm,
        reputation_alpha_ppm=market.reputation.alpha_ppm,
        reputation_start_ppm=market.reputation.initial_ppm,
        reputation_cap_ppm=market.reputation.cap_ppm,
        start_ms=first_period_ms,
        period_ms=scenario.period_ms,
        operator_skew_ms=0 if market.pace == "lockstep" else OPERATOR_SKEW_MS,
    )


def _participant(participant: Participant, keys: KeyRing) -> ParticipantEntry:
    site = participant.site
    # What stands behind a real meter tells us nothing of itself.
    has_inverter = (site.generates or site.battery is not None) and participant.real_meter_w is None
    return ParticipantEntry(
        name=participant.name,
        account=keys.key(participant.name).public,
        region=participant.region,
        role=participant.role,
        meters=(MeterEntry(meter_id=site.meter_id, public_key=keys.key(site.meter_id).public),),
        devices=(site.device_id,) if has_inverter else (),
    )


def _hosts(scenario: Scenario, population: Population, keys: KeyRing) -> Iterable[HostEntry]:
    yield HostEntry(name=AGENTS_HOST, public_key=keys.key(AGENTS_HOST).public)
    for region in scenario.region_names:
        if any(participant.real_meter_w is None for participant in population.in_region(region)):
            name = devices_host(region)
            yield HostEntry(name=name, public_key=keys.key(name).public)
    if scenario.meters:
        yield HostEntry(name=GATEWAY, public_key=keys.key(GATEWAY).public)
