"""A rule's condition as a tree that a page can show, with what people wrote left out."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from koban.console.formats import Formats
from koban.console.kit import Explained
from koban.decisions import FeatureValue
from koban.features import types_read
from koban.lab import why_not
from koban.language import Type, show
from koban.packs import PackDef
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


class Otherwise(msgspec.Struct, frozen=True, kw_only=True):
    """One condition that would have to come out otherwise for the rule to match, and how far off it was."""

    text: str
    wanted: str  # true or false
    by: str  # empty where there is no distance, or it would tell a sealed value


class RuleTrace(msgspec.Struct, frozen=True, kw_only=True):
    """How one rule came out, with its condition."""

    rule: str
    matched: bool
    condition: Condition
    otherwise: tuple[Otherwise, ...] = ()


def traces_of(explained: Explained, sealed: Collection[str], formats: Formats) -> dict[str, RuleTrace]:
    """Return the trace of each rule; texts that come from `sealed` fields are masked."""
    return {
        each.rule: RuleTrace(
            rule=each.rule,
            matched=each.matched,
            condition=_condition(each.trace, sealed, formats),
            otherwise=_otherwise(each.rule, each.trace, sealed),
        )
        for each in explained.rules
    }


def shown_features(pack: PackDef, values: Mapping[str, FeatureValue], formats: Formats) -> dict[str, str]:
    """Write values of features as the conditions beside them do: decimals with their point, times in the reader's zone."""
    kinds = types_read(pack, values)
    return {
        key: "(sealed)" if value == "(sealed)" else _shown(value, kinds.get(key, Type.INT), formats)
        for key, value in values.items()
    }


def _shown(value: FeatureValue, kind: Type, formats: Formats) -> str:
    if kind == Type.TIMESTAMP and isinstance(value, int):
        return formats.full(value)
    return show(value, kind)


def _otherwise(rule: str, trace: TraceNode, sealed: Collection[str]) -> tuple[Otherwise, ...]:
    """Return the fewest conditions that keep a rule from matching; of what people wrote only the condition is told."""
    return tuple(
        Otherwise(
            text=each.text,
            wanted=each.wanted,
            by="" if any(operand.text in sealed for operand in each.operands) else each.by,
        )
        for each in why_not(rule, trace).needed
    )


def _condition(node: TraceNode, sealed: Collection[str], formats: Formats) -> Condition:
    masked = node.type in _TEXTS and node.value is not None and _reads(node, sealed)
    truth = _TRUTHS[bool(node.value) if node.value is not None else None] if node.type == Type.BOOL else ""
    value = "" if truth or masked or node.op == "const" else _shown(node.value, node.type, formats)
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
