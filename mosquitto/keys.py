"""Ed25519 keys: making them, keeping them in files, signing and verifying bytes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nacl.bindings

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A signing key and its public half. Never printed: `repr` shows the public half only."""

    public: bytes
    _secret: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> KeyPair:
        """Derive the pair of a 32-byte seed. Raises ValueError for another length."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a key seed has {SEED_BYTES} bytes, was {len(seed)}")
        public, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        return cls(public, secret)

    @classmethod
    def generate(cls) -> KeyPair:
        """A new pair from the operating system's random numbers."""
        return cls.from_seed(os.urandom(SEED_BYTES))

    @classmethod
    def derive(cls, seed: int, name: str) -> KeyPair:
        """A pair that follows from a scenario's seed: for simulations, where nobody has a secret."""
        digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=SEED_BYTES, person=b"gridbazaar-sim")
        return cls.from_seed(digest.digest())

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of `message`; equal messages have equal signatures."""
        signed: bytes = nacl.bindings.crypto_sign(message, self._secret)
        return signed[:SIGNATURE_BYTES]

    def save(self, path: Path) -> None:
        """Write the seed as hexadecimal text to a new file that only its owner can read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(self._secret[:SEED_BYTES].hex() + "\n")

    @classmethod
    def load(cls, path: Path) -> KeyPair:
        """Read a file written by `save`. Raises ValueError that names the file when it is not one."""
        try:
            return cls.from_seed(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except ValueError as error:
            raise ValueError(f"{path}: not a key file (64 hexadecimal digits): {error}") from None

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `message` was made with the key of `public`. Never raises on bad bytes."""
    if len(public) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, public)
    except Exception:  # libsodium's refusal comes as one of several nacl exceptions; all mean "no".
        return False
    return True
