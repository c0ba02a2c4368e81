"""The sections of a pack other than rules: events, features, policies and lists, one reader each."""

import re
from collections.abc import Mapping
from typing import Final, Literal, cast

from koban.base import DAY
from koban.packs import reading
from koban.packs.actions import read_ladder_step
from koban.packs.documents import Entries, Items, Node, Scalar
from koban.packs.faults import Fault, nearest
from koban.packs.reading import DOTTED, NAME, SLASHED, Record
from koban.packs.types import (
    DefinitionDef,
    EventType,
    FeatureDef,
    Field,
    FieldType,
    ListDef,
    LossRole,
    MoneyRole,
    PolicyDef,
    ScoreDef,
    Source,
    SubjectRole,
    subject_kind,
)

FIELD_TYPES: Final = ("text", "int", "decimal", "bool", "timestamp", "text[]")
FALLBACKS: Final = ("allow", "hold", "challenge", "block")
MONEY_KINDS: Final = ("order", "payment", "payout")
SEVERITIES: Final = ("low", "medium", "high", "severe")
MAX_FIELDS: Final = 500
MAX_LADDER: Final = 12
MAX_LIST_ENTRIES: Final = 200_000
MAX_LIST_ENTRY: Final = 500
MAX_BOUND: Final = 1_000

_VALUE: Final = re.compile(
    r"(count|sum|avg|min|max|first|last|age_days|stddev|most_frequent|sequence|linked_sanctioned|linked_youngest"
    r"|linked_oldest|ratio|rate|peers)\s*\((.*)\)",
    re.DOTALL | re.IGNORECASE,
)
_NAMES: Final = re.compile(r"\s*[a-z][a-z0-9_]*\s*(?:,\s*[a-z][a-z0-9_]*\s*){1,2}")
_COMPOSED: Final = {"ratio": ("a", "b"), "rate": ("a", "b"), "peers": ("a", "total", "members")}
_BOUNDED: Final = ("most_frequent", "linked_sanctioned", "linked_youngest", "linked_oldest")
_DISTINCT: Final = re.compile(r"\s*distinct\s", re.IGNORECASE)


def read_event(node: Node, faults: list[Fault]) -> EventType | None:
    """Read the declaration of one event type and check its paths against its own fields."""
    record = reading.open_record(
        node,
        faults,
        what="an event type",
        required=("event", "about", "within_ms", "fallback", "retention", "fields"),
        optional=("acting", "recipient", "content", "reported", "texts", "subjects", "loss", "money"),
    )
    if record is None:
        return None
    fields = _read_fields(record)
    subjects = _read_subjects(record, fields)
    texts = reading.names(record, "texts", DOTTED)
    for path, at in texts:
        _known_path(record, at, path, fields, "text")
    roles: dict[str, str | None] = {}
    for role in ("acting", "recipient", "content", "reported"):
        roles[role] = reading.optional_name(record, role, DOTTED)
        if roles[role] is not None and roles[role] not in subjects:
            detail = f"'{role}' must name one of the event's subjects"
            record.fault(record.at_of(role), detail, nearest(str(roles[role]), subjects))
    for person in (roles["acting"], roles["recipient"], roles["reported"]):
        if person in subjects and subjects[person].kind != "account":
            record.fault(record.at, f"'{person}' must be a subject of kind account")
    retention = record.value("retention")
    return EventType(
        name=reading.name(record, "event", DOTTED),
        fields=fields,
        subjects=subjects,
        acting=roles["acting"],
        recipient=roles["recipient"],
        content=roles["content"],
        reported=roles["reported"],
        within_ms=reading.integer(record, "within_ms", low=1, high=60_000, default=200),
        fallback=reading.one_of(record, "fallback", FALLBACKS, "allow"),
        retention_days=_days(retention, faults) if retention is not None else 365,
        texts=tuple(path for path, _ in texts),
        about=reading.texts(record, "about"),
        source=record.at,
        loss=_read_loss(record, fields, subjects),
        money=_read_money(record, fields),
    )


def _read_loss(record: Record, fields: Mapping[str, Field], subjects: Mapping[str, SubjectRole]) -> LossRole | None:
    node = record.value("loss")
    if node is None:
        return None
    inner = reading.open_record(node, record.faults, what="'loss'", required=("amount", "by"))
    if inner is None:
        return None
    amount, by = reading.name(inner, "amount", DOTTED), reading.name(inner, "by", DOTTED)
    if amount and (amount not in fields or fields[amount].type != "int" or fields[amount].unit != "minor"):
        detail = "a loss must name a field of whole minor units: {type: int, unit: minor}"
        inner.fault(inner.at_of("amount"), detail, nearest(amount, fields))
    if by and (by not in subjects or subjects[by].kind != "account"):
        accounts = [path for path, role in subjects.items() if role.kind == "account"]
        inner.fault(inner.at_of("by"), "a loss is caused by one of the event's accounts", nearest(by, accounts))
    return LossRole(amount=amount, by=by)


def _read_money(record: Record, fields: Mapping[str, Field]) -> MoneyRole | None:
    """Read `money: {payout: amount_minor}`: what kind of money the event moves, and where the amount stands."""
    node = record.value("money")
    if node is None:
        return None
    if not isinstance(node, Entries) or len(node.pairs) != 1:
        record.fault(node.at, "'money' must say one kind and its amount", "money: {payout: amount_minor}")
        return None
    key, value = node.pairs[0]
    kind = reading.word(key, record.faults, MONEY_KINDS, "order", what="a kind of money")
    path = reading.checked_name(value, record.faults, DOTTED, what="the field path")
    if path not in fields or fields[path].type != "int" or fields[path].unit != "minor":
        record.fault(value.at, f"'{path}' must be a field {{type: int, unit: minor}} of the event")
    if "currency" not in fields or fields["currency"].type != "text":
        record.fault(node.at, "an event that moves money has a field `currency: text`")
    # cast: `word` has just checked it against MONEY_KINDS
    return MoneyRole(kind=cast('Literal["order", "payment", "payout"]', kind), path=path)


def _days(node: Node, faults: list[Fault]) -> int:
    length = reading.duration(node, faults, what="'retention'")
    if length % DAY:
        if not faults or faults[-1].source != node.at:
            faults.append(Fault(source=node.at, detail="'retention' must be whole days"))
        return 1
    return length // DAY


def _read_fields(record: Record) -> dict[str, Field]:
    node = record.value("fields")
    fields: dict[str, Field] = {}
    if node is None:
        return fields
    if not isinstance(node, Entries):
        record.fault(node.at, "'fields' must map each path to its type")
        return fields
    if len(node.pairs) > MAX_FIELDS:
        record.fault(node.at, f"an event type has at most {MAX_FIELDS} fields")
    places: dict[str, Source] = {}
    for key, value in node.pairs:
        path = reading.checked_name(key, record.faults, DOTTED, what="the field path")
        places[path] = key.at
        fields[path] = _read_field(path, value, record.faults)
    for path, field in fields.items():
        owner = field.personal
        if owner is not None:
            _known_path(record, places[path], owner, fields, "text")
            if owner == path:
                record.fault(places[path], "a field cannot be personal to itself")
        if path == "time":
            record.fault(places[path], "'time' is the log time in every expression and cannot be a field")
        parent = next((other for other in fields if path.startswith(other + ".")), None)
        if parent is not None:
            record.fault(places[path], f"'{parent}' is a field itself, so it cannot hold '{path}'")
    return fields


def _read_field(path: str, node: Node, faults: list[Fault]) -> Field:
    # The casts narrow words that `word` and `one_of` have just checked against FIELD_TYPES.
    if isinstance(node, Scalar):
        kind = reading.word(node, faults, FIELD_TYPES, "text", what="a field's type")
        return Field(path=path, type=cast("FieldType", kind))
    optional = ("personal", "joined", "unit", "about")
    record = reading.open_record(node, faults, what="a field", required=("type",), optional=optional)
    if record is None:
        return Field(path=path, type="text")
    kind = reading.one_of(record, "type", FIELD_TYPES, "text")
    personal = reading.optional_name(record, "personal", DOTTED)
    joined = reading.boolean(record, "joined", default=False)
    if joined and personal is None:
        record.fault(record.at_of("joined"), "'joined' is for personal fields", "say whose it is: personal: seller.id")
    if personal is not None and kind not in {"text", "text[]"}:
        record.fault(record.at_of("type"), "a personal field must be text or text[]")
    return Field(
        path=path,
        type=cast("FieldType", kind),
        personal=personal,
        joined=joined,
        unit=reading.optional_name(record, "unit"),
        about=reading.texts(record, "about", required=False),
    )


def _read_subjects(record: Record, fields: Mapping[str, Field]) -> dict[str, SubjectRole]:
    node = record.value("subjects")
    subjects: dict[str, SubjectRole] = {}
    if node is None:
        return subjects
    if not isinstance(node, Entries):
        record.fault(node.at, "'subjects' must map each path to a kind: seller.id: account")
        return subjects
    for key, value in node.pairs:
        _known_path(record, key.at, key.text, fields, "text")
        kind = reading.checked_name(value, record.faults, NAME, what="the kind")
        subjects[key.text] = SubjectRole(path=key.text, kind=kind)
    return subjects


def _known_path(record: Record, at: Source, path: str, fields: Mapping[str, Field], kind: str) -> None:
    if path not in fields:
        record.fault(at, f"there is no field '{path}'", nearest(path, fields))
    elif fields[path].type != kind:
        record.fault(at, f"'{path}' must be a field of type {kind}, and is {fields[path].type}")


def read_feature(node: Node, faults: list[Fault], events: Mapping[str, EventType]) -> FeatureDef | None:
    """Read one feature; its kind follows from the subjects that its `by` paths name."""
    optional = ("on", "by", "where", "within", "excluding", "bound")
    record = reading.open_record(
        node, faults, what="a feature", required=("feature", "value", "about"), optional=optional
    )
    if record is None:
        return None
    value = reading.text(record, "value")
    shape = _check_value(record, value)
    by = _read_by(record, events, is_composed=shape in _COMPOSED)
    within = record.value("within")
    where = record.value("where")
    if shape in _COMPOSED:
        for key in ("where", "within", "excluding"):
            if key in record.fields:
                record.fault(record.at_of(key), f"a {shape} has no '{key}': its features have their own")
    elif within is None:
        record.fault(record.at, "a feature needs the key 'within'", "a duration, or ever")
    ever = within is None or (isinstance(within, Scalar) and within.text == "ever")
    excluding = reading.one_of(record, "excluding", ("current", "nothing"), "nothing")
    return FeatureDef(
        name=reading.name(record, "feature"),
        kind=_kind_of(record, by, events),
        by=by,
        value=value,
        where=None if where is None else reading.text(record, "where"),
        within_us=None if ever or within is None else reading.duration(within, faults, what="'within'"),
        excluding_current=excluding == "current",
        bound=reading.integer(record, "bound", low=1, high=MAX_BOUND, default=1) if "bound" in record.fields else None,
        about=reading.texts(record, "about"),
        source=record.at,
        value_at=record.at_of("value"),
        where_at=None if where is None else where.at,
    )


def composed_of(value: str) -> tuple[str, ...] | None:
    """Return the feature names of `ratio(a, b)`, `rate(a, b)` and `peers(a, total, members)`; None for other values."""
    shape = _VALUE.fullmatch(value.strip())
    if shape is None or shape[1].lower() not in _COMPOSED or _NAMES.fullmatch(shape[2]) is None:
        return None
    parts = tuple(part.strip() for part in shape[2].split(","))
    return parts if len(parts) == len(_COMPOSED[shape[1].lower()]) else None


def _check_value(record: Record, value: str) -> str:
    shape = _VALUE.fullmatch(value.strip())
    at = record.at_of("value")
    if shape is None:
        if value:
            hint = (
                "count(*), count(x), count(distinct x), sum(x), avg(x), stddev(x), min(x), max(x), first(x), last(x), "
                "most_frequent(x), age_days(), sequence(a THEN b WITHIN 10 minutes), linked_sanctioned(x), "
                "linked_youngest(x, age), linked_oldest(x, age), ratio(a, b), rate(a, b), peers(a, total, members)"
            )
            record.fault(at, "'value' must be one aggregate", hint)
        return ""
    kind, inner = shape[1].lower(), shape[2]
    distinct = kind == "count" and _DISTINCT.match(inner) is not None
    needed = distinct or kind in _BOUNDED
    if needed != ("bound" in record.fields):
        name = "count(distinct x)" if distinct else f"{kind}(x)"
        detail = (
            f"{name} needs a 'bound'" if needed else f"'bound' is only for count(distinct x), {', '.join(_BOUNDED)}"
        )
        hint = "bound: K counts exactly up to K, and K means K or more" if distinct else ""
        record.fault(at, detail, hint or ("how many of the values seen last are kept" if needed else ""))
    if kind == "age_days" and inner.strip():
        record.fault(at, "age_days() takes nothing: it counts whole days since the subject's first counted event")
    if kind in _COMPOSED and composed_of(value) is None:
        wanted = ", ".join(_COMPOSED[kind])
        record.fault(at, f"{kind}({wanted}) takes the names of {'three' if kind == 'peers' else 'two'} features")
    if kind not in {"age_days", *_COMPOSED} and not inner.strip():
        record.fault(at, f"{kind}() needs something to work on", "count(*) counts events" if kind == "count" else "")
    return kind


def _path(node: Node, record: Record, what: str) -> str:
    """Read the path of a subject, or a list of two paths: the pair of both."""
    if not isinstance(node, Items):
        return reading.checked_name(node, record.faults, DOTTED, what=what)
    if len(node.items) != 2:
        record.fault(node.at, f"{what} names one subject, or a pair of two", "by: [buyer.id, seller.id]")
    return "+".join(reading.checked_name(each, record.faults, DOTTED, what=what) for each in node.items[:2])


def _read_by(record: Record, events: Mapping[str, EventType], *, is_composed: bool) -> dict[str, str]:
    on = reading.names(record, "on", DOTTED)
    node = record.value("by")
    pairs: list[tuple[str, str, Source, Source]] = []  # event type, path, and where each stands
    if isinstance(node, Entries):
        for key, value in node.pairs:
            path = _path(value, record, "the path")
            pairs.append((key.text, path, key.at, value.at))
        for event, at in on:
            if event not in {pair[0] for pair in pairs}:
                record.fault(at, f"'by' does not say which subject of '{event}' is meant")
    elif node is not None:
        path = _path(node, record, "'by'")
        pairs = [(event, path, at, node.at) for event, at in on]
        if not on:
            record.fault(record.at, "a feature needs the key 'on'", "or a 'by' that maps event types to paths")
    elif not is_composed:
        record.fault(record.at, "a feature needs the key 'by'", "the path of the subject it belongs to: by: seller.id")
    by = {}
    for event, path, event_at, path_at in pairs:
        if event not in events:
            record.fault(event_at, f"there is no event type '{event}'", nearest(event, events))
        elif subject_kind(events[event], path) is None:
            detail = f"'{path}' is not a subject of {event}"
            record.fault(path_at, detail, nearest(path, events[event].subjects))
        else:
            by[event] = path
    return by


def _kind_of(record: Record, by: Mapping[str, str], events: Mapping[str, EventType]) -> str:
    kinds = {str(subject_kind(events[event], path)): event for event, path in by.items()}
    if len(kinds) > 1:
        told = ", ".join(f"{kind} ({event})" for kind, event in sorted(kinds.items()))
        record.fault(record.at_of("by"), f"a feature belongs to one kind of subject, and these differ: {told}")
    return next(iter(kinds), "")


def read_policy(node: Node, faults: list[Fault]) -> PolicyDef | None:
    """Read one node of the policy tree."""
    record = reading.open_record(
        node,
        faults,
        what="a policy",
        required=("policy", "title", "text", "severity"),
        optional=("ladder", "strikes_within", "second_person"),
    )
    if record is None:
        return None
    severity = reading.one_of(record, "severity", SEVERITIES, "low")
    ladder = reading.each(
        record.value("ladder"), faults, lambda step: read_ladder_step(step, faults), what="'ladder'", most=MAX_LADDER
    )
    within = record.value("strikes_within")
    ever = within is None or (isinstance(within, Scalar) and within.text == "ever")
    return PolicyDef(
        name=reading.name(record, "policy", SLASHED),
        title=reading.texts(record, "title"),
        text=reading.texts(record, "text"),
        severity=severity,  # type: ignore[arg-type]  # one_of has checked it against SEVERITIES
        ladder=tuple(ladder),
        strikes_within_us=None if ever or within is None else reading.duration(within, faults, what="'strikes_within'"),
        second_person=reading.boolean(record, "second_person", default=severity == "severe"),
        source=record.at,
    )


def read_definition(node: Node, faults: list[Fault]) -> DefinitionDef | None:
    """Read one definition; its expression stays text here, with the place where it starts."""
    record = reading.open_record(node, faults, what="a definition", required=("define", "as", "about"))
    if record is None:
        return None
    return DefinitionDef(
        name=reading.name(record, "define"),
        text=reading.text(record, "as"),
        about=reading.texts(record, "about"),
        source=record.at,
        text_at=record.at_of("as"),
    )


def read_score(node: Node, faults: list[Fault]) -> ScoreDef | None:
    """Read the declaration of one score."""
    record = reading.open_record(node, faults, what="a score", required=("score", "of", "about"))
    if record is None:
        return None
    return ScoreDef(
        name=reading.name(record, "score"),
        kind=reading.name(record, "of"),
        about=reading.texts(record, "about"),
        source=record.at,
    )


def read_list(node: Node, faults: list[Fault], files: Mapping[str, str]) -> ListDef | None:
    """Read one list with its initial entries, written in place or in a text file of the pack."""
    record = reading.open_record(
        node,
        faults,
        what="a list",
        required=("list", "kind", "about"),
        optional=("of", "entries", "file", "unless", "unless_file", "negatable", "whole_word"),
    )
    if record is None:
        return None
    kind = reading.one_of(record, "kind", ("values", "phrases"), "values")
    if kind == "values":
        for key in ("unless", "unless_file", "negatable", "whole_word"):
            if key in record.fields:
                record.fault(record.fields[key][0].at, f"'{key}' is only for lists of phrases")
        said = record.value("kind")
        if "of" not in record.fields and isinstance(said, Scalar) and said.text == "values":
            record.fault(record.at, "a list of values needs the key 'of'", "what its values are: account, domain, …")
    elif "of" in record.fields:
        record.fault(record.fields["of"][0].at, "'of' is only for lists of values")
    return ListDef(
        name=reading.name(record, "list"),
        kind="phrases" if kind == "phrases" else "values",
        of=reading.optional_name(record, "of"),
        entries=_list_entries(record, "entries", "file", files),
        unless=_list_entries(record, "unless", "unless_file", files),
        negatable=reading.boolean(record, "negatable", default=False),
        whole_word=reading.boolean(record, "whole_word", default=False),
        about=reading.texts(record, "about"),
        source=record.at,
    )


def _list_entries(record: Record, key: str, file_key: str, files: Mapping[str, str]) -> tuple[str, ...]:
    found: dict[str, Source] = {}
    places = [
        (reading.scalar_text(node, record.faults, what="a list entry"), node.at)
        for node in reading.items(record.value(key), record.faults, what=f"'{key}'", most=MAX_LIST_ENTRIES)
    ]
    file = reading.text(record, file_key)
    if file and file not in files:
        known = [name for name in files if name.endswith(".txt")]
        record.fault(record.at_of(file_key), f"there is no file '{file}' in the pack", nearest(file, known))
    elif file:
        for number, line in enumerate(files[file].split("\n"), start=1):
            entry = line.strip()
            if entry and not entry.startswith("#"):
                places.append((entry, Source(file=file, line=number)))
    if len(places) > MAX_LIST_ENTRIES:
        record.fault(record.at, f"a list has at most {MAX_LIST_ENTRIES} entries")
    for entry, at in places:
        if not entry.strip():
            record.fault(at, "a list entry must not be empty")
        elif len(entry) > MAX_LIST_ENTRY:
            record.fault(at, f"a list entry has at most {MAX_LIST_ENTRY} characters")
        elif entry in found:
            record.fault(at, f"'{entry}' is listed twice; first in {found[entry].file} on line {found[entry].line}")
        else:
            found[entry] = at
    return tuple(found)
