"""Reading typed values out of YAML nodes. Each function adds a fault and returns a harmless stand-in when it cannot.

So one pass over a pack finds every error; nothing that was read with faults ever leaves `packs.load`.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from koban.base import DAY, HOUR, MINUTE, SECOND
from koban.base.characters import NO_CHARACTER
from koban.packs.documents import Entries, Items, Node, Scalar
from koban.packs.faults import Fault, nearest
from koban.packs.types import Source, Texts

LANGUAGES: Final = ("en", "ja")
MAX_NAME: Final = 80
MAX_TEXT: Final = 20_000
MAX_DURATION_US: Final = 3_660 * DAY

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
DOTTED: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
SLASHED: Final = re.compile(r"[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*")

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
INTEGER_MAX: Final = (1 << 63) - 1
_DURATION: Final = re.compile(r"([0-9]{1,9}) (second|minute|hour|day|week)s?")
_UNITS: Final = {"second": SECOND, "minute": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY}

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A mapping whose keys were checked against those that it may have."""

    fields: Mapping[str, tuple[Scalar, Node]]
    at: Source
    faults: list[Fault]

    def fault(self, at: Source, detail: str, hint: str = "") -> None:
        """Add a fault at a place within the record."""
        self.faults.append(Fault(source=at, detail=detail, hint=hint))

    def value(self, key: str) -> Node | None:
        """Return the node under a key; None when the key is not there."""
        found = self.fields.get(key)
        return None if found is None else found[1]

    def at_of(self, key: str) -> Source:
        """Return where a key's value starts, or where the record starts when the key is not there."""
        found = self.fields.get(key)
        return self.at if found is None else found[1].at


def open_record(
    node: Node,
    faults: list[Fault],
    *,
    what: str,
    required: Iterable[str],
    optional: Iterable[str] = (),
    example: str = "",
) -> Record | None:
    """Read a mapping with known keys; unknown and missing ones are faults. None when it is not a mapping.

    `example` is how one is written whole: the hint where a key is missing.
    """
    needed = tuple(required)
    known = {*needed, *optional}
    if not isinstance(node, Entries):
        faults.append(Fault(source=node.at, detail=f"{what} must be a mapping", hint=f"keys: {', '.join(needed)}"))
        return None
    fields = {}
    for key, value in node.pairs:
        if key.text in known:
            fields[key.text] = (key, value)
        else:
            detail = f"{what} has no key '{key.text}'"
            faults.append(Fault(source=key.at, detail=detail, hint=nearest(key.text, known)))
    shown = f"as in {example}" if example else ""
    missing = [key for key in needed if key not in fields]
    faults.extend(Fault(source=node.at, detail=f"{what} needs the key '{key}'", hint=shown) for key in missing)
    return Record(fields=fields, at=node.at, faults=faults)


def scalar_text(node: Node, faults: list[Fault], *, what: str) -> str:
    """Read one text, quoted or not; NUL and lone surrogates are faults."""
    if not isinstance(node, Scalar):
        faults.append(Fault(source=node.at, detail=f"{what} must be a text"))
        return ""
    if len(node.text) > MAX_TEXT:
        faults.append(Fault(source=node.at, detail=f"{what} is longer than {MAX_TEXT} characters"))
        return ""
    if NO_CHARACTER.search(node.text):
        faults.append(Fault(source=node.at, detail=f"{what} holds a character that no text may hold"))
        return ""
    return node.text


def text(record: Record, key: str, default: str = "") -> str:
    """Read the text under a key, which must not be empty; the default when the key is not there."""
    node = record.value(key)
    if node is None:
        return default
    read = scalar_text(node, record.faults, what=f"'{key}'")
    if isinstance(node, Scalar) and not node.text.strip():
        record.fault(node.at, f"'{key}' must not be empty")
    return read


def checked_name(node: Node, faults: list[Fault], pattern: re.Pattern[str], *, what: str) -> str:
    """Read a name of the given form; the stand-in for a bad one is the text as written."""
    read = scalar_text(node, faults, what=what)
    if isinstance(node, Scalar) and (not pattern.fullmatch(read) or len(read) > MAX_NAME):
        detail = f"{what} '{read[:MAX_NAME]}' is not a name"
        hint = f"lower-case letters, digits and _, starting with a letter, at most {MAX_NAME}"
        faults.append(Fault(source=node.at, detail=detail, hint=hint))
    return read


def name(record: Record, key: str, pattern: re.Pattern[str] = NAME) -> str:
    """Read the name under a key; empty when the key is not there."""
    node = record.value(key)
    return "" if node is None else checked_name(node, record.faults, pattern, what=f"'{key}'")


def optional_name(record: Record, key: str, pattern: re.Pattern[str] = NAME) -> str | None:
    """Read the name under a key; None when the key is not there."""
    return name(record, key, pattern) if key in record.fields else None


def one_of(record: Record, key: str, allowed: Sequence[str], default: str) -> str:
    """Read one of a few words."""
    node = record.value(key)
    if node is None:
        return default
    return word(node, record.faults, allowed, default, what=f"'{key}'")


def word(node: Node, faults: list[Fault], allowed: Sequence[str], default: str, *, what: str) -> str:
    """Read one of a few words from a node."""
    read = scalar_text(node, faults, what=what)
    if isinstance(node, Scalar) and read not in allowed:
        faults.append(
            Fault(source=node.at, detail=f"{what} cannot be '{read[:MAX_NAME]}'", hint=f"one of {', '.join(allowed)}")
        )
        return default
    return read if isinstance(node, Scalar) else default


def integer(record: Record, key: str, *, low: int, high: int, default: int) -> int:
    """Read a whole number between two bounds, both allowed."""
    node = record.value(key)
    if node is None:
        return default
    read = as_integer(node)
    if read is None or not low <= read <= high:
        record.fault(node.at, f"'{key}' must be a whole number from {low} to {high}")
        return default
    return read


def as_integer(node: Node) -> int | None:
    """Read a plain whole number of 64 bits; None when the node is anything else."""
    if isinstance(node, Scalar) and node.plain and _INTEGER.fullmatch(node.text):
        read = int(node.text)
        return read if -INTEGER_MAX - 1 <= read <= INTEGER_MAX else None
    return None


def boolean(record: Record, key: str, *, default: bool) -> bool:
    """Read `true` or `false`; YAML's `yes`, `on` and the like are faults, because they read as words in other places."""
    node = record.value(key)
    if node is None:
        return default
    read = as_boolean(node)
    if read is None:
        record.fault(node.at, f"'{key}' must be true or false")
        return default
    return read


def as_boolean(node: Node) -> bool | None:
    """Read a plain `true` or `false`; None when the node is anything else."""
    if isinstance(node, Scalar) and node.plain and node.text in {"true", "false"}:
        return node.text == "true"
    return None


def texts(record: Record, key: str, *, required: bool = True) -> Texts:
    """Read a text in every language of `LANGUAGES`."""
    node = record.value(key)
    if node is None:
        return {} if not required else dict.fromkeys(LANGUAGES, "")
    inner = open_record(node, record.faults, what=f"'{key}'", required=LANGUAGES)
    return {} if inner is None else {language: text(inner, language) for language in LANGUAGES}


def parse_duration(written: str) -> int | None:
    """Read `10 minutes`, `72 hours`, `7 days`; None when it is not written so.

    Units: microseconds.
    """
    match = _DURATION.fullmatch(written.strip())
    if match is None:
        return None
    length = int(match[1]) * _UNITS[match[2]]
    return length if 0 < length <= MAX_DURATION_US else None


def duration(node: Node, faults: list[Fault], *, what: str) -> int:
    """Read a duration from a node.

    Units: microseconds.
    """
    length = parse_duration(node.text) if isinstance(node, Scalar) else None
    if length is None:
        hint = "write a number and a unit, up to ten years: 90 seconds, 10 minutes, 72 hours, 7 days, 2 weeks"
        faults.append(Fault(source=node.at, detail=f"{what} is not a duration", hint=hint))
        return HOUR
    return length


def items(node: Node | None, faults: list[Fault], *, what: str, most: int) -> tuple[Node, ...]:
    """Read a list; a single value stands for a list of one."""
    if node is None:
        return ()
    found = node.items if isinstance(node, Items) else (node,)
    if len(found) > most:
        faults.append(Fault(source=node.at, detail=f"{what} has {len(found)} entries; at most {most} are allowed"))
    return found[:most]


def each(node: Node | None, faults: list[Fault], read: Callable[[Node], T | None], *, what: str, most: int) -> list[T]:
    """Read every item of a list with `read`, leaving out those that could not be read."""
    found = (read(item) for item in items(node, faults, what=what, most=most))
    return [item for item in found if item is not None]


def names(record: Record, key: str, pattern: re.Pattern[str] = NAME, *, most: int = 500) -> list[tuple[str, Source]]:
    """Read a list of distinct names, each with where it stands."""
    out: list[tuple[str, Source]] = []
    seen: set[str] = set()
    for node in items(record.value(key), record.faults, what=f"'{key}'", most=most):
        read = checked_name(node, record.faults, pattern, what=f"'{key}'")
        if read in seen:
            record.fault(node.at, f"'{read}' is given twice")
        else:
            seen.add(read)
            out.append((read, node.at))
    return out
