"""The HTTP addresses of working on cases: next, skip, hand over, escalate, pause, decide, approve, many at once."""

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.audit import record
from koban.base import HOUR, Instant, Refusal, random_id, to_rfc3339
from koban.cases import actions, figures_store, store, work_store
from koban.cases.routes import CaseBody, case_body
from koban.cases.types import (
    CaseAlreadyClosed,
    CaseAlreadyThere,
    CaseClaimed,
    CaseMissing,
    CaseMoved,
    CaseNotClosed,
    CaseNotPaused,
    CaseOutcome,
    CasePaused,
    CasePausedAlready,
    CaseResumed,
    ClaimLost,
    ColleagueUnknown,
    DecideCase,
    DeclineProposal,
    Judged,
    JudgementUnfit,
    MoveCase,
    Note,
    NotForYou,
    PauseCase,
    PauseReason,
    Preview,
    Proposal,
    ProposalMissing,
    QueueEmpty,
    QueueMissing,
    ReopenCase,
    ResumeCase,
    SkipReason,
)
from koban.db import Database, Tx
from koban.enforcement import SubjectRef
from koban.packs import HarmClass, QueueDef

BULK_MAX: Final = 200
UNDO_WITHIN: Final = HOUR  # one's own judgement; afterwards whoever may assign cases does it
_LOST: Final = (CaseMissing, CaseAlreadyClosed, ClaimLost)

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workbench:
    """What the application gives to those who work on cases; commands go through the decider and raise refusals."""

    database: Database
    randomness: random.Random
    queues: Callable[[], Mapping[str, QueueDef]]
    colleague: Callable[[Tx, str], bool]  # whether somebody of this id works cases
    decide: Callable[[DecideCase], Judged]
    preview: Callable[[Tx, DecideCase, Instant], Preview]
    decline: Callable[[DeclineProposal], Proposal]
    pause: Callable[[PauseCase], CasePaused]
    resume: Callable[[ResumeCase], CaseResumed]
    move: Callable[[MoveCase], CaseMoved]
    reopen: Callable[[ReopenCase], Judged]


class NextBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which queues; none named: from all."""

    queues: tuple[Identifier, ...] = ()


class SkipBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why somebody else should judge this."""

    fence: int
    reason: SkipReason
    note: Note = ""


class HandOverBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To which colleague, and what they should know."""

    fence: int
    to: Identifier
    note: Note = ""


class MoveBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To which queue and why; `owner` alone is then given the case."""

    queue: Identifier
    reason: Words
    owner: Identifier | None = None


class EscalateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; without a queue it goes where its queue escalates."""

    fence: int
    reason: Words
    queue: str = ""
    owner: Identifier | None = None


class PauseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is waited for, and for how long at most: from a minute to thirty days."""

    fence: int
    reason: PauseReason
    for_s: Annotated[int, msgspec.Meta(ge=60, le=30 * 86_400)]
    note: Note = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was seen, in the words that the person judged reads."""

    en: Words
    ja: Words


class JudgementBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A judgement. `hide` takes the content away, `strike` takes the next step of the policy's ladder."""

    outcome: CaseOutcome
    fence: int = -1
    policy: str = ""
    hide: bool = False
    strike: bool = False
    take_back: bool = True
    facts: Facts | None = None
    note: Note = ""
    subjects: Annotated[tuple[SubjectRef, ...], msgspec.Meta(max_length=500)] | None = None


class ApproveBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The claim of the second person, and the proposal that they read."""

    fence: int
    proposal: Identifier


class DeclineBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The claim of the second person, and why not."""

    fence: int
    reason: Words


class ReasonBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Words


class BulkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same judgement for several cases."""

    case_ids: Annotated[tuple[Identifier, ...], msgspec.Meta(min_length=1, max_length=BULK_MAX)]
    judgement: JudgementBody


class BulkPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a judgement of several cases would bring, added up; nothing of it has happened."""

    cases: int
    hidden: int
    accounts: int
    taken_back: int
    told: int
    second_person: int
    left_out: Mapping[str, str]  # case -> code of the refusal


class BulkDone(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided at once; `batch_id` takes it back."""

    batch_id: str
    decided: list[str]
    proposed: list[str]
    left_out: Mapping[str, str]


class ProtectionBody(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each kind of harm a person saw within a day, and what they are not given. For their eyes alone."""

    seen_min: Mapping[str, int]
    limit_min: Mapping[str, int]
    opted_out: list[str]


class OptOutBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kinds of harm that one does not want to be given."""

    opted_out: tuple[HarmClass, ...]


class MemberBody(msgspec.Struct, frozen=True, kw_only=True):
    """One subject of a case."""

    subject: SubjectRef
    acting: SubjectRef | None
    event_id: str
    joined_at: str


class LineBody(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a case."""

    at: str
    kind: str
    by: str
    detail: Mapping[str, str | int]


class PauseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the pause ledger."""

    paused_at: str
    resumed_at: str | None
    reason: PauseReason
    note: str
    by: str
    due_before: str
    due_after: str | None


class TouchRow(msgspec.Struct, frozen=True, kw_only=True):
    """One claim: hands on a case, apart from waiting."""

    person: str
    claimed_at: str
    opened_at: str | None
    ended_at: str | None
    how: str | None
    touch_s: float


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a case is about and everything that happened to it."""

    members: list[MemberBody]
    timeline: list[LineBody]
    pauses: list[PauseRow]
    touches: list[TouchRow]


class QueueBody(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it stands."""

    queue: str
    title: Mapping[str, str]
    due_in_s: int
    calendar: str
    harm: str
    open: int
    overdue: int
    paused: int
    next_due_at: str | None
    oldest_at: str | None


class FiguresQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of how many days."""

    days: Annotated[int, msgspec.Meta(ge=1, le=92)] = 7


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Half, nine of ten and ninety-nine of a hundred took at most so long, in seconds."""

    p50_s: float
    p90_s: float
    p99_s: float
    count: int


class QueueFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How long cases of a queue waited, were touched, took in all, and until the marketplace confirmed."""

    queue: str
    closed: int
    late: int
    waited: Spread | None
    touched: Spread | None
    decided: Spread | None
    acted: Spread | None


def work_endpoints(bench: Workbench) -> tuple[Endpoint, ...]:
    """Describe the routes."""
    database = bench.database
    return (
        endpoint("GET", "/v1/queues", "cases.read", lambda call: _queues(bench, call),
                 summary="List queues with what waits in them", returns=list[QueueBody]),
        endpoint("GET", "/v1/queues/figures", "cases.read", lambda call: _figures(bench, call),
                 summary="Waiting and touch times by queue", query=FiguresQuery, returns=list[QueueFigures]),
        endpoint("POST", "/v1/cases/next", "cases.work", lambda call: _next(bench, call),
                 summary="Take the case that comes first in several queues", body=NextBody, returns=CaseBody,
                 description="What was handed to you comes first; what you skipped or decided yourself never comes.",
                 raises=(QueueEmpty, CaseClaimed)),
        endpoint("GET", "/v1/cases/{id}/history", "cases.read", lambda call: _history(database, call),
                 summary="Look up what happened to a case", returns=History, raises=(CaseMissing,)),
        endpoint("POST", "/v1/cases/{id}/skip", "cases.work", lambda call: _skip(database, call),
                 summary="Leave a case to others", body=SkipBody, returns=CaseBody, raises=_LOST,
                 description="It goes back to its queue and you are never given it again."),
        endpoint("POST", "/v1/cases/{id}/hand-over", "cases.work", lambda call: _hand_over(bench, call),
                 summary="Give a case to a colleague", body=HandOverBody, returns=CaseBody,
                 raises=(*_LOST, ColleagueUnknown, NotForYou)),
        endpoint("POST", "/v1/cases/{id}/escalate", "cases.work", lambda call: _escalate(bench, call),
                 summary="Send a case up", body=EscalateBody, returns=CaseBody,
                 description="A clock of its own begins in the other queue; an owner alone is given it.",
                 raises=(*_LOST, QueueMissing, CaseAlreadyThere, CasePausedAlready, ColleagueUnknown)),
        endpoint("POST", "/v1/cases/{id}/move", "cases.assign", lambda call: _move(bench, call),
                 summary="Move a case to another queue", body=MoveBody, returns=CaseBody,
                 raises=(CaseMissing, CaseAlreadyClosed, QueueMissing, CaseAlreadyThere, CasePausedAlready,
                         ColleagueUnknown)),
        endpoint("POST", "/v1/cases/{id}/pause", "cases.work", lambda call: _pause(bench, call),
                 summary="Let the clock of a case stand", body=PauseBody, returns=CaseBody,
                 description="It runs again by itself at the latest; the case is then due later by the time it stood.",
                 raises=(*_LOST, CasePausedAlready)),
        endpoint("POST", "/v1/cases/{id}/resume", "cases.work", lambda call: _resume(bench, call),
                 summary="Let the clock of a case run again", returns=CaseBody, raises=(CaseMissing, CaseNotPaused)),
        endpoint("POST", "/v1/cases/{id}/preview", "cases.work", lambda call: _preview(bench, call),
                 summary="See what a judgement would bring", body=JudgementBody, returns=Preview,
                 description="With the message that each person would get, in both languages.",
                 raises=(CaseMissing, JudgementUnfit)),
        endpoint("POST", "/v1/cases/{id}/decide", "cases.decide", lambda call: _decide(bench, call),
                 summary="Judge a case", body=JudgementBody, returns=Judged,
                 description="Sanctions, labels, statements of reasons and notices in one transaction. Where a second"
                 " person is needed it becomes a proposal.",
                 raises=(*_LOST, NotForYou, JudgementUnfit, ProposalMissing)),
        endpoint("POST", "/v1/cases/{id}/approve", "cases.approve", lambda call: _approve(bench, call),
                 summary="Approve what a colleague proposed", body=ApproveBody, returns=Judged,
                 raises=(*_LOST, NotForYou, JudgementUnfit, ProposalMissing)),
        endpoint("POST", "/v1/cases/{id}/decline", "cases.approve", lambda call: _decline(bench, call),
                 summary="Decline what a colleague proposed", body=DeclineBody, returns=Proposal,
                 raises=(*_LOST, NotForYou, ProposalMissing)),
        endpoint("POST", "/v1/cases/{id}/reopen", "cases.decide", lambda call: _reopen(bench, call),
                 summary="Take a judgement back", body=ReasonBody, returns=Judged,
                 description="What it imposed is overturned and everybody is told; the case waits again. Your own"
                 " within an hour; later by whoever may assign cases.",
                 raises=(CaseMissing, CaseNotClosed, CaseAlreadyThere, NotForYou, JudgementUnfit)),
        *_bulk_endpoints(bench),
    )  # fmt: skip


def _bulk_endpoints(bench: Workbench) -> tuple[Endpoint, ...]:
    return (
        endpoint("POST", "/v1/case-batches/preview", "cases.decide",
                 lambda call: bulk_preview(bench, call.body_as(BulkBody), by=call.principal.actor, at=call.at),
                 summary="See what judging several cases would bring", body=BulkBody, returns=BulkPreview),
        endpoint("POST", "/v1/case-batches", "cases.decide",
                 lambda call: bulk_decide(bench, call.body_as(BulkBody), by=call.principal.actor, at=call.at),
                 summary="Judge several cases at once", body=BulkBody, returns=BulkDone,
                 description="Those that somebody else holds are left out and named."),
        endpoint("POST", "/v1/case-batches/{id}/undo", "cases.decide", lambda call: _undo(bench, call),
                 summary="Take back what was judged at once", body=ReasonBody, returns=list[Judged],
                 raises=(CaseMissing, NotForYou)),
        endpoint("GET", "/v1/me/protection", "cases.work",
                 lambda call: protection(bench, call.principal.actor, call.at),
                 summary="How much harm you saw within a day", returns=ProtectionBody),
        endpoint("PUT", "/v1/me/protection", "cases.work", lambda call: _opt_out(bench, call),
                 summary="Say which kinds of harm you do not want to be given", body=OptOutBody,
                 returns=ProtectionBody),
    )  # fmt: skip


def judgement(body: JudgementBody, case_id: str, *, by: str, fence: int | None = None) -> DecideCase:
    """Return the command that a body asks for."""
    return DecideCase(
        case_id=case_id,
        fence=body.fence if fence is None else fence,
        by=by,
        outcome=body.outcome,
        policy=body.policy,
        hide=body.hide,
        strike=body.strike,
        take_back=body.take_back,
        facts={} if body.facts is None else {"en": body.facts.en, "ja": body.facts.ja},
        note=body.note,
        subjects=body.subjects,
    )


def bulk_preview(bench: Workbench, body: BulkBody, *, by: str, at: Instant) -> BulkPreview:
    """Add up what judging several cases would bring."""
    found: list[Preview] = []
    left_out: dict[str, str] = {}
    with bench.database.read() as tx:
        for case_id in dict.fromkeys(body.case_ids):
            try:
                case = actions.find(tx, case_id)
                if case.status == "closed":
                    raise CaseAlreadyClosed(case_id)
                if case.claimed_until is not None and case.claimed_until > at and case.claimed_by != by:
                    raise CaseClaimed(case_id)
                found.append(bench.preview(tx, judgement(body.judgement, case_id, by=by), at))
            except Refusal as refusal:
                left_out[case_id] = refusal.code
    return BulkPreview(
        cases=len(found),
        hidden=sum(each.hidden for each in found),
        accounts=sum(each.accounts for each in found),
        taken_back=sum(len(each.taken_back) for each in found),
        told=sum(len(each.told) + each.corrected for each in found),
        second_person=sum(each.second_person for each in found),
        left_out=left_out,
    )


def bulk_decide(bench: Workbench, body: BulkBody, *, by: str, at: Instant) -> BulkDone:
    """Judge several cases, each in a transaction of its own, so that the decider is never held for long."""
    batch_id = random_id("batch", at, bench.randomness)
    decided: list[str] = []
    proposed: list[str] = []
    left_out: dict[str, str] = {}
    for case_id in dict.fromkeys(body.case_ids):
        try:
            with bench.database.write() as tx:
                case = actions.claim(tx, at, case_id, by=by)
                actions.opened(tx, at, case, by=by)
            command = judgement(body.judgement, case_id, by=by, fence=case.fence)
            judged = bench.decide(msgspec.structs.replace(command, batch=batch_id))
        except Refusal as refusal:
            left_out[case_id] = refusal.code
            continue
        (proposed if judged.proposal is not None else decided).append(case_id)
    with bench.database.write() as tx:
        work_store.insert_batch(tx, batch_id, at, by=by, outcome=body.judgement.outcome, case_ids=decided)
        record(tx, at, by, "case.bulk", batch_id, {"cases": len(decided)})
    return BulkDone(batch_id=batch_id, decided=decided, proposed=proposed, left_out=left_out)


def bulk_undo(bench: Workbench, batch_id: str, *, by: str, at: Instant, reason: str, may_any: bool) -> list[Judged]:
    """Take back what was judged at once; what cannot be taken back any more is left as it is.

    Refuses: CaseMissing, NotForYou.
    """
    with bench.database.read() as tx:
        batch = work_store.read_batch(tx, batch_id)
    if batch is None:
        raise CaseMissing(f"there is no batch {batch_id[:80]}")
    made_by, made_at, case_ids, is_undone = batch
    if not may_any and (made_by != by or at - made_at > UNDO_WITHIN):
        raise NotForYou("Whoever may assign cases takes back what others judged, or what is older than an hour.")
    done: list[Judged] = []
    for case_id in () if is_undone else case_ids:
        try:
            done.append(bench.reopen(ReopenCase(case_id=case_id, by=by, reason=reason)))
        except Refusal:
            continue  # opened again by hand, or a newer case is there: it is no longer this batch's
    with bench.database.write() as tx:
        work_store.undo_batch(tx, batch_id, at, by=by)
        record(tx, at, by, "case.bulk_undo", batch_id, {"cases": len(done)})
    return done


def protection(bench: Workbench, person: str, at: Instant) -> ProtectionBody:
    """Return how much of each kind of harm a person saw within a day, and what they opted out of."""
    with bench.database.read() as tx:
        since = Instant(at - actions.DOSE_WINDOW)
        seen = work_store.doses(tx, person, since, at, longest_us=actions.CLAIM_FOR)
        opted_out = work_store.optouts(tx, person)
    limits: dict[str, int] = {}
    for queue in bench.queues().values():
        if queue.harm != "none":
            limits[queue.harm] = max(limits.get(queue.harm, 0), queue.exposure_min)
    return ProtectionBody(
        seen_min={harm: round(us / 60_000_000) for harm, us in seen.items()},
        limit_min=limits,
        opted_out=sorted(opted_out),
    )


def may_reopen(case_closed_by: str | None, closed_at: Instant | None, *, by: str, at: Instant, may_any: bool) -> bool:
    """Return whether a person may take a judgement back."""
    return may_any or (case_closed_by == by and closed_at is not None and at - closed_at <= UNDO_WITHIN)


def hand(bench: Workbench, tx: Tx, at: Instant, case_id: str, *, by: str, fence: int, to: str, note: str) -> None:
    """Give a case to a colleague who works cases.

    Refuses: CaseMissing, ClaimLost, ColleagueUnknown, NotForYou.
    """
    if to == by or not bench.colleague(tx, to):
        raise ColleagueUnknown(f"nobody else who works cases has the id {to[:80]!r}")
    actions.hand_over(tx, at, case_id, by=by, fence=fence, to=to, note=note)


def _read(database: Database, call: Call) -> CaseBody:
    with database.read() as tx:
        return case_body(actions.find(tx, call.path["id"]), call.at)


def _queues(bench: Workbench, call: Call) -> list[QueueBody]:
    with bench.database.read() as tx:
        counts = figures_store.count_queues(tx, call.at)
    return [
        QueueBody(
            queue=queue.name,
            title=queue.title,
            due_in_s=queue.due_in_s,
            calendar=queue.calendar,
            harm=queue.harm,
            open=count.open,
            overdue=count.overdue,
            paused=count.paused,
            next_due_at=None if count.next_due_at is None else to_rfc3339(count.next_due_at),
            oldest_at=None if count.oldest_at is None else to_rfc3339(count.oldest_at),
        )
        for queue in bench.queues().values()
        for count in (counts.get(queue.name, figures_store.NOTHING),)
    ]


def _figures(bench: Workbench, call: Call) -> list[QueueFigures]:
    since = Instant(call.at - call.params_as(FiguresQuery).days * 24 * HOUR)
    with bench.database.read() as tx:
        return queue_figures(tx, since)


def queue_figures(tx: Tx, since: Instant) -> list[QueueFigures]:
    """Return waiting, touch and decision times by queue, since a moment."""
    closed = figures_store.closed_since(tx, since)
    spreads = {what: figures_store.spreads(tx, since, what) for what in figures_store.WHATS}

    def spread(what: figures_store.What, queue: str) -> Spread | None:
        found = spreads[what].get(queue)
        if found is None:
            return None
        p50, p90, p99, count = found
        return Spread(p50_s=p50 / 1e6, p90_s=p90 / 1e6, p99_s=p99 / 1e6, count=count)

    return [
        QueueFigures(
            queue=queue,
            closed=count,
            late=late,
            waited=spread("waited", queue),
            touched=spread("touched", queue),
            decided=spread("decided", queue),
            acted=spread("acted", queue),
        )
        for queue, (count, late) in sorted(closed.items())
    ]


def _next(bench: Workbench, call: Call) -> CaseBody:
    queues = bench.queues()
    asked: Sequence[str] = call.body_as(NextBody).queues or tuple(queues)
    with bench.database.write() as tx:
        case = actions.claim_next(tx, call.at, asked, by=call.principal.actor, guarded=queues)
    return case_body(case, call.at)


def _history(database: Database, call: Call) -> History:
    case_id = call.path["id"]
    with database.read() as tx:
        actions.find(tx, case_id)
        members = store.read_members(tx, case_id, limit=500)
        lines = work_store.read_timeline(tx, case_id, limit=500)
        pauses = work_store.read_pauses(tx, case_id)
        touches = work_store.read_touches(tx, case_id)

    def written(at: Instant | None) -> str | None:
        return None if at is None else to_rfc3339(at)

    return History(
        members=[
            MemberBody(subject=one.subject, acting=one.acting, event_id=one.event_id, joined_at=to_rfc3339(one.at))
            for one in members
        ],
        timeline=[LineBody(at=to_rfc3339(one.at), kind=one.kind, by=one.actor, detail=one.detail) for one in lines],
        pauses=[
            PauseRow(
                paused_at=to_rfc3339(one.paused_at),
                resumed_at=written(one.resumed_at),
                reason=one.reason,
                note=one.note,
                by=one.by,
                due_before=to_rfc3339(one.due_before),
                due_after=written(one.due_after),
            )
            for one in pauses
        ],
        touches=[
            TouchRow(
                person=one.person,
                claimed_at=to_rfc3339(one.claimed_at),
                opened_at=written(one.opened_at),
                ended_at=written(one.ended_at),
                how=one.how,
                touch_s=one.touch_us / 1e6,
            )
            for one in touches
        ],
    )


def _skip(database: Database, call: Call) -> CaseBody:
    body = call.body_as(SkipBody)
    with database.write() as tx:
        case = actions.skip(
            tx, call.at, call.path["id"], by=call.principal.actor, fence=body.fence, reason=body.reason, note=body.note
        )
    return case_body(case, call.at)


def _hand_over(bench: Workbench, call: Call) -> CaseBody:
    body = call.body_as(HandOverBody)
    with bench.database.write() as tx:
        hand(
            bench, tx, call.at, call.path["id"],
            by=call.principal.actor, fence=body.fence, to=body.to, note=body.note,
        )  # fmt: skip
    return _read(bench.database, call)


def _escalate(bench: Workbench, call: Call) -> CaseBody:
    body = call.body_as(EscalateBody)
    _check_owner(bench, body.owner)
    bench.move(
        MoveCase(
            case_id=call.path["id"],
            queue=body.queue,
            reason=body.reason,
            by=call.principal.actor,
            fence=body.fence,
            owner=body.owner,
            escalates=True,
        )
    )
    return _read(bench.database, call)


def _move(bench: Workbench, call: Call) -> CaseBody:
    body = call.body_as(MoveBody)
    _check_owner(bench, body.owner)
    bench.move(
        MoveCase(
            case_id=call.path["id"], queue=body.queue, reason=body.reason, by=call.principal.actor, owner=body.owner
        )
    )
    return _read(bench.database, call)


def _check_owner(bench: Workbench, owner: str | None) -> None:
    if owner is not None:
        with bench.database.read() as tx:
            if not bench.colleague(tx, owner):
                raise ColleagueUnknown(f"nobody who works cases has the id {owner[:80]!r}")


def _pause(bench: Workbench, call: Call) -> CaseBody:
    body = call.body_as(PauseBody)
    bench.pause(
        PauseCase(
            case_id=call.path["id"],
            fence=body.fence,
            reason=body.reason,
            note=body.note,
            by=call.principal.actor,
            for_us=body.for_s * 1_000_000,
        )
    )
    return _read(bench.database, call)


def _resume(bench: Workbench, call: Call) -> CaseBody:
    bench.resume(ResumeCase(case_id=call.path["id"], by=call.principal.actor))
    return _read(bench.database, call)


def _preview(bench: Workbench, call: Call) -> Preview:
    command = judgement(call.body_as(JudgementBody), call.path["id"], by=call.principal.actor)
    with bench.database.read() as tx:
        return bench.preview(tx, command, call.at)


def _decide(bench: Workbench, call: Call) -> Judged:
    return bench.decide(judgement(call.body_as(JudgementBody), call.path["id"], by=call.principal.actor))


def _approve(bench: Workbench, call: Call) -> Judged:
    body = call.body_as(ApproveBody)
    return bench.decide(
        DecideCase(
            case_id=call.path["id"],
            fence=body.fence,
            by=call.principal.actor,
            outcome="unclear",  # the proposal's takes its place
            proposal=body.proposal,
        )
    )


def _decline(bench: Workbench, call: Call) -> Proposal:
    body = call.body_as(DeclineBody)
    return bench.decline(
        DeclineProposal(case_id=call.path["id"], fence=body.fence, by=call.principal.actor, reason=body.reason)
    )


def _reopen(bench: Workbench, call: Call) -> Judged:
    with bench.database.read() as tx:
        case = actions.find(tx, call.path["id"])
    may_any = "cases.assign" in call.principal.grants
    if case.status == "closed" and not may_reopen(
        case.closed_by, case.closed_at, by=call.principal.actor, at=call.at, may_any=may_any
    ):
        raise NotForYou("Whoever may assign cases takes back what others judged, or what is older than an hour.")
    reason = call.body_as(ReasonBody).reason
    return bench.reopen(ReopenCase(case_id=case.id, by=call.principal.actor, reason=reason))


def _undo(bench: Workbench, call: Call) -> list[Judged]:
    return bulk_undo(
        bench,
        call.path["id"],
        by=call.principal.actor,
        at=call.at,
        reason=call.body_as(ReasonBody).reason,
        may_any="cases.assign" in call.principal.grants,
    )


def _opt_out(bench: Workbench, call: Call) -> ProtectionBody:
    # Why no audit row: who cannot bear to look at what is nobody else's business.
    with bench.database.write() as tx:
        harms = [harm for harm in dict.fromkeys(call.body_as(OptOutBody).opted_out) if harm != "none"]
        work_store.set_optouts(tx, call.principal.actor, harms)
    return protection(bench, call.principal.actor, call.at)
