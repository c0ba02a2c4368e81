"""What rules may read of a pack's features, in the words of the language."""

from collections.abc import Mapping

from koban.features.plan import path_for, plan_features
from koban.language import FeatureInfo
from koban.packs import PackDef


def features_in_scope(pack: PackDef, event_type: str) -> Mapping[str, FeatureInfo]:
    """Return every feature of a checked pack as an expression over this event type sees it.

    A bare name is clear where the event feeds the feature, or names exactly one subject of its kind.
    """
    event = pack.events[event_type]
    return {
        name: FeatureInfo(
            type=feature.type,
            kind=feature.kind,
            bare=path_for(feature, event) is not None,
            bound=pack.features[name].bound,
        )
        for name, feature in plan_features(pack).features.items()
    }
