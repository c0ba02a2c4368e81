"""What rules may read of a pack's features, in the words of the language."""

from collections.abc import Collection, Mapping
from typing import Final

from koban.features.plan import bare_path, plan_features
from koban.features.values import read_value
from koban.language import SCORE, FeatureInfo, Type
from koban.packs import FeatureDef, PackDef

_IN_UNITS_OF_X: Final = frozenset({"sum", "avg", "min", "max", "first", "last", "stddev", "most_frequent"})
_COUNTING: Final = frozenset(
    {"count", "count_of", "count_distinct", "age_days", "sequence", "linked", "stddev"}
)  # ages and spreads, too


def features_in_scope(pack: PackDef, event_type: str) -> Mapping[str, FeatureInfo]:
    """Return every feature of a checked pack as an expression over this event type sees it.

    A bare name is clear where the event feeds the feature, or names exactly one subject of its kind.
    """
    event = pack.events[event_type]
    return {
        name: FeatureInfo(
            type=feature.type,
            kind=feature.kind,
            bare=bare_path(pack, pack.features[name], event) is not None,
            bound=pack.features[name].bound if is_distinct(pack.features[name].value) else None,
            counts=_never_negative(pack, name),
            unit=_unit(pack, pack.features[name]),
        )
        for name, feature in plan_features(pack).features.items()
    }


def _never_negative(pack: PackDef, name: str) -> bool:
    """Say whether a feature counts something, or divides such by such: it is then never below zero."""
    aggregate = read_value(pack.features[name].value)
    if aggregate is None:
        return False
    if aggregate.operands is not None:
        return all(_never_negative(pack, each) for each in aggregate.operands)
    return aggregate.function in _COUNTING


def types_read(pack: PackDef, keys: Collection[str]) -> Mapping[str, Type]:
    """Return the type of each feature or score that a decision read, by its key; of what the pack does not have, none.

    Why: a decision keeps bare values, in which a decimal is a whole number of millionths.
    """
    names = {key: key.partition("@")[0] for key in keys}
    features = plan_features(pack, {name for name in names.values() if name in pack.features}).features
    return {
        key: features[name].type if name in features else Type.DECIMAL
        for key, name in names.items()
        if name in features or name.startswith(SCORE)
    }


def is_distinct(value: str) -> bool:
    """Say whether a value line is a distinct count, which is exact up to its bound."""
    aggregate = read_value(value)
    return aggregate is not None and aggregate.function == "count_distinct"


def _unit(pack: PackDef, feature: FeatureDef) -> str:
    """Return the unit of what a feature adds up or keeps, where all its events agree on one."""
    aggregate = read_value(feature.value)
    if aggregate is None or aggregate.function not in _IN_UNITS_OF_X:
        return "days" if aggregate is not None and aggregate.function == "age_days" else ""
    fields = [pack.events[name].fields.get(aggregate.argument or "") for name in feature.by]
    units = {field.unit or "" if field is not None else "" for field in fields}
    return units.pop() if len(units) == 1 else ""
