"""What a feature was made of at one event: the events behind a count; and features of packs that never decided it."""

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from koban.base import Instant, Refusal, limits, to_rfc3339
from koban.enforcement import SubjectRef
from koban.enforcement import store as sanction_store
from koban.events import Row, accounts_of, make_preparer
from koban.events import archive as archives
from koban.features import (
    SLOTS,
    FeatureStore,
    Plan,
    Step,
    check_argument,
    check_condition,
    compile_features,
    plan_features,
    resolve_key,
    subject_at,
)
from koban.lab import store
from koban.lab.erased import Forgetting, erased_last, erasures_of
from koban.lab.types import Log
from koban.language import Type, Value, compile_value, show
from koban.packs import EVERYONE, EventType, PackDef

SHOWN_MAX: Final = 50
NAMED_MAX: Final = 20  # subjects of an event by which the log is narrowed
READ_MAX: Final = 500_000  # events of the window that are looked at; past that the answer says so


class FeatureUnknown(Refusal):
    """A feature that an event of this type has not."""

    code = "feature_unknown"
    status = 404
    title = "The event has no such feature."


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """One event that a feature counted; `value` is what it gave, where the feature looks at a value.

    `steps` are the steps of a sequence that it was, from 1 on.
    """

    seq: int
    event_id: str
    type: str
    at: str
    value: str = ""
    steps: tuple[int, ...] = ()


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """What a feature was made of. Newest first; `total` counts those that are not shown, too.

    `matches` are the whole ones of a sequence that ended in the window, the newest first: the places in the log of the
    events that made each, in the order of its steps.
    """

    feature: str
    says: str
    subject_kind: str
    subject: str | None
    since: str | None  # where its window begins; null: it has no beginning
    total: int
    events: tuple[Counted, ...]
    whole: bool  # false: the window holds more events than were looked at
    matches: tuple[tuple[int, ...], ...] = ()


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
    return tuple(
        _behind(log, pack, plan, part.name, subject_at(of, row), seq=seq, at=at, naming=_named([of], row))
        for part, of in plan.parts_at(feature, path, event)
    )


def behind_subject(log: Log, pack: PackDef, name: str, subject: str, *, seq: int, at: int) -> tuple[Behind, ...]:
    """Return what a feature counts of a subject before a place in the log, as of a log time.

    Refuses: FeatureUnknown.
    """
    if name not in pack.features:
        raise FeatureUnknown(f"The pack has no feature {name[:80]!r}.")
    plan = plan_features(pack)
    single = plan.features[name].kind != EVERYONE and "+" not in plan.features[name].kind
    naming = (subject,) if single and len(subject) <= limits.ID_CHARS_MAX else ()
    return tuple(
        _behind(log, pack, plan, part.name, subject, seq=seq, at=at, naming=naming) for part in plan.parts(name)
    )


def _named(paths: Collection[str], row: Row) -> tuple[str, ...]:
    """Return texts of which every event of the subjects at some paths holds one; none where there is no saying."""
    found: list[str] = []
    for path in paths:
        named = row.get(path.partition("+")[0]) if path != EVERYONE else None
        if not isinstance(named, str) or not 0 < len(named) <= limits.ID_CHARS_MAX or len(found) == NAMED_MAX:
            return ()
        found.append(named)
    return tuple(found)


def _behind(
    log: Log,
    pack: PackDef,
    plan: Plan,
    name: str,
    subject: str | None,
    *,
    seq: int,
    at: int,
    naming: Sequence[str],
) -> Behind:
    feature, definition = plan.features[name], pack.features[name]
    cell = plan.cells[str(feature.cell)]
    since = None if cell.slot_us is None else at // cell.slot_us * cell.slot_us - (SLOTS - 1) * cell.slot_us
    found: list[tuple[int, int, str, str]] = []
    followed = _Sequence(cell.steps)
    looked = 0
    # A sequence that ends in the window may have begun before it, by as much as its steps may lie apart.
    begins = None if since is None else since - sum(step.within_us or 0 for step in cell.steps)
    readers = {kind: _reader(cell.where, cell.argument, pack.events[kind], path) for kind, path in cell.by.items()}
    paths = {kind: reader.paths for kind, reader in readers.items()}
    upto_seq = seq - feature.excluding_current
    forgotten = -1 if subject is None else erased_last(log, feature.kind, subject, at)
    rows = _rows(log, pack, paths, upto_seq=upto_seq, since=begins, naming=naming)
    for place, moment, kind, row in rows if subject is not None else ():
        looked += 1
        if looked > READ_MAX:
            break
        if subject_at(cell.by[kind], row) != subject or (begins is not None and moment < begins):
            continue
        if moment <= forgotten:
            continue
        told = readers[kind].read(row, moment)
        if told is not None and (not cell.steps or followed.see(place, moment, kind)):
            found.append((place, moment, kind, told))
    matches = followed.ended(since)
    if cell.steps and since is not None:  # what lies before the window is told where it is a part of a whole one
        made = {place for match in matches for place in match}
        found = [each for each in found if each[1] >= since or each[0] in made]
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
            Counted(
                seq=place,
                event_id=ids.get(place, ""),
                type=kind,
                at=to_rfc3339(Instant(moment)),
                value=told,
                steps=followed.steps_of(place),
            )
            for place, moment, kind, told in shown
        ),
        whole=looked <= READ_MAX,
        matches=matches,
    )


class _Sequence:
    """Which event was which step of a sequence, by the rule of `features.cells.see_step`: near enough to the newest before."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._newest: dict[int, tuple[int, tuple[int, ...]]] = {}  # step -> when, and the events up to it
        self._was: dict[int, list[int]] = {}
        self._ended: list[tuple[int, tuple[int, ...]]] = []

    def see(self, place: int, moment: int, kind: str) -> bool:
        """Follow an event; tells whether it was a step. From the last step on, so that none is two after each other."""
        for number in reversed(range(len(self._steps))):
            step = self._steps[number]
            before = self._newest.get(number - 1)
            if step.event != kind:
                continue
            if number > 0 and (before is None or moment - before[0] > (step.within_us or 0)):
                continue
            chain = (*(before[1] if before is not None and number > 0 else ()), place)
            self._was.setdefault(place, []).append(number + 1)
            if number + 1 < len(self._steps):
                self._newest[number] = (moment, chain)
            else:
                self._ended.append((moment, chain))
        return place in self._was

    def steps_of(self, place: int) -> tuple[int, ...]:
        """Return which steps an event was, from 1 on."""
        return tuple(sorted(self._was.get(place, ())))

    def ended(self, since: int | None) -> tuple[tuple[int, ...], ...]:
        """Return the whole ones that ended in the window, the newest first, as many as are shown."""
        found = [chain for moment, chain in self._ended if since is None or moment >= since]
        return tuple(found[-SHOWN_MAX:][::-1])


class _Reader(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of event gives a feature: the fields that are read, and its value; None where it does not count."""

    paths: frozenset[str]
    read: Callable[[Row, int], str | None]


def _reader(where: str | None, looks_at: str | None, event: EventType, path: str) -> _Reader:
    condition = check_condition(where, event) if where is not None else None
    argument = check_argument(looks_at, event) if looks_at is not None else None
    holds = compile_value(condition) if condition is not None else None
    value_of = compile_value(argument) if argument is not None else None

    def read(row: Row, at: int) -> str | None:
        if holds is not None and holds(row, at) is not True:
            return None
        if argument is None or value_of is None:
            return ""
        value = value_of(row, at)
        return None if value is None else _told(value, argument.type)

    named = {path, *path.split("+")} - {EVERYONE}
    asked = [checked.reads for checked in (condition, argument) if checked is not None]
    return _Reader(paths=frozenset(event.fields) & named.union(*asked), read=read)


def values_at(
    log: Log, pack: PackDef, event_type: str, row: Row, keys: Collection[str], *, seq: int, at: int
) -> Mapping[str, Value]:
    """Compute features of a pack as of an event that another pack decided, from the events of its subjects alone."""
    if not keys:
        return {}
    names = {key.partition("@")[0] for key in keys}
    program = compile_features(pack, {event_type: frozenset(keys)}, names=names)
    plan = program.plan
    event = pack.events[event_type]
    read = [(feature, path) for feature, path in (resolve_key(plan, event, key) for key in keys)]
    places = sorted({of for feature, path in read for _, of in plan.parts_at(feature, path, event)})
    places = [of for of in places if subject_at(of, row) is not None]
    subjects = {subject_at(of, row) for of in places}
    by: dict[str, set[str]] = {}
    for cell in plan.cells.values():
        for kind, path in cell.by.items():
            by.setdefault(kind, set()).add(path)
    # The age of a linked subject is kept with that subject, which only the events between say: all are applied.
    all_subjects = any(feature.through is not None for feature in plan.features.values())
    features = FeatureStore(program)
    paths = {kind: frozenset(pack.events[kind].fields) for kind in by}
    naming = () if all_subjects else _named(places, row)
    since = _since(plan, at)

    def rows() -> Iterator[tuple[int, int, str, Row]]:
        return _rows(log, pack, paths, upto_seq=seq - 1, since=since, naming=naming) if subjects else iter(())

    accounts = set(accounts_of(event, row))
    if all_subjects:
        accounts |= {one for _, _, kind, told in rows() for one in accounts_of(pack.events[kind], told)}
    forgetting = Forgetting(erasures_of(log, accounts))
    for place, moment, kind, told in rows():
        forgetting.before(features, moment)
        if all_subjects or any(subject_at(path, told) in subjects for path in by[kind]):
            features.apply(None, place, kind, told, moment)

    def stood(kind: str, subject: str, moment: int) -> bool:
        return sanction_store.stood_at(log.tx, SubjectRef(kind=kind, id=subject), Instant(moment), before_seq=seq)

    forgetting.before(features, at)
    features.standing = stood  # now, for only the last entry is asked
    return features.apply(None, seq, event_type, row, at)


def _since(plan: Plan, at: int) -> int | None:
    widths = [cell.slot_us for cell in plan.cells.values()]
    if any(width is None for width in widths):
        return None
    return at - max((width or 0) for width in widths) * SLOTS


def _rows(
    log: Log,
    pack: PackDef,
    paths: Mapping[str, Collection[str]],
    *,
    upto_seq: int,
    since: int | None,
    naming: Sequence[str],
) -> Iterator[tuple[int, int, str, Row]]:
    """Walk the events of the kinds in `paths`, in the order of the log; rows hold at least the fields named there."""
    after = -1 if since is None else store.seq_before(log.tx, since)

    def of_type(kind: str) -> Iterator[tuple[int, int, str, Row]]:
        event = pack.events[kind]
        found = archives.read_typed(
            log.tx,
            log.archive,
            log.vault,
            make_preparer(event),
            paths=paths[kind],
            after_seq=after,
            upto_seq=upto_seq,
            naming=naming,
        )
        return ((seq, at, kind, row) for seq, at, row in found)

    return heapq.merge(*(of_type(kind) for kind in sorted(paths)), key=lambda each: each[0])


def _told(value: Value, kind: Type) -> str:
    if isinstance(value, str):
        return f"({len(value)} characters)"
    return show(value, kind)
