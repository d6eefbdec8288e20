"""How a client proves to a broker who it is: password, certificate, and the authority that it trusts itself."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from mosquitto.address import CA_FILE_VARIABLE, broker_password
from mosquitto.errors import BrokerError


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAccess:
    """What is needed to enter one broker. Never printed: `repr` shows file names and no password.

    `ca_file`: the certificate authority of a `mqtts` broker, the system's when None. `certificate_file` and
    `key_file`: this client's own certificate, where the broker asks for one.
    """

    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def from_environment(cls) -> BrokerAccess:
        """The access to the market's broker. Raises BrokerError when a named file cannot be read."""
        ca_file = os.environ.get(CA_FILE_VARIABLE)
        return cls(password=broker_password(), ca_file=Path(ca_file) if ca_file else None)

    def tls_context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, the broker's name and certificate checked. Raises BrokerError that names the file."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ValueError) as error:
            raise BrokerError(f"{self.ca_file} is no certificate authority: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate_file is not None:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file)
            except (OSError, ValueError) as error:
                files = f"{self.certificate_file} and {self.key_file or 'the key in it'}"
                raise BrokerError(f"{files} are no certificate and key: {error}") from None
        return context
