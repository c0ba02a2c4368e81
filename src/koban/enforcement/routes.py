"""The HTTP addresses of enforcement. What changes the log is a command and goes through the decider."""

import datetime
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.base import DAY, Instant, instant_of, to_rfc3339
from koban.db import Database, Tx
from koban.enforcement import logic, store
from koban.enforcement.types import (
    Closing,
    Command,
    Identifier,
    ImposeSanction,
    LiftSanction,
    Outcome,
    OverturnSanctions,
    PolicyUnknown,
    Reason,
    Sanction,
    SanctionKind,
    SanctionMissing,
    SanctionNotInForce,
    SanctionUnfit,
    Statement,
    Status,
    SubjectRef,
    UndoRule,
)

FOR_US_MAX: Final = 100 * 365 * DAY  # longer than anybody's account: say "until a person decides" instead

Submit = Callable[[Command], Outcome]  # sends a command through the decider and waits for what it did
Position = Callable[[Tx], int]  # the newest place in the log that a snapshot shows


class ClosingBody(msgspec.Struct, frozen=True, kw_only=True):
    """How a sanction stopped."""

    at: str
    how: Literal["expired", "lifted", "overturned"]
    by: str
    reason: str


class SanctionBody(msgspec.Struct, frozen=True, kw_only=True):
    """A sanction with its statement of reasons."""

    id: str
    subject: SubjectRef
    kind: SanctionKind
    status: Status
    imposed_at: str
    rules: list[str]
    actors: list[str]
    cause_seq: int
    counted: list[str]
    discounted: list[str]
    closing: ClosingBody | None
    statement: Statement


class ChangeBody(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a sanction."""

    seq: int
    at: str
    kind: str


class SanctionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A sanction and its history."""

    sanction: SanctionBody
    changes: list[ChangeBody]


class SubjectStateBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a subject may do now, and the sanctions that say so.

    `state_version` is the place in the log up to which this holds: at least that of every webhook stored so far, and
    less than that of every webhook to come.
    """

    subject: SubjectRef
    state_version: int
    changed_at: str | None
    state: store.StateBody
    in_force: list[SanctionBody]


class SanctionQuery(PageQuery, frozen=True, kw_only=True):
    """Filters of the list of sanctions."""

    subject_kind: str | None = None
    subject_id: str | None = None
    status: Status | None = None
    kind: SanctionKind | None = None
    policy: str | None = None
    rule: str | None = None


class Because(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reason in both languages of the people judged."""

    en: Reason
    ja: Reason


class ImposeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sanction to impose by hand; `for_s` absent means until a person decides. A strike's length is its ladder's."""

    subject_kind: Identifier
    subject_id: Identifier
    kind: SanctionKind
    policy: Identifier
    because: Reason | Because
    scope: str = ""
    for_s: int | None = None


class ReasonBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; it is kept with the sanction."""

    reason: Reason


class UndoBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From when on a rule's doings are taken back (RFC 3339 with an offset), and why."""

    since: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    reason: Reason


class DoneBody(msgspec.Struct, frozen=True, kw_only=True):
    """The sanctions that a command changed, in order; empty where there was nothing left to do."""

    sanction_ids: list[str]


def endpoints(database: Database, submit: Submit, position: Position) -> tuple[Endpoint, ...]:
    """Describe the routes; `submit` carries a command through the decider and returns what it did."""
    return (
        endpoint(
            "GET", "/v1/sanctions", "sanctions.read", lambda call: _list(database, call),
            summary="List sanctions, newest first", query=SanctionQuery, returns=Page[SanctionBody],
        ),
        endpoint(
            "POST", "/v1/sanctions", "sanctions.impose", lambda call: _impose(submit, call),
            summary="Impose a sanction by hand", body=ImposeBody, returns=DoneBody, status=201,
            description="A sanction in force for the same policy, subject and kind is joined, not repeated.",
            raises=(PolicyUnknown, SanctionUnfit),
        ),
        endpoint(
            "GET", "/v1/sanctions/{id}", "sanctions.read", lambda call: _get(database, call),
            summary="Look up a sanction and its history", returns=SanctionDetail, raises=(SanctionMissing,),
        ),
        endpoint(
            "POST", "/v1/sanctions/{id}/overturn", "sanctions.overturn", lambda call: _overturn(submit, call),
            summary="Treat a sanction as if it had never been", body=ReasonBody, returns=DoneBody,
            description="Strikes that counted it are derived again and only ever become milder.",
            raises=(SanctionMissing,),
        ),
        endpoint(
            "POST", "/v1/sanctions/{id}/lift", "sanctions.overturn", lambda call: _lift(submit, call),
            summary="End a sanction early", body=ReasonBody, returns=DoneBody,
            description="The sanction was right and still counts as a strike.",
            raises=(SanctionMissing, SanctionNotInForce),
        ),
        endpoint(
            "POST", "/v1/rules/{name}/undo", "rules.undo", lambda call: _undo(submit, call),
            summary="Take back what a rule did to people", body=UndoBody, returns=DoneBody,
            description="Sanctions that also stand on another rule or a person's decision stay for that reason.",
        ),
        endpoint(
            "GET", "/v1/subjects/{kind}/{id:path}/state", "subjects.read", lambda call: _state(database, position, call),
            summary="What a subject may do now", returns=SubjectStateBody,
            description="The same state that webhooks carry, to reconcile with.",
        ),
    )  # fmt: skip


def undo_rule(submit: Submit, command: UndoRule) -> tuple[str, ...]:
    """Take back everything a rule did since a moment, chunk by chunk, so that the decider is never held for long."""
    done: list[str] = []
    while True:
        outcome = submit(command)
        done.extend(outcome.sanction_ids)
        if outcome.next_after is None:
            return tuple(done)
        command = msgspec.structs.replace(command, after=outcome.next_after)


def sanction_body(sanction: Sanction) -> SanctionBody:
    """Return a sanction in the form that leaves Koban."""
    grounds = sanction.grounds or sanction.withdrawn
    return SanctionBody(
        id=sanction.id,
        subject=sanction.subject,
        kind=sanction.kind,
        status=sanction.status,
        imposed_at=to_rfc3339(sanction.imposed_at),
        rules=list(dict.fromkeys(each.rule for each in grounds if each.rule is not None)),
        actors=list(dict.fromkeys(each.actor for each in grounds if each.actor is not None)),
        cause_seq=sanction.cause_seq,
        counted=list(sanction.counted),
        discounted=list(sanction.discounted),
        closing=None if sanction.closing is None else _closing_body(sanction.closing),
        statement=logic.statement_of(sanction),
    )


def _closing_body(closing: Closing) -> ClosingBody:
    return ClosingBody(at=to_rfc3339(closing.at), how=closing.how, by=closing.by, reason=closing.reason)


def _list(database: Database, call: Call) -> Page[SanctionBody]:
    query = call.params_as(SanctionQuery)
    filters = {
        name: value
        for name in ("subject_kind", "subject_id", "status", "kind", "policy", "rule")
        if (value := getattr(query, name)) is not None
    }
    with database.read() as tx:
        found = store.search_sanctions(tx, before=query.cursor, limit=query.limit + 1, filters=filters)
    items = [sanction_body(each) for each in found[: query.limit]]
    return Page(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


def _get(database: Database, call: Call) -> SanctionDetail:
    sanction_id = call.path["id"]
    with database.read() as tx:
        found = store.read(tx, (sanction_id,)).get(sanction_id)
        changes = store.read_changes(tx, sanction_id)
    if found is None:
        raise SanctionMissing(f"there is no sanction {sanction_id}")
    return SanctionDetail(
        sanction=sanction_body(found),
        changes=[ChangeBody(seq=seq, at=to_rfc3339(at), kind=store.entry_type(change)) for seq, at, change in changes],
    )


def _impose(submit: Submit, call: Call) -> DoneBody:
    body = call.body_as(ImposeBody)
    # A reason given as one text stands for both languages: whoever reads the other one still reads a reason.
    because = body.because if isinstance(body.because, Because) else Because(en=body.because, ja=body.because)
    for_us = None if body.for_s is None else body.for_s * 1_000_000
    if for_us is not None and not 0 < for_us <= FOR_US_MAX:
        raise SanctionUnfit(f"a sanction lasts from 1 to {FOR_US_MAX // 1_000_000} seconds, or until a person decides")
    outcome = submit(
        ImposeSanction(
            subject=SubjectRef(kind=body.subject_kind, id=body.subject_id),
            kind=body.kind,
            policy=body.policy,
            by=call.principal.actor,
            because={"en": because.en, "ja": because.ja},
            scope=body.scope,
            for_us=for_us,
        )
    )
    return DoneBody(sanction_ids=list(outcome.sanction_ids))


def _overturn(submit: Submit, call: Call) -> DoneBody:
    reason = call.body_as(ReasonBody).reason
    outcome = submit(OverturnSanctions(sanction_ids=(call.path["id"],), by=call.principal.actor, reason=reason))
    return DoneBody(sanction_ids=list(outcome.sanction_ids))


def _lift(submit: Submit, call: Call) -> DoneBody:
    reason = call.body_as(ReasonBody).reason
    outcome = submit(LiftSanction(sanction_id=call.path["id"], by=call.principal.actor, reason=reason))
    return DoneBody(sanction_ids=list(outcome.sanction_ids))


def _undo(submit: Submit, call: Call) -> DoneBody:
    body = call.body_as(UndoBody)
    command = UndoRule(
        rule=call.path["name"], since_at=instant_of(body.since), by=call.principal.actor, reason=body.reason
    )
    return DoneBody(sanction_ids=list(undo_rule(submit, command)))


def _state(database: Database, position: Position, call: Call) -> SubjectStateBody:
    subject = SubjectRef(kind=call.path["kind"], id=call.path["id"])
    at: Instant = call.at
    with database.read() as tx:
        sanctions = store.read_of_subject(tx, subject)
        changed = store.read_state(tx, subject)
        version = position(tx)
    return SubjectStateBody(
        subject=subject,
        state_version=version,
        changed_at=None if changed is None else to_rfc3339(changed[1]),
        state=store.state_body(logic.derive_state(sanctions, at)),
        in_force=[sanction_body(each) for each in sanctions if each.stands_at(at)],
    )
