"""From a pack's feature definitions to cells: what is kept of each subject, and how features read it.

Two features that keep the same thing (they differ in name, or in whether the current event counts) share one cell.
A cell is known by its fingerprint, so that an unchanged definition carries its state over to the next pack version.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from koban.features.expressions import check_argument, sealed_reads
from koban.features.values import Function, Linked, Step, read_value
from koban.language import Type
from koban.packs import EVERYONE, EventType, FeatureDef, PackDef, subject_kind

SLOTS: Final = 60  # of a window, the current one included


class CellPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell keeps: an aggregate over the events that name the subject. `slot_us` None: it never expires."""

    fingerprint: str
    kind: str
    function: Function
    by: Mapping[str, str]
    argument: str | None
    argument_type: str | None
    sealed: bool  # the argument reads sealed personal data: only digests of it are kept
    where: str | None
    slot_us: int | None
    bound: int
    steps: tuple[Step, ...] = ()


class FeaturePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How one feature is read: from its cell, or as the ratio of two other features."""

    name: str
    kind: str
    by: Mapping[str, str]
    type: Type
    cell: str | None  # fingerprint
    excluding_current: bool
    operands: tuple[str, ...] | None
    function: Function = "ratio"  # of a composed feature
    factors: tuple[int, int] = (
        1,
        1,
    )  # what top and bottom of a rate are multiplied by: the length of the other's window
    linked: Linked | None = None
    linked_kind: str = ""  # kind of the linked subjects
    through: str | None = None  # the feature that gives their age


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All features of a pack. `layouts` gives, per kind of subject, the order of the cells in its record."""

    features: Mapping[str, FeaturePlan]
    cells: Mapping[str, CellPlan]
    layouts: Mapping[str, tuple[str, ...]]

    def parts(self, name: str) -> tuple[FeaturePlan, ...]:
        """Return the features with cells of their own that a feature is read from."""
        feature = self.features[name]
        return tuple(self.features[part] for part in feature.operands) if feature.operands else (feature,)

    def parts_at(self, feature: FeaturePlan, path: str, event: EventType) -> tuple[tuple[FeaturePlan, str], ...]:
        """Return the parts of a feature that `resolve_key` found, each with the path of its subject."""
        found = [(part, part_path(feature, part, path, event)) for part in self.parts(feature.name)]
        return tuple((part, at) for part, at in found if at is not None)


def plan_features(pack: PackDef, names: Collection[str] | None = None) -> Plan:
    """Plan the features of a checked pack, or only those named (a ratio brings its operands)."""
    wanted = set(pack.features) if names is None else set(names)
    for name in tuple(wanted):
        aggregate = read_value(pack.features[name].value)
        assert aggregate is not None, f"feature {name} was not checked"
        wanted.update(aggregate.operands or ((aggregate.through,) if aggregate.through else ()))
    features: dict[str, FeaturePlan] = {}
    cells: dict[str, CellPlan] = {}
    ratios: list[FeatureDef] = []
    for name in sorted(wanted):
        definition = pack.features[name]
        cell = _plan_cell(pack, definition)
        if cell is None:
            ratios.append(definition)
            continue
        cells[cell.fingerprint] = cell
        features[name] = FeaturePlan(
            name=name,
            kind=definition.kind,
            by=definition.by,
            type=_type_of(cell),
            cell=cell.fingerprint,
            excluding_current=definition.excluding_current,
            operands=None,
            **_linked(pack, definition),
        )
    for definition in ratios:
        features[definition.name] = FeaturePlan(
            name=definition.name,
            kind=definition.kind,
            by=definition.by,
            type=Type.DECIMAL,
            cell=None,
            excluding_current=False,
            **_composed(pack, definition),
        )
    layouts: dict[str, tuple[str, ...]] = {}
    for fingerprint in sorted(cells):
        kind = cells[fingerprint].kind
        layouts[kind] = (*layouts.get(kind, ()), fingerprint)
    return Plan(features=features, cells=cells, layouts=layouts)


def _linked(pack: PackDef, definition: FeatureDef) -> dict[str, Any]:  # Any: fields of a plan, by name
    aggregate = read_value(definition.value)
    if aggregate is None or aggregate.linked is None:
        return {}
    kinds = {subject_kind(pack.events[name], str(aggregate.argument)) for name in definition.by}
    return {"linked": aggregate.linked, "linked_kind": str(next(iter(kinds))), "through": aggregate.through}


def _composed(pack: PackDef, definition: FeatureDef) -> dict[str, Any]:  # Any: fields of a plan, by name
    aggregate = read_value(definition.value)
    assert aggregate is not None, "it is composed"
    assert aggregate.operands is not None, "it is composed"
    return {
        "operands": aggregate.operands,
        "function": aggregate.function,
        "factors": rate_factors(*(pack.features[name].within_us for name in aggregate.operands[:2]))
        if aggregate.function == "rate"
        else (1, 1),
    }


def rate_factors(top_us: int | None, bottom_us: int | None) -> tuple[int, int]:
    """Return what makes two values of different windows rates of the same length of time: smallest whole factors."""
    top, bottom = top_us or 1, bottom_us or 1
    common = math.gcd(top, bottom)
    return bottom // common, top // common


def bare_path(pack: PackDef, feature: FeatureDef, event: EventType) -> str | None:
    """Return the subject that a feature's bare name means in an event type; None where it is not clear which.

    The peers of a feature are other subjects of the same event: where it does not name them, there is nothing to read.
    """
    aggregate = read_value(feature.value)
    peers = aggregate.operands or () if aggregate is not None and aggregate.function == "peers" else ()
    if any(path_for(pack.features[name], event) is None for name in peers[1:]):
        return None
    return path_for(feature, event)


def read_by_features(pack: PackDef, read: Collection[str]) -> set[str]:
    """Return the features that others among those read are made of."""
    found: set[str] = set()
    for name in read:
        aggregate = read_value(pack.features[name].value)
        if aggregate is not None:
            found.update(aggregate.operands or (), (aggregate.through,) if aggregate.through else ())
    return found


def part_path(feature: FeaturePlan, part: FeaturePlan, path: str, event: EventType) -> str | None:
    """Return the subject for which a part of a feature is read: the feature's own, or that of its peers."""
    return path if part.kind == feature.kind or feature.function != "peers" else path_for(part, event)


def path_for(feature: FeaturePlan | FeatureDef, event: EventType) -> str | None:
    """Return the subject of an event that a feature's bare name is read for; None where it is not clear which."""
    if event.name in feature.by:
        return feature.by[event.name]
    if feature.kind == EVERYONE:
        return EVERYONE
    paths = [path for path, role in event.subjects.items() if role.kind == feature.kind]
    return paths[0] if len(paths) == 1 else None


def resolve_key(plan: Plan, event: EventType, key: str) -> tuple[FeaturePlan, str]:
    """Return the feature and the path of the subject that a key (`name`, or `name@path` as `of_key` writes it) reads.

    Raises KeyError when an event of this type has no such feature or subject: rules are checked before.
    """
    name, _, named = key.partition("@")
    feature = plan.features[name]
    path = named or path_for(feature, event)
    if path is None or subject_kind(event, path) != feature.kind:
        raise KeyError(key)
    if feature.operands and any(part_path(feature, part, path, event) is None for part in plan.parts(name)):
        raise KeyError(key)
    return feature, path


def _plan_cell(pack: PackDef, definition: FeatureDef) -> CellPlan | None:
    aggregate = read_value(definition.value)
    assert aggregate is not None, f"feature {definition.name} was not checked"
    if aggregate.operands is not None:
        return None
    argument = aggregate.argument
    events = [pack.events[name] for name in definition.by]
    checked = [check_argument(argument, event) for event in events] if argument is not None else []
    kept_type = checked[0].type.value if checked else None
    sealed = any(sealed_reads(one, event) for one, event in zip(checked, events, strict=False))
    slot_us = None if definition.within_us is None else definition.within_us // SLOTS
    bound = definition.bound or 0
    said = (
        definition.kind,
        sorted(definition.by.items()),
        aggregate.function,
        argument,
        kept_type,
        sealed,
        definition.where.strip() if definition.where else None,
        slot_us,
        bound,
    )
    steps = [[(step.event, step.within_us) for step in aggregate.steps]] if aggregate.steps else []
    return CellPlan(
        fingerprint=hashlib.sha256(msgspec.json.encode((*said, *steps))).hexdigest()[:24],
        kind=definition.kind,
        function=aggregate.function,
        by=definition.by,
        argument=argument,
        argument_type=kept_type,
        sealed=sealed,
        where=definition.where,
        slot_us=slot_us,
        bound=bound,
        steps=aggregate.steps,
    )


def _type_of(cell: CellPlan) -> Type:
    match cell.function:
        case "avg" | "stddev" | "ratio" | "rate" | "peers":
            return Type.DECIMAL
        case "count" | "count_of" | "count_distinct" | "age_days" | "sequence" | "linked":
            return Type.INT
        case "sum" | "min" | "max" | "first" | "last" | "most_frequent":
            return Type(str(cell.argument_type))
