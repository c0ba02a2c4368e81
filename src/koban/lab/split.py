"""Split a condition into what SQL computes and the parts that only Python can: texts, patterns, sealed fields.

A part that reads the event alone is computed by the very code that decides live, once for each event that needs it, and
becomes a column. What is left is plain SQL. So texts are opened and normalised only for events that the plain part of a
rule does not exclude already.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping

import msgspec

from koban.lab.types import NotInSql
from koban.language import Checked, Node, Type, key_of, to_sql, walk

_JOINING = frozenset({"and", "or", "not"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A condition in two: `atoms` are columns that Python fills, by key; `plain` must all hold, and read no atom."""

    checked: Checked
    atoms: Mapping[str, Node]
    plain: tuple[Node, ...]


Lookups = Callable[[Node, str], str | None]  # in_list and has_label over SQL of what is asked -> SQL, None: not so


def split(checked: Checked, *, sealed: Collection[str]) -> Split:
    """Find the parts of an expression that Python computes.

    Raises NotInSql for a part that needs Python and reads features, which SQL computes.
    """
    if checked.scores:
        raise NotInSql("score")
    atoms: dict[str, Node] = {}
    _gather(checked.core, sealed, atoms)
    operands = _conjuncts(checked.core)
    plain = tuple(each for each in operands if not any(node.key in atoms for node in walk(each)))
    return Split(checked=checked, atoms=atoms, plain=plain if atoms else ())


def write(checked: Checked, root: Node, columns: Mapping[str, str], lookups: Lookups) -> str:
    """Write a part of an expression as SQL; `columns` may hold whole parts by their keys."""
    known = dict(columns)
    for node in reversed(list(walk(root))):  # operands before what uses them
        if node.op in {"in_list", "has_label"} and node.key not in known:
            asked = to_sql(msgspec.structs.replace(checked, core=node.args[0]), known)
            found = lookups(node, asked)
            if found is not None:
                known[node.key] = found
    return to_sql(msgspec.structs.replace(checked, core=root), known)


def is_lookup(node: Node) -> bool:
    """Tell whether a part asks a list of values or a label for one value: SQL joins it to the spans in which it held."""
    return node.op == "has_label" or (node.op == "in_list" and node.args[0].type is Type.TEXT)


def _gather(node: Node, sealed: Collection[str], atoms: dict[str, Node]) -> None:
    if not _needs_python(node, sealed):
        return
    if node.op not in _JOINING and not any(part.op == "feature" for part in walk(node)):
        atoms[node.key] = node
        return
    if _is_python(node) and not is_lookup(node):
        raise NotInSql(node.op)
    for arg in node.args:
        _gather(arg, sealed, atoms)


def _needs_python(node: Node, sealed: Collection[str]) -> bool:
    return any(
        (part.op == "name" and part.value in sealed) or (_is_python(part) and not is_lookup(part))
        for part in walk(node)
    )


def _conjuncts(node: Node) -> list[Node]:
    if node.op != "and":
        return [node]
    return [each for arg in node.args for each in _conjuncts(arg)]


def _is_python(node: Node) -> bool:
    """Tell whether a part's own operator calls back into Python, or has no SQL at all."""
    if node.op in {"const", "name", "feature"}:
        return False
    return _own(node.op, node.type, tuple(arg.type for arg in node.args), _frozen(node))


@functools.lru_cache(maxsize=4_096)
def _own(op: str, kind: Type, args: tuple[Type, ...], value: "_Value") -> bool:
    names = tuple(Node(op="name", type=each, value=f"n{place}", key=f"n{place}") for place, each in enumerate(args))
    node = Node(op=op, type=kind, args=names, value=value.value, key="whole")
    columns = {key_of(each): f"n{place}" for place, each in enumerate(names)} | {"time": "t"}
    nothing = frozenset[str]()
    checked = Checked(
        text="", type=kind, root=node, core=node, reads=nothing, features=nothing, features_of=frozenset(), lists=nothing,
        labels=nothing, calls=nothing, texts=nothing,
    )  # fmt: skip
    try:
        return "koban_" in to_sql(checked, columns)
    except (AssertionError, KeyError, NotImplementedError):
        return True


@dataclasses.dataclass(frozen=True)
class _Value:
    """A node's value, hashed by how it reads."""

    text: str
    value: object = dataclasses.field(compare=False)


def _frozen(node: Node) -> _Value:
    return _Value(text=repr(node.value), value=node.value)
