"""The keys of a run: who has one, where it lies, and how simulations do without secrets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from agents.errors import RunFolderError
from agents.run_folder import RunFolder
from mosquitto.keys import KeyPair

GRID_ACCOUNT: Final = "grid-account"
AGENTS_HOST: Final = "agents"


def devices_host(region: str) -> str:
    """The name of the component that runs a region's meters and inverters."""
    return f"devices-{region}"


class KeyRing(Protocol):
    """Finds the key of a participant, node, meter, authority or host by name."""

    def key(self, name: str) -> KeyPair:
        """The key of that name."""
        ...


@dataclass(frozen=True, slots=True)
class FolderKeys:
    """Keys in the files of a run folder, random and readable by their owner alone."""

    folder: RunFolder

    def create(self, names: Iterable[str]) -> None:
        """Make a new key for each name that has none yet."""
        for name in names:
            path = self.folder.key(name)
            if not path.exists():
                KeyPair.generate().save(path)

    def key(self, name: str) -> KeyPair:
        """Read a key. Raises RunFolderError that names the file when it is missing or broken."""
        path = self.folder.key(name)
        try:
            return KeyPair.load(path)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise RunFolderError(str(error)) from None


@dataclass(frozen=True, slots=True)
class SimulatedKeys:
    """Keys that follow from a seed: equal runs in memory are equal to the last byte. Secret from nobody."""

    seed: int

    def key(self, name: str) -> KeyPair:
        """Derive a key."""
        return KeyPair.derive(self.seed, f"key/{name}")
