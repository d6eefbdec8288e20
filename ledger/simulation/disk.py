"""A virtual disk: what is written is safe once it is synchronized, and not before."""

from __future__ import annotations

from collections.abc import Callable

from ledger.blocks import Genesis
from ledger.memory_store import MemoryStore

Write = Callable[["SafeStore"], None]


class SafeStore(MemoryStore):
    """What survives a crash. `recovering` can be set, as after a damaged file."""

    def __init__(self, genesis: Genesis, *, recovering: bool = False) -> None:
        super().__init__(genesis)
        self._recovering = recovering

    @property
    def recovering(self) -> bool:
        """Whether earlier votes may be lost."""
        return self._recovering

    def finish_recovery(self) -> None:
        """Earlier votes matter no more."""
        self._recovering = False


class VirtualDisk:
    """One replica's disk: writes wait in a buffer until `synchronize`; a crash empties the buffer."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.safe = SafeStore(genesis)
        self._buffer: list[Write] = []

    def write(self, operation: Write) -> None:
        """Buffer an operation on the store."""
        self._buffer.append(operation)

    def take_buffer(self) -> list[Write]:
        """What has to be on disk before the present messages leave."""
        buffer, self._buffer = self._buffer, []
        return buffer

    def synchronize(self, operations: list[Write]) -> None:
        """Make operations safe, in order."""
        for operation in operations:
            operation(self.safe)

    def crash(self) -> None:
        """Lose what was not synchronized."""
        self._buffer = []

    def wipe(self) -> None:
        """Lose everything, and know it: the file was damaged and set aside."""
        self._buffer = []
        self.safe = SafeStore(self.genesis, recovering=True)
