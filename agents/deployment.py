"""Who takes part in a chain: `deployment.json`.

It holds public facts alone (names, public keys, genesis values), so it may be handed to anybody; secrets
are in `keys/`. Bytes are hexadecimal text in the file and `bytes` in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from agents.errors import RunFolderError
from mosquitto.keys import PUBLIC_KEY_BYTES

FORMAT: Final = 1

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What a JSON file can hold."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEntry:
    """Somebody with a name and a key: a ledger node of the committee, or an authority."""

    name: str
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEntry:
    """A registered meter and the key that signs its readings (its own, or its gateway's)."""

    meter_id: str
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantEntry:
    """A participant. `account` is its public key; `devices` are the ids of its inverters."""

    name: str
    account: bytes
    region: str
    role: str
    meters: tuple[MeterEntry, ...] = ()
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEntry:
    """A component that the operator waits for in lockstep, and the key that signs its status."""

    name: str
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One chain: its id, brokers, committee, genesis and participants.

    `genesis` is what the contract starts from, in plain JSON values; only the code that builds it reads it.
    `authorities` are keys with a name and a task and no seat in the committee: regulator, cashier, grid
    account. `period_ms` is a period's length and `first_period_ms` the start of period 0 (ms since 1970 UTC).
    """

    chain_id: str
    scenario: str
    brokers: tuple[str, ...]
    committee: tuple[MemberEntry, ...]
    genesis: Mapping[str, Json]
    participants: tuple[ParticipantEntry, ...]
    hosts: tuple[HostEntry, ...] = ()
    authorities: tuple[MemberEntry, ...] = ()
    periods: int
    period_ms: int
    first_period_ms: int
    pace: str = "lockstep"
    seed: int = 0
    names: Mapping[bytes, str] = field(init=False, repr=False, compare=False)
    _by_account: Mapping[bytes, ParticipantEntry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = {participant.account: participant.name for participant in self.participants}
        for member in (*self.committee, *self.authorities):
            names.setdefault(member.public_key, member.name)
        for participant in self.participants:
            for meter in participant.meters:
                names.setdefault(meter.public_key, meter.meter_id)
        by_account = {participant.account: participant for participant in self.participants}
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "_by_account", by_account)

    @property
    def committee_keys(self) -> tuple[bytes, ...]:
        """The members' public keys, in order: the index is the replica's number."""
        return tuple(member.public_key for member in self.committee)

    @property
    def faults(self) -> int:
        """f: how many members may be faulty, n = 3f + 1."""
        return (len(self.committee) - 1) // 3

    @property
    def agreement_threshold(self) -> int:
        """f + 1: what so many members say alike, an honest one says."""
        return self.faults + 1

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that participants live in, sorted."""
        return tuple(sorted({participant.region for participant in self.participants}))

    def name_of(self, account: bytes) -> str:
        """The participant's or member's name, or the start of the key of somebody unknown."""
        return self.names.get(account, account.hex()[:16])

    def participant_of(self, account: bytes) -> ParticipantEntry | None:
        """The participant with that account; None for authorities, members and strangers."""
        return self._by_account.get(account)

    def participant(self, name: str) -> ParticipantEntry | None:
        """The participant of that name."""
        return next((entry for entry in self.participants if entry.name == name), None)

    def owner_of(self, meter_id: str) -> ParticipantEntry | None:
        """The participant whose meter that is."""
        return next(
            (entry for entry in self.participants if any(meter.meter_id == meter_id for meter in entry.meters)),
            None,
        )

    def to_json(self) -> dict[str, Json]:
        """The object that stands in the file."""
        return {
            "format": FORMAT,
            "chain_id": self.chain_id,
            "scenario": self.scenario,
            "seed": self.seed,
            "pace": self.pace,
            "periods": self.periods,
            "period_ms": self.period_ms,
            "first_period_ms": self.first_period_ms,
            "brokers": list(self.brokers),
            "committee": [{"name": entry.name, "public_key": entry.public_key.hex()} for entry in self.committee],
            "hosts": [{"name": entry.name, "public_key": entry.public_key.hex()} for entry in self.hosts],
            "authorities": [
                {"name": entry.name, "public_key": entry.public_key.hex()} for entry in self.authorities
            ],
            "genesis": dict(self.genesis),
            "participants": [_participant_json(entry) for entry in self.participants],
        }

    def to_text(self) -> str:
        """The file's text."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read a file. Raises RunFolderError that names file, key, value and what is right."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise RunFolderError(f"{path}: not a JSON file: {error}") from None
        return cls.from_json(value, str(path))

    @classmethod
    def from_json(cls, value: Json, source: str = "deployment") -> Deployment:
        """Build from a decoded JSON object. Raises RunFolderError; `source` names the file in it."""
        top = _Reader(source, "", value)
        version = top.get("format", int)
        if version != FORMAT:
            raise RunFolderError(f"{source}: format = {version}; expected {FORMAT}, which this program reads")
        return cls(
            chain_id=top.get("chain_id", str),
            scenario=top.get("scenario", str),
            seed=top.get("seed", int),
            pace=top.get("pace", str),
            periods=top.get("periods", int),
            period_ms=top.get("period_ms", int),
            first_period_ms=top.get("first_period_ms", int),
            brokers=tuple(top.texts("brokers")),
            committee=_read_members(top, "committee"),
            authorities=_read_members(top, "authorities"),
            hosts=tuple(
                HostEntry(name=entry.get("name", str), public_key=entry.key("public_key"))
                for entry in top.objects("hosts")
            ),
            genesis=top.get("genesis", dict),
            participants=tuple(_read_participant(entry) for entry in top.objects("participants")),
        )


def _read_members(top: _Reader, key: str) -> tuple[MemberEntry, ...]:
    return tuple(
        MemberEntry(name=entry.get("name", str), public_key=entry.key("public_key")) for entry in top.objects(key)
    )


def _participant_json(entry: ParticipantEntry) -> dict[str, Json]:
    return {
        "name": entry.name,
        "account": entry.account.hex(),
        "region": entry.region,
        "role": entry.role,
        "meters": [{"meter_id": meter.meter_id, "public_key": meter.public_key.hex()} for meter in entry.meters],
        "devices": list(entry.devices),
    }


def _read_participant(entry: _Reader) -> ParticipantEntry:
    return ParticipantEntry(
        name=entry.get("name", str),
        account=entry.key("account"),
        region=entry.get("region", str),
        role=entry.get("role", str),
        meters=tuple(
            MeterEntry(meter_id=meter.get("meter_id", str), public_key=meter.key("public_key"))
            for meter in entry.objects("meters")
        ),
        devices=tuple(entry.texts("devices")),
    )


class _Reader:
    """Takes typed values out of a JSON object; its errors say where, what was there and what is right."""

    def __init__(self, source: str, where: str, value: Json) -> None:
        if not isinstance(value, dict):
            raise RunFolderError(f"{source}: {where or 'the file'} must be an object, was {value!r:.60}")
        self.source = source
        self.where = where
        self.values = value

    def get(self, key: str, kind: type[T]) -> T:
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise self._wrong(key, value, f"expected {kind.__name__}")
        return value

    def key(self, key: str) -> bytes:
        """A public key in hexadecimal digits. Raises RunFolderError."""
        value = self.get(key, str)
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            raw = b""
        if len(raw) != PUBLIC_KEY_BYTES:
            raise self._wrong(key, value, f"expected {2 * PUBLIC_KEY_BYTES} hexadecimal digits")
        return raw

    def texts(self, key: str) -> list[str]:
        texts = []
        for value in self.get(key, list):
            if not isinstance(value, str):
                raise self._wrong(key, value, "expected text")
            texts.append(value)
        return texts

    def objects(self, key: str) -> list[_Reader]:
        prefix = f"{self.where}.{key}" if self.where else key
        return [
            _Reader(self.source, f"{prefix}[{index}]", value) for index, value in enumerate(self.get(key, list))
        ]

    def _wrong(self, key: str, value: object, expected: str) -> RunFolderError:
        path = f"{self.where}.{key}" if self.where else key
        found = "is missing" if key not in self.values else f"= {value!r:.80}"
        return RunFolderError(f"{self.source}: {path} {found}; {expected}")
