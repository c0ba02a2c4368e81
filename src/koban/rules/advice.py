"""What is not wrong with a pack but worth knowing before it runs: what nothing reads, what adds nothing, what it costs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from koban.features import read_by_features
from koban.language import Node, Scope, implies, walk, whole_likes
from koban.packs import (
    Block,
    Challenge,
    Fault,
    FreezePayout,
    Hide,
    Hold,
    PackDef,
    Restrict,
    Review,
    RuleDef,
    Source,
    Strike,
    Suspend,
    Warn,
    locate,
    place,
)
from koban.rules.scope import CheckedRule, features_of, scope_of, typed_rules

NS_PER_UNIT: Final = 10  # what one unit of a node's cost stands for, roughly, on one core
_SHADOWS_MAX: Final = 400  # rules of one event type that are compared with each other


class RuleCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule costs on one event of a type, at most, and how much of that no other rule asks for.

    Units: nanoseconds, a rough estimate: no condition is decided early, and every common part is computed once.
    """

    rule: str
    event_type: str
    cost_ns: int
    own_ns: int


class PackCosts(msgspec.Struct, frozen=True, kw_only=True):
    """What the conditions of a pack cost: per rule, and per event type with common parts counted once."""

    rules: tuple[RuleCost, ...]
    events: Mapping[str, int]


def advise(pack: PackDef) -> tuple[Fault, ...]:
    """Return what is worth a look, in the order of the files. The pack has no fault; `check_pack` says so first."""
    typed = typed_rules(pack)[0]
    found = [*_unread(pack, typed), *_shadowed(pack, typed), *_whole_likes(pack)]
    return tuple(sorted(found, key=lambda fault: (fault.source.file, fault.source.line, fault.source.column)))


def costs_of(pack: PackDef) -> PackCosts:
    """Estimate what the conditions of a checked pack cost on one event of each type."""
    rules: list[RuleCost] = []
    events: dict[str, int] = {}
    for name, checked in typed_rules(pack)[0].items():
        if not checked:
            continue
        asked = [_parts(each.checked.core) for each in checked]
        shared: dict[str, int] = {}
        for parts in asked:
            for key in parts:
                shared[key] = shared.get(key, 0) + 1
        total: dict[str, int] = {}
        for each, parts in zip(checked, asked, strict=True):
            total.update(parts)
            own = sum(cost for key, cost in parts.items() if shared[key] == 1)
            cost_ns, own_ns = sum(parts.values()) * NS_PER_UNIT, own * NS_PER_UNIT
            rules.append(RuleCost(rule=each.rule.name, event_type=name, cost_ns=cost_ns, own_ns=own_ns))
        events[name] = sum(total.values()) * NS_PER_UNIT
    ordered = sorted(rules, key=lambda each: (-each.cost_ns, each.rule, each.event_type))
    return PackCosts(rules=tuple(ordered), events=events)


def _parts(root: Node) -> dict[str, int]:
    """Return what every different part of a condition costs by itself."""
    return {
        node.key: max(1, node.cost - sum(arg.cost for arg in node.args)) for node in walk(root) if node.op != "const"
    }


def _unread(pack: PackDef, typed: Mapping[str, list[CheckedRule]]) -> Iterator[Fault]:
    checked = [each.checked for rules in typed.values() for each in rules]
    read = {name for one in checked for name in (*one.features, *(name for name, _ in one.features_of))}
    read |= read_by_features(pack, read)
    named = {name for one in checked for name in one.definitions}
    lists = {name for one in checked for name in one.lists}
    scores = {name for one in checked for name, _ in one.scores}
    sections: Iterable[tuple[str, Mapping[str, object], set[str]]] = (
        ("feature", pack.features, read),
        ("definition", pack.definitions, named),
        ("list", pack.lists, lists),
        ("score", pack.scores, scores),
    )
    for what, declared, used in sections:
        for name, each in declared.items():
            if name not in used:
                source = each.source  # type: ignore[attr-defined]  # everything that a pack declares has one
                hint = "it is kept up to date at a cost; take it out, or read it in a rule" if what == "feature" else ""
                yield Fault(source=source, detail=f"no rule reads the {what} '{name}'", hint=hint)


def _shadowed(pack: PackDef, typed: Mapping[str, list[CheckedRule]]) -> Iterator[Fault]:
    """Find rules that never add anything: wherever they match, another rule matches too and does at least as much."""
    features = features_of(pack)
    told: set[tuple[str, str]] = set()
    spared: set[tuple[str, str]] = set()
    for name, rules in typed.items():
        scope = scope_of(pack, pack.events[name], features)
        for one in rules[:_SHADOWS_MAX]:
            for other in rules[:_SHADOWS_MAX]:
                pair = (one.rule.name, other.rule.name)
                if one is other or pair in spared:
                    continue
                (told if _adds_nothing(one, other, scope) else spared).add(pair)
    for shadowed, by in sorted(told - spared):
        if (by, shadowed) in told - spared and shadowed < by:
            continue  # both say the same: the later name is told
        rule, wider = pack.rules[shadowed], pack.rules[by]
        if not set(rule.on) <= set(wider.on):
            continue
        detail = f"rule {shadowed} adds nothing: wherever it matches, rule {by} matches too and does as much"
        yield Fault(
            source=rule.when_at or rule.source, detail=detail, hint=f"the other stands in {place(wider.source)}"
        )


def _whole_likes(pack: PackDef) -> Iterator[Fault]:
    """Find LIKE without a wildcard: it compares the whole text, and whoever writes it mostly means a part."""
    said: list[tuple[str, str, str, Source | None, Source]] = [
        *(("rule", each.name, each.when, each.when_at, each.source) for each in pack.rules.values()),
        *(("definition", each.name, each.text, each.text_at, each.source) for each in pack.definitions.values()),
        *(("feature", each.name, each.where or "", each.where_at, each.source) for each in pack.features.values()),
    ]
    for what, name, text, at, source in said:
        if "like" not in text.lower():  # reading every expression again takes longer than all other advice
            continue
        for start, pattern in whole_likes(text):
            detail = f"the {what} '{name}' says LIKE without % or _: it compares the whole text"
            hint = f"write '%{pattern[:40]}%' where a part of it is meant, and = where the whole is"
            yield Fault(source=locate(pack, at, text, start, fallback=source), detail=detail, hint=hint)


def _adds_nothing(one: CheckedRule, other: CheckedRule, scope: Scope) -> bool:
    return _does_as_much(other.rule, one.rule) and implies(one.checked.core, other.checked.core, scope)


def _does_as_much(one: RuleDef, other: RuleDef) -> bool:
    """Say whether one rule, when both match, does all that the other does: the same policy, mode and actions, or stricter."""
    if one.policy != other.policy or one.mode != other.mode:
        return False
    return all(any(_covers(mine, theirs) for mine in one.then) for theirs in other.then)


def _covers(mine: object, theirs: object) -> bool:
    match mine, theirs:
        case (Hide() | Block(), Hide() | Block() | Hold() | Challenge()):
            return not (isinstance(theirs, Hide) and isinstance(mine, Block))
        case (Warn(), Warn()) | (Review(), Review()) | (Strike(), Strike()) | (Challenge(), Challenge()):
            return mine == theirs
        case (Suspend(for_us=None), Suspend() | Restrict() | FreezePayout()):
            return True
        case _:
            return mine == theirs
