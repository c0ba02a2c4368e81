"""Cases: queues with their due times, one case with its signals, and judging it under a claim."""

from typing import Final, cast

from koban.access import Answer, Call, Endpoint, endpoint
from koban.access import store as access_store
from koban.base import Instant, Refusal
from koban.cases import CaseMissing, CloseCase, claim, claim_next, release
from koban.cases import store as case_store
from koban.cases.types import CaseOutcome
from koban.console.filters import read_filters
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.words import language_of
from koban.db import Tx
from koban.enforcement import store as sanction_store

OUTCOMES: Final = ("upheld", "honest", "unclear")
NOTE_CHARS_MAX: Final = 4_000
SIGNALS_SHOWN: Final = 50
STAFF_MAX: Final = 500


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/cases", "cases.read", lambda call: _list(kit, call), summary="Cases", page=True),
        endpoint("POST", "/cases", "cases.work", lambda call: _next(kit, call), summary="Take the next case",
                 accepts="form", page=True),
        endpoint("GET", "/cases/{id}", "cases.read", lambda call: _one(kit, call), summary="A case", page=True,
                 raises=(CaseMissing,)),
        endpoint("POST", "/cases/{id}", "cases.work", lambda call: _work(kit, call), summary="Work on a case",
                 accepts="form", page=True, raises=(CaseMissing,)),
    )  # fmt: skip


def _list(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    names = ("queue", "status", "mine")
    filters = read_filters(call.query, names, Formats(language_of(call.language), kit.zone, call.at))
    columns = {"queue": queue} if (queue := filters.get("queue")) else {}
    if filters.get("mine"):
        columns["claimed_by"] = call.principal.id
    closed = filters.get("status") == "closed"
    with kit.database.read() as tx:
        found = case_store.search_cases(
            tx,
            status="closed" if closed else "open",
            limit=PAGE_ITEMS + 1,
            after=_place(filters.cursor),
            filters=columns,
        )
        counts = case_store.count_open(tx, call.at)
        people = _names(tx)
    more = len(found) > PAGE_ITEMS
    return page(
        kit,
        call,
        "cases.html",
        status=409 if problem else 200,
        filters=filters,
        items=found[:PAGE_ITEMS],
        next_cursor=f"{found[PAGE_ITEMS - 1].due_at}.{found[PAGE_ITEMS - 1].id}" if more else "",
        counts=counts,
        closed=closed,
        names=people,
        pack=kit.pack(),
        problem=problem,
    )


def _next(kit: ConsoleKit, call: Call) -> Answer:
    try:
        with kit.database.write() as tx:
            case = claim_next(tx, call.at, call.form.get("queue", ""), by=call.principal.actor)
    except Refusal as refusal:
        return _list(kit, call, problem=f"problem.{refusal.code}")
    return done(call, f"/cases/{case.id}", "case_claimed")


def _one(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    with kit.database.read() as tx:
        case = case_store.read_case(tx, call.path["id"])
        if case is None:
            raise CaseMissing(f"there is no case {call.path['id'][:80]}")
        signals = case_store.read_signals(tx, case.id, limit=SIGNALS_SHOWN)
        about = [case.subject] if case.acting is None else [case.subject, case.acting]
        sanctions = [each for subject in dict.fromkeys(about) for each in sanction_store.read_of_subject(tx, subject)]
        people = _names(tx)
    held = case.claimed_until is not None and case.claimed_until > call.at
    return page(
        kit,
        call,
        "case.html",
        status=409 if problem else 200,
        case=case,
        signals=signals,
        sanctions=sanctions[::-1],
        names=people,
        mine=held and case.claimed_by == call.principal.id,
        held=held,
        overdue=(case.closed_at or call.at) > case.due_at,
        outcomes=OUTCOMES,
        pack=kit.pack(),
        problem=problem,
        note=call.form.get("note", ""),
        chosen=call.form.get("outcome", ""),
    )


def _work(kit: ConsoleKit, call: Call) -> Answer:
    form, by, case_id = call.form, call.principal.actor, call.path["id"]
    fence = int(form["fence"]) if form.get("fence", "").isdecimal() and len(form["fence"]) < 10 else -1
    try:
        if form.get("do") == "claim":
            with kit.database.write() as tx:
                claim(tx, call.at, case_id, by=by)
            return done(call, f"/cases/{case_id}", "case_claimed")
        if form.get("do") == "release":
            with kit.database.write() as tx:
                release(tx, call.at, case_id, by=by, fence=fence)
            return done(call, "/cases", "case_released")
        outcome, note = form.get("outcome", ""), form.get("note", "").strip()
        if outcome not in OUTCOMES or len(note) > NOTE_CHARS_MAX:
            return _one(kit, call, problem="cases.problem_outcome")
        # cast: it is one of the three that were just looked up
        kit.close_case(CloseCase(case_id=case_id, outcome=cast("CaseOutcome", outcome), by=by, fence=fence, note=note))
    except CaseMissing:
        raise
    except Refusal as refusal:
        return _one(kit, call, problem=f"problem.{refusal.code}")
    return done(call, "/cases", "case_closed")


def _names(tx: Tx) -> dict[str, str]:
    return {one.id: one.name for one in access_store.list_staff(tx, after_id="", limit=STAFF_MAX)}


def _place(cursor: str) -> tuple[Instant, str] | None:
    due_at, _, case_id = cursor.partition(".")
    return (Instant(int(due_at)), case_id) if due_at.isascii() and due_at.isdecimal() and len(due_at) < 18 else None
