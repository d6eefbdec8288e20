"""From a deployment to what its chain starts from: market configuration, committee, genesis block.

Every node, and whoever audits the chain later, computes the same from `deployment.json` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from agents.deployment import Deployment, Json
from agents.errors import RunFolderError
from ledger.blocks import Genesis
from ledger.committee import Committee, Member
from market.config import MarketConfig
from market.contract import genesis_state
from market.errors import MarketError
from mosquitto.codec import encode


def config_to_json(config: MarketConfig) -> dict[str, Json]:
    """The configuration as JSON values, keys as hexadecimal text."""
    return {field.name: _to_json(getattr(config, field.name)) for field in fields(config)}


def config_from_json(values: Mapping[str, Json], source: str = "genesis") -> MarketConfig:
    """The configuration again. Raises RunFolderError that names the key at fault."""
    known = {field.name for field in fields(MarketConfig)}
    for key in values.keys() ^ known:
        raise RunFolderError(f"{source}: {key} is {'unknown' if key in values else 'missing'}")
    try:
        return MarketConfig.from_values(
            tuple(_from_json(field.name, values[field.name]) for field in fields(MarketConfig))
        )
    except (MarketError, ValueError) as error:
        raise RunFolderError(f"{source}: {error}") from None


def market_config(deployment: Deployment) -> MarketConfig:
    """The contract's configuration of a deployment."""
    return config_from_json(deployment.genesis)


def committee_of(deployment: Deployment) -> Committee:
    """The committee of a deployment, in replica order."""
    return Committee(
        chain_id=deployment.chain_id,
        members=tuple(Member(name=entry.name, public_key=entry.public_key) for entry in deployment.committee),
    )


def genesis_of(deployment: Deployment) -> Genesis:
    """Block 0: everyone computes it, and two deployments never share one."""
    config = market_config(deployment)
    state = genesis_state(config)
    committee = tuple((entry.name, entry.public_key) for entry in deployment.committee)
    return Genesis(
        chain_id=deployment.chain_id,
        configuration=encode((committee, config.to_values())),
        state_root=state.state_root(),
        time_ms=0,
        period=state.open_period,
    )


_KEYS = frozenset({"committee", "regulator", "cashier", "grid_account"})


def _to_json(value: object) -> Json:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    assert isinstance(value, int | str)
    return value


def _from_json(name: str, value: Json) -> bytes | int | str | tuple[bytes | str, ...]:
    if isinstance(value, list):
        texts = [item for item in value if isinstance(item, str)]
        return tuple(bytes.fromhex(text) for text in texts) if name in _KEYS else tuple(texts)
    if isinstance(value, str):
        return bytes.fromhex(value) if name in _KEYS else value
    if isinstance(value, int):
        return value
    raise ValueError(f"{name} = {value!r}: expected a number, a text or a list of texts")
