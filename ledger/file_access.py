"""Looking into a ledger file without changing a byte of it, whoever has it open and however it was left."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger import tables
from ledger.commit_counter import counter_path


def is_closed(path: Path) -> bool:
    """Whether the file holds all there is: no log of a process that still runs, or was killed, beside it."""
    return not any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal"))


def is_open_elsewhere(path: Path) -> bool:
    """Whether a node has this ledger open now."""
    try:
        handle = os.open(counter_path(path), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def open_unchanged(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the file if it was closed cleanly, else to a copy that lives as long as the block.

    Even reading makes SQLite recover a log that was left behind, hence the copy.
    """
    if is_closed(path):
        with closing(tables.open_read_only(path, immutable=True)) as connection:
            yield connection
        return
    with TemporaryDirectory(prefix="gridbazaar-ledger-") as folder:
        copy = Path(folder) / path.name
        if is_open_elsewhere(path):
            # Its files change while we copy: SQLite knows how to take them at one moment.
            with closing(tables.open_read_only(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        else:
            for suffix in ("", "-wal", "-journal"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            yield connection
