"""The test cases of a pack: each rule on given events, features and lists; what `koban test` reports."""

import decimal
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from koban.base import from_rfc3339
from koban.features import bare_path
from koban.labels import LiveLabels
from koban.language import TraceNode, Type, Value, of_key, score_key
from koban.lists import EntriesAdded, LiveLists
from koban.packs import EVERYONE, EventType, Fault, PackDef, RuleCase
from koban.rules.compile import CompiledRules, compile_rules, render_trace
from koban.rules.scope import features_of, score_path

DECIMAL_SCALE: Final = 1_000_000


class FailedCase(msgspec.Struct, frozen=True, kw_only=True):
    """A case that went the other way, with why."""

    case: RuleCase
    trace: TraceNode


class RuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the cases of one rule went."""

    rule: str
    must_match: int
    must_not_match: int
    failed: tuple[FailedCase, ...]


class CasesReport(msgspec.Struct, frozen=True, kw_only=True):
    """How all cases of a pack went. `faults` are rules without both kinds of case, and cases that cannot be run."""

    rules: tuple[RuleResult, ...]
    faults: tuple[Fault, ...]

    @property
    def passed(self) -> bool:
        """Whether every case went as it must, and nothing is wrong with the cases themselves."""
        return not self.faults and not any(result.failed for result in self.rules)


def run_cases(pack: PackDef) -> CasesReport:
    """Run every case of a pack.

    Refuses: PackInvalid, when rules have faults.
    """
    types = {name: info.type for name, info in features_of(pack).items()}
    lists = LiveLists()
    lists.set_pack({name: declared.entries for name, declared in pack.lists.items()})
    compiled = compile_rules(pack, lists, LiveLabels())
    faults: list[Fault] = []
    failed: dict[str, list[FailedCase]] = {name: [] for name in pack.rules}
    for case in pack.cases:
        wrong = list(_check_given(pack, case, compiled[case.event_type], types))
        faults.extend(wrong)
        if not wrong and (failure := _run_case(pack, case, compiled[case.event_type], lists, types)) is not None:
            failed[case.rule].append(failure)
    results = []
    for rule in pack.rules.values():
        matches = [case.matches for case in pack.cases if case.rule == rule.name]
        for wanted, words in ((True, "must match"), (False, "must not match")):
            if wanted not in matches:
                detail = f"rule {rule.name} has no case that {words}"
                faults.append(Fault(source=rule.source, detail=detail, hint="add one to cases/"))
        count = sum(matches)
        results.append(
            RuleResult(
                rule=rule.name,
                must_match=count,
                must_not_match=len(matches) - count,
                failed=tuple(failed[rule.name]),
            )
        )
    return CasesReport(rules=tuple(results), faults=tuple(faults))


def _run_case(
    pack: PackDef, case: RuleCase, rules: CompiledRules, lists: LiveLists, types: Mapping[str, Type]
) -> FailedCase | None:
    undos = [
        lists.apply(EntriesAdded(list=name, values=values, note="", by="koban")) for name, values in case.lists.items()
    ]
    try:
        row, values = _row(case), values_of(pack, case, rules, types)
        matched = [rules.rules[index].name for index in rules.run(row, values, case.at)]
        if (case.rule in matched) is case.matches:
            return None
        return FailedCase(case=case, trace=rules.explain(case.rule, row, values, case.at))
    finally:
        for undo in reversed(undos):
            undo()


def values_of(pack: PackDef, case: RuleCase, rules: CompiledRules, types: Mapping[str, Type]) -> dict[str, Value]:
    """Return what a case's rules read: the features given, and for the rest those of a subject without history."""
    event = pack.events[case.event_type]
    values: dict[str, Value] = {}
    for key in rules.reads:
        name, _, path = key.partition("@")
        declared = pack.features[name]
        subject = path or bare_path(pack, declared, event)
        parts = () if subject is None or subject == EVERYONE else subject.split("+")
        known = subject is not None and all(part in case.data for part in parts)
        counted = declared.value.lower().startswith(("count", "sequence", "linked_sanctioned"))
        values[key] = 0 if known and counted else None
    for key, _, _ in rules.scores:
        values[key] = None
    for written, value in case.features.items():
        values[_key(pack, event, written)] = _typed(value, _type(types, written))
    return values


def _row(case: RuleCase) -> dict[str, Value]:
    # `packs` has read each value by its field's type.
    return dict(case.data)  # type: ignore[arg-type]


def _check_given(pack: PackDef, case: RuleCase, rules: CompiledRules, types: Mapping[str, Type]) -> Iterator[Fault]:
    reads = rules.reads_of(case.rule)
    for written, value in case.features.items():
        if _key(pack, pack.events[case.event_type], written) not in reads:
            told = ", ".join(sorted(reads)) or "none"
            detail = f"rule {case.rule} does not read the feature {written}"
            yield Fault(source=case.source, detail=detail, hint=f"it reads {told}")
        elif value is not None and _typed(value, _type(types, written)) is None:
            detail = f"the feature {written} is of type {_type(types, written)}, and {value} is not"
            yield Fault(source=case.source, detail=detail)


def _type(types: Mapping[str, Type], written: str) -> Type:
    return Type.DECIMAL if written.startswith("score(") else types[written.removeprefix("of(").partition(",")[0]]


def _key(pack: PackDef, event: EventType, written: str) -> str:
    """Turn `of(reports, recipient.id)` or `score(risk)`, as cases are written, into the key that programs read."""
    if written.startswith("score("):
        name, _, path = written.removeprefix("score(").removesuffix(")").partition(", ")
        return of_key(score_key(name), path or score_path(pack.scores[name], event) or "")
    if not written.startswith("of("):
        return written
    name, path = written.removeprefix("of(").removesuffix(")").split(", ")
    return of_key(name, path)


def _typed(value: object, kind: Type) -> Value:
    """Return a written value as programs read it; None when it is not of the feature's type."""
    if isinstance(value, bool):
        return value if kind is Type.BOOL else None
    if isinstance(value, int | decimal.Decimal) and kind is Type.DECIMAL:
        return int(value * DECIMAL_SCALE)
    if isinstance(value, int):
        return value if kind is Type.INT else None
    if isinstance(value, str) and kind is Type.TIMESTAMP:
        return from_rfc3339(value)
    return value if isinstance(value, str) and kind is Type.TEXT else None


def describe_failure(pack: PackDef, failure: FailedCase) -> str:
    """Say what a failed case expected and every condition with its value, as `koban test` prints it."""
    case = failure.case
    event: EventType = pack.events[case.event_type]
    must = "must match, and does not" if case.matches else "must not match, and does"
    shown = {path: case.data[path] for path in event.fields if path in case.data}
    lines = [f"{case.source.file}:{case.source.line}: rule {case.rule} {must}"]
    lines += [f"  {path} = {value!r}" for path, value in shown.items()]
    lines += [f"  why: {case.why}"] if case.why else []
    return "\n".join([*lines, *(f"  {line}" for line in render_trace(failure.trace).splitlines())])
