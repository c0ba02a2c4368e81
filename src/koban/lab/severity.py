"""What of a change needs a second person: severe policies, the rules under them, what those rules read, and money.

Pure: two versions in, names out. A rule is what its condition says together with the definitions, features, lists and
scores that it names; otherwise a severe rule could be turned round through a definition. What is read is found by the
words of the texts, not by their meaning, so it can only be too much. Whatever says where money goes or how much may go
(books, postings, limits) is severe whole: nobody can say by its shape that a change of it is milder.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

import msgspec

from koban.packs import Difference, EventType, Mode, ModeName, PackDef, RuleDef, compare_packs, read_by

_READABLE: Final = ("definitions", "features", "lists", "scores")
_MONEY: Final = ("books", "postings", "limits", "ledger", "payments")
_NAMES: Final = {"about", "title"}  # what only people read of books, postings and limits
_MILDEST_FIRST: Final = (ModeName.RETIRED, ModeName.OFF, ModeName.SHADOW, ModeName.REVIEW, ModeName.LIVE)


class Severe(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a change does to a severe policy, to a rule under one, to what such a rule reads, or to money."""

    section: str
    name: str
    kind: str
    milder: bool  # it only takes something away from what is done to people

    def __str__(self) -> str:
        """Say it as a list of changes does."""
        return f"{self.kind} {self.section} {self.name}"


def severe_changes(old: PackDef, new: PackDef) -> tuple[Severe, ...]:
    """Return what a second person must look at; empty where one person may decide alone."""
    guarded = (_guarded(old), _guarded(new))
    return tuple(
        Severe(section=each.section, name=each.name, kind=each.kind, milder=_is_milder(old, new, each))
        for each in compare_packs(old, new)
        if _is_severe(old, new, guarded, each)
    )


def is_severe(old: PackDef, new: PackDef) -> bool:
    """Tell whether a second person must look."""
    return bool(severe_changes(old, new))


def only_milder(changes: tuple[Severe, ...]) -> bool:
    """Tell whether nobody can be harmed by a change who was not before: rules gone, weaker, or for fewer people."""
    return all(each.milder for each in changes)


@dataclasses.dataclass(frozen=True)
class _Guarded:
    """What of one version a second person must look at when it changes, by name."""

    policies: frozenset[str]
    rules: frozenset[str]
    events: frozenset[str]
    read: frozenset[str]  # definitions, features, lists and scores


def _guarded(pack: PackDef) -> _Guarded:
    rules = _severe_rules(pack)
    read = read_by(pack, rules)
    features = [feature for name, feature in pack.features.items() if name in read]
    return _Guarded(
        policies=frozenset(name for name, policy in pack.policies.items() if policy.severity == "severe"),
        rules=frozenset(rule.name for rule in rules),
        events=frozenset(event for rule in rules for event in rule.on)
        | frozenset(event for feature in features for event in feature.by),
        read=frozenset(read),
    )


def _is_severe(old: PackDef, new: PackDef, guarded: Sequence[_Guarded], each: Difference) -> bool:
    match each.section:
        case "policies":
            return any(each.name in version.policies for version in guarded)
        case "rules":
            return any(each.name in version.rules for version in guarded)
        case "events":
            return any(each.name in version.events for version in guarded) and not _only_adds(old, new, each.name)
        case section if section in _READABLE:
            return any(each.name in version.read for version in guarded)
        case section if section in _MONEY:
            return not each.fields or not set(each.fields) <= _NAMES
        case _:
            return False


def _severe_rules(pack: PackDef) -> list[RuleDef]:
    return [rule for rule in pack.rules.values() if pack.policies[rule.policy].severity == "severe"]


def _only_adds(old: PackDef, new: PackDef, name: str) -> bool:
    """Tell whether an event type says all that it said, and perhaps more: what was there keeps its meaning."""
    if name not in old.events:
        return True
    if name not in new.events:
        return False
    before, after = old.events[name], new.events[name]
    kept = msgspec.structs.replace(
        after,
        fields={path: field for path, field in after.fields.items() if path in before.fields},
        subjects={path: role for path, role in after.subjects.items() if path in before.subjects},
        **{key: getattr(before, key) for key in _SAID_BESIDE},
    )
    return kept == msgspec.structs.replace(before, texts=after.texts)


_SAID_BESIDE: Final = ("about", "source", "retention_days")


def _is_milder(old: PackDef, new: PackDef, each: Difference) -> bool:
    if each.section != "rules":
        return False
    if each.kind == "removed":
        return True
    rule = new.rules[each.name]
    if each.kind == "added":
        return rule.mode.name in {ModeName.RETIRED, ModeName.OFF, ModeName.SHADOW}
    before = old.rules[each.name]
    return (
        set(each.fields) <= {"mode", "cap_per_hour", "then", "on"}
        and _strength(rule.mode) <= _strength(before.mode)
        and rule.cap_per_hour <= before.cap_per_hour
        and all(action in before.then for action in rule.then)
        and set(rule.on) <= set(before.on)
    )


def _strength(mode: Mode) -> tuple[int, int]:
    return _MILDEST_FIRST.index(mode.name), mode.basis_points if mode.name is ModeName.LIVE else 0


assert set(_SAID_BESIDE) <= set(EventType.__struct_fields__), "an event type has what is left out of the comparison"
