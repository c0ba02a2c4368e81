"""From a pack's feature definitions to cells: what is kept of each subject, and how features read it.

Two features that keep the same thing (they differ in name, or in whether the current event counts) share one cell.
A cell is known by its fingerprint, so that an unchanged definition carries its state over to the next pack version.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from koban.features.expressions import check_argument, sealed_reads
from koban.features.values import Function, read_value
from koban.language import Type
from koban.packs import EventType, FeatureDef, PackDef

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


class FeaturePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How one feature is read: from its cell, or as the ratio of two other features."""

    name: str
    kind: str
    by: Mapping[str, str]
    type: Type
    cell: str | None  # fingerprint
    excluding_current: bool
    operands: tuple[str, str] | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All features of a pack. `layouts` gives, per kind of subject, the order of the cells in its record."""

    features: Mapping[str, FeaturePlan]
    cells: Mapping[str, CellPlan]
    layouts: Mapping[str, tuple[str, ...]]

    def parts(self, name: str) -> tuple[FeaturePlan, ...]:
        """Return the features with cells of their own that a feature is read from."""
        feature = self.features[name]
        return tuple(self.features[part] for part in feature.operands) if feature.operands else (feature,)


def plan_features(pack: PackDef, names: Collection[str] | None = None) -> Plan:
    """Plan the features of a checked pack, or only those named (a ratio brings its operands)."""
    wanted = set(pack.features) if names is None else set(names)
    for name in tuple(wanted):
        wanted.update(read_value(pack.features[name].value).operands or ())  # type: ignore[union-attr]  # checked
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
        )
    for definition in ratios:
        features[definition.name] = FeaturePlan(
            name=definition.name,
            kind=definition.kind,
            by=definition.by,
            type=Type.DECIMAL,
            cell=None,
            excluding_current=False,
            operands=read_value(definition.value).operands,  # type: ignore[union-attr]  # it is a ratio
        )
    layouts: dict[str, tuple[str, ...]] = {}
    for fingerprint in sorted(cells):
        kind = cells[fingerprint].kind
        layouts[kind] = (*layouts.get(kind, ()), fingerprint)
    return Plan(features=features, cells=cells, layouts=layouts)


def path_for(feature: FeaturePlan | FeatureDef, event: EventType) -> str | None:
    """Return the subject of an event that a feature's bare name is read for; None where it is not clear which."""
    if event.name in feature.by:
        return feature.by[event.name]
    paths = [path for path, role in event.subjects.items() if role.kind == feature.kind]
    return paths[0] if len(paths) == 1 else None


def resolve_key(plan: Plan, event: EventType, key: str) -> tuple[FeaturePlan, str]:
    """Return the feature and the path of the subject that a key (`name`, or `name@path` as `of_key` writes it) reads.

    Raises KeyError when an event of this type has no such feature or subject: rules are checked before.
    """
    name, _, named = key.partition("@")
    feature = plan.features[name]
    path = named or path_for(feature, event)
    if path is None or path not in event.subjects or event.subjects[path].kind != feature.kind:
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
    return CellPlan(
        fingerprint=hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:24],
        kind=definition.kind,
        function=aggregate.function,
        by=definition.by,
        argument=argument,
        argument_type=kept_type,
        sealed=sealed,
        where=definition.where,
        slot_us=slot_us,
        bound=bound,
    )


def _type_of(cell: CellPlan) -> Type:
    match cell.function:
        case "avg" | "ratio":
            return Type.DECIMAL
        case "count" | "count_of" | "count_distinct" | "age_days":
            return Type.INT
        case "sum" | "min" | "max" | "first" | "last":
            return Type(str(cell.argument_type))
