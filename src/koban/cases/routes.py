"""The HTTP addresses of cases. Closing changes what decisions read (a label), so it goes through the decider."""

from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.base import Instant, keyset, keyset_of, to_rfc3339
from koban.cases import actions, store
from koban.cases.priority import Terms
from koban.cases.types import (
    Case,
    CaseAlreadyClosed,
    CaseClaimed,
    CaseClosed,
    CaseMissing,
    CaseOutcome,
    CaseStatus,
    ClaimLost,
    CloseCase,
    JudgementUnfit,
    Note,
    NotForYou,
    QueueEmpty,
)
from koban.db import Database
from koban.enforcement import SubjectRef
from koban.packs import QueueDef

Submit = Callable[[CloseCase], CaseClosed]  # sends the command through the decider and waits for the fact
SIGNALS_SHOWN_MAX: Final = 100


class CaseBody(msgspec.Struct, frozen=True, kw_only=True):
    """A case. `fence` names the claim: send it with what is done under it."""

    id: str
    queue: str
    subject: SubjectRef
    acting: SubjectRef | None
    policy: str
    market: str
    status: CaseStatus
    opened_at: str
    due_at: str
    overdue: bool
    signals: int
    last_signal_at: str
    claimed_by: str | None
    claimed_until: str | None
    fence: int
    outcome: CaseOutcome | None
    note: str
    closed_at: str | None
    closed_by: str | None
    members: int = 1
    harm: str = "none"
    paused_at: str | None = None
    pause_ends_at: str | None = None
    breached_at: str | None = None
    assigned_to: str | None = None
    escalated: bool = False
    proposal: str | None = None
    appeal: str | None = None
    rank_at: int = 0
    terms: Terms | None = None  # why it is where it is in its queue


class SignalBody(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that asked for a judgement."""

    seq: int
    at: str
    rule: str
    policy: str
    because: Mapping[str, str]
    event_id: str
    event_type: str


class CaseDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A case with its newest signals."""

    case: CaseBody
    signals: list[SignalBody]


class CaseQuery(PageQuery, frozen=True, kw_only=True):
    """Filters of the list of cases."""

    queue: str | None = None
    status: CaseStatus = "open"
    subject_kind: str | None = None
    subject_id: str | None = None
    claimed_by: str | None = None


class FenceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The claim under which something is done."""

    fence: int


class CloseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The judgement: the policy was broken (upheld), the person is honest, or it stays unclear."""

    outcome: CaseOutcome
    fence: Annotated[int, msgspec.Meta(description="Of the claim that you hold")]
    note: Note = ""


def endpoints(
    database: Database, submit: Submit, queues: Callable[[], Mapping[str, QueueDef]] = dict
) -> tuple[Endpoint, ...]:
    """Describe the routes; `submit` carries a closing through the decider, `queues` are those of the pack."""
    return (
        endpoint(
            "GET", "/v1/cases", "cases.read", lambda call: _list(database, call),
            summary="List cases, the ones due first first", query=CaseQuery, returns=Page[CaseBody],
        ),
        endpoint(
            "GET", "/v1/cases/{id}", "cases.read", lambda call: _get(database, call),
            summary="Look up a case and its signals", returns=CaseDetail, raises=(CaseMissing,),
        ),
        endpoint(
            "POST", "/v1/cases/{id}/claim", "cases.work", lambda call: _claim(database, call),
            summary="Take a case", returns=CaseBody, raises=(CaseMissing, CaseAlreadyClosed, CaseClaimed, NotForYou),
            description="Others leave it alone for twenty minutes. Claiming again prolongs it under a new fence.",
        ),
        endpoint(
            "POST", "/v1/queues/{name}/claim", "cases.work", lambda call: _claim_next(database, queues, call),
            summary="Take the case of a queue that comes first", returns=CaseBody, raises=(QueueEmpty, CaseClaimed),
        ),
        endpoint(
            "POST", "/v1/cases/{id}/release", "cases.work", lambda call: _release(database, call),
            summary="Give a case back to its queue", body=FenceBody, returns=CaseBody,
            raises=(CaseMissing, CaseAlreadyClosed, ClaimLost),
        ),
        endpoint(
            "POST", "/v1/cases/{id}/close", "cases.work", lambda call: _close(database, submit, call),
            summary="Close a case with a judgement", body=CloseBody, returns=CaseBody,
            description="Upheld and honest become the label of the subject.",
            raises=(CaseMissing, CaseAlreadyClosed, ClaimLost, NotForYou, JudgementUnfit),
        ),
    )  # fmt: skip


def case_body(case: Case, at: Instant) -> CaseBody:
    """Return a case in the form that leaves Koban."""
    return CaseBody(
        id=case.id,
        queue=case.queue,
        subject=case.subject,
        acting=case.acting,
        policy=case.policy,
        market=case.market,
        status=case.status,
        opened_at=to_rfc3339(case.opened_at),
        due_at=to_rfc3339(case.due_at),
        overdue=(case.closed_at or case.paused_at or at) > case.due_at,
        signals=case.signals,
        last_signal_at=to_rfc3339(case.last_signal_at),
        claimed_by=case.claimed_by,
        claimed_until=None if case.claimed_until is None else to_rfc3339(case.claimed_until),
        fence=case.fence,
        outcome=case.outcome,
        note=case.note,
        closed_at=None if case.closed_at is None else to_rfc3339(case.closed_at),
        closed_by=case.closed_by,
        members=case.members,
        harm=case.harm,
        paused_at=_written(case.paused_at),
        pause_ends_at=_written(case.pause_ends_at),
        breached_at=_written(case.breached_at),
        assigned_to=case.assigned_to,
        escalated=case.escalated,
        proposal=case.proposal,
        appeal=case.appeal,
        rank_at=case.rank_at,
        terms=case.terms,
    )


def _written(at: Instant | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _list(database: Database, call: Call) -> Page[CaseBody]:
    query = call.params_as(CaseQuery)
    filters = {
        name: value
        for name in ("queue", "subject_kind", "subject_id", "claimed_by")
        if (value := getattr(query, name)) is not None
    }
    with database.read() as tx:
        found = store.search_cases(
            tx,
            status=query.status,
            limit=query.limit + 1,
            after=keyset_of(query.cursor),
            filters=filters,
        )
    page = found[: query.limit]
    next_cursor = keyset(page[-1].due_at, page[-1].id) if len(found) > query.limit else None
    return Page(items=[case_body(each, call.at) for each in page], next_cursor=next_cursor)


def _get(database: Database, call: Call) -> CaseDetail:
    with database.read() as tx:
        case = store.read_case(tx, call.path["id"])
        signals = store.read_signals(tx, call.path["id"], limit=SIGNALS_SHOWN_MAX)
    if case is None:
        raise CaseMissing(f"there is no case {call.path['id']}")
    return CaseDetail(
        case=case_body(case, call.at),
        signals=[
            SignalBody(
                seq=each.seq,
                at=to_rfc3339(each.at),
                rule=each.rule,
                policy=each.policy,
                because=each.because,
                event_id=each.event_id,
                event_type=each.event_type,
            )
            for each in signals
        ],
    )


def _claim(database: Database, call: Call) -> CaseBody:
    with database.write() as tx:
        return case_body(actions.claim(tx, call.at, call.path["id"], by=call.principal.actor), call.at)


def _claim_next(database: Database, queues: Callable[[], Mapping[str, QueueDef]], call: Call) -> CaseBody:
    with database.write() as tx:
        claimed = actions.claim_next(tx, call.at, (call.path["name"],), by=call.principal.actor, guarded=queues())
    return case_body(claimed, call.at)


def _release(database: Database, call: Call) -> CaseBody:
    fence = call.body_as(FenceBody).fence
    with database.write() as tx:
        released = actions.release(tx, call.at, call.path["id"], by=call.principal.actor, fence=fence)
    return case_body(released, call.at)


def _close(database: Database, submit: Submit, call: Call) -> CaseBody:
    body = call.body_as(CloseBody)
    case_id = call.path["id"]
    submit(CloseCase(case_id=case_id, outcome=body.outcome, by=call.principal.actor, fence=body.fence, note=body.note))
    with database.read() as tx:
        case = store.read_case(tx, case_id)
    if case is None:
        raise AssertionError(f"{case_id} was closed and is gone")
    return case_body(case, call.at)
