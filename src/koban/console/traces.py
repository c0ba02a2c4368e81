"""A rule's condition as a tree that a page can show, with what people wrote left out."""

from collections.abc import Collection
from typing import Final

import msgspec

from koban.console.formats import Formats
from koban.console.kit import Explained
from koban.language import Type, show
from koban.rules import TraceNode

_TRUTHS: Final = {True: "yes", False: "no", None: "unknown"}
_TEXTS: Final = (Type.TEXT, Type.TEXTS)
_CONNECTIVES: Final = {"and": "all", "or": "any"}


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a condition: as written, its value, whether it mattered, and the parts it is made of.

    `connective` is `all` or `any` where the part only joins its parts; then the text need not be read.
    """

    text: str
    connective: str
    truth: str  # yes, no, unknown; empty where the value is no truth
    value: str
    masked: bool
    mattered: bool
    parts: "tuple[Condition, ...]" = ()


class RuleTrace(msgspec.Struct, frozen=True, kw_only=True):
    """How one rule came out, with its condition."""

    rule: str
    matched: bool
    condition: Condition


def traces_of(explained: Explained, sealed: Collection[str], formats: Formats) -> dict[str, RuleTrace]:
    """Return the trace of each rule; texts that come from `sealed` fields are masked."""
    return {
        each.rule: RuleTrace(rule=each.rule, matched=each.matched, condition=_condition(each.trace, sealed, formats))
        for each in explained.rules
    }


def _condition(node: TraceNode, sealed: Collection[str], formats: Formats) -> Condition:
    masked = node.type in _TEXTS and node.value is not None and _reads(node, sealed)
    truth = _TRUTHS[bool(node.value) if node.value is not None else None] if node.type == Type.BOOL else ""
    if truth or masked or node.op == "const":
        value = ""
    elif node.type == Type.TIMESTAMP and isinstance(node.value, int):
        value = formats.full(node.value)
    else:
        value = show(node.value, node.type)
    return Condition(
        text=_written(node),
        connective=_CONNECTIVES.get(node.op, ""),
        truth=truth,
        value=value,
        masked=masked,
        mattered=node.mattered,
        parts=tuple(_condition(part, sealed, formats) for part in _told_parts(node, sealed)),
    )


def _told_parts(node: TraceNode, sealed: Collection[str]) -> list[TraceNode]:
    """Return the parts that tell something: no constants, no sealed field by itself, nothing twice."""
    told: list[TraceNode] = []
    for part in node.parts:
        if part.op == "const" or _written(part) in sealed:
            continue
        if _written(part) == _written(node):
            told.extend(_told_parts(part, sealed))
        else:
            told.append(part)
    return told


def _written(node: TraceNode) -> str:
    return " ".join(node.text.split())


def _reads(node: TraceNode, names: Collection[str]) -> bool:
    return _written(node) in names or any(_reads(part, names) for part in node.parts)
