"""Cases: queues with their due times, what waits and why, several judged at once, and how long people took."""

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import DAY, Instant, Refusal, keyset, keyset_of
from koban.cases import Case, CaseMissing, claim_next, figures_store, work_routes, work_store
from koban.cases import store as case_store
from koban.cases.types import NOTE_CHARS_MAX, CaseOutcome
from koban.console.filters import read_filters
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.search import views_of
from koban.console.typed import TextTooLong, typed_text
from koban.console.words import language_of
from koban.packs import QueueDef

OUTCOMES: Final = ("upheld", "honest", "unclear")
FIGURE_DAYS: Final = 7
BULK_MAX: Final = 50  # on one page
REASON_CHARS_MAX: Final = 2_000


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/cases", "cases.read", lambda call: _list(kit, call), summary="Cases", page=True),
        endpoint("POST", "/cases", "cases.work", lambda call: _next(kit, call), summary="Take the next case",
                 accepts="form", page=True),
        endpoint("GET", "/cases/figures", "cases.read", lambda call: _figures(kit, call),
                 summary="How long cases wait and take", page=True),
        endpoint("POST", "/cases/bulk", "cases.decide", lambda call: _bulk(kit, call),
                 summary="Judge several cases at once", accepts="form", page=True),
        endpoint("GET", "/cases/batches/{id}", "cases.read", lambda call: _batch(kit, call),
                 summary="What was judged at once", page=True, raises=(CaseMissing,)),
        endpoint("POST", "/cases/batches/{id}", "cases.decide", lambda call: _undo(kit, call),
                 summary="Take back what was judged at once", accepts="form", page=True, raises=(CaseMissing,)),
        endpoint("GET", "/cases/protection", "cases.work", lambda call: _protection(kit, call),
                 summary="What one does not want to be given", page=True),
        endpoint("POST", "/cases/protection", "cases.work", lambda call: _protect(kit, call),
                 summary="Say what one does not want to be given", accepts="form", page=True),
    )  # fmt: skip


def _list(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    names = ("queue", "status", "mine", "late")
    filters = read_filters(call.query, names, Formats(language_of(call.language), kit.zone, call.at))
    columns = {"queue": queue} if (queue := filters.get("queue")) else {}
    if filters.get("mine"):
        columns["claimed_by"] = call.principal.id
    closed = filters.get("status") == "closed"
    queues = kit.pack().queues
    with kit.database.read() as tx:
        found = case_store.search_ranked(
            tx,
            closed=closed,
            limit=PAGE_ITEMS + 1,
            after=keyset_of(filters.cursor),
            filters=columns,
            due_by=call.at if filters.get("late") and not closed else None,
        )
        counts = figures_store.count_queues(tx, call.at)
        held = case_store.held_by(tx, call.principal.id, call.at)
        shelf = views_of(call, tx, "/cases")
    more = len(found) > PAGE_ITEMS
    last = found[PAGE_ITEMS - 1] if more else None
    return page(
        kit,
        call,
        "cases.html",
        shelf,
        status=409 if problem else 200,
        filters=filters,
        items=found[:PAGE_ITEMS],
        next_cursor="" if last is None else keyset((last.closed_at or 0) if closed else last.rank_at, last.id),
        counts=_ordered(counts, queues),
        total=sum(count.open for count in counts.values()),
        overdue=sum(count.overdue for count in counts.values()),
        paused=sum(count.paused for count in counts.values()),
        closed=closed,
        held=held,
        outcomes=OUTCOMES,
        pack=kit.pack(),
        problem=problem,
        detail=detail,
    )


def _ordered(
    counts: Mapping[str, figures_store.QueueCount], queues: Mapping[str, QueueDef]
) -> dict[str, figures_store.QueueCount]:
    """Return the queues that have anything, in the pack's order; one that the pack no longer has comes last."""
    known = {name: counts[name] for name in queues if name in counts}
    return known | {name: count for name, count in counts.items() if name not in known}


def _next(kit: ConsoleKit, call: Call) -> Answer:
    queues = kit.pack().queues
    wanted = call.form.get("queue", "")
    try:
        with kit.database.write() as tx:
            case = claim_next(
                tx, call.at, (wanted,) if wanted else tuple(queues), by=call.principal.actor, guarded=queues
            )
    except Refusal as refusal:
        return _list(kit, call, problem=f"problem.{refusal.code}")
    return done(call, f"/cases/{case.id}?flow={wanted or 'all'}", "case_claimed")


def _figures(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.read() as tx:
        figures = work_routes.queue_figures(tx, Instant(call.at - FIGURE_DAYS * DAY))
    return page(kit, call, "case_figures.html", figures=figures, days=FIGURE_DAYS, pack=kit.pack())


def _bulk(kit: ConsoleKit, call: Call) -> Answer:
    form = call.form
    chosen = tuple(
        name.removeprefix("case_") if not name.startswith("case_case_") else name[5:]
        for name in form
        if name.startswith("case_case_")
    )[:BULK_MAX]
    outcome = form.get("outcome", "")
    if not chosen or outcome not in OUTCOMES:
        return _list(kit, call, problem="cases.problem_bulk")
    long = ""
    try:
        note = typed_text(form, "note", NOTE_CHARS_MAX)
    except TextTooLong as refusal:
        note, long = "", refusal.detail
    body = work_routes.BulkBody(
        case_ids=chosen,
        judgement=work_routes.JudgementBody(
            outcome=cast("CaseOutcome", outcome),  # cast: it is one of the three that were just looked up
            hide=bool(form.get("hide")) and outcome == "upheld",
            strike=bool(form.get("strike")) and outcome == "upheld",
            note=note,
        ),
    )
    if long or form.get("do") != "apply":
        preview = work_routes.bulk_preview(kit.bench, body, by=call.principal.actor, at=call.at)
        return page(kit, call, "case_bulk.html", status=422 if long else 200, body=body, preview=preview, long=long)
    result = work_routes.bulk_decide(kit.bench, body, by=call.principal.actor, at=call.at)
    return done(call, f"/cases/batches/{result.batch_id}", "cases_decided")


def _batch(kit: ConsoleKit, call: Call, *, long: str = "") -> Answer:
    with kit.database.read() as tx:
        batch = work_store.read_batch(tx, call.path["id"])
        if batch is None:
            raise CaseMissing(f"there is no batch {call.path['id'][:80]}")
        found = [case_store.read_case(tx, case_id) for case_id in batch[2]]
    return page(
        kit,
        call,
        "case_batch.html",
        status=422 if long else 200,
        long=long,
        batch_id=call.path["id"],
        made_by=batch[0],
        made_at=batch[1],
        undone=batch[3],
        items=[case for case in found if case is not None],
        may_undo=not batch[3]
        and work_routes.may_reopen(
            batch[0], batch[1], by=call.principal.actor, at=call.at, may_any="cases.assign" in call.principal.grants
        ),
    )


def _undo(kit: ConsoleKit, call: Call) -> Answer:
    try:
        reason = typed_text(call.form, "reason", REASON_CHARS_MAX)
    except TextTooLong as long:
        return _batch(kit, call, long=long.detail)
    work_routes.bulk_undo(
        kit.bench,
        call.path["id"],
        by=call.principal.actor,
        at=call.at,
        reason=reason or "undone",
        may_any="cases.assign" in call.principal.grants,
    )
    return done(call, f"/cases/batches/{call.path['id']}", "cases_undone")


def _protection(kit: ConsoleKit, call: Call) -> Answer:
    mine = work_routes.protection(kit.bench, call.principal.actor, call.at)
    return page(kit, call, "protection.html", mine=mine, harms=sorted(mine.limit_min))


def _protect(kit: ConsoleKit, call: Call) -> Answer:
    known = {queue.harm for queue in kit.pack().queues.values()} - {"none"}
    with kit.database.write() as tx:
        work_store.set_optouts(
            tx, call.principal.actor, sorted(harm for harm in known if call.form.get(f"harm_{harm}"))
        )
    return done(call, "/cases/protection", "protected")


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One term of a case's rank as a person reads it: what, how much of it, and what it is worth."""

    name: str
    value: str
    worth: str  # a length of time, with its sign
    ahead: bool


def terms_of(case: Case, f: Formats, words: Mapping[str, str]) -> list[Term]:
    """Return why a case is where it is, the weightiest term first."""
    terms = case.terms
    if terms is None:
        return []
    rows = [
        ("severity", words.get(terms.severity, terms.severity), terms.severity_points),
        ("probability", f.percent(terms.probability_bp, 10_000), terms.probability_points),
        ("reports", f"{f.count(terms.reports)} / {f.count(terms.signals)}", terms.report_points),
    ]
    if terms.stake_points:
        people = terms.people > 0 and terms.money_minor == 0
        rows.append(
            ("reach", f.count(terms.people), terms.stake_points)
            if people
            else ("money", f.money(terms.money_minor, "JPY"), terms.stake_points)
        )
    return [
        Term(
            name=name,
            value=value,
            worth=("+" if points >= 0 else "−") + f.length(abs(points) * terms.half_life_us // 1_000),
            ahead=points >= 0,
        )
        for name, value, points in sorted(rows, key=lambda row: -abs(row[2]))
        if points
    ]
