"""The seam for unguessable bytes: keys, salts, tokens. Never the randomness that ids are drawn from."""

import random
import secrets
from typing import Protocol


class Secrets(Protocol):
    """A seam: the operating system's generator in production, a seeded one in tests and simulations."""

    def draw(self, count: int) -> bytes:
        """Return `count` bytes that nobody can guess."""
        ...


class SystemSecrets:
    """The operating system's generator."""

    def draw(self, count: int) -> bytes:
        """Return `count` bytes from the operating system."""
        return secrets.token_bytes(count)


class SeededSecrets:
    """Repeatable bytes, for tests and simulations only: whoever knows the seed knows every key."""

    def __init__(self, seed: int) -> None:
        """Start the sequence that `seed` names."""
        self._random = random.Random(seed)  # noqa: S311 — repeatable on purpose, see the class

    def draw(self, count: int) -> bytes:
        """Return the next `count` bytes of the sequence."""
        return self._random.randbytes(count)
