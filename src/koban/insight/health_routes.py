"""The border of rule health."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.db import Database
from koban.insight.health import Health, rule_health
from koban.packs import PackDef
from koban.rules import ExpectationInvalid, RuleExpected, RuleMissing, ceiling_of


class ExpectationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backtest says of a rule: people touched, each once an hour, in so many hours."""

    people: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
    hours: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """The ceiling that follows: from so many people in an hour on, the rule only opens cases."""

    rule: str
    ceiling: int


def health_endpoints(
    database: Database, pack: Callable[[], PackDef], expect: Callable[[RuleExpected], object]
) -> list[Endpoint]:
    """Describe the routes; `expect` has the decider enter the expectation."""

    def health(call: Call) -> Health:
        with database.read() as tx:
            return rule_health(tx, pack(), call.at)

    def set_expectation(call: Call) -> Expected:
        body = call.body_as(ExpectationBody)
        change = RuleExpected(
            rule=call.path["name"], basis="backtest", people=body.people, hours=body.hours,
            ceiling=ceiling_of(body.people, body.hours), counts="people", by=call.principal.actor, reason=body.reason,
        )  # fmt: skip
        expect(change)
        return Expected(rule=change.rule, ceiling=change.ceiling)

    return [
        endpoint("GET", "/v1/rule-health", "rules.read", health, summary="How rules do: drift, ceilings, dead rules",
                 returns=Health),
        endpoint("PUT", "/v1/rules/{name}/expectation", "rules.mode", set_expectation,
                 summary="Say what a backtest expects of a rule", body=ExpectationBody, returns=Expected,
                 raises=(RuleMissing, ExpectationInvalid)),
    ]  # fmt: skip
