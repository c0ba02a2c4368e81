"""What differs between two versions of a pack, by name: what a person reads before an activation."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeVar

import msgspec

from koban.ledger import BookKind, LedgerDef, LimitDef, Template
from koban.packs.types import (
    CalendarDef,
    DefinitionDef,
    EventType,
    FeatureDef,
    ListDef,
    MethodDef,
    OutageDef,
    PackDef,
    PaymentsDef,
    PolicyDef,
    QueueDef,
    RuleDef,
    ScoreDef,
)

T = TypeVar(
    "T", EventType, FeatureDef, PolicyDef, ListDef, CalendarDef, QueueDef, RuleDef, DefinitionDef, ScoreDef,
    BookKind, Template, LimitDef, MethodDef, OutageDef, PaymentsDef,
)  # fmt: skip

_PLACES: Final = {"source", "value_at", "where_at", "when_at", "places", "text_at", "methods", "outages"}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that only one version has, or that both have and say differently in `fields`."""

    section: str
    name: str
    kind: Literal["added", "removed", "changed"]
    fields: tuple[str, ...] = ()


def compare_packs(old: PackDef, new: PackDef) -> tuple[Difference, ...]:
    """List what differs, section by section and by name. Moving a text within its file changes nothing."""
    return (
        *_compare("events", old.events, new.events),
        *_compare("features", old.features, new.features),
        *_compare("definitions", old.definitions, new.definitions),
        *_compare("scores", old.scores, new.scores),
        *_compare("policies", old.policies, new.policies),
        *_compare("lists", old.lists, new.lists),
        *_compare("calendars", old.calendars, new.calendars),
        *_compare("queues", old.queues, new.queues),
        *_compare("rules", old.rules, new.rules),
        *_compare("payments", _head(old.payments), _head(new.payments)),
        *_compare("payments", _outages(old.payments), _outages(new.payments)),
        *_compare("payments", old.payments.methods, new.payments.methods),
        *_compare("books", old.ledger.chart.kinds, new.ledger.chart.kinds),
        *_compare("postings", old.ledger.templates, new.ledger.templates),
        *_compare("limits", old.ledger.limits, new.ledger.limits),
        *_compare_ledger(old.ledger, new.ledger),
    )


def _compare_ledger(old: LedgerDef, new: LedgerDef) -> Iterator[Difference]:
    """List what holds for the ledger as a whole: it has no name of its own, so each field is one."""
    if old.chart.time_zone != new.chart.time_zone:
        yield Difference(section="ledger", name="time_zone", kind="changed")
    if old.levels != new.levels:
        yield Difference(section="ledger", name="levels", kind="changed")


def _head(payments: PaymentsDef) -> Mapping[str, PaymentsDef]:
    """Return what is no method and no outage, by the name that it is told under."""
    return {payments.name: payments} if payments.name else {}


def _outages(payments: PaymentsDef) -> Mapping[str, OutageDef]:
    return {f"outage {name}": each for name, each in payments.outages.items()}


def _compare(section: str, old: Mapping[str, T], new: Mapping[str, T]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        if name not in old:
            yield Difference(section=section, name=name, kind="added")
        elif name not in new:
            yield Difference(section=section, name=name, kind="removed")
        else:
            before, after = msgspec.structs.asdict(old[name]), msgspec.structs.asdict(new[name])
            fields = tuple(key for key in before if key not in _PLACES and before[key] != after[key])
            if fields:
                yield Difference(section=section, name=name, kind="changed", fields=fields)
