"""Every error of the network layer.

* NetworkError
  - TopicError      a name of ours cannot be used in a topic: a bug or a bad configuration
  - BrokerError     no broker could be found, started or reached
  - RemoteError     a peer sent something wrong: count it, drop it, carry on
    + CodecError    bytes that are not one canonical message within the limits
    + EnvelopeError a message whose version, shape, chain or signature is wrong
"""

from __future__ import annotations


class NetworkError(Exception):
    """Base of all errors raised by `mosquitto/`."""


class TopicError(NetworkError):
    """A name of ours is not usable as one topic level."""


class BrokerError(NetworkError):
    """No broker could be found, started or reached."""


class RemoteError(NetworkError):
    """A peer sent something wrong; the message is dropped and counted, nothing else changes."""


class CodecError(RemoteError):
    """Bytes that are not exactly one canonical value within the limits."""


class EnvelopeError(RemoteError):
    """An envelope whose version, shape, chain or signature is wrong."""
