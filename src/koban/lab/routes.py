"""The border of the lab: why a decision was so under any version, what is behind a feature, what a pack would have done."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.decisions import DecisionMissing
from koban.lab.behind import FeatureUnknown
from koban.lab.why import WhyNot
from koban.packs import PackDef, PackVersionMissing
from koban.rules import RuleMissing

Explain = Callable[[int, PackDef | None], object]
ExplainRule = Callable[[int, str, PackDef | None], WhyNot]
ExplainFeature = Callable[[int, str, PackDef | None], object]
Version = Callable[[str], PackDef]  # the beginning of a digest

Digest = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern="^[0-9a-f]*$")]


class VersionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Under which version, or open draft; without it, under the one that decided."""

    pack: Digest | None = None


def explain_endpoints(
    version: Version,
    explain_rule: ExplainRule,
    explain_feature: ExplainFeature,
    explain: Explain,
    shapes: tuple[type, type],
) -> list[Endpoint]:
    """Describe the routes that explain; `shapes` are what `explain` and `explain_feature` return."""

    def under(call: Call) -> PackDef | None:
        query = call.params_as(VersionQuery)
        return None if query.pack is None else version(query.pack)

    def whole(call: Call) -> object:
        return explain(_seq(call), under(call))

    def rule(call: Call) -> WhyNot:
        return explain_rule(_seq(call), call.path["rule"], under(call))

    def feature(call: Call) -> object:
        return explain_feature(_seq(call), call.path["key"], under(call))

    explained, behind = shapes
    missing = (DecisionMissing, PackVersionMissing)
    return [
        endpoint(
            "GET", "/v1/decisions/{seq}/under", "decisions.read", whole, query=VersionQuery, returns=explained,
            summary="Explain an event under any version of the pack", raises=missing,
        ),
        endpoint(
            "GET", "/v1/decisions/{seq}/why-not/{rule}", "decisions.read", rule, query=VersionQuery, returns=WhyNot,
            summary="See what would have to be otherwise for a rule to match", raises=(*missing, RuleMissing),
        ),
        endpoint(
            "GET", "/v1/decisions/{seq}/features/{key}", "decisions.read", feature, query=VersionQuery, returns=behind,
            summary="See the events behind a feature", raises=(*missing, FeatureUnknown),
        ),
    ]  # fmt: skip


def _seq(call: Call) -> int:
    text = call.path["seq"]
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) >= 1 << 63:
        raise DecisionMissing(f"There is no decision {text[:40]!r}.")
    return int(text)
