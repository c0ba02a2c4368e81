"""From an envelope to a prepared event: typed values for rules, personal fields apart, everything else kept."""

import dataclasses
import decimal
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from koban.base import Instant, Problem, from_rfc3339, limits
from koban.events.decode import damaged_name, encode, encode_sorted
from koban.events.reader import INT_MAX, INT_MIN, Field, Personal, Read, dig, make_read, owner_of
from koban.events.types import Envelope, Fault, Flag, Prepared, Row, Value
from koban.packs import EventType

_SCALE: Final = 1_000_000
_DECIMAL_MAX: Final = 10**18 - 1
_UNMARKED: Final = Flag.NONE  # at hand: an enum looks its members up by a function of its own

Pseudonym = Callable[[str, str], str]
Digest = Callable[[bytes], bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preparer:
    """Reads events of one type. Make it with `make_preparer` and keep it."""

    event_type: EventType
    fields: tuple[Field, ...]
    read: Read
    acting: tuple[str, ...] | None
    late_after: int


def make_preparer(event_type: EventType) -> Preparer:
    """Make what `prepare` needs for events of one type."""
    fields = tuple(
        Field(
            path=path,
            parts=tuple(path.split(".")),
            type=field.type,
            personal=tuple(field.personal.split(".")) if field.personal else None,
            joined_as=joined_kind(event_type, path),
            subject=path in event_type.subjects,
        )
        for path, field in event_type.fields.items()
    )
    return Preparer(
        event_type=event_type,
        fields=fields,
        read=make_read(fields),
        acting=tuple(event_type.acting.split(".")) if event_type.acting else None,
        late_after=limits.LATE_AFTER,
    )


def joined_kind(event_type: EventType, path: str) -> str | None:
    """Return the kind under which a joined personal field gets its pseudonym; None for other fields.

    A device is the same device in every role and event type, so the kind and not the path is what is keyed.
    """
    if not event_type.fields[path].joined:
        return None
    role = event_type.subjects.get(path)
    if role is not None:
        return role.kind
    parts = path.split(".")
    return parts[-2] if parts[-1] == "id" and len(parts) > 1 else parts[-1]


def prepare(
    preparer: Preparer,
    envelope: Envelope,
    received_at: Instant,
    pseudonym: Pseudonym,
    digest: Digest,
    *,
    strict: bool = False,
) -> Prepared | Fault:
    """Read the declared fields, take the personal ones out, and keep the rest of the data as it came.

    An undeclared field is kept, unread and reported. Since nobody said what it holds, it is kept sealed under the
    acting account's key. `strict` makes it a fault instead. A declared field of another type is a fault.
    """
    row: Row = {}
    problems: list[Problem] = []
    personal: Personal = {}
    taken: list[tuple[tuple[str, ...], object]] = []
    unread: list[tuple[str, ...]] = []
    shortened: list[tuple[str, ...]] = []
    held: list[tuple[Field, object]] = []
    data = envelope.data
    kept = preparer.read(data, row, personal, held, unread, pseudonym)
    if envelope.damaged_at:
        problems.extend(_damaged_ids(preparer, envelope.damaged_at))
    for field, value in held:
        read = _typed(field, value, problems)
        if isinstance(value, str) and len(value) > limits.TEXT_CHARS_MAX:
            shortened.append(field.parts)
        if field.joined_as is not None and isinstance(read, str):
            read = pseudonym(field.joined_as, read)
            taken.append((field.parts, read))
        elif field.personal is not None:
            personal.setdefault(owner_of(data, field.personal), {})[field.path] = value
            taken.append((field.parts, None))
        row[field.path] = read
    if unread:
        owner = owner_of(data, preparer.acting) if preparer.acting else ""
        for parts in unread:
            personal.setdefault(owner, {})[".".join(parts)] = dig(data, parts)
            taken.append((parts, None))
            if strict:
                problem = "This field is not declared for the event type."
                problems.append(Problem(path=_pointer(parts), detail=problem))
    if problems:
        whole = envelope.raw or _whole(envelope)
        return Fault(raw=whole, problems=tuple(problems), id=envelope.id, source=envelope.source, type=envelope.type)
    event_at = envelope.event_at if envelope.event_at is not None else received_at
    return Prepared(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        event_at=event_at,
        received_at=received_at,
        subject=envelope.subject,
        row=row,
        data=encode(_without(kept, taken) if taken else kept),
        personal=personal,
        digest=digest(_whole(envelope)),
        unread=tuple([_pointer(parts) for parts in (*unread, *shortened)]) if unread or shortened else (),
        flags=_flags(preparer, envelope, event_at, received_at),
    )


def _damaged_ids(preparer: Preparer, damaged_at: frozenset[str]) -> Iterator[Problem]:
    """Name the ids that are damaged: two people or two devices must not become one. Damaged texts are read all the same."""
    for field in preparer.fields:
        if (field.subject or field.joined_as is not None) and field.path in damaged_at:
            yield damaged_name(_pointer(field.parts), f"The id {field.path!r}")


def _flags(preparer: Preparer, envelope: Envelope, event_at: Instant, received_at: Instant) -> Flag:
    flags = Flag.DAMAGED if envelope.damaged else _UNMARKED
    if received_at - event_at > preparer.late_after:
        flags |= Flag.LATE
    elif event_at - received_at > preparer.late_after:
        flags |= Flag.AHEAD
    return flags


def read_row(preparer: Preparer, data: Mapping[str, object], personal: Mapping[str, object]) -> Row:
    """Read the row again from a stored entry: `data` as kept, `personal` as opened by the vault (erased: missing)."""
    row: Row = {}
    ignored: list[Problem] = []
    for field in preparer.fields:
        value = personal.get(field.path) if field.personal and field.joined_as is None else dig(data, field.parts)
        if value is not None:
            row[field.path] = _typed(field, value, ignored)
    return row


def accounts_of(event_type: EventType, row: Row) -> tuple[str, ...]:
    """Return the accounts that an event names, whatever their part in it."""
    named = (row.get(path) for path, role in event_type.subjects.items() if role.kind == "account")
    return tuple(dict.fromkeys(each for each in named if isinstance(each, str) and each))


def _whole(envelope: Envelope) -> bytes:
    """Write what must be the same when an event comes again: type, subject, time and data after decoding."""
    return encode_sorted(
        {
            "id": envelope.id,
            "source": envelope.source,
            "type": envelope.type,
            "subject": envelope.subject,
            "time_us": envelope.event_at,
            "data": envelope.data,
        }
    )


def _pointer(parts: tuple[str, ...]) -> str:
    return "/data/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


def _without(data: Mapping[str, object], taken: list[tuple[tuple[str, ...], object]]) -> dict[str, object]:
    """Copy the data with the taken places removed, or replaced where a pseudonym stands in."""
    copy: dict[str, object] = dict(data)
    copied: set[tuple[str, ...]] = set()
    for parts, replacement in taken:
        node = copy
        for index, part in enumerate(parts[:-1]):
            at = parts[: index + 1]
            child = node[part]
            assert isinstance(child, dict), "a taken place was found by walking there"
            if at not in copied:
                copied.add(at)
                child = dict(child)
                node[part] = child
            node = child
        if replacement is None:
            node.pop(parts[-1], None)
        else:
            node[parts[-1]] = replacement
    return copy


def _typed(field: Field, value: object, problems: list[Problem]) -> Value:
    """Read one value as its declared type; note a problem where it is another."""
    match field.type:
        case "text":
            if isinstance(value, str):
                if field.subject and len(value) > limits.ID_CHARS_MAX:
                    return _wrong(field, f"an id of at most {limits.ID_CHARS_MAX} characters", value, problems)
                return value if len(value) <= limits.TEXT_CHARS_MAX else _ends_of(value)
        case "int":
            if isinstance(value, int) and not isinstance(value, bool) and INT_MIN <= value <= INT_MAX:
                return value
        case "bool":
            if isinstance(value, bool):
                return value
        case "decimal":
            if isinstance(value, int | decimal.Decimal) and not isinstance(value, bool):
                return _scaled(field, value, problems)
        case "timestamp":
            if isinstance(value, str):
                at = from_rfc3339(value)
                if at is not None:
                    return at
        case "text[]":
            if isinstance(value, list) and all(isinstance(item, str) for item in value):
                return tuple(value)
    return _wrong(field, _EXPECTED[field.type], value, problems)


def _ends_of(text: str) -> str:
    """Read the beginning and the end of a text that is too long: a lure behind a wall of padding is still a lure.

    What is kept is whole; that rules did not read all of it is reported with the event's unread paths.
    """
    half = limits.TEXT_CHARS_MAX // 2
    return f"{text[:half]}\n{text[-half:]}"


_EXPECTED: Final = {
    "text": "a text",
    "int": "a whole number between -2^63 and 2^63-1",
    "bool": "true or false",
    "decimal": "a number of at most 12 digits before the point",
    "timestamp": "an RFC 3339 time with an offset",
    "text[]": "a list of texts",
}


def _wrong(field: Field, expected: str, value: object, problems: list[Problem]) -> Value:
    kind = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", int: "a whole number"}
    got = kind.get(type(value), "a number")
    problems.append(
        Problem(path=_pointer(field.parts), detail=f"The field must be {expected}; {got} was sent that is not one.")
    )
    return None


def _scaled(field: Field, value: int | decimal.Decimal, problems: list[Problem]) -> Value:
    """Scale to millionths, rounding half away from zero, as DuckDB casts to decimal(18,6)."""
    with decimal.localcontext() as context:
        context.prec = 60
        try:
            scaled = (decimal.Decimal(value) * _SCALE).to_integral_value(rounding=decimal.ROUND_HALF_UP)
            whole = int(scaled) if scaled.adjusted() < 30 else _DECIMAL_MAX + 1
        except (decimal.InvalidOperation, OverflowError):
            whole = _DECIMAL_MAX + 1
    if abs(whole) > _DECIMAL_MAX:
        return _wrong(field, _EXPECTED["decimal"], value, problems)
    return whole
