"""The generated function that reads the declared fields of one event type.

Almost every value of an event is a number, a truth value or a short text of the declared type. One function per event
type, written from the declaration, puts those into the row, and takes the personal ones out of what is kept; whatever
wants a second look (another type, too long) is held up for `prepare`. Asking 24 fields one by one through a table took
four times as long.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from koban.base import limits

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 63) - 1
WHOLE_MAX: Final = 10**12 - 1  # digits before the point of a decimal

Path: TypeAlias = tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """How one declared field is found and read."""

    path: str
    parts: Path
    type: str
    personal: Path | None
    joined_as: str | None
    subject: bool

    @property
    def plain(self) -> bool:
        """Whether the value goes into the row and stays in the data as it is."""
        return self.personal is None and self.joined_as is None


# Of the data of an event: fills the row, whose personal fields are whose, the values that want a second look, and the
# paths that nobody declared; returns what is kept of the data, the same object where nothing was taken out.
Personal: TypeAlias = dict[str, dict[str, object]]
Read: TypeAlias = Callable[
    [dict[str, Any], dict[str, Any], Personal, list[tuple[Field, Any]], list[Path], Callable[[str, str], str]],
    dict[str, Any],  # Any: JSON
]

# What a value of each type looks like when nothing has to be checked about it, and how it stands in the row.
_PLAIN: Final[Mapping[str, tuple[str, str]]] = {
    "text": (f"type(v) is str and len(v) <= {limits.TEXT_CHARS_MAX}", "v"),
    "int": (f"type(v) is int and {INT_MIN} <= v <= {INT_MAX}", "v"),
    "bool": ("v is True or v is False", "v"),
    "decimal": (f"type(v) is int and -{WHOLE_MAX} <= v <= {WHOLE_MAX}", "v * 1_000_000"),
}
_ID: Final = (f"type(v) is str and len(v) <= {limits.ID_CHARS_MAX}", "v")


def make_read(fields: Sequence[Field]) -> Read:
    """Write the function for the fields of one event type."""
    owners = tuple(dict.fromkeys(field.personal for field in fields if field.personal is not None))
    lines = ["def read(data, row, personal, held, unread, pseudonym):"]
    lines.extend(f"    own_{place} = {{}}" for place in range(len(owners)))
    below = [(field.parts, number, field) for number, field in enumerate(fields)]
    _write_node(lines, below, owners, "data", (), depth=1)
    for place, path in enumerate(owners):
        lines.append(f"    if own_{place}: personal.setdefault(owner(data, {path!r}), {{}}).update(own_{place})")
    lines.append(f"    return {_kept('data', below)}")
    namespace: dict[str, Any] = {  # Any: functions and constants of all kinds
        "undeclared": _undeclared,
        "owner": owner_of,
        **{f"field_{number}": field for number, field in enumerate(fields)},
    }
    exec(compile("\n".join(lines), "<fields of an event>", "exec"), namespace)  # noqa: S102  # our own generated text
    read: Read = namespace["read"]
    return read


def dig(data: Mapping[str, object], parts: Path) -> object:
    """Return what stands at a path; None where nothing does."""
    node: object = data
    for part in parts:
        if not isinstance(node, dict):
            return None
        node = node.get(part)
        if node is None:
            return None
    return node


def owner_of(data: Mapping[str, object], parts: Path) -> str:
    """Return whose the fields are that belong to the account at a path; an event may not name it."""
    owner = dig(data, parts)
    return owner if isinstance(owner, str) else ""


def _kept(node: str, below: Sequence[tuple[Path, int, Field]]) -> str:
    """Name the variable that holds what is kept of an object: itself where no declared field below it is taken out."""
    return node if all(field.plain for _, _, field in below) else f"kept_{node}"


def _write_node(
    lines: list[str],
    below: list[tuple[Path, int, Field]],
    owners: Sequence[Path],
    node: str,
    prefix: Path,
    *,
    depth: int,
) -> None:
    """Write how the declared members of one object are read; `node` names the variable that holds it."""

    def put(more: int, *texts: str) -> None:
        lines.extend("    " * (depth + more) + text for text in texts)

    count, kept = f"count_{node}", _kept(node, below)
    put(0, f"{count} = 0", f"get = {node}.get")
    if kept != node:
        put(0, f"{kept} = {node}.copy()")
    for parts, number, field in below:
        if len(parts) > 1:
            continue
        put(0, f"v = get({parts[0]!r})", "if v is not None:")
        put(1, f"{count} += 1")
        plain = _ID if field.subject and field.type == "text" else _PLAIN.get(field.type)
        if plain is None or (field.joined_as is not None and field.type != "text"):
            put(1, f"held.append((field_{number}, v))")
            continue
        put(1, f"if {plain[0]}:")
        if field.joined_as is not None:
            put(2, f"row[{field.path!r}] = {kept}[{parts[0]!r}] = pseudonym({field.joined_as!r}, v)")
        else:
            put(2, f"row[{field.path!r}] = {plain[1]}")
            if field.personal is not None:
                put(2, f"own_{owners.index(field.personal)}[{field.path!r}] = v", f"del {kept}[{parts[0]!r}]")
        put(1, f"else: held.append((field_{number}, v))")
    names = dict.fromkeys(parts[0] for parts, _, _ in below if len(parts) > 1)
    for place, name in enumerate(names):
        child = f"{node}_{place}"
        put(0, f"{child} = {node}.get({name!r})", f"if {child} is not None:")
        put(1, f"{count} += 1", f"if type({child}) is dict:")
        inside = [(parts[1:], number, field) for parts, number, field in below if len(parts) > 1 and parts[0] == name]
        _write_node(lines, inside, owners, child, (*prefix, name), depth=depth + 2)
        if _kept(child, inside) != child:
            put(2, f"{kept}[{name!r}] = kept_{child}")
        put(1, f"else: unread.append({(*prefix, name)!r})")
    declared = tuple(dict.fromkeys(parts[0] for parts, _, _ in below))
    put(0, f"if {count} != len({node}): undeclared({node}, {frozenset(declared)!r}, {prefix!r}, unread)")


def _undeclared(node: Mapping[str, Any], declared: frozenset[str], prefix: Path, unread: list[Path]) -> None:
    unread.extend((*prefix, name) for name in node if name not in declared)
