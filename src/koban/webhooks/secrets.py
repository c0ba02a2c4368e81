"""Signing secrets at rest: sealed, because unlike tokens they must be readable to sign."""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from koban.audit import Secrets

SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_VERSION: Final = b"\x01"


class SecretBox:
    """Seals and opens the secrets of endpoints under one key of this installation."""

    def __init__(self, key: bytes, secrets: Secrets) -> None:
        """Take a key of 16 or 32 bytes that is derived from the master key for this use alone."""
        self._cipher = AESGCM(key)
        self._secrets = secrets

    def draw(self) -> bytes:
        """Make a new secret."""
        return self._secrets.draw(SECRET_BYTES)

    def seal(self, endpoint_id: str, secret: bytes) -> bytes:
        """Return a secret as it is stored; it opens only as that endpoint's."""
        nonce = self._secrets.draw(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, endpoint_id.encode())

    def open(self, endpoint_id: str, sealed: bytes) -> bytes | None:
        """Return the secret; None where it was sealed under another key."""
        if sealed[:1] != _VERSION:
            return None
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, text, endpoint_id.encode())
        except InvalidTag:
            return None
