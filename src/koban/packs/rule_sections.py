"""The sections of a pack about rules: the rules themselves and the cases that test them."""

import datetime
import decimal
import re
from collections.abc import Mapping
from typing import Final

from koban.base import DAY, Instant, from_rfc3339
from koban.packs import reading
from koban.packs.actions import read_action
from koban.packs.documents import Entries, Items, Node, Scalar
from koban.packs.faults import Fault, nearest
from koban.packs.reading import DOTTED, SLASHED, Record
from koban.packs.types import (
    CASE_TIME,
    EventType,
    FeatureDef,
    Field,
    ListDef,
    Mode,
    ModeName,
    RuleCase,
    RuleDef,
    ScoreDef,
)

MAX_ACTIONS: Final = 10
MAX_CASE_LINES: Final = 5_000
MAX_CAP: Final = 1_000_000
DEFAULT_CAP: Final = 100
DECIMAL_SCALE: Final = 1_000_000

_CAP: Final = re.compile(r"([0-9]{1,7}) per hour")
_PERCENT: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,6})?")
_AGO: Final = re.compile(r"(.+) ago")
_FEATURE_READ: Final = re.compile(r"of\(\s*([a-z][a-z0-9_]*)\s*,\s*([a-z][a-z0-9_.]*)\s*\)|([a-z][a-z0-9_]*)")
_SCORE_READ: Final = re.compile(r"score\(\s*'?([a-z][a-z0-9_]*)'?\s*(?:,\s*([a-z][a-z0-9_.]*)\s*)?\)")


def read_rule(node: Node, faults: list[Fault]) -> RuleDef | None:
    """Read one rule; its condition stays text here, with the place where it starts."""
    record = reading.open_record(
        node,
        faults,
        what="a rule",
        required=("rule", "policy", "on", "when", "then", "because"),
        optional=("mode", "cap"),
    )
    if record is None:
        return None
    steps = reading.items(record.value("then"), faults, what="'then'", most=MAX_ACTIONS)
    actions = [(action, node.at) for node in steps if (action := read_action(node, faults)) is not None]
    if "then" in record.fields and not steps:
        record.fault(record.at_of("then"), "'then' must not be empty", "a rule that only watches opens a case")
    on = reading.names(record, "on", DOTTED)
    if "on" in record.fields and not on:
        record.fault(record.at_of("on"), "'on' must name at least one event type")
    return RuleDef(
        name=reading.name(record, "rule"),
        policy=reading.name(record, "policy", SLASHED),
        on=tuple(event for event, _ in on),
        when=reading.text(record, "when"),
        then=tuple(action for action, _ in actions),
        mode=_read_mode(record),
        cap_per_hour=_read_cap(record),
        because=reading.texts(record, "because"),
        source=record.at,
        when_at=record.at_of("when"),
        places={
            "policy": record.at_of("policy"),
            **{f"on {event}": at for event, at in on},
            **{f"then {place}": at for place, (_, at) in enumerate(actions)},
        },
    )


def parse_mode(written: str) -> Mode | None:
    """Read a mode written as one text: `retired`, `off`, `shadow`, `review`, `live`, `live 10%`; None when it is not one."""
    if written in set(ModeName):
        return Mode(name=ModeName(written))
    share = _PERCENT.fullmatch(written.removeprefix("live ").strip()) if written.startswith("live ") else None
    if share is None:
        return None
    basis_points = int(share[1]) * 100 + int((share[2] or "").ljust(2, "0"))
    return Mode(name=ModeName.LIVE, basis_points=basis_points) if 0 < basis_points <= 10_000 else None


def _read_mode(record: Record) -> Mode:
    node = record.value("mode")
    if node is None:
        return Mode(name=ModeName.SHADOW)
    written = ""
    if isinstance(node, Scalar):
        written = node.text
    elif isinstance(node, Entries) and len(node.pairs) == 1:
        key, value = node.pairs[0]
        written = f"{key.text} {value.text}" if isinstance(value, Scalar) else ""
    mode = parse_mode(written)
    if mode is None:
        hint = "retired, off, shadow, review, live, or {live: 10%} with more than 0% and at most 100%"
        record.fault(node.at, "'mode' cannot be read", hint)
        return Mode(name=ModeName.OFF)
    return mode


def _read_cap(record: Record) -> int:
    node = record.value("cap")
    if node is None:
        return DEFAULT_CAP
    match = _CAP.fullmatch(node.text) if isinstance(node, Scalar) else None
    if match is None or not 0 < int(match[1]) <= MAX_CAP:
        record.fault(node.at, "'cap' must say how many people an hour", f"cap: {DEFAULT_CAP} per hour")
        return DEFAULT_CAP
    return int(match[1])


def read_cases(
    node: Node,
    faults: list[Fault],
    *,
    events: Mapping[str, EventType],
    features: Mapping[str, FeatureDef],
    lists: Mapping[str, ListDef],
    scores: Mapping[str, ScoreDef],
) -> list[RuleCase]:
    """Read one item of a cases file: a single case, or a table of lines that must match and must not."""
    keys = {key.text for key, _ in node.pairs} if isinstance(node, Entries) else set()
    table = "matches" not in keys and bool(keys & {"must_match", "must_not_match", "field"})
    record = reading.open_record(
        node,
        faults,
        what="a table of cases" if table else "a case",
        required=("rule", "event", "field") if table else ("rule", "matches", "event", "data"),
        optional=(
            ("data", "must_match", "must_not_match", "features", "lists", "family", "at", "why")
            if table
            else ("features", "lists", "family", "at", "why")
        ),
    )
    if record is None:
        return []
    event = events.get(reading.name(record, "event", DOTTED))
    if event is None and "event" in record.fields:
        name = reading.name(record, "event", DOTTED)
        record.fault(record.at_of("event"), f"there is no event type '{name}'", nearest(name, events))
    at = _read_time(record)
    data = _read_data(record, event, at) if event is not None else {}
    shared = RuleCase(
        rule=reading.name(record, "rule"),
        matches=reading.boolean(record, "matches", default=True),
        event_type=event.name if event is not None else "",
        data=data,
        features=_read_given_features(record, features, scores),
        lists=_read_given_lists(record, lists),
        why=reading.text(record, "why"),
        family=reading.text(record, "family"),
        at=at,
        source=record.at,
        rule_at=record.at_of("rule"),
    )
    return _read_lines(record, event, shared) if table else [shared]


def _read_lines(record: Record, event: EventType | None, shared: RuleCase) -> list[RuleCase]:
    field = reading.name(record, "field", DOTTED)
    if event is not None and (field not in event.fields or event.fields[field].type != "text"):
        texts = [path for path, declared in event.fields.items() if declared.type == "text"]
        record.fault(record.at_of("field"), f"'{field}' is not a text field of {event.name}", nearest(field, texts))
    cases = []
    for key, matches in (("must_match", True), ("must_not_match", False)):
        lines = reading.items(record.value(key), record.faults, what=f"'{key}'", most=MAX_CASE_LINES)
        for line in lines:
            written = reading.scalar_text(line, record.faults, what="a line")
            cases.append(
                RuleCase(
                    rule=shared.rule,
                    matches=matches,
                    event_type=shared.event_type,
                    data={**shared.data, field: written},
                    features=shared.features,
                    lists=shared.lists,
                    why=shared.why,
                    family=shared.family,
                    at=shared.at,
                    source=line.at,
                    rule_at=shared.rule_at,
                )
            )
    if not cases:
        record.fault(record.at, "a table of cases needs lines under 'must_match' or 'must_not_match'")
    return cases


def _read_time(record: Record) -> Instant:
    node = record.value("at")
    if node is None:
        return CASE_TIME
    at = from_rfc3339(node.text) if isinstance(node, Scalar) else None
    if at is None:
        record.fault(node.at, "'at' must be a time", "for example 2026-01-15T03:00:00+09:00")
    return CASE_TIME if at is None else at


def _read_data(record: Record, event: EventType, at: Instant) -> dict[str, object]:
    node = record.value("data")
    row: dict[str, object] = {}
    if node is None:
        return row
    if not isinstance(node, Entries):
        record.fault(node.at, "'data' must map each field to its value")
        return row
    # Both ways of writing are fine: `sender.id: a1`, and `sender: {id: a1}` as in the event's JSON.
    waiting: list[tuple[str, Scalar, Node]] = [(key.text, key, value) for key, value in reversed(node.pairs)]
    while waiting:
        path, key, value = waiting.pop()
        if isinstance(value, Entries):
            waiting.extend((f"{path}.{inner.text}", inner, deeper) for inner, deeper in reversed(value.pairs))
        elif path not in event.fields:
            record.fault(key.at, f"{event.name} has no field '{path}'", nearest(path, event.fields))
        elif path in row:
            record.fault(key.at, f"'{path}' is given twice")
        elif not _is_null(value):
            row[path] = _read_value(value, event.fields[path], at, record)
    return row


def _read_value(node: Node, field: Field, at: Instant, record: Record) -> object:
    read: object = None
    match field.type:
        case "text":
            return reading.scalar_text(node, record.faults, what=f"'{field.path}'")
        case "text[]":
            inner = node.items if isinstance(node, Items) else (node,)
            return tuple(reading.scalar_text(item, record.faults, what=f"'{field.path}'") for item in inner)
        case "int":
            read = reading.as_integer(node)
        case "bool":
            read = reading.as_boolean(node)
        case "decimal":
            written = _decimal(node)
            read = None if written is None else int(written * DECIMAL_SCALE)
        case "timestamp":
            read = _timestamp(node, at)
    if read is None:
        hint = "2026-01-15T03:00:00+09:00, or 3 days ago" if field.type == "timestamp" else ""
        record.fault(node.at, f"'{field.path}' must be of type {field.type}", hint)
    return read


def _timestamp(node: Node, at: Instant) -> int | None:
    if not isinstance(node, Scalar):
        return None
    ago = _AGO.fullmatch(node.text)
    if ago is not None:
        length = reading.parse_duration(ago[1])
        return None if length is None else at - length
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", node.text):
        try:
            day = datetime.date.fromisoformat(node.text)
        except ValueError:
            return None
        return (day - datetime.date(1970, 1, 1)).days * DAY
    return from_rfc3339(node.text)


def _decimal(node: Node) -> decimal.Decimal | None:
    if isinstance(node, Scalar) and node.plain and _DECIMAL.fullmatch(node.text):
        return decimal.Decimal(node.text)
    return None


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.plain and node.text in {"", "~", "null"}


def _read_given_features(
    record: Record, features: Mapping[str, FeatureDef], scores: Mapping[str, ScoreDef]
) -> dict[str, object]:
    node = record.value("features")
    given: dict[str, object] = {}
    if node is None:
        return given
    if not isinstance(node, Entries):
        record.fault(node.at, "'features' must map each feature to its value")
        return given
    for key, value in node.pairs:
        scored = _SCORE_READ.fullmatch(key.text)
        if scored is not None and scored[1] in scores:
            given[f"score({scored[1]}, {scored[2]})" if scored[2] else f"score({scored[1]})"] = _given_value(
                value, record
            )
            continue
        read = _FEATURE_READ.fullmatch(key.text)
        name = "" if read is None else read[1] or read[3]
        if name not in features:
            record.fault(key.at, f"there is no feature '{name or key.text}'", nearest(name or key.text, features))
            continue
        # `of( a , b.id )` and `of(a, b.id)` are one key.
        written = f"of({read[1]}, {read[2]})" if read is not None and read[1] else name
        given[written] = _given_value(value, record)
    return given


def _given_value(node: Node, record: Record) -> object:
    if _is_null(node):
        return None
    for read in (reading.as_boolean(node), reading.as_integer(node), _decimal(node)):
        if read is not None:
            return read
    return reading.scalar_text(node, record.faults, what="a feature's value")


def _read_given_lists(record: Record, lists: Mapping[str, ListDef]) -> dict[str, tuple[str, ...]]:
    node = record.value("lists")
    given: dict[str, tuple[str, ...]] = {}
    if node is None:
        return given
    if not isinstance(node, Entries):
        record.fault(node.at, "'lists' must map each list to further entries")
        return given
    for key, value in node.pairs:
        if key.text not in lists:
            record.fault(key.at, f"there is no list '{key.text}'", nearest(key.text, lists))
            continue
        entries = reading.items(value, record.faults, what="the list", most=MAX_CASE_LINES)
        given[key.text] = tuple(reading.scalar_text(item, record.faults, what="a list entry") for item in entries)
    return given
