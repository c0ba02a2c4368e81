"""What does not match between ledger, providers and banks: the queue by age, an exception with its evidence, two people."""

from collections.abc import Mapping
from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.access.types import Upload
from koban.audit import record
from koban.base import Refusal
from koban.console.filters import read_number
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.refused import refusal_said
from koban.console.typed import TextTooLong, typed_text
from koban.ledger import Template
from koban.reconciliation import (
    AdjustmentMissing,
    AdjustmentOwn,
    AdjustmentRefused,
    ExceptionDone,
    ExceptionMissing,
    ExceptionType,
    RowsUnreadable,
    store,
    take_file,
)
from koban.reconciliation.actions import BUCKETS
from koban.reconciliation.files import COLUMNS
from koban.reconciliation.routes import (
    FILE_BYTES_MAX,
    DecideBody,
    EvidenceView,
    ProposeBody,
    evidence,
    exception_view,
    give,
    summary,
    today,
)

STATES: Final = ("live", "open", "proposed", "resolved", "cleared", "all")
LEGS: Final = ("provider", "bank", "settlement")
REASON_CHARS_MIN: Final = 5
TEXT_CHARS_MAX: Final = 500
NAME_CHARS_MAX: Final = 80
SIDES: Final = ("ledger", "provider", "bank")


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    told = (ExceptionMissing, ExceptionDone, AdjustmentMissing, AdjustmentRefused, AdjustmentOwn)
    return (
        endpoint("GET", "/money/exceptions", "reconciliation.read", lambda call: _queue(kit, call),
                 summary="What does not match", page=True),
        endpoint("POST", "/money/exceptions/run", "reconciliation.run", lambda call: _run(kit, call),
                 summary="Compare now", accepts="form", page=True),
        endpoint("POST", "/money/exceptions/files", "reconciliation.run", lambda call: _take(kit, call),
                 summary="Take a report or statement in", accepts="upload", page=True, max_bytes=FILE_BYTES_MAX),
        endpoint("GET", "/money/exceptions/{id}", "reconciliation.read", lambda call: _one(kit, call),
                 summary="An exception with its evidence", page=True, raises=(ExceptionMissing,)),
        endpoint("POST", "/money/exceptions/{id}/owner", "reconciliation.run", lambda call: _own(kit, call),
                 summary="Say who sees to an exception", accepts="form", page=True, raises=told[:2]),
        endpoint("POST", "/money/exceptions/{id}/propose", "reconciliation.propose", lambda call: _propose(kit, call),
                 summary="Propose an adjustment", accepts="form", page=True, raises=told),
        endpoint("POST", "/money/exceptions/{id}/decide", "reconciliation.approve", lambda call: _decide(kit, call),
                 summary="Approve or decline an adjustment", accepts="form", page=True, raises=told),
    )  # fmt: skip


def _queue(kit: ConsoleKit, call: Call, *, refused: RowsUnreadable | None = None, problem: str = "") -> Answer:
    desk = kit.reconciliation
    asked = {name: call.query.get(name, "")[:NAME_CHARS_MAX] for name in ("state", "type", "leg", "owner")}
    state = asked["state"] if asked["state"] in STATES else "live"
    cursor = call.query.get("cursor", "")
    due, _, last = cursor.partition(".")
    with kit.database.read() as tx:
        found = store.list_exceptions(
            tx,
            state="" if state == "all" else state,
            type_=asked["type"],
            leg=asked["leg"],
            owner=asked["owner"],
            after=(due.replace("\0", ""), last.replace("\0", "")) if last else None,
            limit=PAGE_ITEMS + 1,
        )
    shown = found[:PAGE_ITEMS]
    now = today(desk)
    stands = summary(desk, call)
    return page(
        kit,
        call,
        "exceptions.html",
        status=422 if refused or problem else 200,
        exceptions=[exception_view(each, now) for each in shown],
        ageing=_ageing(stands.ageing),
        buckets=[name for _, name in BUCKETS],
        matched=sum(stands.matches.values()),
        last_run_at=None if stands.last_run_at is None else stands.last_run_at,
        state=state,
        asked=asked,
        states=STATES,
        types=[each.value for each in ExceptionType],
        legs=LEGS,
        refused=refused,
        problem=problem,
        columns=COLUMNS,
        cursor=cursor,
        next_cursor=f"{shown[-1].due}.{shown[-1].id}" if len(found) > PAGE_ITEMS else "",
    )


def _ageing(found: object) -> dict[tuple[str, str], dict[str, tuple[int, int]]]:
    """Return by type and currency how many exceptions, and over how much, are how old."""
    table: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for each in found if isinstance(found, list) else ():
        table.setdefault((each.type, each.currency), {})[each.age] = (each.count, each.amount_minor)
    return table


def _run(kit: ConsoleKit, call: Call) -> Answer:
    report = kit.reconciliation.run()
    with kit.database.write() as tx:
        details = {"matched": report.matched, "exceptions": report.exceptions}
        record(tx, call.at, call.principal.actor, "reconciliation.run", "all", details)
    return done(call, "/money/exceptions", "reconciled")


def _take(kit: ConsoleKit, call: Call) -> Answer:
    kind, source = call.form.get("kind", ""), call.form.get("source", "").strip()[:56]
    if not isinstance(call.body, Upload) or kind not in ("provider", "bank") or not source:
        return _queue(kit, call, problem="exceptions.problem_file")
    try:
        rows, _ = take_file(
            kit.database, call.at, "provider" if kind == "provider" else "bank", source, call.body.content
        )
    except RowsUnreadable as refusal:
        return _queue(kit, call, refused=refusal)
    with kit.database.write() as tx:
        record(tx, call.at, call.principal.actor, "reconciliation.file", source, {"kind": kind, "rows": rows})
    return done(call, "/money/exceptions", "file_taken")


def _one(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    found = evidence(kit.reconciliation, call.path["id"])
    templates = kit.pack().ledger.templates
    waiting = next((each for each in found.proposals if each.status == "waiting"), None)
    template = templates.get(call.query.get("template", "") or call.form.get("template", ""))
    return page(
        kit,
        call,
        "exception.html",
        status=422 if problem else 200,
        one=found.exception,
        sides=[(side, [row for row in found.rows if row.side == side]) for side in SIDES],
        related=found.related,
        proposals=found.proposals,
        waiting=waiting,
        is_own=waiting is not None and waiting.by == call.principal.actor,
        templates=[each for each in templates.values() if each.adjusts],
        others=[each for each in templates.values() if not each.adjusts and _may_help(each)],
        chosen=template,
        filled=_filled(found, template, call.form),
        known=templates,
        problem=problem,
        detail=detail,
        reason=call.form.get("reason", ""),
    )


def _may_help(template: Template) -> bool:
    """Tell whether a posting can be what is missing in the ledger: one that a line of the bank speaks for."""
    return "bank_line" in (template.evidence, template.cause)


def _filled(found: EvidenceView, template: Template | None, form: Mapping[str, str]) -> dict[str, str]:
    """Return what a proposal's fields hold: as they were typed, or what the evidence says."""
    if template is None:
        return {}
    # Ours first: the last of its references is the payment, where there is one.
    references = [row.keys[-1] for row in sorted(found.rows, key=lambda row: row.side != "ledger") if row.keys]
    fees = sum(row.fee_minor for row in found.rows if row.side == "provider")
    size = abs(found.exception.amount_minor)
    guesses = {
        "exception": found.exception.id,
        "provider": found.exception.source,
        "bank_line": next((row.keys[0] for row in found.rows if row.side == "bank"), ""),
        "payment": references[0] if references else "",
        "amount": str(size + fees if template.name == "provider_settled" else size),
        "fee": str(fees),
    }
    return {name: form.get(f"p_{name}", guesses.get(name, ""))[:128] for name in template.parameters}


def _own(kit: ConsoleKit, call: Call) -> Answer:
    mine = call.form.get("owner", "") == "me"
    give(kit.reconciliation, call, call.path["id"], call.principal.actor if mine else None)
    return done(call, f"/money/exceptions/{call.path['id']}", "exception_owner")


def _propose(kit: ConsoleKit, call: Call) -> Answer:
    form = call.form
    try:
        reason = typed_text(form, "reason", TEXT_CHARS_MAX)
    except TextTooLong as long:
        return _one(kit, call, problem="form.too_long", detail=long.detail)
    if len(reason) < REASON_CHARS_MIN:
        return _one(kit, call, problem="exceptions.problem_reason")
    name = form.get("template", "")[:NAME_CHARS_MAX]
    template = kit.pack().ledger.templates.get(name)
    currency = template.currencies[0] if template is not None else "JPY"
    parameters: dict[str, int | str] = {}
    for each in template.parameters.values() if template is not None else ():
        text = form.get(f"p_{each.name}", "").strip()[:128]
        number = read_number(text, currency) if each.type == "amount" else None
        # What is no amount goes on as it was typed: the ledger says which parameter it cannot be.
        parameters[each.name] = text if number is None else number
    body = ProposeBody(
        reason=reason,
        template=name,
        currency=currency,
        parameters=parameters,
    )
    try:
        kit.reconciliation.propose(call.path["id"], body, call.principal.actor)
    except (AdjustmentRefused, AdjustmentMissing) as refusal:
        return _one(
            kit, call, problem=f"exceptions.problem_{refusal.code}", detail=refusal_said(call.language, refusal)
        )
    return done(call, f"/money/exceptions/{call.path['id']}", "adjustment_proposed")


def _decide(kit: ConsoleKit, call: Call) -> Answer:
    approves = call.form.get("do", "") == "approve"
    try:
        body = DecideBody(
            proposal=call.form.get("proposal", "")[:NAME_CHARS_MAX],
            reason=typed_text(call.form, "answer", TEXT_CHARS_MAX),
        )
        kit.reconciliation.decide(call.path["id"], body, approves, call.principal.actor)
    except TextTooLong as long:
        return _one(kit, call, problem="form.too_long", detail=long.detail)
    except Refusal as refusal:
        if isinstance(refusal, AdjustmentMissing | AdjustmentOwn | AdjustmentRefused):
            return _one(
                kit, call, problem=f"exceptions.problem_{refusal.code}", detail=refusal_said(call.language, refusal)
            )
        raise
    return done(
        call, f"/money/exceptions/{call.path['id']}", "adjustment_approved" if approves else "adjustment_declined"
    )
