"""Find everything wrong with a pack's features before anything runs."""

from collections.abc import Iterator, Mapping
from typing import Final

from koban.features.expressions import check_argument, check_condition, sealed_reads
from koban.features.plan import SLOTS, rate_factors
from koban.features.values import FACTOR_MAX, FUNCTIONS, Aggregate, Function, read_value
from koban.language import Checked, LanguageErrors, Type
from koban.packs import EventType, Fault, FeatureDef, PackDef, Source, locate, nearest, subject_kind

BOUND_MAX: Final = 1_000  # values that a distinct count keeps of one subject

_NUMBERS: Final = frozenset({Type.INT, Type.DECIMAL})
_KEPT: Final = frozenset({Type.INT, Type.DECIMAL, Type.TEXT, Type.BOOL, Type.TIMESTAMP})
_TAKES: Final[Mapping[Function, tuple[frozenset[Type], str]]] = {
    "sum": (_NUMBERS, "sum(x) adds numbers"),
    "avg": (_NUMBERS, "avg(x) averages numbers"),
    "stddev": (_NUMBERS, "stddev(x) measures numbers"),
    "most_frequent": (_KEPT, "most_frequent(x) keeps texts, numbers, bools and times"),
    "min": (_NUMBERS | {Type.TIMESTAMP}, "min(x) compares numbers and times"),
    "max": (_NUMBERS | {Type.TIMESTAMP}, "max(x) compares numbers and times"),
    "first": (_KEPT, "first(x) keeps a text, number, bool or time"),
    "last": (_KEPT, "last(x) keeps a text, number, bool or time"),
    "count_distinct": (_KEPT, "count(distinct x) tells texts, numbers, bools and times apart"),
}
_VERBATIM: Final = frozenset({"first", "last", "min", "max", "most_frequent"})
_BOUNDED: Final[Mapping[Function, tuple[str, str]]] = {
    "count_distinct": ("count(distinct x)", "it counts exactly up to there"),
    "most_frequent": ("most_frequent(x)", "it looks at so many of the values seen last"),
    "linked": ("a feature of linked subjects", "it looks at so many of those seen last"),
}
_HAVE_BOUNDS: Final = (
    "count(distinct x), most_frequent(x), linked_sanctioned(x), linked_youngest(x, age), linked_oldest(x, age)"
)


def check_features(pack: PackDef) -> tuple[Fault, ...]:
    """Return everything that is wrong with the features of a pack, in the order they are written.

    `packs.load` has checked structure and names; here expressions are typed in the scope of every event type that
    feeds a feature, and what a window or a distinct count can hold is checked.
    """
    return tuple(fault for feature in pack.features.values() for fault in _check(pack, feature))


def _check(pack: PackDef, feature: FeatureDef) -> Iterator[Fault]:
    aggregate = read_value(feature.value)
    value_at = feature.value_at or feature.source
    if aggregate is None:
        yield Fault(source=value_at, detail="this is not a value that a feature can have", hint=FUNCTIONS)
        return
    if aggregate.operands is not None:
        yield from _check_composed(pack, feature, aggregate, value_at)
        return
    if not feature.by:
        yield Fault(source=feature.source, detail=f"nothing feeds '{feature.name}': say `on` and `by`")
    yield from _check_window(feature, aggregate)
    for name, path in feature.by.items():
        event = pack.events[name]
        for part in path.split("+"):
            if part in event.fields and event.fields[part].type != "text":
                detail = f"'{part}' of {name} is {event.fields[part].type}; a subject is named by a text"
                yield Fault(source=feature.source, detail=detail)
    if aggregate.steps:
        yield from _check_steps(pack, feature, aggregate, value_at)
    if aggregate.linked is not None:
        yield from _check_linked(pack, feature, aggregate, value_at)
    elif aggregate.argument is not None:
        yield from _check_argument(pack, feature, aggregate)
    if feature.where is not None:
        for name in feature.by:
            try:
                check_condition(feature.where, pack.events[name])
            except LanguageErrors as errors:
                start = feature.where_at or feature.source
                yield from _told(pack, feature, errors, event=name, start=start, text=feature.where, offset=0)
                break


def _check_window(feature: FeatureDef, aggregate: Aggregate) -> Iterator[Fault]:
    if feature.within_us is not None:
        if aggregate.function == "age_days":
            hint = "leave `within` out, or write `within: ever`"
            yield Fault(source=feature.source, detail="age_days() counts from the first event ever", hint=hint)
        if feature.within_us <= 0 or feature.within_us % SLOTS != 0:
            detail = f"a window is cut into {SLOTS} equal slots of whole microseconds, and this one cannot be"
            yield Fault(source=feature.source, detail=detail, hint="write it in whole milliseconds or longer units")
    if aggregate.function in _BOUNDED:
        if feature.bound is None or not 1 <= feature.bound <= BOUND_MAX:
            name, why = _BOUNDED[aggregate.function]
            yield Fault(source=feature.source, detail=f"{name} needs a `bound` between 1 and {BOUND_MAX}: {why}")
    elif feature.bound is not None:
        yield Fault(source=feature.source, detail="only what keeps single values has a `bound`", hint=_HAVE_BOUNDS)


def _check_steps(pack: PackDef, feature: FeatureDef, aggregate: Aggregate, at: Source) -> Iterator[Fault]:
    for step in aggregate.steps:
        if step.event not in pack.events:
            hint = nearest(step.event, pack.events)
            yield Fault(source=at, detail=f"there is no event type '{step.event}'", hint=hint)
        elif step.event not in feature.by:
            detail = f"'by' does not say which subject of '{step.event}' the sequence belongs to"
            yield Fault(source=feature.source, detail=detail, hint="by: {listing.created: seller.id, …}")
    for name in feature.by:
        if name not in {step.event for step in aggregate.steps}:
            yield Fault(source=feature.source, detail=f"{name} is no step of the sequence")


def _check_linked(pack: PackDef, feature: FeatureDef, aggregate: Aggregate, at: Source) -> Iterator[Fault]:
    path = str(aggregate.argument)
    kinds = {
        subject_kind(pack.events[name], path) if path in pack.events[name].subjects else None for name in feature.by
    }
    if len(kinds) != 1 or None in kinds:
        detail = f"'{path}' names no subject of one kind in {', '.join(sorted(feature.by))}"
        yield Fault(source=at, detail=detail, hint="name the subjects that are linked: linked_sanctioned(account.id)")
        return
    if feature.excluding_current:
        yield Fault(
            source=feature.source, detail="linked subjects are asked as of the event itself", hint="leave it out"
        )
    if aggregate.through is None:
        return
    age = pack.features.get(aggregate.through)
    read = read_value(age.value) if age is not None else None
    if age is None or read is None or read.function != "age_days":
        hint = nearest(aggregate.through, [name for name, each in pack.features.items() if "age_days" in each.value])
        yield Fault(source=at, detail=f"'{aggregate.through}' is no feature of the form age_days()", hint=hint)
    elif age.kind not in kinds:
        yield Fault(
            source=at,
            detail=f"'{aggregate.through}' is the age of {age.kind} subjects, and '{path}' names another kind",
        )


def _check_argument(pack: PackDef, feature: FeatureDef, aggregate: Aggregate) -> Iterator[Fault]:
    text, at = str(aggregate.argument), feature.value_at or feature.source
    place = locate(pack, feature.value_at, feature.value, aggregate.offset, fallback=at)
    first: tuple[str, Checked] | None = None
    for name in feature.by:
        event = pack.events[name]
        try:
            checked = check_argument(text, event)
        except LanguageErrors as errors:
            yield from _told(pack, feature, errors, event=name, start=at, text=feature.value, offset=aggregate.offset)
            return
        takes, why = _TAKES.get(aggregate.function, (frozenset(Type), ""))
        if checked.type not in takes:
            yield Fault(source=place, detail=f"{why}, and '{text}' is {checked.type}", hint=_cast_hint(checked.type))
            return
        if first is not None and checked.type != first[1].type:
            detail = f"'{text}' is {checked.type} in {name} and {first[1].type} in {first[0]}"
            yield Fault(source=place, detail=detail, hint="cast it to one type, or write two features")
            return
        yield from _check_sealed(aggregate, checked, event, place)
        first = first or (name, checked)


def _check_sealed(aggregate: Aggregate, checked: Checked, event: EventType, place: Source) -> Iterator[Fault]:
    """Feature state outlives an event, so what it keeps word for word must not be sealed personal data."""
    sealed = sealed_reads(checked, event)
    if sealed and aggregate.function in _VERBATIM:
        detail = f"{aggregate.function}() would keep '{sealed[0]}' of {event.name} after the person is erased"
        yield Fault(source=place, detail=detail, hint="count(x) and count(distinct x) keep no personal data")


def _check_composed(pack: PackDef, feature: FeatureDef, composed: Aggregate, at: Source) -> Iterator[Fault]:
    operands, function = composed.operands or (), composed.function
    for name in operands:
        part = pack.features.get(name)
        aggregate = read_value(part.value) if part is not None else None
        if part is None:
            yield Fault(source=at, detail=f"there is no feature '{name}'", hint=nearest(name, pack.features))
        elif aggregate is not None and aggregate.operands is not None:
            yield Fault(source=at, detail=f"'{name}' is itself a ratio")
        elif part.kind != feature.kind and function != "peers":
            detail = f"'{name}' belongs to {part.kind} and '{feature.name}' to {feature.kind}"
            yield Fault(source=at, detail=detail, hint="both features of a ratio belong to the same kind of subject")
        elif aggregate is not None and not _is_number(pack, part, aggregate):
            yield Fault(source=at, detail=f"'{name}' is not a number", hint="a ratio is of counts, sums and averages")
    if feature.where is not None or feature.within_us is not None or feature.excluding_current:
        yield Fault(source=at, detail="a ratio has no `where`, `within` or `excluding`: its two features have them")
    parts = [pack.features[name] for name in operands if name in pack.features]
    if len(parts) == len(operands):
        yield from _check_rate(parts, at) if function == "rate" else ()
        yield from _check_peers(feature, parts, at) if function == "peers" else ()


def _check_rate(parts: list[FeatureDef], at: Source) -> Iterator[Fault]:
    aggregates = [read_value(part.value) for part in parts]
    for part, aggregate in zip(parts, aggregates, strict=True):
        if part.within_us is None:
            yield Fault(source=at, detail=f"'{part.name}' has no window, and a rate compares values per time")
        if aggregate is not None and aggregate.function not in {
            "count",
            "count_of",
            "count_distinct",
            "sum",
            "sequence",
        }:
            yield Fault(source=at, detail=f"'{part.name}' is no count or sum, and only these grow with time")
    if max(rate_factors(parts[0].within_us, parts[1].within_us)) > FACTOR_MAX:
        yield Fault(
            source=at, detail="the two windows have no common measure", hint="write both in whole minutes or days"
        )


def _check_peers(feature: FeatureDef, parts: list[FeatureDef], at: Source) -> Iterator[Fault]:
    own, total, members = parts
    if own.kind != feature.kind or total.kind != members.kind or own.kind == total.kind:
        detail = f"peers(a, total, members) compares one {own.kind} with the average of another subject's members"
        yield Fault(source=at, detail=detail, hint="total and members belong to one kind, such as category or everyone")
    counted = read_value(members.value)
    if counted is not None and counted.function != "count_distinct":
        detail = f"'{members.name}' does not count members"
        yield Fault(source=at, detail=detail, hint="the third is a count(distinct x)")


def _is_number(pack: PackDef, part: FeatureDef, aggregate: Aggregate) -> bool:
    if aggregate.argument is None or aggregate.function in {"count_of", "count_distinct", "linked"}:
        return True
    try:
        return all(check_argument(aggregate.argument, pack.events[name]).type in _NUMBERS for name in part.by)
    except LanguageErrors:
        return True  # the feature's own fault says so


def _told(
    pack: PackDef, feature: FeatureDef, errors: LanguageErrors, *, event: str, start: Source, text: str, offset: int
) -> Iterator[Fault]:
    """Move the errors of an expression to where it stands in its file."""
    lines = text[offset:].split("\n")
    for error in errors.errors:
        # Without an origin, an error's line and column count from the start of the expression.
        ahead = sum(len(line) + 1 for line in lines[: error.line - 1]) + error.column - 1
        place = locate(pack, start, text, min(offset + ahead, len(text) - 1), fallback=feature.source)
        several = f" (in {event})" if len(feature.by) > 1 else ""
        yield Fault(source=place, detail=error.detail + several, hint=error.hint)


def _cast_hint(kind: Type) -> str:
    return "an interval can be had in numbers: days_between(a, b)" if kind == Type.INTERVAL else ""
