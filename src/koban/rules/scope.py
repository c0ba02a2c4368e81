"""What a rule's condition may name in each event type, and the checks that go beyond types."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from koban.features import bare_path, check_features, features_in_scope
from koban.language import (
    Checked,
    FeatureInfo,
    LanguageErrors,
    ListInfo,
    Node,
    Scope,
    ScoreInfo,
    Type,
    check,
    of_key,
    score_key,
    walk,
)
from koban.packs import DefinitionDef, EventType, Fault, PackDef, RuleDef, ScoreDef, Source, locate
from koban.rules.logic import is_on_person

_ACCOUNT: Final = "account"


class CheckedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's condition, typed for one event type."""

    rule: RuleDef
    checked: Checked

    @property
    def feature_keys(self) -> frozenset[str]:
        """The keys under which the condition reads features: `name`, or what `of_key(name, path)` gives."""
        return self.checked.features | {of_key(name, path) for name, path in self.checked.features_of}

    @property
    def score_keys(self) -> frozenset[tuple[str, str, str]]:
        """The scores that the condition reads: (key among the values, name, path of the subject)."""
        return frozenset((of_key(score_key(name), path), name, path) for name, path in self.checked.scores)


def features_of(pack: PackDef) -> Mapping[str, FeatureInfo]:
    """Return type, kind and bound of every feature; whether its bare name is clear depends on the event type."""
    return features_in_scope(pack, next(iter(pack.events)))


def scope_of(pack: PackDef, event: EventType, features: Mapping[str, FeatureInfo]) -> Scope:
    """Gather what a condition on an event type may name; `features` as `features_of` gives them.

    Why not ask for the features of each event type: planning a pack's features takes as long as typing its rules.
    """
    return Scope(
        names={path: Type(field.type) for path, field in event.fields.items()},
        features={
            name: msgspec.structs.replace(info, bare=bare_path(pack, pack.features[name], event) is not None)
            for name, info in features.items()
        },
        subjects={path: role.kind for path, role in event.subjects.items()},
        lists={name: ListInfo(kind=declared.kind) for name, declared in pack.lists.items()},
        units={path: field.unit for path, field in event.fields.items() if field.unit is not None},
        scores={name: ScoreInfo(kind=one.kind, path=score_path(one, event)) for name, one in pack.scores.items()},
        definitions={name: one.text for name, one in pack.definitions.items()},
    )


def score_path(score: ScoreDef, event: EventType) -> str | None:
    """Return the subject that score('name') alone means in an event type: who acted, or the only one of its kind."""
    if event.acting is not None and score.kind == _ACCOUNT:
        return event.acting
    paths = [path for path, role in event.subjects.items() if role.kind == score.kind]
    return paths[0] if len(paths) == 1 else None


def check_pack(pack: PackDef) -> tuple[Fault, ...]:
    """Check every expression of a pack that was read without fault: features, then the rules that read them."""
    return check_features(pack) or check_rules(pack)


def check_rules(pack: PackDef) -> tuple[Fault, ...]:
    """Check every rule's condition against each event type that it reads; all faults, in order of the files.

    Invariant: the pack's features have no fault; `check_pack` checks them first.
    """
    return (*check_definitions(pack), *typed_rules(pack)[1])


def typed_rules(pack: PackDef) -> tuple[dict[str, list[CheckedRule]], tuple[Fault, ...]]:
    """Type every rule for each of its event types: per event type the rules that can be run, and all faults.

    A rule that can be run may have a fault all the same: nobody should want what it asks.
    """
    features = features_of(pack)
    read = {name for rule in pack.rules.values() for name in rule.on}
    scopes = {name: scope_of(pack, pack.events[name], features) for name in sorted(read)}
    typed: dict[str, list[CheckedRule]] = {name: [] for name in pack.events}
    faults: dict[tuple[Source, str], Fault] = {}
    for rule in pack.rules.values():
        for name in rule.on:
            found, told = _type_rule(pack, rule, pack.events[name], scopes[name])
            if found is not None:
                typed[name].append(found)
            # The same fault in several event types is told once.
            faults.update({(fault.source, fault.detail): fault for fault in told})
    ordered = sorted(faults.values(), key=lambda fault: (fault.source.file, fault.source.line, fault.source.column))
    return typed, tuple(ordered)


def check_definitions(pack: PackDef) -> Iterator[Fault]:
    """Check that each definition holds in at least one event type, so that a broken one is told where it stands."""
    features = features_of(pack) if pack.definitions else {}
    scopes = {name: scope_of(pack, event, features) for name, event in pack.events.items()} if pack.definitions else {}
    for definition in pack.definitions.values():
        told: list[Fault] = []
        for name, scope in scopes.items():
            try:
                check(definition.text, scope)
            except LanguageErrors as refused:
                told = told or [
                    Fault(
                        source=_place(pack, definition, error.line, error.text_column),
                        detail=f"definition {definition.name} on {name}: {error.detail}",
                        hint=error.hint,
                    )
                    for error in refused.errors
                ]
            else:
                told = []
                break
        yield from told


def _type_rule(
    pack: PackDef, rule: RuleDef, event: EventType, scope: Scope
) -> tuple[CheckedRule | None, Sequence[Fault]]:
    try:
        checked = check(rule.when, scope, expect=Type.BOOL)
    except LanguageErrors as refused:
        return None, [
            Fault(
                source=_place(pack, rule, error.line, error.text_column),
                detail=f"rule {rule.name} on {event.name}: {error.detail}",
                hint=error.hint,
            )
            for error in refused.errors
        ]
    return CheckedRule(rule=rule, checked=checked), list(_further(pack, rule, event, checked))


def _further(pack: PackDef, rule: RuleDef, event: EventType, checked: Checked) -> Iterator[Fault]:
    if any(is_on_person(action) for action in rule.then) and _only_text(event, checked):
        detail = f"rule {rule.name} on {event.name}: a phrase alone never sanctions an account"
        hint = "ask for something that the account did as well, or act on the content: hide, hold, warn, review"
        yield Fault(source=rule.when_at or rule.source, detail=detail, hint=hint)
    if checked.core.op == "const":
        detail = f"rule {rule.name} on {event.name}: {_said(checked.core)} alone is no condition"
        hint = "every event would match: say which ones are meant" if checked.core.value else "no event would match"
        yield Fault(source=rule.when_at or rule.source, detail=detail, hint=hint)
    for node in walk(checked.core):
        found = _asks_in_vain(pack, event, node)
        if found is not None:
            at, detail, hint = found
            line = rule.when.count("\n", 0, at.start) + 1
            column = at.start - rule.when.rfind("\n", 0, at.start)
            detail = f"rule {rule.name} on {event.name}: {detail}"
            yield Fault(source=_place(pack, rule, line, column), detail=detail, hint=hint)


def _asks_in_vain(pack: PackDef, event: EventType, node: Node) -> tuple[Node, str, str] | None:
    """Say why a part of a condition has the same answer for everybody, though its types are right: where, detail, hint.

    Why refused: an exception that spares nobody, or a rule that means everybody, hurts people as soon as it runs.
    """
    asked = node.args[0] if node.args else node
    match node.op:
        case "has_label":
            if asked.op != "name" or _kind_of(event, str(asked.value)) != _ACCOUNT:
                accounts = [path for path, role in event.subjects.items() if role.kind == _ACCOUNT]
                return asked, "has_label asks about an account, and this names none", "accounts: " + ", ".join(accounts)
        case "in_list" if asked.op == "name" and isinstance(node.value, tuple):
            name, kind = str(node.value[0]), _kind_of(event, str(asked.value))
            of = pack.lists[name].of
            if kind and of != kind:
                return asked, f"'{name}' is a list of kind {of}, and this is of kind {kind}: it is never on it", ""
        case "div" | "int_div" | "mod" if node.args[1].op == "const" and node.args[1].value == 0:
            return node.args[1], "dividing by zero is NULL, whatever is divided", ""
        case "and" | "or" | "not":
            settled = next((each for each in node.args if each.op == "const"), None)
            if settled is not None:
                return settled, f"{_said(settled)} alone is no condition", "leave it out"
    return None


def _said(settled: Node) -> str:
    return "NULL" if settled.value is None else str(settled.value).upper()


def _kind_of(event: EventType, path: str) -> str:
    """Return the kind of subject or personal value that a field names; empty where it names none."""
    if path in event.subjects:
        return event.subjects[path].kind
    joined = path in event.fields and event.fields[path].joined
    return path.rpartition(".")[2] if joined and not path.endswith(".id") else ""


def _only_text(event: EventType, checked: Checked) -> bool:
    if checked.features or checked.features_of or checked.scores:
        return False
    return checked.reads <= checked.texts | set(event.texts)


def _place(pack: PackDef, owner: RuleDef | DefinitionDef, line: int, column: int) -> Source:
    start, text = (owner.when_at, owner.when) if isinstance(owner, RuleDef) else (owner.text_at, owner.text)
    lines = text.split("\n")
    offset = sum(len(each) + 1 for each in lines[: line - 1]) + column - 1
    # An error at the end of the text stands behind its last character.
    offset = min(offset, len(text.rstrip()) - 1)
    while offset > 0 and text[offset].isspace():
        offset -= 1
    return locate(pack, start, text, max(0, offset), fallback=owner.source)
