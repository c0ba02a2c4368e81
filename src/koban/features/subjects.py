"""The subject at a path, on both sides: one id, a pair of two, or the one subject that all events share."""

from collections.abc import Mapping
from typing import Final

from koban.features.expressions import quoted
from koban.packs import EVERYONE

ALL: Final = "*"  # id of the one subject of kind `everyone`


def pair_id(one: object, two: object) -> str | None:
    """Return the id of a pair; None where one of the two is not named. No other pair has the same."""
    return f"{len(one)}:{one}{two}" if isinstance(one, str) and isinstance(two, str) else None


def members_of(kind: str, subject: str) -> tuple[tuple[str, str], ...]:
    """Return kind and id of each subject that an id names: of a pair, its two; otherwise the one."""
    first, _, second = kind.partition("+")
    if not second:
        return ((kind, subject),)
    length, _, both = subject.partition(":")
    return (first, both[: int(length)]), (second, both[int(length) :])


def in_pair(pair: str, subject: str) -> tuple[bool, bool]:
    """Say whether a subject is the first, and whether it is the second of a pair."""
    length, _, both = pair.partition(":")
    return both[: int(length)] == subject, both[int(length) :] == subject


def subject_at(path: str, row: Mapping[str, object]) -> str | None:
    """Return the id at a path of an event's row; None where nobody is named."""
    if path == EVERYONE:
        return ALL
    parts = [row.get(part) for part in path.split("+")]
    if len(parts) == 2:
        return pair_id(*parts)
    return parts[0] if isinstance(parts[0], str) else None


def python_subject(path: str) -> str:
    """Write the Python that reads the id at a path from an event's row."""
    if path == EVERYONE:
        return repr(ALL)
    parts = path.split("+")
    return f"get({path!r})" if len(parts) == 1 else f"pair_id(get({parts[0]!r}), get({parts[1]!r}))"


def sql_subject(path: str) -> str:
    """Write the SQL that reads the id at a path from the archive's relation."""
    if path == EVERYONE:
        return f"'{ALL}'"
    parts = [quoted(part) for part in path.split("+")]
    return parts[0] if len(parts) == 1 else f"(length({parts[0]}) || ':' || {parts[0]} || {parts[1]})"
