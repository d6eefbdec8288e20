"""Logs as JSON lines, one file a component.

A line is a constant event and fields: `log.info("block executed", extra={"fields": {"height": 12}})`.
The same things have the same keys everywhere (`replica`, `view`, `sequence`, `period`, `height`, ...), so
`grep` and a spreadsheet can follow one of them through all components. Layers only name a logger; this
module alone configures them.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_RESERVED: Final = ("time", "time_ms", "level", "component", "logger", "event")
_BYTES_SHOWN: Final = 8


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object on one line."""

    def __init__(self, component: str, constants: Mapping[str, object]) -> None:
        super().__init__()
        self.component = component
        self.constants = dict(constants)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "time_ms": int(record.created * 1000),
            "level": record.levelname.lower(),
            "component": self.component,
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        for key, value in {**self.constants, **(fields if isinstance(fields, Mapping) else {})}.items():
            # A field never hides the line's own keys: those are what a reader filters by.
            line[f"{key}_" if key in _RESERVED else str(key)] = _plain(value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(
    component: str, path: Path | None = None, level: int = logging.INFO, **constants: object
) -> None:
    """Send this process's logs to `path` (appended), or to standard error when there is none.

    `constants` are fields of every line, such as `replica=2`. Warnings of Python's own are logged too.
    Calling it again replaces what was configured before.
    """
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    handler.setFormatter(JsonLines(component, constants))
    root = logging.getLogger()
    for old in list(root.handlers):
        # A handler that somebody else hung in (a test's, a host program's) is not ours to remove.
        if isinstance(old.formatter, JsonLines):
            root.removeHandler(old)
            old.close()
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    # These speak at INFO of things that say nothing about the market.
    for chatty in ("matplotlib", "PIL", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _plain(value: object) -> object:
    """What JSON can hold. Keys, digests and signatures are shown by their first bytes."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value[:_BYTES_SHOWN].hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
