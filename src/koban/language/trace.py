"""Compile expressions so that every part's value can be seen: for `explain`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

import msgspec

from koban.language.emit import Emitter, key_of
from koban.language.program import Names, function_source, load_function
from koban.language.types import SCALE, Checked, Environment, Node, Type, Value
from koban.language.values import decimal_to_text
from koban.text import Normalised

RunTraces: TypeAlias = Callable[
    [Mapping[str, Value], Mapping[str, Value], int, Environment, dict[str, Normalised] | None],
    tuple[tuple[Value, ...], ...],
]


class TraceNode(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an expression with the value it had. All parts are evaluated, also those that did not matter."""

    text: str  # the part as written
    start: int
    end: int
    op: str
    type: Type
    value: Value
    mattered: bool  # false where another operand decided alone, or a branch was not taken
    parts: tuple["TraceNode", ...] = ()


class Traces(msgspec.Struct, frozen=True, kw_only=True):
    """Several expressions compiled for explaining. `run` gives raw values; `tree` makes one of them readable."""

    run: RunTraces
    checks: tuple[Checked, ...]

    def tree(self, index: int, raw: tuple[Value, ...]) -> TraceNode:
        """Return the tree of one expression from its raw values."""
        return _tree(self.checks[index], raw)


def compile_traces(checks: Sequence[Checked]) -> Traces:
    """Compile expressions to one function that returns the value of every part of each, parents before children."""
    names = Names([each.root for each in checks])
    emitter = Emitter(names.load, texts="texts")
    lines: list[str] = []
    results: list[str] = []
    for each in checks:
        shown = [_value_of(node, emitter, lines) for node in _after(each.root)]
        results.append(f"({', '.join(reversed(shown))},)")
    emitted = emitter.finish("")
    body = [
        "if texts is None: texts = {}",
        "get = row.get; got = values.get",
        *names.lines,
        *emitted.prologue,
        *lines,
        f"return ({', '.join(results)}{',' if results else ''})",
    ]
    source = function_source("traces", "row, values, at, env, texts=None", body)
    # exec gives back an object; the source above is what makes it a RunTraces.
    return Traces(run=cast("RunTraces", load_function("traces", source, emitted.constants)), checks=tuple(checks))


def compile_trace(
    checked: Checked,
) -> Callable[[Mapping[str, Value], Mapping[str, Value], int, Environment], TraceNode]:
    """Compile one expression to a function that returns its tree of values."""
    traces = compile_traces([checked])

    def trace(row: Mapping[str, Value], values: Mapping[str, Value], at: int, env: Environment) -> TraceNode:
        return traces.tree(0, traces.run(row, values, at, env, None)[0])

    return trace


def show(value: Value, kind: Type) -> str:
    """Return a value as people read it."""
    if value is None:
        return "NULL"
    if kind == Type.DECIMAL and isinstance(value, int):
        return (decimal_to_text(value) or "").rstrip("0").rstrip(".")
    if kind == Type.INTERVAL and isinstance(value, int):
        return f"{value / SCALE:g} s"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "{" + ", ".join(value) + "}"
    return repr(value) if isinstance(value, str) else str(value)


def _value_of(node: Node, emitter: Emitter, lines: list[str]) -> str:
    """Write a statement that computes a part, unless its value is already there, and return where it is."""
    if node.op == "const":
        return repr(node.value)
    if node.key not in emitter.known:
        source = emitter.value(node)
        if source.isidentifier():
            emitter.known[node.key] = source
        else:
            local = f"r{len(lines)}"
            lines.append(f"{local} = {source}")
            emitter.known[node.key] = local
    return emitter.known[node.key]


def _after(node: Node) -> list[Node]:
    """Return the parts in the reverse of parents-first order, so that operands are computed before what uses them."""
    order: list[Node] = []
    stack = [node]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(reversed(node.args))
    order.reverse()
    return order


def _tree(checked: Checked, raw: tuple[Value, ...]) -> TraceNode:
    place = 0

    def read(node: Node, text: str, *, mattered: bool) -> TraceNode:
        nonlocal place
        value = raw[place]
        first = place
        place += 1
        needed = _needed(node, raw, first)
        defined = node.op == "define" and isinstance(node.value, tuple)
        below = str(node.value[1]) if defined and isinstance(node.value, tuple) else text
        parts = tuple(read(arg, below, mattered=mattered and need) for arg, need in zip(node.args, needed, strict=True))
        op = node.op if node.op != "feature" else f"feature {key_of(node)}"
        if node.op == "not" and not text[node.start : parts[0].start].strip("( \t\r\n"):
            # `a NOT IN (1)`, `p IS NOT TRUE`: written as one, and shown so; the part without its NOT has no text.
            op, parts = f"not {parts[0].op}", parts[0].parts
        return TraceNode(
            text=text[node.start : node.end],
            start=node.start,
            end=node.end,
            op=op,
            type=node.type,
            value=value,
            mattered=mattered,
            parts=parts,
        )

    return read(checked.root, checked.text, mattered=True)


def _needed(node: Node, raw: tuple[Value, ...], at: int) -> list[bool]:
    """Say which operands mattered to a part's value."""
    values: list[Value] = []
    place = at + 1
    for arg in node.args:
        values.append(raw[place])
        place += _size(arg)
    if node.op in {"and", "or"}:
        decides = node.op == "or"
        if any(value is decides for value in values):
            return [value is decides for value in values]
    if node.op == "case":
        taken = next((each for each in range(0, len(values) - 1, 2) if values[each] is True), None)
        last = len(values) - 1 if taken is None else taken + 1
        return [place == last or (place % 2 == 0 and place < last) for place in range(len(values))]
    if node.op == "coalesce":
        first = next((each for each, value in enumerate(values) if value is not None), len(values))
        return [place <= first for place in range(len(values))]
    return [True] * len(values)


def _size(node: Node) -> int:
    return 1 + sum(_size(arg) for arg in node.args)
