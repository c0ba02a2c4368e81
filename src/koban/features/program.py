"""A pack's features as something that runs: a plan, and one generated function per event type."""

import dataclasses
from collections.abc import Collection, Mapping

from koban.features.generate import Bind, generate
from koban.features.plan import Plan, plan_features
from koban.packs import PackDef


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureProgram:
    """Compiled features. `sources` holds the generated Python, for the curious and for failing tests."""

    plan: Plan
    functions: Mapping[str, Bind]
    sources: Mapping[str, str]


def compile_features(
    pack: PackDef, reads: Mapping[str, Collection[str]], *, names: Collection[str] | None = None
) -> FeatureProgram:
    """Compile all features of a checked pack, or only those named.

    `reads` says per event type which features its rules read: by bare name, or by
    `koban.language.of_key(name, path)` for the subject at a path.
    Every feature is kept up to date, read or not, so that a rule written tomorrow finds its history.
    """
    plan = plan_features(pack, names)
    functions: dict[str, Bind] = {}
    sources: dict[str, str] = {}
    counted = {event for cell in plan.cells.values() for event in cell.by}
    for name in sorted(counted | set(reads)):
        functions[name], sources[name] = generate(plan, pack.events[name], reads.get(name, frozenset()))
    return FeatureProgram(plan=plan, functions=functions, sources=sources)


def functions_reading(
    program: FeatureProgram, pack: PackDef, reads: Mapping[str, Collection[str]]
) -> Mapping[str, Bind]:
    """Return the functions of some event types once more, so that they give the values of other features.

    What is kept of subjects does not depend on what is read, so such a function runs over the same records.
    """
    return {name: generate(program.plan, pack.events[name], keys)[0] for name, keys in reads.items()}


def new_features(old: FeatureProgram, new: FeatureProgram) -> set[str]:
    """Name the features of `new` whose state does not carry over from `old`: they start empty or are backfilled."""
    return {name for name in new.plan.features if any(part.cell not in old.plan.cells for part in new.plan.parts(name))}
