"""What people want booked: proposed with the transfers it would make, approved or declined by somebody else."""

from collections.abc import Mapping
from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import Refusal, keyset, keyset_of, random_id
from koban.console.filters import TYPED_CHARS_MAX, read_number
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.refused import refusal_said
from koban.console.typed import TextTooLong, typed_text
from koban.ledger import BookMissing, Template, statement
from koban.ledger.booking_store import find, list_bookings
from koban.ledger.bookings import (
    BookingBody,
    BookingDecided,
    BookingDiffers,
    BookingMissing,
    BookingOwn,
    BookingRefused,
    Wants,
    WantsLimits,
    WantsPosting,
    moves_of,
)

STATUSES: Final = ("waiting", "approved", "declined", "all")
REASON_CHARS_MIN: Final = 5
TEXT_CHARS_MAX: Final = 500
NAME_CHARS_MAX: Final = 128


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    told = (BookingRefused, BookingDiffers, BookMissing)
    return (
        endpoint("GET", "/money/bookings", "ledger.read", lambda call: _list(kit, call),
                 summary="What people want booked", page=True),
        endpoint("GET", "/money/bookings/new", "ledger.propose", lambda call: _new(kit, call),
                 summary="Propose a booking", page=True, raises=(BookMissing,)),
        endpoint("POST", "/money/bookings/new", "ledger.propose", lambda call: _propose(kit, call),
                 summary="Propose a booking", accepts="form", page=True, raises=told),
        endpoint("GET", "/money/bookings/{id}", "ledger.read", lambda call: _one(kit, call),
                 summary="A booking that somebody proposed", page=True, raises=(BookingMissing,)),
        endpoint("POST", "/money/bookings/{id}/decide", "ledger.approve", lambda call: _decide(kit, call),
                 summary="Approve or decline a booking", accepts="form", page=True,
                 raises=(BookingMissing, BookingDecided, BookingOwn, BookingRefused)),
    )  # fmt: skip


def _list(kit: ConsoleKit, call: Call) -> Answer:
    status = call.query.get("status", "waiting")
    status = status if status in STATUSES else "waiting"
    cursor = call.query.get("cursor", "")
    with kit.database.read() as tx:
        found = list_bookings(
            tx, status="" if status == "all" else status, before=keyset_of(cursor), limit=PAGE_ITEMS + 1
        )
    shown = found[:PAGE_ITEMS]
    return page(
        kit,
        call,
        "bookings.html",
        bookings=[(each, sum(one.amount_minor or 0 for one in moves_of(each, _templates(kit)))) for each in shown],
        templates=_templates(kit),
        wanted=status,
        statuses=STATUSES,
        cursor=cursor,
        next_cursor=keyset(shown[-1].at, shown[-1].id) if len(found) > PAGE_ITEMS else "",
    )


def _templates(kit: ConsoleKit) -> Mapping[str, Template]:
    return kit.pack().ledger.templates


def _new(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    asked = {**call.query, **call.form}
    templates = _templates(kit)
    chosen = templates.get(asked.get("template", ""))
    book = asked.get("book", "").strip()[:NAME_CHARS_MAX]
    balance = None
    if book:
        with kit.database.read() as tx:
            balance = statement(tx, book, limit=1).balance
    return page(
        kit,
        call,
        "booking_new.html",
        status=422 if problem else 200,
        # Made here, so that a form that is sent twice is one booking.
        booking_id=asked.get("id") or random_id("booking", call.at, kit.access.randomness),
        templates=[each for each in templates.values() if not each.adjusts],
        chosen=chosen,
        filled={name: asked.get(f"p_{name}", "")[:NAME_CHARS_MAX] for name in chosen.parameters} if chosen else {},
        levels=kit.pack().ledger.levels,
        level=asked.get("level", ""),
        currency=asked.get("currency", ""),
        booking_date=asked.get("booking_date", "")[:10],
        balance=balance,
        bounds={side: asked.get(side, "")[:TYPED_CHARS_MAX] for side in ("debit", "credit")},
        problem=problem,
        detail=detail,
        reason=asked.get("reason", ""),
    )


def _propose(kit: ConsoleKit, call: Call) -> Answer:
    form = call.form
    try:
        reason = typed_text(form, "reason", TEXT_CHARS_MAX)
    except TextTooLong as long:
        return _new(kit, call, problem="form.too_long", detail=long.detail)
    wants = _wants_limits(form) if form.get("book") else _wants_posting(kit, form)
    if wants is None:
        return _new(kit, call, problem="bookings.problem_form")
    if len(reason) < REASON_CHARS_MIN:
        return _new(kit, call, problem="bookings.problem_reason")
    try:
        made = kit.bookings.propose(
            BookingBody(id=form.get("id", "")[:80], reason=reason, wants=wants), call.principal.actor
        )
    except (BookingRefused, BookingDiffers) as refusal:
        return _new(kit, call, problem=f"bookings.problem_{refusal.code}", detail=refusal_said(call.language, refusal))
    return done(call, f"/money/bookings/{made.id}", "booking_proposed")


def _wants_posting(kit: ConsoleKit, form: Mapping[str, str]) -> Wants | None:
    template = _templates(kit).get(form.get("template", ""))
    if template is None:
        return None
    wanted = form.get("currency", "")
    currency = wanted if wanted in template.currencies else template.currencies[0]
    parameters: dict[str, int | str] = {}
    for each in template.parameters.values():
        text = form.get(f"p_{each.name}", "").strip()[:NAME_CHARS_MAX]
        number = read_number(text, currency) if each.type == "amount" else None
        if not text or (each.type == "amount" and number is None):
            return None
        parameters[each.name] = text if number is None else number
    return WantsPosting(
        template=template.name,
        parameters=parameters,
        currency=currency,
        level=form.get("level", "")[:80] or None,
        booking_date=form.get("booking_date", "").strip()[:10] or None,
    )


def _wants_limits(form: Mapping[str, str]) -> Wants | None:
    bounds: dict[str, int | None] = {}
    for side in ("debit", "credit"):
        text = form.get(side, "").strip()
        bounds[side] = read_number(text)
        if text and bounds[side] is None:
            return None
    book = form.get("book", "").strip()[:NAME_CHARS_MAX]
    return WantsLimits(book=book, net_debit_max_minor=bounds["debit"], net_credit_max_minor=bounds["credit"])


def _one(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    with kit.database.read() as tx:
        found = find(tx, call.path["id"])
    if found is None:
        raise BookingMissing(f"There is no booking {call.path['id'][:80]!r}.")
    wants = found.wants
    return page(
        kit,
        call,
        "booking.html",
        status=422 if problem else 200,
        one=found,
        posting=wants if isinstance(wants, WantsPosting) else None,
        limits=wants if isinstance(wants, WantsLimits) else None,
        moves=moves_of(found, _templates(kit)),
        templates=_templates(kit),
        is_own=found.by == call.principal.actor,
        problem=problem,
        detail=detail,
    )


def _decide(kit: ConsoleKit, call: Call) -> Answer:
    approves = call.form.get("do", "") == "approve"
    try:
        answer = typed_text(call.form, "answer", TEXT_CHARS_MAX)
        kit.bookings.decide(call.path["id"], approves, answer, call.principal.actor)
    except TextTooLong as long:
        return _one(kit, call, problem="form.too_long", detail=long.detail)
    except Refusal as refusal:
        if isinstance(refusal, BookingOwn | BookingRefused | BookingDecided):
            return _one(
                kit, call, problem=f"bookings.problem_{refusal.code}", detail=refusal_said(call.language, refusal)
            )
        raise
    return done(call, f"/money/bookings/{call.path['id']}", "booking_approved" if approves else "booking_declined")
