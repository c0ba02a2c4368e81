"""Build and walk the typed parts of expressions."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from koban.language.catalogue import FUNCTIONS, OPERATORS
from koban.language.types import Node, Type


class Place(Protocol):
    """Anything that stands somewhere in the text of an expression."""

    @property
    def start(self) -> int:
        """Return the first character's place."""

    @property
    def end(self) -> int:
        """Return the place after the last character."""


def walk(node: Node) -> Iterable[Node]:
    """Yield a part and everything below it, parents first."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.args))


def make(op: str, kind: Type, args: Sequence[Node] = (), value: object = None, *, at: Place) -> Node:
    """Build a node with its key and cost."""
    own = FUNCTIONS[op].cost if op in FUNCTIONS else OPERATORS[op].cost if op in OPERATORS else 0
    key = f"{op}:{kind}:{value!r}({','.join(each.key for each in args)})"
    cost = own + sum(each.cost for each in args)
    return Node(
        op=op,
        type=kind,
        args=tuple(args),
        value=value,
        start=at.start,
        end=at.end,
        key=key,
        cost=cost,
        size=1 + sum(each.size for each in args),
    )


def define(name: str, text: str, root: Node, *, at: Place) -> Node:
    """Stand a definition's name for what it means; both have one key, so that they are computed once."""
    return Node(
        op="define",
        type=root.type,
        args=(root,),
        value=(name, text),
        start=at.start,
        end=at.end,
        key=root.key,
        cost=root.cost,
        size=root.size + 1,
    )


def put_in_place(node: Node, at: Node | None = None) -> Node:
    """Replace every definition's name by what it means, at the place of the name."""
    if node.op == "define":
        return put_in_place(node.args[0], at or node)
    args = tuple(put_in_place(arg, at) for arg in node.args)
    if at is None and all(new is old for new, old in zip(args, node.args, strict=True)):
        return node
    place = at or node
    return msgspec.structs.replace(node, args=args, start=place.start, end=place.end)


def const(kind: Type, value: object, at: Place) -> Node:
    """Build a constant."""
    return make("const", kind, (), value, at=at)
