"""Find everything wrong with a pack's features before anything runs."""

from collections.abc import Iterator, Mapping
from typing import Final

from koban.features.expressions import check_argument, check_condition, sealed_reads
from koban.features.plan import SLOTS
from koban.features.values import FUNCTIONS, Aggregate, Function, read_value
from koban.language import Checked, LanguageErrors, Type
from koban.packs import EventType, Fault, FeatureDef, PackDef, Source, locate, nearest

BOUND_MAX: Final = 1_000  # values that a distinct count keeps of one subject

_NUMBERS: Final = frozenset({Type.INT, Type.DECIMAL})
_KEPT: Final = frozenset({Type.INT, Type.DECIMAL, Type.TEXT, Type.BOOL, Type.TIMESTAMP})
_TAKES: Final[Mapping[Function, tuple[frozenset[Type], str]]] = {
    "sum": (_NUMBERS, "sum(x) adds numbers"),
    "avg": (_NUMBERS, "avg(x) averages numbers"),
    "min": (_NUMBERS | {Type.TIMESTAMP}, "min(x) compares numbers and times"),
    "max": (_NUMBERS | {Type.TIMESTAMP}, "max(x) compares numbers and times"),
    "first": (_KEPT, "first(x) keeps a text, number, bool or time"),
    "last": (_KEPT, "last(x) keeps a text, number, bool or time"),
    "count_distinct": (_KEPT, "count(distinct x) tells texts, numbers, bools and times apart"),
}
_VERBATIM: Final = frozenset({"first", "last", "min", "max"})


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
        yield from _check_ratio(pack, feature, aggregate.operands, value_at)
        return
    if not feature.by:
        yield Fault(source=feature.source, detail=f"nothing feeds '{feature.name}': say `on` and `by`")
    yield from _check_window(feature, aggregate)
    for name, path in feature.by.items():
        event = pack.events[name]
        if path in event.fields and event.fields[path].type != "text":
            detail = f"'{path}' of {name} is {event.fields[path].type}; a subject is named by a text"
            yield Fault(source=feature.source, detail=detail)
    if aggregate.argument is not None:
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
    if aggregate.function == "count_distinct":
        if feature.bound is None or not 1 <= feature.bound <= BOUND_MAX:
            detail = f"count(distinct x) needs a `bound` between 1 and {BOUND_MAX}: it counts exactly up to there"
            yield Fault(source=feature.source, detail=detail)
    elif feature.bound is not None:
        yield Fault(source=feature.source, detail="only count(distinct x) has a `bound`")


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


def _check_ratio(pack: PackDef, feature: FeatureDef, operands: tuple[str, str], at: Source) -> Iterator[Fault]:
    for name in operands:
        part = pack.features.get(name)
        aggregate = read_value(part.value) if part is not None else None
        if part is None:
            yield Fault(source=at, detail=f"there is no feature '{name}'", hint=nearest(name, pack.features))
        elif aggregate is not None and aggregate.operands is not None:
            yield Fault(source=at, detail=f"'{name}' is itself a ratio")
        elif part.kind != feature.kind:
            detail = f"'{name}' belongs to {part.kind} and '{feature.name}' to {feature.kind}"
            yield Fault(source=at, detail=detail, hint="both features of a ratio belong to the same kind of subject")
        elif aggregate is not None and not _is_number(pack, part, aggregate):
            yield Fault(source=at, detail=f"'{name}' is not a number", hint="a ratio is of counts, sums and averages")
    if feature.where is not None or feature.within_us is not None or feature.excluding_current:
        yield Fault(source=at, detail="a ratio has no `where`, `within` or `excluding`: its two features have them")


def _is_number(pack: PackDef, part: FeatureDef, aggregate: Aggregate) -> bool:
    if aggregate.argument is None or aggregate.function in {"count_of", "count_distinct"}:
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
