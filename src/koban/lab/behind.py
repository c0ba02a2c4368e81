"""What a feature was made of at one event: the events behind a count; and features of packs that never decided it."""

import heapq
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from koban.base import Instant, Refusal, to_rfc3339
from koban.events import Row, make_preparer
from koban.events import archive as archives
from koban.features import (
    SLOTS,
    FeatureStore,
    Plan,
    check_argument,
    check_condition,
    compile_features,
    plan_features,
    resolve_key,
)
from koban.lab import store
from koban.lab.types import Log
from koban.language import Type, Value, compile_value, show
from koban.packs import PackDef

SHOWN_MAX: Final = 50
READ_MAX: Final = 500_000  # events of the window that are looked at; past that the answer says so


class FeatureUnknown(Refusal):
    """A feature that an event of this type has not."""

    code = "feature_unknown"
    status = 404
    title = "The event has no such feature."


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """One event that a feature counted; `value` is what it gave, where the feature looks at a value."""

    seq: int
    event_id: str
    type: str
    at: str
    value: str = ""


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """What a feature was made of. Newest first; `total` counts those that are not shown, too."""

    feature: str
    says: str
    subject_kind: str
    subject: str | None
    since: str | None  # where its window begins; null: it has no beginning
    total: int
    events: tuple[Counted, ...]
    whole: bool  # false: the window holds more events than were looked at


def behind(log: Log, pack: PackDef, event_type: str, row: Row, key: str, *, seq: int, at: int) -> tuple[Behind, ...]:
    """Return the events behind a feature at an event; a ratio has two parts.

    `row` holds the event's fields, `key` the feature as rules name it: `name`, or `name@path` for of(name, path).
    What people wrote is not told: texts are shown as their length.
    Refuses: FeatureUnknown.
    """
    plan = plan_features(pack)
    event = pack.events[event_type]
    try:
        feature, path = resolve_key(plan, event, key)
    except KeyError:
        raise FeatureUnknown(f"An event {event_type} has no feature {key[:80]!r}.") from None
    subject = row.get(path)
    return tuple(
        _behind(log, pack, plan, part.name, str(subject) if subject is not None else None, seq=seq, at=at)
        for part in plan.parts(feature.name)
    )


def behind_subject(log: Log, pack: PackDef, name: str, subject: str, *, seq: int, at: int) -> tuple[Behind, ...]:
    """Return what a feature counts of a subject before a place in the log, as of a log time.

    Refuses: FeatureUnknown.
    """
    if name not in pack.features:
        raise FeatureUnknown(f"The pack has no feature {name[:80]!r}.")
    plan = plan_features(pack)
    return tuple(_behind(log, pack, plan, part.name, subject, seq=seq, at=at) for part in plan.parts(name))


def _behind(log: Log, pack: PackDef, plan: Plan, name: str, subject: str | None, *, seq: int, at: int) -> Behind:
    feature, definition = plan.features[name], pack.features[name]
    cell = plan.cells[str(feature.cell)]
    since = None if cell.slot_us is None else at // cell.slot_us * cell.slot_us - (SLOTS - 1) * cell.slot_us
    found: list[tuple[int, int, str, str]] = []
    looked = 0
    for place, moment, kind, row in _rows(log, pack, cell.by, upto_seq=seq - feature.excluding_current, since=since):
        looked += 1
        if looked > READ_MAX:
            break
        if subject is None or row.get(cell.by[kind]) != subject or (since is not None and moment < since):
            continue
        event = pack.events[kind]
        if cell.where is not None and compile_value(check_condition(cell.where, event))(row, moment) is not True:
            continue
        told = ""
        if cell.argument is not None:
            checked = check_argument(cell.argument, event)
            value = compile_value(checked)(row, moment)
            if value is None:
                continue
            told = _told(value, checked.type)
        found.append((place, moment, kind, told))
    shown = found[-SHOWN_MAX:][::-1]
    ids = store.event_ids(log.tx, [each[0] for each in shown])
    ids |= archives.read_event_ids(log.tx, log.archive, [each[0] for each in shown if each[0] not in ids])
    where = f" where {definition.where}" if definition.where else ""
    return Behind(
        feature=name,
        says=" ".join(f"{definition.value}{where}".split()),
        subject_kind=feature.kind,
        subject=subject,
        since=None if since is None else to_rfc3339(Instant(since)),
        total=len(found),
        events=tuple(
            Counted(seq=place, event_id=ids.get(place, ""), type=kind, at=to_rfc3339(Instant(moment)), value=told)
            for place, moment, kind, told in shown
        ),
        whole=looked <= READ_MAX,
    )


def values_at(
    log: Log, pack: PackDef, event_type: str, row: Row, keys: Collection[str], *, seq: int, at: int
) -> Mapping[str, Value]:
    """Compute features of a pack as of an event that another pack decided, from the events of its subjects alone."""
    if not keys:
        return {}
    names = {key.partition("@")[0] for key in keys}
    program = compile_features(pack, {event_type: frozenset(keys)}, names=names)
    plan = program.plan
    subjects = {row.get(resolve_key(plan, pack.events[event_type], key)[1]) for key in keys} - {None}
    by: dict[str, set[str]] = {}
    for cell in plan.cells.values():
        for kind, path in cell.by.items():
            by.setdefault(kind, set()).add(path)
    features = FeatureStore(program)
    for place, moment, kind, told in _rows(log, pack, by, upto_seq=seq - 1, since=_since(plan, at)):
        if any(told.get(path) in subjects for path in by[kind]):
            features.apply(None, place, kind, told, moment)
    return features.apply(None, seq, event_type, row, at)


def _since(plan: Plan, at: int) -> int | None:
    widths = [cell.slot_us for cell in plan.cells.values()]
    if any(width is None for width in widths):
        return None
    return at - max((width or 0) for width in widths) * SLOTS


def _rows(
    log: Log, pack: PackDef, kinds: Collection[str], *, upto_seq: int, since: int | None
) -> Iterator[tuple[int, int, str, Row]]:
    """Walk the events that feed a feature, in the order of the log."""
    after = -1 if since is None else store.seq_before(log.tx, since)

    def of_type(kind: str) -> Iterator[tuple[int, int, str, Row]]:
        event = pack.events[kind]
        found = archives.read_typed(
            log.tx,
            log.archive,
            log.vault,
            make_preparer(event),
            paths=set(event.fields),
            after_seq=after,
            upto_seq=upto_seq,
        )
        return ((seq, at, kind, row) for seq, at, row in found)

    return heapq.merge(*(of_type(kind) for kind in sorted(kinds)), key=lambda each: each[0])


def _told(value: Value, kind: Type) -> str:
    if isinstance(value, str):
        return f"({len(value)} characters)"
    return show(value, kind)
