"""The border for rules: how they do, how they act, and the switch for all of them."""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import Instant, Problem, from_rfc3339, to_rfc3339
from koban.db import Database
from koban.packs import Mode, ModeName, RuleDef
from koban.rules import store
from koban.rules.mode_drafts import ModeTaken
from koban.rules.types import ACCOUNT, ModeChange, ModeChanged, ModeInvalid, ReviewAllSwitched, RuleMissing, SnoozeSet

Change = Callable[[ModeChange], ModeTaken]
Rules = Callable[[], Mapping[str, RuleDef]]
Hits = Callable[[], Mapping[str, tuple[int, int, int]]]  # rule -> matches, acted, accounts in the last day

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the active pack, how it acts, and what it did in the last day."""

    name: str
    policy: str
    on: tuple[str, ...]
    when: str
    mode: str
    live_share_basis_points: int
    mode_set_by: str | None
    tripped: bool
    cap_per_hour: int
    matches_1d: int
    acted_1d: int
    accounts_1d: int
    because: Mapping[str, str]


class RulesView(msgspec.Struct, frozen=True, kw_only=True):
    """All rules, and whether the switch that puts them to review is on."""

    review_all: bool
    rules: list[RuleView]


class ModeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mode to be set; `mode` null follows the pack again. Either also ends a tripped budget."""

    mode: ModeName | None
    reason: Reason
    basis_points: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10_000


class SwitchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The switch for all rules."""

    on: bool
    reason: Reason


class SnoozeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subject for which a rule is to be mute; `until` null ends it.

    `kind`: account (the one that acts), or the kind of any other subject that the rule's events name.
    """

    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    until: Annotated[str, msgspec.Meta(max_length=40)] | None
    reason: Reason
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] = ACCOUNT


class SnoozesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of one rule, for subjects of one kind, for one subject, or all."""

    rule: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    kind: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    subject: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class SnoozeView(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that is mute for a subject."""

    rule: str
    kind: str
    subject: str
    until: str
    set_by: str
    reason: str


def endpoints(database: Database, change: Change, rules: Rules, hits: Hits) -> list[Endpoint]:
    """Describe the routes; `change` has the decider enter the change."""

    def index(_call: Call) -> RulesView:
        with database.read() as tx:
            set_modes = {row.rule: row for row in store.modes(tx)}
        figures = hits()
        switch = set_modes.get(store.ALL)
        return RulesView(
            review_all=switch is not None and switch.mode == ModeName.REVIEW,
            rules=[_view(rule, set_modes.get(name), figures.get(name, (0, 0, 0))) for name, rule in rules().items()],
        )

    def set_mode(call: Call) -> Answer:
        body = call.body_as(ModeBody)
        mode = None if body.mode is None else Mode(name=body.mode, basis_points=body.basis_points)
        taken = change(ModeChanged(rule=call.path["name"], mode=mode, by=call.principal.actor, reason=body.reason))
        return Answer(body=taken, status=200 if taken.draft is None else 202)

    def switch_all(call: Call) -> object:
        body = call.body_as(SwitchBody)
        return change(ReviewAllSwitched(on=body.on, by=call.principal.actor, reason=body.reason))

    return [
        endpoint("GET", "/v1/rules", "rules.read", index, summary="See the rules", returns=RulesView),
        endpoint(
            "POST",
            "/v1/rules/{name}/mode",
            "rules.mode",
            set_mode,
            summary="Switch a rule's mode; what makes a severe rule act on more people waits for a second person",
            body=ModeBody,
            returns=ModeTaken,
            raises=(RuleMissing, ModeInvalid),
        ),
        endpoint(
            "POST",
            "/v1/review-all",
            "rules.emergency",
            switch_all,
            summary="Put every rule to review, or back",
            body=SwitchBody,
            returns=ModeTaken,
            raises=(ModeInvalid,),
        ),
        *_snooze_endpoints(database, change),
    ]


def _snooze_endpoints(database: Database, change: Change) -> list[Endpoint]:
    def snooze(call: Call) -> object:
        body = call.body_as(SnoozeBody)
        return change(
            SnoozeSet(
                rule=call.path["name"],
                kind=body.kind,
                subject=body.subject,
                until=_moment(body.until),
                by=call.principal.actor,
                reason=body.reason,
            )
        )

    def snoozed(call: Call) -> list[SnoozeView]:
        wanted = call.params_as(SnoozesQuery)
        with database.read() as tx:
            rows = store.snoozes_in_force(tx, call.at, rule=wanted.rule, kind=wanted.kind, subject=wanted.subject)
        return [
            SnoozeView(
                rule=row.rule,
                kind=row.kind,
                subject=row.subject,
                until=to_rfc3339(row.until_at),
                set_by=row.set_by,
                reason=row.reason,
            )
            for row in rows
        ]

    return [
        endpoint(
            "GET",
            "/v1/snoozes",
            "rules.read",
            snoozed,
            summary="See which rules are mute for whom, at most 500, the soonest to end first",
            query=SnoozesQuery,
            returns=list[SnoozeView],
        ),
        endpoint(
            "POST",
            "/v1/rules/{name}/snooze",
            "rules.mode",
            snooze,
            summary="Mute a rule for one account, listing, device or other subject for a while",
            body=SnoozeBody,
            returns=ModeTaken,
            raises=(RuleMissing, ModeInvalid),
        ),
    ]


def _view(rule: RuleDef, row: store.ModeRow | None, figures: tuple[int, int, int]) -> RuleView:
    own = row is not None and row.mode is not None
    mode = row.mode if row is not None and row.mode is not None else rule.mode.name.value
    return RuleView(
        name=rule.name,
        policy=rule.policy,
        on=rule.on,
        when=rule.when,
        mode=mode,
        live_share_basis_points=row.basis_points if own and row is not None else rule.mode.basis_points,
        mode_set_by=row.changed_by if own and row is not None else None,
        tripped=row is not None and row.tripped_seq is not None,
        cap_per_hour=rule.cap_per_hour,
        matches_1d=figures[0],
        acted_1d=figures[1],
        accounts_1d=figures[2],
        because=rule.because,
    )


def _moment(text: str | None) -> Instant | None:
    if text is None:
        return None
    at = from_rfc3339(text)
    if at is None:
        problem = Problem(path="/until", detail=f"{text!r} is no RFC 3339 time with an offset.")
        raise ModeInvalid("Nothing was changed.", problems=(problem,))
    return at
