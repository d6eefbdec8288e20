"""Where a broker is, and the password to it, which no log and no `repr` ever shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mosquitto.errors import BrokerError

PASSWORD_VARIABLE: Final = "GRIDBAZAAR_BROKER_PASSWORD"
PASSWORD_FILE_VARIABLE: Final = "GRIDBAZAAR_BROKER_PASSWORD_FILE"
CA_FILE_VARIABLE: Final = "GRIDBAZAAR_BROKER_CA"
"""Environment variable that names the certificate authority of a `mqtts` broker, else the system's are used."""

_DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker. Its password is not part of the address, so that addresses can be printed and written down."""

    host: str
    port: int
    user: str | None = None
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> BrokerAddress:
        """Read `mqtt://user@host:port` or `mqtts://...`; user and port may be absent.

        Raises BrokerError that says what is wrong. A password inside is refused: addresses end up in
        scenario files, logs and process lists.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise BrokerError(f"broker address not understood: {error}") from None
        shape = "mqtt://[user@]host[:port], or mqtts:// for TLS"
        if parts.password is not None:
            raise BrokerError(f"a broker address holds no password: put it into {PASSWORD_VARIABLE}")
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise BrokerError(f"broker address {text!r} not understood, expected {shape}")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise BrokerError(f"broker address {text!r} ends in something unknown, expected {shape}")
        if port == 0:
            raise BrokerError(f"broker address {text!r} has port 0, expected 1 to 65535")
        return cls(parts.hostname, port or _DEFAULT_PORTS[parts.scheme], parts.username, parts.scheme == "mqtts")

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{host}:{self.port}"


def broker_password(environment: Mapping[str, str] | None = None) -> str | None:
    """The password from GRIDBAZAAR_BROKER_PASSWORD, or from the file that ..._FILE names; None without both.

    Raises BrokerError when that file cannot be read.
    """
    variables = os.environ if environment is None else environment
    if variables.get(PASSWORD_VARIABLE):
        return variables[PASSWORD_VARIABLE]
    file = variables.get(PASSWORD_FILE_VARIABLE)
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"{PASSWORD_FILE_VARIABLE} names {file!r}, which cannot be read: {error}") from None
