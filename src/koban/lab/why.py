"""Why a rule did not match, or did: the fewest conditions that would have to be otherwise."""

from collections.abc import Iterator
from typing import Final

import msgspec

from koban.language import TraceNode, Type, show

_COMPARED: Final = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "between", "in", "like", "ilike"})
_NUMBERS: Final = frozenset({Type.INT, Type.DECIMAL, Type.TIMESTAMP, Type.INTERVAL})


class Operand(msgspec.Struct, frozen=True, kw_only=True):
    """What a condition looked at, and what it found there."""

    text: str
    value: str


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """One condition that would have to come out otherwise."""

    text: str
    value: str  # true, false or NULL, as it came out
    wanted: str  # true or false
    operands: tuple[Operand, ...]
    by: str = ""  # how far a number is from where it would have to be


class WhyNot(msgspec.Struct, frozen=True, kw_only=True):
    """What would have to change for a rule to match; nothing where it matches."""

    rule: str
    matched: bool
    needed: tuple[Needed, ...]


def why_not(rule: str, trace: TraceNode) -> WhyNot:
    """Find the fewest conditions that would have to be otherwise for a rule to match.

    Of several ways of the same size the first in the text is told. Conditions are taken one by one: whether two of them
    can hold at once is not asked.
    """
    needed = tuple(_needed(trace, wanted=True))
    return WhyNot(rule=rule, matched=trace.value is True, needed=needed)


def _needed(node: TraceNode, *, wanted: bool) -> list[Needed]:
    if node.value is wanted:
        return []
    match node.op:
        case "and" | "or":
            ways = [_needed(part, wanted=wanted) for part in node.parts]
            if (node.op == "and") is wanted:
                return [each for way in ways for each in way]
            return min(ways, key=len)
        case "not":
            return _needed(node.parts[0], wanted=not wanted)
        case "is_true":
            return _needed(node.parts[0], wanted=wanted) if wanted else [_leaf(node, wanted=wanted)]
        case _:
            return [_leaf(node, wanted=wanted)]


def _leaf(node: TraceNode, *, wanted: bool) -> Needed:
    return Needed(
        text=_written(node),
        value=show(node.value, node.type),
        wanted="true" if wanted else "false",
        operands=tuple(_operands(node)),
        by=_distance(node, wanted=wanted),
    )


def _operands(node: TraceNode) -> Iterator[Operand]:
    for part in node.parts:
        if part.op == "const":
            continue
        yield Operand(text=_written(part), value=show(part.value, part.type))
        if part.op != "name" and not part.op.startswith("feature"):
            yield from _operands(part)


def _distance(node: TraceNode, *, wanted: bool) -> str:
    """Say how far the two sides of a comparison of numbers are apart, where more or less would do."""
    if node.op not in {"lt", "le", "gt", "ge", "eq"} or len(node.parts) != 2:
        return ""
    left, right = node.parts
    if left.type not in _NUMBERS or not isinstance(left.value, int) or not isinstance(right.value, int):
        return ""
    short = right.value - left.value
    step = 1 if left.type is Type.INT else 0
    if wanted:
        short += {"gt": step, "lt": -step}.get(node.op, 0)
    else:
        short += {"ge": -step, "le": step}.get(node.op, 0)
    if not short:
        return ""
    return ("+" if short > 0 else "-") + show(abs(short), Type.INTERVAL if left.type is Type.TIMESTAMP else left.type)


def _written(node: TraceNode) -> str:
    return " ".join(node.text.split())
