"""JSON Schema of a pack's files, for editors; and the form that `koban fmt` gives them."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from koban.packs.actions import CHALLENGES, SCOPES
from koban.packs.payment_sections import PROOFS
from koban.packs.reading import LANGUAGES
from koban.packs.sections import FALLBACKS, FIELD_TYPES, SEVERITIES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SECTIONS: Final = (
    "pack", "events", "features", "policies", "lists", "calendars", "queues", "rules", "cases", "ledger", "postings",
    "definitions", "scores", "payments",
)  # fmt: skip

Schema = dict[str, Any]  # JSON: a tree of whatever JSON Schema says

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OTHER_ENDS: Final = ("\r", "\x85", "\u2028", "\u2029")
_VERSION: Final[Schema] = {"type": ["string", "number"]}  # `version: 1.0` is what people write
_NAME: Final[Schema] = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": 80}
_DOTTED: Final[Schema] = {"type": "string", "pattern": r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$", "maxLength": 80}
_SLASHED: Final[Schema] = {"type": "string", "pattern": "^[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*$", "maxLength": 80}
_DURATION: Final[Schema] = {
    "type": "string",
    "pattern": "^[0-9]{1,9} (second|minute|hour|day|week)s?$",
    "description": "A number and a unit: 90 seconds, 10 minutes, 72 hours, 7 days, 2 weeks.",
}
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_SQL: Final[Schema] = {"type": "string", "minLength": 1, "description": "Koban SQL; `koban check` types it."}


def schemas() -> dict[str, Schema]:
    """Return a JSON Schema for each kind of file, by section; `pack` is pack.yaml, the others are lists."""
    items = {
        "events": _event(),
        "features": _feature(),
        "policies": _policy(),
        "lists": _list(),
        "calendars": _open(("calendar", "title", "zone", "hours"), ("holidays", "days")),
        "queues": _queue(),
        "ledger": {"type": "object"},
        "postings": {"type": "object"},
        "definitions": _open(("define", "as", "about"), ()),
        "scores": _open(("score", "of", "about"), ()),
        "payments": _payments(),
        "rules": _rule(),
        "cases": {"anyOf": [_case(), _table(), _open(("example", "steps", "balances"), ("pending",))]},
    }
    head = _record({"pack": _NAME, "version": _VERSION, "about": _texts()}, ("pack", "version", "about"))
    found: dict[str, Schema] = {"pack": {"$schema": DIALECT, "title": "pack.yaml of a Koban pack", **head}}
    for name, item in items.items():
        found[name] = {"$schema": DIALECT, "title": f"{name} of a Koban pack", "type": "array", "items": item}
    return found


def format_text(name: str, text: str) -> str:
    """Return a file of a pack in form: no trailing space, no tab, one blank line between items, one newline at the end.

    What it says stays as it is: comments, quotes and texts of several lines are left alone. A list's `.txt` keeps its order.
    A file that would say something else, or that is no YAML, is returned as it was.
    """
    unended = text.replace("\r\n", "\n")
    if not name.endswith(".yaml"):
        return _ended([line.rstrip() for line in unended.split("\n")])
    if any(each in unended for each in _OTHER_ENDS):
        return text  # YAML counts lines by these, too
    try:
        formed = _formed(unended.split("\n"), _kept_lines(f"{unended}\n"), apart=name != "pack.yaml")
        return formed if _said(formed) == _said(text) else text
    except yaml.YAMLError:
        return text


def _said(text: str) -> object:
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader both ways


def _kept_lines(text: str) -> frozenset[int]:
    """Return the lines, from 0, on which spaces, tabs and blank lines are part of what a text says."""
    lines = text.split("\n")
    found: set[int] = set()
    for token in yaml.scan(text, Loader=_LOADER):
        if not isinstance(token, yaml.ScalarToken):
            continue
        first, last = token.start_mark.line, token.end_mark.line
        if token.style in ("|", ">"):  # it begins below its mark, and ends where the next thing begins
            first, last = first + 1, last - 1
            while last >= first and not lines[last].strip():
                last -= 1
        if last > first or token.style in ("|", ">") or "\t" in token.value:
            found.update(range(first, last + 1))
    return frozenset(found)


def _formed(lines: Sequence[str], kept: Container[int], *, apart: bool) -> str:
    shown: list[str] = []
    for number, line in enumerate(lines):
        if number in kept and not _begins_item(line):
            shown.append(line)
            continue
        plain = line if number in kept else line.rstrip().replace("\t", "  ")
        if apart and _begins_item(plain) and shown and not _belongs(shown):
            shown.append("")
        if plain or not apart or (shown and shown[-1]):
            shown.append(plain)
    return _ended(shown)


def _ended(lines: Iterable[str]) -> str:
    return "\n".join(lines).strip("\n") + "\n"


def _begins_item(line: str) -> bool:
    return line.startswith("- ")


def _belongs(shown: list[str]) -> bool:
    """Tell whether an item follows its own comment, a blank line, or an item of one line."""
    last = shown[-1]
    return not last or last.startswith("#") or _begins_item(last)


def _record(properties: Mapping[str, Schema], required: tuple[str, ...]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _open(required: tuple[str, ...], optional: tuple[str, ...]) -> Schema:
    """Describe a document by its keys alone; `koban check` reads their values."""
    return _record({key: {} for key in (*required, *optional)}, required)


def _queue() -> Schema:
    properties: dict[str, Schema] = {"queue": _NAME, "title": _texts(), "due": _DURATION}
    properties |= {
        key: {} for key in ("calendar", "harm", "exposure", "two_people", "preserve", "escalates_to", "alike")
    }
    return _record(properties, ("queue", "title", "due"))


def _payments() -> Schema:
    roles = {role: {"type": "object", "additionalProperties": _NAME} for role in ("payout", "chargeback", "postings")}
    head = {
        "payments": _NAME, "decides": _DOTTED, "decides_payout": _DOTTED, "tells_chargeback": _DOTTED,
        "tells_paid_twice": _DOTTED,
        "lapses_after": _DURATION, "payout": roles["payout"], "chargeback": roles["chargeback"],
    }  # fmt: skip
    method = {
        "method": _NAME, "title": _texts(), "provider": {"type": "boolean"}, "proves": {"enum": list(PROOFS)},
        "postings": roles["postings"], "retired": {"type": "boolean"},
    }  # fmt: skip
    outage = {
        "outage": _NAME, "after": {"type": "integer", "minimum": 1, "maximum": 1_000}, "rest": _DURATION,
        "then": {"enum": ["refuse", "queue"]}, "queue_for": _DURATION,
    }  # fmt: skip
    return {
        "anyOf": [
            _record(head, ("payments", "decides", "lapses_after")),
            _record(method, ("method", "title", "postings")),
            _record(outage, ("outage", "after", "rest", "then")),
        ]
    }


def _texts() -> Schema:
    return _record(dict.fromkeys(LANGUAGES, _TEXT), LANGUAGES)


def _one_or_many(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _event() -> Schema:
    field = _record(
        {
            "type": {"enum": list(FIELD_TYPES)},
            "personal": _DOTTED,
            "joined": {"type": "boolean"},
            "unit": _NAME,
            "about": _texts(),
        },
        ("type",),
    )
    properties = {
        "event": _DOTTED,
        "about": _texts(),
        "within_ms": {"type": "integer", "minimum": 1, "maximum": 60_000},
        "fallback": {"enum": list(FALLBACKS)},
        "retention": _DURATION,
        "fields": {"type": "object", "additionalProperties": {"anyOf": [{"enum": list(FIELD_TYPES)}, field]}},
        "acting": _DOTTED,
        "recipient": _DOTTED,
        "content": _DOTTED,
        "reported": _DOTTED,
        "money": {},
        "texts": _one_or_many(_DOTTED),
        "subjects": {"type": "object", "additionalProperties": _NAME},
        "loss": _record({"amount": _DOTTED, "by": _DOTTED}, ("amount", "by")),
    }
    return _record(properties, ("event", "about", "within_ms", "fallback", "retention", "fields"))


def _feature() -> Schema:
    properties = {
        "feature": _NAME,
        "value": _SQL,
        "about": _texts(),
        "on": {},
        "by": {},  # a path, two of them, or a mapping of event types to either
        "where": _SQL,
        "within": {"anyOf": [_DURATION, {"const": "ever"}]},
        "excluding": {},
        "bound": {"type": "integer", "minimum": 1},
    }
    return _record(properties, ("feature", "value", "about"))


def _policy() -> Schema:
    properties = {
        "policy": _SLASHED,
        "title": _texts(),
        "text": _texts(),
        "severity": {"enum": list(SEVERITIES)},
        "ladder": {"type": "array", "items": _action(), "maxItems": 12},
        "second_person": {},
        "strikes_within": {"anyOf": [_DURATION, {"const": "ever"}]},
    }
    return _record(properties, ("policy", "title", "text", "severity"))


def _list() -> Schema:
    properties = {
        "list": _NAME,
        "kind": {"enum": ["values", "phrases"]},
        "about": _texts(),
        "of": _NAME,
        "entries": _values(),
        "file": _TEXT,
        "unless": _values(),
        "unless_file": _TEXT,
        "negatable": {"type": "boolean"},
        "whole_word": {"type": "boolean"},
    }
    return _record(properties, ("list", "kind", "about"))


def _values() -> Schema:
    value: Schema = {"type": ["string", "number", "boolean"]}
    return {"anyOf": [value, {"type": "array", "items": value}]}


def _rule() -> Schema:
    share = {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,2})?%$"}
    properties = {
        "rule": _NAME,
        "policy": _SLASHED,
        "on": _one_or_many(_DOTTED),
        "when": _SQL,
        "then": _one_or_many(_action()),
        "because": _texts(),
        "mode": {
            "anyOf": [{"enum": ["retired", "off", "shadow", "review", "live"]}, _record({"live": share}, ("live",))]
        },
        "cap": {"type": "string", "pattern": "^[0-9]{1,7} per hour$"},
    }
    return _record(properties, ("rule", "policy", "on", "when", "then", "because"))


def _action() -> Schema:
    return {
        "anyOf": [
            {"enum": ["hide", "block", "suspend", "strike"]},
            _record({"hold": _DURATION, "becomes": {"enum": ["allow", "block"]}}, ("hold", "becomes")),
            _record({"challenge": {"enum": list(CHALLENGES)}}, ("challenge",)),
            _record({"warn": {"enum": ["author", "recipient", "both"]}}, ("warn",)),
            _record({"restrict": {"enum": list(SCOPES)}, "for": _DURATION}, ("restrict", "for")),
            _record({"freeze_payout": _DURATION}, ("freeze_payout",)),
            _record({"suspend": _DURATION}, ("suspend",)),
            _record({"review": _NAME, "of": {}}, ("review",)),
        ]
    }


def _case() -> Schema:
    properties = {
        "rule": _NAME,
        "matches": {"type": "boolean"},
        "event": _DOTTED,
        "data": {"type": "object"},
        **_around(),
    }
    return _record(properties, ("rule", "matches", "event", "data"))


def _table() -> Schema:
    lines = _one_or_many({"type": ["string", "number", "boolean"]})
    properties = {
        "rule": _NAME, "event": _DOTTED, "field": _DOTTED, "data": {"type": "object"},
        "must_match": lines, "must_not_match": lines, **_around(),
    }  # fmt: skip
    return _record(properties, ("rule", "event", "field"))


def _around() -> dict[str, Schema]:
    return {
        "features": {"type": "object"},
        "lists": {"type": "object"},
        "family": _TEXT,
        "at": {"type": "string"},
        "why": _TEXT,
    }
