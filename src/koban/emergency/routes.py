"""The border of emergency rules: preview, start, extend, end, look."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.base import MINUTE, Instant, to_rfc3339
from koban.db import Database
from koban.emergency import logic, store
from koban.emergency.types import (
    Emergency,
    EmergencyInvalid,
    EmergencyMissing,
    EmergencyNeedsSecond,
    EmergencyNotPreviewed,
    EmergencyOver,
    EmergencyStarted,
    EndEmergency,
    ExtendEmergency,
    Measure,
    Preview,
    Reason,
)
from koban.packs import FreezePayout, Hide, Hold, Restrict

RECENT: Final = 50
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]

BECAUSE: Final = {
    "en": "Trust & Safety is looking into an incident. This is a precaution for a short time and will be looked at again.",
    "ja": "現在発生している問題の確認のため、一時的な措置をとっています。後ほど改めて確認します。",
}


class MeasureBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that the rule does. `scope` says what is muted; `minutes` how long it holds, mutes or freezes."""

    kind: Literal["hide", "hold", "mute", "freeze"]
    minutes: Annotated[int, msgspec.Meta(ge=1, le=4_320)] = 60
    scope: Literal["messaging", "commenting", "live"] = "messaging"


class BecauseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people who are touched are told, in both languages."""

    en: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    ja: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class RuleBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An emergency rule as it is typed. `name` gets `emergency.` before it; `preview` is the id of its preview."""

    name: Name
    policy: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    on: Annotated[list[Annotated[str, msgspec.Meta(max_length=100)]], msgspec.Meta(min_length=1, max_length=20)]
    when: Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
    then: Annotated[list[MeasureBody], msgspec.Meta(min_length=1, max_length=6)]
    cap_per_hour: int = logic.CAP_DEFAULT
    minutes: int = logic.LASTS // MINUTE
    because: BecauseBody | None = None
    reason: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    preview: Annotated[str, msgspec.Meta(max_length=100)] = ""


class ExtendBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much longer, from now, and why."""

    reason: Reason
    minutes: Annotated[int, msgspec.Meta(ge=1, le=60)] = 60


class EndBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it ends now."""

    reason: Reason


class EmergencyBody(msgspec.Struct, frozen=True, kw_only=True):
    """An emergency rule as it stands."""

    name: str
    version: int
    policy: str
    on: tuple[str, ...]
    when: str
    then: tuple[Measure, ...]
    cap_per_hour: int
    started_at: str
    ends_at: str
    started_by: str
    reason: str
    review_due_at: str
    case_id: str
    extended_by: str | None
    ended_at: str | None
    ended_by: str | None
    ended_how: str | None
    stands: bool


class EmergencyList(msgspec.Struct, frozen=True, kw_only=True):
    """The emergency rules of late, newest first."""

    items: list[EmergencyBody]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Emergencies:
    """The verbs as the application wires them; each raises the refusals of this room."""

    preview: Callable[[EmergencyStarted], Preview]
    start: Callable[[EmergencyStarted, str], Emergency]  # the rule, and the id of its preview
    extend: Callable[[ExtendEmergency], Emergency]
    end: Callable[[EndEmergency], Emergency]
    review_due: Callable[[Instant], Instant]  # when a rule that starts then is to be reviewed


def endpoints(database: Database, verbs: Emergencies) -> list[Endpoint]:
    """Describe the routes."""

    def index(call: Call) -> EmergencyList:
        with database.read() as tx:
            found = store.read_recent(tx, before_seq=None, limit=RECENT)
        return EmergencyList(items=[emergency_body(each, call.at) for each in found])

    def one(call: Call) -> EmergencyBody:
        with database.read() as tx:
            found = store.read_one(tx, call.path["name"])
        if found is None:
            raise EmergencyMissing(f"there is no emergency rule {call.path['name'][:80]!r}")
        return emergency_body(found, call.at)

    def preview(call: Call) -> Preview:
        return verbs.preview(started_of(call.body_as(RuleBody), call, verbs.review_due(call.at)))

    def start(call: Call) -> EmergencyBody:
        body = call.body_as(RuleBody)
        return emergency_body(verbs.start(started_of(body, call, verbs.review_due(call.at)), body.preview), call.at)

    def extend(call: Call) -> EmergencyBody:
        body = call.body_as(ExtendBody)
        command = ExtendEmergency(
            name=call.path["name"], lasts_us=body.minutes * MINUTE, by=call.principal.actor, reason=body.reason
        )
        return emergency_body(verbs.extend(command), call.at)

    def end(call: Call) -> EmergencyBody:
        command = EndEmergency(name=call.path["name"], by=call.principal.actor, reason=call.body_as(EndBody).reason)
        return emergency_body(verbs.end(command), call.at)

    return [
        endpoint("GET", "/v1/emergency", "rules.read", index, summary="Emergency rules of late", returns=EmergencyList),
        endpoint("POST", "/v1/emergency/preview", "rules.emergency", preview,
                 summary="What an emergency rule would have done in the last two hours", body=RuleBody, returns=Preview,
                 raises=(EmergencyInvalid,)),
        endpoint("POST", "/v1/emergency", "rules.emergency", start, summary="Start an emergency rule", body=RuleBody,
                 description="For at most an hour; it may only hide, hold, mute or freeze. Its preview comes first.",
                 returns=EmergencyBody, status=201, raises=(EmergencyInvalid, EmergencyNotPreviewed)),
        endpoint("GET", "/v1/emergency/{name}", "rules.read", one, summary="An emergency rule", returns=EmergencyBody,
                 raises=(EmergencyMissing,)),
        endpoint("POST", "/v1/emergency/{name}/extend", "rules.emergency", extend,
                 summary="Let an emergency rule live longer, once, as a second person", body=ExtendBody,
                 returns=EmergencyBody, raises=(EmergencyMissing, EmergencyOver, EmergencyNeedsSecond)),
        endpoint("POST", "/v1/emergency/{name}/end", "rules.emergency", end, summary="End an emergency rule now",
                 body=EndBody, returns=EmergencyBody, raises=(EmergencyMissing, EmergencyOver)),
    ]  # fmt: skip


def started_of(body: RuleBody, call: Call, review_due_at: Instant) -> EmergencyStarted:
    """Return the rule that a body describes; its end is fixed when it enters the log."""
    because = BECAUSE if body.because is None else {"en": body.because.en, "ja": body.because.ja}
    lasts_us = body.minutes * MINUTE
    return EmergencyStarted(
        name=body.name if body.name.startswith(logic.PREFIX) else logic.PREFIX + body.name,
        policy=body.policy,
        on=tuple(dict.fromkeys(body.on)),
        when=body.when.strip(),
        then=tuple(measure_of(each) for each in body.then),
        cap_per_hour=body.cap_per_hour,
        because=because,
        lasts_us=lasts_us,
        ends_at=logic.end_of(call.at, lasts_us),
        review_due_at=review_due_at,
        by=call.principal.actor,
        reason=body.reason.strip(),
    )


def measure_of(body: MeasureBody) -> Measure:
    """Return the action of a pack that a measure is. What is held passes when the hold lapses."""
    match body.kind:
        case "hide":
            return Hide()
        case "hold":
            return Hold(for_us=body.minutes * MINUTE, becomes="allow")
        case "mute":
            return Restrict(scope=body.scope, for_us=body.minutes * MINUTE)
        case "freeze":
            return FreezePayout(for_us=body.minutes * MINUTE)


def emergency_body(one: Emergency, at: Instant) -> EmergencyBody:
    """Return a rule in the form that leaves Koban."""
    started = one.started
    return EmergencyBody(
        name=one.name,
        version=one.seq,
        policy=started.policy,
        on=started.on,
        when=started.when,
        then=started.then,
        cap_per_hour=started.cap_per_hour,
        started_at=to_rfc3339(one.started_at),
        ends_at=to_rfc3339(one.ends_at),
        started_by=started.by,
        reason=started.reason,
        review_due_at=to_rfc3339(started.review_due_at),
        case_id=one.case_id,
        extended_by=one.extended_by,
        ended_at=None if one.ended_at is None else to_rfc3339(one.ended_at),
        ended_by=one.ended_by,
        ended_how=one.ended_how,
        stands=one.stands_at(at),
    )
