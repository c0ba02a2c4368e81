"""The border of rule health."""

from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.db import Database
from koban.insight.health import Health, rule_health
from koban.packs import PackDef
from koban.rules import ExpectationInvalid, RuleMissing, ceiling_of, mode_drafts


class ExpectationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backtest says of a rule: people touched, each once an hour, in so many hours."""

    people: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
    hours: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """The ceiling that follows: from so many people in an hour on, the rule only opens cases.

    It holds from `seq` on, or waits as a draft for a second person.
    """

    rule: str
    ceiling: int
    seq: int | None
    draft: str | None


class Expect(Protocol):
    """Enters what a person expects of a rule, or proposes it."""

    def __call__(self, rule: str, *, people: int, hours: int, by: str, reason: str) -> mode_drafts.ModeTaken:
        """Say what became of it."""
        ...


def health_endpoints(database: Database, pack: Callable[[], PackDef], expect: Expect) -> list[Endpoint]:
    """Describe the routes."""

    def health(call: Call) -> Health:
        with database.read() as tx:
            return rule_health(tx, pack(), call.at)

    def set_expectation(call: Call) -> Answer:
        body, rule = call.body_as(ExpectationBody), call.path["name"]
        by = call.principal.actor
        taken = expect(rule, people=body.people, hours=body.hours, by=by, reason=body.reason)
        ceiling = ceiling_of(body.people, body.hours)
        said = Expected(rule=rule, ceiling=ceiling, seq=taken.seq, draft=taken.draft)
        return Answer(body=said, status=200 if taken.draft is None else 202)

    return [
        endpoint("GET", "/v1/rule-health", "rules.read", health, summary="How rules do: drift, ceilings, dead rules",
                 returns=Health),
        endpoint("PUT", "/v1/rules/{name}/expectation", "rules.mode", set_expectation,
                 summary="Say what a backtest expects of a rule; a higher ceiling of a severe one waits for a second person", body=ExpectationBody, returns=Expected,
                 raises=(RuleMissing, ExpectationInvalid)),
    ]  # fmt: skip
