"""What the value line of a feature may say, and the arithmetic that all ways of computing it share."""

import hashlib
import re
from typing import Final, Literal

import msgspec

from koban.packs import parse_duration

Function = Literal[
    "count",
    "count_of",
    "count_distinct",
    "sum",
    "avg",
    "stddev",
    "min",
    "max",
    "first",
    "last",
    "most_frequent",
    "age_days",
    "sequence",
    "linked",
    "ratio",
    "rate",
    "peers",
]
Linked = Literal["sanctioned", "youngest", "oldest"]

SCALE: Final = 1_000_000  # a decimal is an integer scaled by this
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
DECIMAL_MAX: Final = 10**18 - 1  # decimal(18,6), scaled
TEXT_CHARS_KEPT: Final = 256  # of a text that first() or last() keeps
DISTINCT_CHARS_KEPT: Final = 64  # a longer or a sealed text is told apart by its digest

FUNCTIONS: Final = (
    "count(*), count(x), count(distinct x), sum(x), avg(x), stddev(x), min(x), max(x), first(x), last(x), "
    "most_frequent(x), age_days(), sequence(a THEN b WITHIN 10 minutes), linked_sanctioned(x), linked_youngest(x, age), "
    "linked_oldest(x, age), ratio(a, b), rate(a, b), peers(a, total, members)"
)
COMPOSED: Final[frozenset[Function]] = frozenset({"ratio", "rate", "peers"})
FACTOR_MAX: Final = 1_000_000  # of the windows of a rate, so that its products fit into 128 bits
STEPS_MAX: Final = 6
_CALL: Final = re.compile(r"\s*([A-Za-z_]+)\s*\((.*)\)\s*", re.DOTALL)
_DISTINCT: Final = re.compile(r"\s*distinct\s+", re.IGNORECASE)
_NAMES: Final = re.compile(r"\s*\w+\s*(?:,\s*\w+\s*){1,2}")
_THEN: Final = re.compile(r"\s+THEN\s+", re.IGNORECASE)
_STEP: Final = re.compile(r"([a-z][a-z0-9_.]*)\s+WITHIN\s+(.+)", re.IGNORECASE | re.DOTALL)
_EVENT: Final = re.compile(r"[a-z][a-z0-9_.]*")
_LINKED: Final[dict[str, Linked]] = {
    "linked_sanctioned": "sanctioned",
    "linked_youngest": "youngest",
    "linked_oldest": "oldest",
}
_NAMED: Final[dict[str, Function]] = {
    "count": "count_of",
    "sum": "sum",
    "avg": "avg",
    "stddev": "stddev",
    "most_frequent": "most_frequent",
    "min": "min",
    "max": "max",
    "first": "first",
    "last": "last",
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a sequence: an event, and how long after the step before it at most (the first has None)."""

    event: str
    within_us: int | None


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """A value line, read: the function and what it is applied to."""

    function: Function
    argument: str | None = None  # Koban SQL over the event's fields
    offset: int = 0  # where the argument starts in the value line, in characters
    operands: tuple[str, ...] | None = None  # the features that a composed one is made of
    steps: tuple[Step, ...] = ()  # of a sequence
    linked: Linked | None = None  # what is asked of the linked subjects
    through: str | None = None  # the feature that gives the age of a linked subject


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
    if name in COMPOSED:
        names = tuple(each.strip() for each in inside.split(",")) if _NAMES.fullmatch(inside) else ()
        fits = len(names) == (3 if name == "peers" else 2)
        return Aggregate(function=name, operands=names, offset=start) if fits else None
    if name == "sequence":
        steps = _read_steps(inside)
        return None if steps is None else Aggregate(function="sequence", steps=steps, offset=start)
    if name in _LINKED:
        return _read_linked(_LINKED[name], inside, start)
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


def _read_steps(inside: str) -> tuple[Step, ...] | None:
    first, *later = _THEN.split(inside.strip())
    if not later or len(later) >= STEPS_MAX or _EVENT.fullmatch(first) is None:
        return None
    steps = [Step(event=first, within_us=None)]
    for written in later:
        step = _STEP.fullmatch(written)
        within_us = parse_duration(step[2].strip()) if step else None
        if step is None or within_us is None:
            return None
        steps.append(Step(event=step[1], within_us=within_us))
    return tuple(steps)


def _read_linked(linked: Linked, inside: str, start: int) -> Aggregate | None:
    argument, comma, through = inside.partition(",")
    if (
        not argument.strip()
        or bool(comma) != (linked != "sanctioned")
        or (comma and not through.strip().isidentifier())
    ):
        return None
    return Aggregate(
        function="linked",
        argument=argument.strip(),
        offset=start + len(argument) - len(argument.lstrip()),
        linked=linked,
        through=through.strip() or None,
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
