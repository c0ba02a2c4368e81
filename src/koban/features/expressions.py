"""The expressions of features, in Koban SQL over the fields of one event.

They read the event and its log time alone: no features (they would depend on each other), no lists and no labels
(what these hold changes, and a window would then mix what was counted under different ones).
"""

from collections.abc import Mapping
from types import MappingProxyType

from koban.language import Checked, Scope, Type, check, to_sql
from koban.packs import EventType


def scope_of(event: EventType) -> Scope:
    """Return what a feature's expression may name for one event type."""
    return Scope(
        names={path: Type(field.type) for path, field in event.fields.items()},
        units={path: field.unit for path, field in event.fields.items() if field.unit},
        labels=frozenset(),
    )


def check_argument(text: str, event: EventType) -> Checked:
    """Check what an aggregate is applied to. Refuses: LanguageErrors."""
    return check(text, scope_of(event))


def check_condition(text: str, event: EventType) -> Checked:
    """Check a feature's `where`. Refuses: LanguageErrors."""
    return check(text, scope_of(event), expect=Type.BOOL)


def sealed_reads(checked: Checked, event: EventType) -> list[str]:
    """Name the sealed personal fields that an expression reads; a joined one is a pseudonym, and not sealed."""
    fields = [event.fields[path] for path in sorted(checked.reads)]
    return [field.path for field in fields if field.personal is not None and not field.joined]


def duckdb(checked: Checked, parts: Mapping[str, str] = MappingProxyType({})) -> str:
    """Write an expression over the archive's relation of an event type; `parts` holds the SQL of parts by their keys."""
    return to_sql(checked, {path: quoted(path) for path in checked.reads} | {"time": "log_at"} | dict(parts))


def quoted(name: str) -> str:
    """Write a name as SQL does."""
    return '"' + name.replace('"', '""') + '"'
