"""Find conditions that can never be true, or are true for every value, before anything runs.

Interval and set reasoning over one value at a time: for each value compared with constants, the set of what it may be while
the condition is true. What it cannot prove it lets pass.
"""

from typing import TypeAlias

import msgspec

from koban.language.catalogue import FUNCTIONS
from koban.language.types import INT_MAX, INT_MIN, Node, Scope, Type

Spans: TypeAlias = tuple[tuple[int, int], ...]  # disjoint, rising


class Texts(msgspec.Struct, frozen=True):
    """A set of texts or truth values: those named, or all but those."""

    named: frozenset[object]
    but: bool


class Domain(msgspec.Struct, frozen=True):
    """What a value may be: the numbers or texts, and whether it may be NULL."""

    values: Spans | Texts
    null: bool


class Finding(msgspec.Struct, frozen=True):
    """A part that is never or always true."""

    node: Node
    detail: str
    hint: str = ""


_FLIP = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
_DENY = {
    "lt": "ge",
    "le": "gt",
    "gt": "le",
    "ge": "lt",
    "eq": "ne",
    "ne": "eq",
    "is_null": "is_not_null",
    "is_not_null": "is_null",
}
_NUMBERS = frozenset({Type.INT, Type.DECIMAL, Type.TIMESTAMP, Type.INTERVAL})
_CONNECTIVES = frozenset({"and", "or", "not"})


def contradictions(root: Node, scope: Scope) -> list[Finding]:
    """Return the smallest parts that are never true, or true whatever the value."""
    found: list[Finding] = []
    if root.type == Type.BOOL:
        _look(root, scope, found, denied=False)
    return found


def implies(one: Node, other: Node, scope: Scope) -> bool:
    """Say whether a condition is surely true wherever another is: what it cannot prove it denies."""
    if one.key == other.key:
        return True
    if one.op == "or":
        return all(implies(arm, other, scope) for arm in one.args)
    if other.op == "and":
        return all(implies(one, part, scope) for part in other.args)
    if other.op == "or" and any(implies(one, arm, scope) for arm in other.args):
        return True
    if one.op == "and" and any(implies(part, other, scope) for part in one.args):
        return True
    wanted = _exact(other, scope, denied=False)
    if wanted is None:
        return False
    known = _needed(one, scope, denied=False).get(wanted[0].key)
    return known is not None and _within(known[1], wanted[1])


def _within(one: Domain, other: Domain) -> bool:
    """Say whether everything that one domain allows, the other allows too."""
    meet = _meet(one, other)
    return meet.null == one.null and meet.values == one.values


def _look(node: Node, scope: Scope, found: list[Finding], *, denied: bool) -> None:
    before = len(found)
    if node.op in _CONNECTIVES:
        for arg in node.args:
            _look(arg, scope, found, denied=denied != (node.op == "not"))
    if len(found) > before or node.op == "not":
        return
    if node.op in _FLIP and len(node.args) == 2 and node.args[0].key == node.args[1].key:
        found.append(Finding(node, "this compares a value with itself"))
        return
    exact = _exact(node, scope, denied=False)
    if node.op in {"is_null", "is_not_null"}:
        return  # asking whether there is a value is about all values
    if exact is not None:
        _judge(node, exact, scope, found)
    elif any(_empty(domain) for _, domain in _needed(node, scope, denied=False).values()):
        found.append(Finding(node, "this can never be true: its parts exclude each other"))
    elif denied and any(_empty(domain) for _, domain in _needed(node, scope, denied=True).values()):
        found.append(Finding(node, "under NOT this can never be true: its parts exclude each other"))


def _judge(node: Node, exact: tuple[Node, Domain], scope: Scope, found: list[Finding]) -> None:
    subject, domain = exact
    if _empty(domain):
        found.append(Finding(node, "this can never be true", _range_hint(subject, scope)))
    elif _full(domain, subject, scope):
        hint = "write IS NOT NULL to ask whether there is a value" if not domain.null else ""
        found.append(Finding(node, "this is true for every value", _range_hint(subject, scope) or hint))


def _range_hint(subject: Node, scope: Scope) -> str:
    universe = _universe(subject, scope)
    if isinstance(universe, Texts) or subject.type != Type.INT or universe == ((INT_MIN, INT_MAX),):
        return ""
    low, high = universe[0][0], universe[-1][1]
    return f"it is never below {low}" if high == INT_MAX else f"it lies between {low} and {high}"


def _universe(subject: Node, scope: Scope) -> Spans | Texts:
    """Return all values that a part can have."""
    if subject.type == Type.BOOL:
        return Texts(frozenset({True, False}), but=False)
    if subject.type not in _NUMBERS:
        return Texts(frozenset(), but=True)
    low: int | None = None
    high: int | None = None
    if subject.op in FUNCTIONS:
        low, high = FUNCTIONS[subject.op].low, FUNCTIONS[subject.op].high
    elif subject.op == "feature" and isinstance(subject.value, tuple):
        name = subject.value[0]
        info = scope.features.get(name)
        high = 1_000_000 if info is None else info.bound  # what is no feature is a score
        low = 0 if high is not None or (info is not None and info.counts) else None
    return ((INT_MIN if low is None else low, INT_MAX if high is None else high),)


def _atom(node: Node, scope: Scope, *, denied: bool) -> tuple[Node, Domain] | None:
    """Return the value that a single test is about, and what it may be when the test is true (or false, if denied)."""
    if node.op in {"is_null", "is_not_null"}:
        null = (node.op == "is_null") != denied
        subject = node.args[0]
        return subject, Domain(() if null else _universe(subject, scope), null)
    if node.op in _FLIP:
        left, right = node.args
        op = node.op
        if left.op == "const":
            left, right, op = right, left, _FLIP[op]
        if right.op != "const" or left.op == "const" or (left.type not in _NUMBERS and op not in {"eq", "ne"}):
            return None
        return left, Domain(_compared(left, _DENY[op] if denied else op, right.value, scope), null=False)
    if node.op == "in" and isinstance(node.value, tuple):
        subject = node.args[0]
        within = Texts(frozenset(node.value), but=denied)
        if subject.type in _NUMBERS:
            spans = _union(tuple((value, value) for value in node.value if isinstance(value, int)))
            universe = _universe(subject, scope)
            chosen = _minus(spans) if denied else spans
            return subject, Domain(_both(chosen, universe), null=False)
        return subject, Domain(within, null=False)
    if node.op == "between" and node.args[1].op == node.args[2].op == "const" and not denied:
        low, high = node.args[1].value, node.args[2].value
        if isinstance(low, int) and isinstance(high, int):
            spans = ((low, high),) if low <= high else ()
            return node.args[0], Domain(_both(spans, _universe(node.args[0], scope)), null=False)
        return None
    if node.type == Type.BOOL and node.op not in _CONNECTIVES and node.op not in {"const", "between"}:
        return node, Domain(Texts(frozenset({not denied}), but=False), null=False)
    return None


def _compared(subject: Node, op: str, value: object, scope: Scope) -> Spans | Texts:
    universe = _universe(subject, scope)
    if isinstance(universe, Texts):
        if op in {"eq", "ne"}:
            return _both(Texts(frozenset({value}), but=op == "ne"), universe)
        return universe
    number = value if isinstance(value, int) else 0
    spans: dict[str, Spans] = {
        "eq": ((number, number),),
        "ne": _minus(((number, number),)),
        "lt": ((INT_MIN, number - 1),),
        "le": ((INT_MIN, number),),
        "gt": ((number + 1, INT_MAX),),
        "ge": ((number, INT_MAX),),
    }
    return _both(tuple(span for span in spans[op] if span[0] <= span[1]), universe)


def _exact(node: Node, scope: Scope, *, denied: bool) -> tuple[Node, Domain] | None:
    """Return the one value that a condition is about and exactly what makes it true, if it is about one value only."""
    if node.op == "not":
        return _exact(node.args[0], scope, denied=not denied)
    if node.op not in {"and", "or"}:
        return _atom(node, scope, denied=denied)
    parts = [_exact(arg, scope, denied=denied) for arg in node.args]
    whole: tuple[Node, Domain] | None = None
    for part in parts:
        if part is None or (whole is not None and part[0].key != whole[0].key):
            return None
        if whole is None:
            whole = part
        elif (node.op == "and") != denied:
            whole = (whole[0], _meet(whole[1], part[1]))
        else:
            whole = (whole[0], _join(whole[1], part[1]))
    return whole


def _needed(node: Node, scope: Scope, *, denied: bool) -> dict[str, tuple[Node, Domain]]:
    """Return, for each value, what it must be for the condition to be true (or false, if denied)."""
    if node.op == "not":
        return _needed(node.args[0], scope, denied=not denied)
    if node.op not in {"and", "or"}:
        atom = _atom(node, scope, denied=denied)
        return {} if atom is None else {atom[0].key: atom}
    parts = [_needed(arg, scope, denied=denied) for arg in node.args]
    result = dict(parts[0])
    if (node.op == "and") != denied:
        for part in parts[1:]:
            for key, (subject, domain) in part.items():
                result[key] = (subject, _meet(result[key][1], domain)) if key in result else (subject, domain)
        return result
    for part in parts[1:]:
        result = {
            key: (subject, _join(domain, part[key][1])) for key, (subject, domain) in result.items() if key in part
        }
    return result


def _meet(one: Domain, two: Domain) -> Domain:
    return Domain(_both(one.values, two.values), one.null and two.null)


def _join(one: Domain, two: Domain) -> Domain:
    return Domain(_either(one.values, two.values), one.null or two.null)


def _both(one: Spans | Texts, two: Spans | Texts) -> Spans | Texts:
    if isinstance(one, Texts) or isinstance(two, Texts):
        return _texts_both(_as_texts(one), _as_texts(two))
    return tuple(
        (max(low, floor), min(high, top))
        for low, high in one
        for floor, top in two
        if max(low, floor) <= min(high, top)
    )


def _either(one: Spans | Texts, two: Spans | Texts) -> Spans | Texts:
    if isinstance(one, Texts) or isinstance(two, Texts):
        left, right = _as_texts(one), _as_texts(two)
        denied = _texts_both(Texts(left.named, not left.but), Texts(right.named, not right.but))
        return Texts(denied.named, not denied.but)
    return _union(one + two)


def _as_texts(values: Spans | Texts) -> Texts:
    return values if isinstance(values, Texts) else Texts(frozenset(), but=bool(values))


def _texts_both(one: Texts, two: Texts) -> Texts:
    match one.but, two.but:
        case False, False:
            return Texts(one.named & two.named, but=False)
        case False, True:
            return Texts(one.named - two.named, but=False)
        case True, False:
            return Texts(two.named - one.named, but=False)
        case _:
            return Texts(one.named | two.named, but=True)


def _union(spans: Spans) -> Spans:
    result: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


def _minus(spans: Spans) -> Spans:
    result: list[tuple[int, int]] = []
    place = INT_MIN
    for low, high in spans:
        if place < low:
            result.append((place, low - 1))
        place = high + 1
    if place <= INT_MAX:
        result.append((place, INT_MAX))
    return tuple(result)


def _empty(domain: Domain) -> bool:
    if domain.null:
        return False
    if isinstance(domain.values, Texts):
        return not domain.values.but and not domain.values.named
    return not domain.values


def _full(domain: Domain, subject: Node, scope: Scope) -> bool:
    universe = _universe(subject, scope)
    if isinstance(universe, Texts) and isinstance(domain.values, Texts):
        if universe.but:
            return domain.values.but and not domain.values.named
        return not domain.values.but and domain.values.named >= universe.named
    return domain.values == universe
