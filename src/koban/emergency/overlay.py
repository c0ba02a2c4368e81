"""Emergency rules made ready to run beside a pack: typed and compiled alone, over what the pack's own rules share.

Why beside and not into it: compiling the starter pack takes a third of a second, a rule of one's own some
milliseconds; the pack's version, its features' state and its phrase matcher stay untouched.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from koban.features import Bind, FeatureProgram, functions_reading
from koban.labels import LiveLabels
from koban.lists import LiveLists
from koban.packs import PackDef, RuleDef
from koban.rules import CompiledRules, compile_rules


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlay:
    """Compiled emergency rules. `names` are all that it holds; those that ended meanwhile are passed over.

    `extra` says, per event type, which features only these rules read there, and which of them do.
    """

    pack: str
    names: frozenset[str]
    rules: Mapping[str, CompiledRules]
    extra: Mapping[str, Mapping[str, frozenset[str]]]
    functions: Mapping[str, Bind]


NO_OVERLAY: Final = Overlay(pack="", names=frozenset(), rules={}, extra={}, functions={})


def compile_overlay(
    pack: PackDef,
    base: Mapping[str, CompiledRules],
    features: FeatureProgram,
    wanted: Sequence[RuleDef],
    *,
    lists: LiveLists,
    labels: LiveLabels,
) -> Overlay:
    """Type and compile rules over a pack whose own rules are `base` and whose features are `features`.

    Refuses: PackInvalid, when a condition has a fault.
    """
    if not wanted:
        return dataclasses.replace(NO_OVERLAY, pack=pack.digest)
    only = msgspec.structs.replace(pack, rules={rule.name: rule for rule in wanted}, files={})
    compiled = {name: each for name, each in compile_rules(only, lists, labels).items() if each.rules}
    shared = next(iter(base.values())).phrases if base else None
    if shared is not None:
        compiled = {name: dataclasses.replace(each, phrases=shared) for name, each in compiled.items()}
    extra: dict[str, Mapping[str, frozenset[str]]] = {}
    reads: dict[str, frozenset[str]] = {}
    for name, each in compiled.items():
        known = base[name].reads if name in base else frozenset()
        if each.reads <= known:
            continue
        reads[name] = known | each.reads
        extra[name] = {
            key: frozenset(one.rule.name for one in each.typed if key in one.feature_keys) for key in each.reads - known
        }
    return Overlay(
        pack=pack.digest,
        names=frozenset(rule.name for rule in wanted),
        rules=compiled,
        extra=extra,
        functions={**features.functions, **functions_reading(features, pack, reads)},
    )
