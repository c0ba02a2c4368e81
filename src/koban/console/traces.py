"""A rule's condition as a tree that a page can show, with what people wrote left out."""

from collections.abc import Collection
from typing import Final

import msgspec

from koban.console.kit import Explained
from koban.language import Type, show
from koban.rules import TraceNode

_TRUTHS: Final = {True: "yes", False: "no", None: "unknown"}
_TEXTS: Final = (Type.TEXT, Type.TEXTS)


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a condition: as written, its value, whether it mattered, and the parts it is made of."""

    text: str
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


def traces_of(explained: Explained, sealed: Collection[str]) -> dict[str, RuleTrace]:
    """Return the trace of each rule; texts that come from `sealed` fields are masked."""
    return {
        each.rule: RuleTrace(rule=each.rule, matched=each.matched, condition=_condition(each.trace, sealed))
        for each in explained.rules
    }


def _condition(node: TraceNode, sealed: Collection[str]) -> Condition:
    masked = node.type in _TEXTS and node.value is not None and _reads(node, sealed)
    truth = _TRUTHS[bool(node.value) if node.value is not None else None] if node.type == Type.BOOL else ""
    return Condition(
        text=" ".join(node.text.split()),
        truth=truth,
        value="" if truth or masked or node.op == "const" else show(node.value, node.type),
        masked=masked,
        mattered=node.mattered,
        parts=tuple(_condition(part, sealed) for part in node.parts if part.op != "const"),
    )


def _reads(node: TraceNode, names: Collection[str]) -> bool:
    return node.text.strip() in names or any(_reads(part, names) for part in node.parts)
