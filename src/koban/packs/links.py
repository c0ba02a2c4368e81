"""Names between the sections of a pack: each must lead somewhere, and to something of the right kind."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from koban.packs.faults import Fault, nearest
from koban.packs.sections import composed_of
from koban.packs.types import (
    DefinitionDef,
    EventType,
    FeatureDef,
    FreezePayout,
    Hide,
    ListDef,
    PolicyDef,
    QueueDef,
    Restrict,
    Review,
    RuleCase,
    RuleDef,
    ScoreDef,
    Source,
    Strike,
    Suspend,
    Warn,
)

_OTHER_VALUES: Final = {"domain", "brand", "word", "url", "country", "category", "image", "method"}


def check_features(features: Mapping[str, FeatureDef], events: Mapping[str, EventType]) -> Iterator[Fault]:
    """Check that feature names do not shadow fields, and that ratios name two features of one kind."""
    undotted = {path: event.name for event in events.values() for path in event.fields if "." not in path}
    for feature in features.values():
        if feature.name in undotted or feature.name == "time":
            where = f"a field of {undotted[feature.name]}" if feature.name in undotted else "the log time"
            detail = f"'{feature.name}' is already {where}, and an expression could not tell them apart"
            yield Fault(source=feature.source, detail=detail, hint="give the feature another name")
        parts = composed_of(feature.value)
        mixed = feature.value.strip().lower().startswith("peers")
        for part in parts or ():
            other = features.get(part)
            at = feature.value_at or feature.source
            if other is None:
                yield Fault(source=at, detail=f"there is no feature '{part}'", hint=nearest(part, features))
            elif composed_of(other.value) is not None:
                yield Fault(source=at, detail=f"'{part}' is a ratio itself; a ratio is of counted features")
            elif other.kind and feature.kind and other.kind != feature.kind and not mixed:
                detail = f"'{part}' belongs to a {other.kind}, and this ratio to a {feature.kind}"
                yield Fault(source=at, detail=detail, hint="both must belong to the same kind of subject")


def fill_ratios(features: Mapping[str, FeatureDef]) -> dict[str, FeatureDef]:
    """Give a composed feature without `by` the kind and paths of its features; where these differ, no bare path."""
    filled = {}
    for name, feature in features.items():
        parts = composed_of(feature.value)
        if parts is None or feature.by or any(part not in features for part in parts):
            filled[name] = feature
            continue
        first, second = features[parts[0]], features[parts[1]]
        if len(parts) == 3:  # peers belong to another subject
            filled[name] = msgspec.structs.replace(feature, kind=first.kind, by=first.by)
            continue
        by = {**second.by, **first.by}
        agreed = {event: path for event, path in by.items() if second.by.get(event, path) == path}
        filled[name] = msgspec.structs.replace(feature, kind=first.kind, by=agreed)
    return filled


def check_definitions(
    definitions: Mapping[str, DefinitionDef], *, events: Mapping[str, EventType], features: Mapping[str, FeatureDef]
) -> Iterator[Fault]:
    """Check that the names of definitions mean nothing else."""
    undotted = {path: event.name for event in events.values() for path in event.fields if "." not in path}
    for definition in definitions.values():
        taken = "the log time" if definition.name == "time" else ""
        taken = taken or (f"a field of {undotted[definition.name]}" if definition.name in undotted else "")
        taken = taken or ("a feature" if definition.name in features else "")
        if taken:
            detail = f"'{definition.name}' is already {taken}, and an expression could not tell them apart"
            yield Fault(source=definition.source, detail=detail, hint="give the definition another name")


def check_scores(scores: Mapping[str, ScoreDef], events: Mapping[str, EventType]) -> Iterator[Fault]:
    """Check that a score belongs to a kind of subject that some event names."""
    kinds = {role.kind for event in events.values() for role in event.subjects.values()}
    for score in scores.values():
        if score.kind not in kinds:
            detail = f"score {score.name}: there is no kind of subject '{score.kind}'"
            yield Fault(source=score.source, detail=detail, hint=nearest(score.kind, kinds))


def check_policies(policies: Mapping[str, PolicyDef]) -> Iterator[Fault]:
    """Check that the policies form a tree: the parent of `fraud/item_switch` is declared too."""
    for policy in policies.values():
        parent = policy.name.rpartition("/")[0]
        if parent and parent not in policies:
            detail = f"the parent policy '{parent}' is not declared"
            yield Fault(source=policy.source, detail=detail, hint=nearest(parent, policies))


def check_rules(
    rules: Mapping[str, RuleDef],
    *,
    events: Mapping[str, EventType],
    policies: Mapping[str, PolicyDef],
    queues: Mapping[str, QueueDef],
) -> Iterator[Fault]:
    """Check the names that rules use, and that each action has somebody or something to act on in every event."""
    for rule in rules.values():
        if rule.policy not in policies:
            detail = f"rule {rule.name}: there is no policy '{rule.policy}'"
            yield Fault(source=rule.at("policy"), detail=detail, hint=nearest(rule.policy, policies))
        for name in rule.on:
            if name not in events:
                detail = f"rule {rule.name}: there is no event type '{name}'"
                yield Fault(source=rule.at(f"on {name}"), detail=detail, hint=nearest(name, events))
            else:
                yield from _check_targets(rule, events[name], policies)
        for place, action in enumerate(rule.then):
            if isinstance(action, Review) and action.queue not in queues:
                detail = f"rule {rule.name}: there is no queue '{action.queue}'"
                yield Fault(source=rule.at(f"then {place}"), detail=detail, hint=nearest(action.queue, queues))


def _check_targets(rule: RuleDef, event: EventType, policies: Mapping[str, PolicyDef]) -> Iterator[Fault]:
    for place, action in enumerate(rule.then):
        missing = ""
        match action:
            case Hide() if event.content is None:
                missing = "hide needs 'content'"
            case Warn(target="recipient" | "both") if event.recipient is None:
                missing = f"{{warn: {action.target}}} needs 'recipient'"
            case Restrict() | FreezePayout() | Suspend() | Strike() if event.acting is None:
                missing = "an action on the account needs 'acting'"
            case Strike() if rule.policy in policies and not policies[rule.policy].ladder:
                detail = f"rule {rule.name}: policy '{rule.policy}' has no ladder, so a strike would do nothing"
                yield Fault(source=rule.at(f"then {place}"), detail=detail, hint="add a ladder to the policy")
            case _:
                pass
        if missing:
            detail = f"rule {rule.name}: {missing}, which {event.name} does not declare"
            yield Fault(source=rule.at(f"then {place}"), detail=detail)


def check_cases(cases: tuple[RuleCase, ...], rules: Mapping[str, RuleDef]) -> Iterator[Fault]:
    """Check that every case tests a rule there is, on an event type that the rule reads."""
    named: set[Source] = set()
    for case in cases:
        rule = rules.get(case.rule)
        if rule is None:
            at = case.rule_at or case.source
            if at not in named:  # a table has one rule and many lines
                named.add(at)
                yield Fault(source=at, detail=f"there is no rule '{case.rule}'", hint=nearest(case.rule, rules))
        elif case.event_type and case.event_type not in rule.on:
            detail = f"rule {rule.name} does not read {case.event_type}"
            yield Fault(source=case.source, detail=detail, hint="it reads " + ", ".join(rule.on))


def check_lists(lists: Mapping[str, ListDef], events: Mapping[str, EventType]) -> Iterator[Fault]:
    """Check that a list of values says what they are, and that no pack holds personal values.

    Events carry only keyed pseudonyms of joined personal fields: a plain value in a pack would never be found, and
    would stand in the pack's files for ever.
    """
    kinds = {role.kind for event in events.values() for role in event.subjects.values()}
    joined = set(_joined_kinds(events))
    for declared in lists.values():
        if declared.of is None:
            continue
        if declared.of not in kinds | joined | _OTHER_VALUES:
            detail = f"list {declared.name}: there is no kind of subject or value '{declared.of}'"
            yield Fault(
                source=declared.source, detail=detail, hint=nearest(declared.of, kinds | joined | _OTHER_VALUES)
            )
        elif declared.of in joined and declared.entries:
            detail = f"list {declared.name}: values of kind {declared.of} are personal and do not belong in a pack"
            hint = "leave it empty and add them through the API or the console, which keep pseudonyms"
            yield Fault(source=declared.source, detail=detail, hint=hint)


def _joined_kinds(events: Mapping[str, EventType]) -> Iterator[str]:
    for event in events.values():
        for path, field in event.fields.items():
            if field.joined and path in event.subjects:
                yield event.subjects[path].kind
            elif field.joined and not path.endswith(".id"):
                yield path.rpartition(".")[2]
