"""What the value line of a feature may say, and the arithmetic that all ways of computing it share."""

import hashlib
import re
from typing import Final, Literal

import msgspec

Function = Literal[
    "count", "count_of", "count_distinct", "sum", "avg", "min", "max", "first", "last", "age_days", "ratio"
]

SCALE: Final = 1_000_000  # a decimal is an integer scaled by this
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
DECIMAL_MAX: Final = 10**18 - 1  # decimal(18,6), scaled
TEXT_CHARS_KEPT: Final = 256  # of a text that first() or last() keeps
DISTINCT_CHARS_KEPT: Final = 64  # a longer or a sealed text is told apart by its digest

FUNCTIONS: Final = (
    "count(*), count(x), count(distinct x), sum(x), avg(x), min(x), max(x), first(x), last(x), age_days(), ratio(a, b)"
)
_CALL: Final = re.compile(r"\s*([A-Za-z_]+)\s*\((.*)\)\s*", re.DOTALL)
_DISTINCT: Final = re.compile(r"\s*distinct\s+", re.IGNORECASE)
_RATIO: Final = re.compile(r"\s*(\w+)\s*,\s*(\w+)\s*")
_NAMED: Final[dict[str, Function]] = {
    "count": "count_of",
    "sum": "sum",
    "avg": "avg",
    "min": "min",
    "max": "max",
    "first": "first",
    "last": "last",
}


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """A value line, read: the function and what it is applied to."""

    function: Function
    argument: str | None = None  # Koban SQL over the event's fields
    offset: int = 0  # where the argument starts in the value line, in characters
    operands: tuple[str, str] | None = None  # the two features of a ratio


def read_value(text: str) -> Aggregate | None:
    """Read a feature's value line; None where it is none of the forms in `FUNCTIONS`."""
    call = _CALL.fullmatch(text)
    if call is None:
        return None
    name, inside, start = call[1].lower(), call[2], call.start(2)
    if name == "count" and inside.strip() == "*":
        return Aggregate(function="count")
    if name == "age_days":
        return None if inside.strip() else Aggregate(function="age_days")
    if name == "ratio":
        pair = _RATIO.fullmatch(inside)
        return Aggregate(function="ratio", operands=(pair[1], pair[2]), offset=start) if pair else None
    if name not in _NAMED or not inside.strip():
        return None
    distinct = _DISTINCT.match(inside)
    if distinct is None:
        blank = len(inside) - len(inside.lstrip())
        return Aggregate(function=_NAMED[name], argument=inside.strip(), offset=start + blank)
    if name != "count" or not inside[distinct.end() :].strip():
        return None
    return Aggregate(
        function="count_distinct", argument=inside[distinct.end() :].strip(), offset=start + distinct.end()
    )


def divide(numerator: int, denominator: int) -> int | None:
    """Divide two integers into a decimal, cut towards zero as `/` does; NULL by zero or beyond decimal(18,6).

    Units: the answer is scaled by 10^6. Both sides of law 2 use this one formula; `sql` writes it for DuckDB.
    """
    if denominator == 0:
        return None
    size = abs(numerator) * SCALE // abs(denominator)
    if size > DECIMAL_MAX:
        return None
    return size if (numerator < 0) == (denominator < 0) else -size


def digest(text: str) -> bytes:
    """Stand for a text in a distinct count, so that feature state holds neither long nor sealed texts."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
