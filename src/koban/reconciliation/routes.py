"""Routes of reconciliation: files in, runs, exceptions with their evidence, adjustments by two people."""

from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.audit import record
from koban.base import Clock, Instant, to_rfc3339
from koban.db import Database
from koban.ledger import LedgerDef, booking_date
from koban.reconciliation import store
from koban.reconciliation.actions import age_days, bucket, find, find_live, take_file
from koban.reconciliation.files import FileKind
from koban.reconciliation.types import (
    AdjustmentMissing,
    AdjustmentOwn,
    AdjustmentRefused,
    Discrepancy,
    ExceptionDone,
    ExceptionMissing,
    Proposal,
    Row,
    RowsUnreadable,
    RunReport,
)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
# Whoever sees to an exception stands in the audit trail, which takes ids and names and never free text.
Owner = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:@-]{1,80}\Z", max_length=80)]
Reason = Annotated[str, msgspec.Meta(min_length=5, max_length=500)]
FILE_BYTES_MAX: Final = 32 * 1024 * 1024
ROWS_SHOWN: Final = 500
RELATED_SHOWN: Final = 100


class ProposeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done: a posting (`template` with `parameters`), or an explanation without one."""

    reason: Reason
    template: Annotated[str, msgspec.Meta(max_length=80)] = ""
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)] = "JPY"
    parameters: Mapping[str, int | Annotated[str, msgspec.Meta(max_length=128)]] = {}


class DecideBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The proposal that was read, and why it is declined."""

    proposal: Name
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class AssignBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who sees to it; null: nobody."""

    owner: Owner | None


class ReconciliationDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What the application gives and does for reconciliation; commands return once they are durable."""

    database: Database
    clock: Clock
    run: Callable[[], RunReport]
    propose: Callable[[str, ProposeBody, str], Proposal]  # exception, what, by
    decide: Callable[[str, DecideBody, bool, str], Proposal]  # exception, what, approves, by
    definition: Callable[[], LedgerDef]


class FileQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose file it is."""

    kind: FileKind
    source: Annotated[
        str, msgspec.Meta(min_length=1, max_length=56, description="The provider, as books name it, or the account")
    ]


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken in."""

    rows: int


class ExceptionQuery(PageQuery, frozen=True, kw_only=True):
    """Which exceptions."""

    state: Literal["live", "open", "proposed", "resolved", "cleared", "all"] = "live"
    type: Annotated[str, msgspec.Meta(max_length=40)] = ""
    leg: Annotated[str, msgspec.Meta(max_length=20)] = ""
    owner: Annotated[str, msgspec.Meta(max_length=80)] = ""


class ExceptionView(msgspec.Struct, frozen=True, kw_only=True):
    """An exception. `amount_minor`: ledger less the other side; `age` in days with its bucket."""

    id: str
    type: str
    leg: str
    source: str
    amount_minor: int
    currency: str
    since: str
    due: str
    age_days: int
    age: str
    overdue: bool
    state: str
    owner: str | None
    opened_at: str
    note: str


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal, and what the second person said."""

    id: str
    template: str
    currency: str
    parameters: dict[str, str | int]
    reason: str
    by: str
    at: str
    status: str
    decided_by: str | None
    decided_at: str | None
    answer: str


class RelatedView(msgspec.Struct, frozen=True, kw_only=True):
    """A row that shares a reference with the exception, and what became of it."""

    row: Row
    outcome: str
    found_by: str


class EvidenceView(msgspec.Struct, frozen=True, kw_only=True):
    """An exception with the rows of each side, rows that share a reference, and its proposals."""

    exception: ExceptionView
    rows: list[Row]
    related: list[RelatedView]
    proposals: list[ProposalView]


class AgeingView(msgspec.Struct, frozen=True, kw_only=True):
    """Live exceptions of a type and currency in an ageing bucket."""

    type: str
    currency: str
    age: str
    count: int
    amount_minor: int
    overdue: int


class SummaryView(msgspec.Struct, frozen=True, kw_only=True):
    """How reconciliation stands."""

    last_run_at: str | None
    matches: dict[str, int]
    ageing: list[AgeingView]


def endpoints(desk: ReconciliationDesk) -> list[Endpoint]:
    """Describe the routes."""
    return [*_run_endpoints(desk), *_exception_endpoints(desk), *_adjustment_endpoints(desk)]


def _run_endpoints(desk: ReconciliationDesk) -> list[Endpoint]:
    def take(call: Call) -> FileView:
        asked = call.params_as(FileQuery)
        rows, _ = take_file(desk.database, call.at, asked.kind, asked.source, call.raw)
        with desk.database.write() as tx:
            details = {"kind": asked.kind, "rows": rows}
            record(tx, call.at, call.principal.actor, "reconciliation.file", asked.source, details)
        return FileView(rows=rows)

    def run(call: Call) -> RunReport:
        report = desk.run()
        with desk.database.write() as tx:
            details = {"matched": report.matched, "exceptions": report.exceptions}
            record(tx, call.at, call.principal.actor, "reconciliation.run", "all", details)
        return report

    return [
        endpoint(
            "POST", "/v1/reconciliation/files", "reconciliation.run", take, summary="Take in a report or statement as CSV",
            query=FileQuery, body=bytes, returns=FileView, max_bytes=FILE_BYTES_MAX, raises=(RowsUnreadable,),
            description="The same rows again are the same rows. Columns: see the page on reconciliation.",
        ),
        endpoint(
            "POST", "/v1/reconciliation/runs", "reconciliation.run", run, summary="Compare everything that is open",
            returns=RunReport, description="Happens every day by itself. Without anything new, nothing changes.",
        ),
        endpoint(
            "GET", "/v1/reconciliation", "reconciliation.read", lambda call: summary(desk, call),
            summary="See how reconciliation stands, by age", returns=SummaryView,
        ),
    ]  # fmt: skip


def _exception_endpoints(desk: ReconciliationDesk) -> list[Endpoint]:
    def listed(call: Call) -> Page[ExceptionView]:
        asked = call.params_as(ExceptionQuery)
        due, _, last = (asked.cursor or "").partition(".")
        with desk.database.read() as tx:
            found = store.list_exceptions(
                tx,
                state="" if asked.state == "all" else asked.state,
                type_=asked.type,
                leg=asked.leg,
                owner=asked.owner,
                after=(due.replace("\0", ""), last.replace("\0", "")) if last else None,
                limit=asked.limit + 1,
            )
        shown = found[: asked.limit]
        return Page(
            items=[exception_view(each, today(desk)) for each in shown],
            next_cursor=f"{shown[-1].due}.{shown[-1].id}" if len(found) > asked.limit else None,
        )

    def one(call: Call) -> EvidenceView:
        return evidence(desk, call.path["id"])

    def assigned(call: Call) -> ExceptionView:
        owner = call.body_as(AssignBody).owner
        give(desk, call, call.path["id"], owner)
        return evidence(desk, call.path["id"]).exception

    return [
        endpoint(
            "GET", "/v1/reconciliation/exceptions", "reconciliation.read", listed,
            summary="List exceptions, those due first", query=ExceptionQuery, returns=Page[ExceptionView],
        ),
        endpoint(
            "GET", "/v1/reconciliation/exceptions/{id}", "reconciliation.read", one,
            summary="Look up an exception with its evidence", returns=EvidenceView, raises=(ExceptionMissing,),
        ),
        endpoint(
            "POST", "/v1/reconciliation/exceptions/{id}/owner", "reconciliation.run", assigned,
            summary="Say who sees to an exception", body=AssignBody, returns=ExceptionView,
            raises=(ExceptionMissing, ExceptionDone),
        ),
    ]  # fmt: skip


def _adjustment_endpoints(desk: ReconciliationDesk) -> list[Endpoint]:
    def propose(call: Call) -> ProposalView:
        return proposal_view(desk.propose(call.path["id"], call.body_as(ProposeBody), call.principal.actor))

    def approve(call: Call) -> ProposalView:
        return proposal_view(desk.decide(call.path["id"], call.body_as(DecideBody), True, call.principal.actor))

    def decline(call: Call) -> ProposalView:
        return proposal_view(desk.decide(call.path["id"], call.body_as(DecideBody), False, call.principal.actor))

    told = (ExceptionMissing, ExceptionDone, AdjustmentMissing, AdjustmentRefused)
    return [
        endpoint(
            "POST", "/v1/reconciliation/exceptions/{id}/propose", "reconciliation.propose", propose,
            summary="Propose an adjustment, or an explanation without a posting", body=ProposeBody, returns=ProposalView,
            raises=told, description="The ledger is asked at once whether it would take the posting; nothing is booked yet.",
        ),
        endpoint(
            "POST", "/v1/reconciliation/exceptions/{id}/approve", "reconciliation.approve", approve,
            summary="Approve a colleague's proposal: it is booked", body=DecideBody, returns=ProposalView,
            raises=(*told, AdjustmentOwn),
        ),
        endpoint(
            "POST", "/v1/reconciliation/exceptions/{id}/decline", "reconciliation.approve", decline,
            summary="Decline a proposal, or take one's own back", body=DecideBody, returns=ProposalView, raises=told,
        ),
    ]  # fmt: skip


def today(desk: ReconciliationDesk) -> str:
    """Return the date of now in the ledger's time zone."""
    return booking_date(desk.clock.now(), desk.definition().chart.time_zone)


def give(desk: ReconciliationDesk, call: Call, exception_id: str, owner: str | None) -> None:
    """Say who sees to an exception. Refuses: ExceptionMissing, ExceptionDone."""
    with desk.database.write() as tx:
        found = find_live(tx, exception_id)
        store.assign(tx, call.at, found.id, owner)
        record(tx, call.at, call.principal.actor, "reconciliation.owner", found.id, {"owner": owner or "nobody"})


def evidence(desk: ReconciliationDesk, exception_id: str) -> EvidenceView:
    """Return an exception with everything that speaks for or against it. Refuses: ExceptionMissing."""
    with desk.database.read() as tx:
        found = find(tx, exception_id)
        rows = store.rows_of(tx, found.id, limit=ROWS_SHOWN)
        own = {(row.id, row.leg) for row in rows}
        references = sorted({key for row in rows[:50] for key in row.keys})
        related = [
            RelatedView(row=row, outcome=outcome, found_by=found_by)
            for row, outcome, found_by in store.relatives(tx, references, limit=RELATED_SHOWN)
            if (row.id, row.leg) not in own
        ]
        proposals = [proposal_view(each) for each in store.proposals_of(tx, found.id)]
    return EvidenceView(exception=exception_view(found, today(desk)), rows=rows, related=related, proposals=proposals)


def summary(desk: ReconciliationDesk, _call: Call) -> SummaryView:
    """Return how reconciliation stands."""
    now = today(desk)
    with desk.database.read() as tx:
        last, matches, found = store.read_state(tx, "last_run_at"), store.match_counts(tx), store.ageing(tx)
    sums: dict[tuple[str, str, str], list[int]] = {}
    for type_, currency, since, due, count, amount in found:
        sum_ = sums.setdefault((type_, currency, bucket(age_days(since, now))), [0, 0, 0])
        for index, value in enumerate((count, amount, count if due < now else 0)):
            sum_[index] += value
    return SummaryView(
        last_run_at=to_rfc3339(Instant(last)) if last else None,
        matches=dict(matches),
        ageing=[
            AgeingView(type=type_, currency=currency, age=age, count=count, amount_minor=amount, overdue=overdue)
            for (type_, currency, age), (count, amount, overdue) in sorted(sums.items())
        ],
    )


def exception_view(each: Discrepancy, now: str) -> ExceptionView:
    """Return an exception in the form that leaves Koban."""
    days = age_days(each.since, now)
    return ExceptionView(
        id=each.id,
        type=each.type.value,
        leg=each.leg,
        source=each.source,
        amount_minor=each.amount_minor,
        currency=each.currency,
        since=each.since,
        due=each.due,
        age_days=days,
        age=bucket(days),
        overdue=each.due < now and each.state in ("open", "proposed"),
        state=each.state,
        owner=each.owner,
        opened_at=to_rfc3339(each.opened_at),
        note=each.note,
    )


def proposal_view(each: Proposal) -> ProposalView:
    """Return a proposal in the form that leaves Koban."""
    return ProposalView(
        id=each.id,
        template=each.template,
        currency=each.currency,
        parameters=dict(each.parameters),
        reason=each.reason,
        by=each.by,
        at=to_rfc3339(each.at),
        status=each.status,
        decided_by=each.decided_by,
        decided_at=None if each.decided_at is None else to_rfc3339(each.decided_at),
        answer=each.answer,
    )
