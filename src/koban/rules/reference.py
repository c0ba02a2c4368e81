"""The reference page of a pack: everything that it declares, in English and Japanese side by side, as Markdown."""

from collections.abc import Iterable, Iterator
from typing import Final

from koban.base import DAY, HOUR, MINUTE, SECOND
from koban.packs import (
    Action,
    Block,
    Challenge,
    EventType,
    FeatureDef,
    FreezePayout,
    Hide,
    Hold,
    ListDef,
    Mode,
    ModeName,
    PackDef,
    PolicyDef,
    Restrict,
    Review,
    RuleDef,
    Strike,
    Suspend,
    Texts,
    Warn,
)

_UNITS: Final = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second"))


def pack_reference(pack: PackDef) -> str:
    """Write the reference page of a pack."""
    sections = (
        ("event types", pack.events),
        ("features", pack.features),
        ("definitions", pack.definitions),
        ("scores", pack.scores),
        ("policies", pack.policies),
        ("rules", pack.rules),
        ("lists", pack.lists),
        ("queues", pack.queues),
        ("cases", pack.cases),
    )
    counts = ", ".join(f"{name}: {len(section)}" for name, section in sections)
    parts = [
        f"# Pack `{pack.name}` {pack.version}",
        *_both(pack.about),
        counts + ".",
        "## Event types",
        *(_event(event) for event in pack.events.values()),
        "## Features",
        _features(pack.features.values()),
        *_definitions(pack),
        "## Policies",
        *(_policy(policy) for policy in pack.policies.values()),
        "## Rules",
        *(_rule(rule, pack) for rule in pack.rules.values()),
        "## Lists",
        _lists(pack.lists.values()),
        "## Queues",
        _table(
            ("queue", "title", "", "due in"),
            (
                (f"`{queue.name}`", queue.title["en"], queue.title["ja"], duration_words(queue.due_in_s * SECOND))
                for queue in pack.queues.values()
            ),
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def action_words(action: Action) -> str:
    """Say an action in English words."""
    match action:
        case Hide():
            return "hide the content"
        case Block():
            return "block the event"
        case Hold():
            return f"hold for {duration_words(action.for_us)}, then {action.becomes}"
        case Challenge():
            return f"challenge with {action.kind.replace('_', ' ')}"
        case Warn():
            return f"warn {'author and recipient' if action.target == 'both' else action.target}"
        case Restrict():
            return f"restrict {action.scope} for {duration_words(action.for_us)}"
        case FreezePayout():
            return f"freeze payouts for {duration_words(action.for_us)}"
        case Suspend():
            until = "until a person decides" if action.for_us is None else f"for {duration_words(action.for_us)}"
            return f"suspend {until}"
        case Strike():
            return "strike"
        case Review():
            return f"open a case in `{action.queue}`"


def mode_words(mode: Mode) -> str:
    """Say a mode as it is written: `live 10%`."""
    if mode.name is ModeName.LIVE and mode.basis_points < 10_000:
        return f"live {mode.basis_points / 100:g}%"
    return mode.name.value


def duration_words(length_us: int) -> str:
    """Write a duration in its largest whole unit.

    Units: microseconds.
    """
    for unit, name in _UNITS:
        if length_us % unit == 0 and length_us >= unit:
            count = length_us // unit
            return f"{count} {name}" + ("" if count == 1 else "s")
    return f"{length_us} microseconds"


def _event(event: EventType) -> str:
    rows = []
    for path, field in event.fields.items():
        notes = []
        if path in event.subjects:
            notes.append(f"names: {event.subjects[path].kind}")
        if field.personal is not None:
            notes.append(f"{'pseudonym' if field.joined else 'sealed'}, belongs to `{field.personal}`")
        if path in event.texts:
            notes.append("read as text")
        if field.about:
            notes.append(f"{field.about['en']} / {field.about['ja']}")
        rows.append((f"`{path}`", field.type, field.unit or "", "; ".join(notes)))
    roles = ", ".join(
        f"{role} `{path}`"
        for role, path in (("acting", event.acting), ("recipient", event.recipient), ("content", event.content))
        if path is not None
    )
    facts = f"{roles or 'No roles'}. Answered within {event.within_ms} ms, else {event.fallback}. "
    facts += f"Kept for {event.retention_days} days."
    return "\n\n".join(
        [f"### `{event.name}`", *_both(event.about), facts, _table(("field", "type", "unit", "notes"), rows)]
    )


def _features(features: Iterable[FeatureDef]) -> str:
    rows = []
    for feature in features:
        window = "ever" if feature.within_us is None else duration_words(feature.within_us)
        window = "" if feature.value.strip().lower().startswith(("ratio", "rate", "peers")) else window
        value = feature.value + ("" if feature.bound is None else f", at most {feature.bound}")
        value += "" if feature.where is None else f" where {feature.where}"
        fed = ", ".join(f"{event} by {path}" for event, path in feature.by.items())
        window += ", without the current event" if feature.excluding_current else ""
        rows.append((f"`{feature.name}`", feature.kind, f"`{_line(value)}`", window, fed, *_pair(feature.about)))
    return _table(("feature", "of", "value", "window", "events", "about", ""), rows)


def _definitions(pack: PackDef) -> Iterator[str]:
    if pack.definitions:
        yield "## Definitions"
        rows = [(f"`{each.name}`", f"`{_line(each.text)}`", *_pair(each.about)) for each in pack.definitions.values()]
        yield _table(("definition", "stands for", "about", ""), rows)
    if pack.scores:
        yield "## Scores"
        rows = [(f"`{each.name}`", each.kind, *_pair(each.about)) for each in pack.scores.values()]
        yield _table(("score", "of", "about", ""), rows)


def _policy(policy: PolicyDef) -> str:
    steps = "".join(f"\n{number}. {action_words(step.action)}" for number, step in enumerate(policy.ladder, start=1))
    counted = "" if policy.strikes_within_us is None else f" within {duration_words(policy.strikes_within_us)}"
    ladder = f"Strikes{counted}:\n{steps}" if steps else ""
    parts = [
        f"### `{policy.name}`",
        f"**{policy.title['en']} / {policy.title['ja']}** — severity {policy.severity}",
        *_both(policy.text),
        ladder,
    ]
    return "\n\n".join(part for part in parts if part)


def _rule(rule: RuleDef, pack: PackDef) -> str:
    tests = [case.matches for case in pack.cases if case.rule == rule.name]
    facts = (
        f"Policy `{rule.policy}`; on {', '.join(rule.on)}; mode {mode_words(rule.mode)}; "
        f"at most {rule.cap_per_hour} people an hour; "
        f"cases that match: {sum(tests)}, that do not: {len(tests) - sum(tests)}."
    )
    condition = "\n".join(line.rstrip() for line in rule.when.strip().splitlines())
    return "\n\n".join(
        [
            f"### `{rule.name}`",
            *_both(rule.because),
            f"```sql\n{condition}\n```",
            "Then: " + "; ".join(action_words(action) for action in rule.then) + ".",
            facts,
        ]
    )


def _lists(lists: Iterable[ListDef]) -> str:
    rows = []
    for declared in lists:
        notes = [f"of {declared.of}"] if declared.of else []
        notes += ["a denied mention does not count"] if declared.negatable else []
        notes += ["whole words"] if declared.whole_word else []
        notes += [f"contexts that excuse: {len(declared.unless)}"] if declared.unless else []
        row = (
            f"`{declared.name}`",
            declared.kind,
            str(len(declared.entries)),
            ", ".join(notes),
            *_pair(declared.about),
        )
        rows.append(row)
    return _table(("list", "kind", "entries", "notes", "about", ""), rows)


def _both(texts: Texts) -> Iterator[str]:
    return (texts[language] for language in ("en", "ja") if texts.get(language))


def _pair(texts: Texts) -> tuple[str, str]:
    return texts.get("en", ""), texts.get("ja", "")


def _line(text: str) -> str:
    return " ".join(text.split())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_line(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
