"""Sums that are exact whatever their size: SQLite ends a sum past 64 bits with an error, where PostgreSQL goes on."""

from typing import Final

_BITS: Final = 32
_HALF: Final = 1 << _BITS


def sum_halves(column: str) -> str:
    """Return the two columns of a SELECT that hold a sum in two halves, of an expression of whole numbers."""
    return f"coalesce(sum(({column}) >> {_BITS}), 0), coalesce(sum(({column}) & {_HALF - 1}), 0)"


def whole_sum(high: object, low: object) -> int:
    """Put the two columns of `sum_halves` together. Invariant: exact for fewer than 2**31 rows."""
    return int(str(high)) * _HALF + int(str(low))
