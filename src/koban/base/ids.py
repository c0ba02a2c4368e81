"""Identifiers: prefixed, sortable strings, so that an id in a log line says what it names."""

import random
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)  # two digits, by their ten bits


def _crockford(value: int, length: int) -> str:
    """Write the lowest bits of a number, five a digit; `length` is even."""
    return "".join([_PAIRS[(value >> shift) & 1_023] for shift in range(5 * length - 10, -1, -10)])


def random_id(prefix: str, at: int, randomness: random.Random) -> str:
    """Make an id such as `token_01k9…`: 48 bits of milliseconds, then 80 random bits (the layout of a ULID).

    Source: https://github.com/ulid/spec, written in lower case.
    """
    return f"{prefix}_{_crockford((at // 1_000) & ((1 << 48) - 1), 10)}{_crockford(randomness.getrandbits(80), 16)}"


def sequence_id(prefix: str, seq: int, ordinal: int = 0) -> str:
    """Make the id of the `ordinal`-th thing that log entry `seq` brought about; the same in every replay."""
    return f"{prefix}_{seq:016x}{ordinal:02x}"
