"""On-call: who is called now and next, what is open, one's own contacts, the rota; and the receipt behind a link."""

from collections.abc import Mapping
from typing import Final

from koban.access import PUBLIC, Answer, Call, Endpoint, endpoint
from koban.access import store as access_store
from koban.base import Refusal, to_rfc3339
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.console.refused import refusal_said
from koban.console.typed import TextTooLong, typed_text
from koban.console.words import as_it_is, language_of
from koban.oncall import (
    ContactBody,
    Override,
    PageMissing,
    ReceiptInvalid,
    Shift,
    acknowledge,
    add_override,
    add_shift,
    contact_view,
    drop_line,
    make_contact,
    oncall_view,
    open_page,
    page_detail,
    read_receipt,
    require_staff,
    resolve,
)
from koban.oncall import store as oncall_store
from koban.oncall.logic import LEVELS
from koban.oncall.types import SEVERITIES

STAFF_MAX: Final = 2_000
DAYS: Final = tuple(range(7))
REASON_CHARS_MAX: Final = 500
DETAIL_CHARS_MAX: Final = 1_000
KINDS: Final = ("webhook", "slack", "mail")


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/on-call", "oncall.read", lambda call: _home(kit, call), summary="On-call", page=True),
        endpoint("POST", "/on-call", "oncall.answer", lambda call: _change(kit, call), summary="Change on-call",
                 accepts="form", page=True),
        endpoint("GET", "/on-call/pages/{id}", "oncall.read", lambda call: _one(kit, call), summary="A page",
                 page=True, raises=(PageMissing,)),
        endpoint("POST", "/on-call/pages/{id}", "oncall.answer", lambda call: _answer(kit, call),
                 summary="Take or resolve a page", accepts="form", page=True, raises=(PageMissing,)),
        endpoint("GET", "/on-call/receipt/{token}", PUBLIC, lambda call: _receipt(kit, call),
                 summary="A page behind its signed link", page=True, raises=(ReceiptInvalid,)),
        endpoint("POST", "/on-call/receipt/{token}", PUBLIC, lambda call: _receive(kit, call),
                 summary="Acknowledge a page by its signed link", accepts="form", page=True, raises=(ReceiptInvalid,)),
    )  # fmt: skip


def _home(kit: ConsoleKit, call: Call, *, problem: str = "", secret: str = "", told: str = "") -> Answer:
    with kit.database.read() as tx:
        view = oncall_view(tx, call.at, call.principal.id)
        staff = [each for each in access_store.list_staff(tx, after_id="", limit=STAFF_MAX) if each.disabled_at is None]
        shifts = oncall_store.read_shifts(tx)
        overrides = oncall_store.read_overrides(tx, after=call.at)
        contacts = [contact_view(each) for each in oncall_store.read_contacts(tx)]
    formats = Formats(language_of(call.language), kit.zone, call.at)
    return page(
        kit,
        call,
        "oncall.html",
        status=422 if problem else 200,
        view=view,
        staff=staff,
        shifts=shifts,
        overrides=overrides,
        own=[each for each in contacts if each.staff_id == call.principal.id],
        reached={each.staff_id for each in contacts},
        days=DAYS,
        levels=LEVELS,
        kinds=KINDS,
        severities=SEVERITIES,
        moment=formats.instant,
        clock_of=_clock,
        problem=problem,
        told=told,
        secret=secret,
        typed=call.form,
    )


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _change(kit: ConsoleKit, call: Call) -> Answer:
    """Handle the forms of the page: each names what it does."""
    form, what = call.form, call.form.get("do", "")
    try:
        match what:
            case "contact":
                made = make_contact(
                    kit.database,
                    kit.oncall.randomness,
                    kit.contacts_box,
                    _contact(kit, form),
                    call,
                    may_allow_private=kit.may_allow_private,
                )
                return _home(kit, call, secret=made.secret or "", told="done.contact_added")
            case "shift" | "override":
                return _add_line(kit, call)
            case "remove":
                drop_line(kit.database, call, form.get("id", ""))
                return done(call, "/on-call", "rota_changed")
            case "call":
                return _call_somebody(kit, call)
            case _:
                return _home(kit, call, problem="oncall.problem")
    except Refusal as refusal:
        return _home(kit, call, problem="oncall.problem", told=refusal_said(call.language, refusal))


def _contact(kit: ConsoleKit, form: Mapping[str, str]) -> ContactBody:
    kind, least = form.get("kind", ""), form.get("quiet_least", "high")
    return ContactBody(
        kind=kind if kind in KINDS else "mail",  # type: ignore[arg-type]  # one of the words above
        address=form.get("address", "").strip(),
        zone=kit.zone,
        quiet_from=_minute(form.get("quiet_from", "")),
        quiet_until=_minute(form.get("quiet_until", "")),
        quiet_least=least if least in SEVERITIES else "high",
        allow_private=bool(form.get("allow_private")),
    )


def _add_line(kit: ConsoleKit, call: Call) -> Answer:
    form = call.form
    if "oncall.manage" not in call.principal.grants:
        return _home(kit, call, problem="oncall.problem", told=as_it_is("oncall.manage"))
    level, staff_id = _level(form.get("level", "")), form.get("staff", "")
    try:
        why = typed_text(form, "reason", REASON_CHARS_MAX)
    except TextTooLong as long:
        return _home(kit, call, problem="form.too_long", told=long.detail)
    formats = Formats(language_of(call.language), kit.zone, call.at)
    with kit.database.write() as tx:
        require_staff(tx, staff_id)
        if form.get("do") == "shift":
            shift = Shift(
                id="", level=level, staff_id=staff_id, weekdays=tuple(day for day in DAYS if form.get(f"day.{day}")),
                from_minute=_minute(form.get("from", "")) or 0, until_minute=_minute(form.get("until", "")) or 0,
                zone=kit.zone,
            )  # fmt: skip
            add_shift(tx, call.at, kit.oncall.randomness, shift, by=call.principal.actor)
        else:
            override = Override(
                id="", level=level, staff_id=staff_id, from_at=formats.read_field(form.get("from", "")) or call.at,
                until_at=formats.read_field(form.get("until", "")) or call.at, reason=why,
            )  # fmt: skip
            add_override(tx, call.at, kit.oncall.randomness, override, by=call.principal.actor)
    return done(call, "/on-call", "rota_changed")


def _call_somebody(kit: ConsoleKit, call: Call) -> Answer:
    try:
        detail = typed_text(call.form, "detail", DETAIL_CHARS_MAX)
    except TextTooLong as long:
        return _home(kit, call, problem="form.too_long", told=long.detail)
    if not detail:
        return _home(kit, call, problem="oncall.problem")
    severity = call.form.get("severity", "high")
    with kit.database.write() as tx:
        made = open_page(
            kit.oncall,
            tx,
            call.at,
            kind="called",
            about=f"{call.principal.actor} {to_rfc3339(call.at)}",
            detail=detail,
            severity=severity if severity in SEVERITIES else "high",
        )
    return done(call, f"/on-call/pages/{made.id}", "called")


def _one(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.read() as tx:
        detail = page_detail(tx, call.path["id"])
    formats = Formats(language_of(call.language), kit.zone, call.at)
    return page(kit, call, "oncall_page.html", detail=detail, moment=formats.instant)


def _answer(kit: ConsoleKit, call: Call) -> Answer:
    page_id = call.path["id"]
    with kit.database.write() as tx:
        if call.form.get("do") == "resolve":
            resolve(tx, call.at, page_id, by=call.principal.actor)
        else:
            acknowledge(tx, call.at, page_id, by=call.principal.actor, how="console")
    resolved = call.form.get("do") == "resolve"
    return done(call, f"/on-call/pages/{page_id}", "page_resolved" if resolved else "page_acknowledged")


def _receipt(kit: ConsoleKit, call: Call) -> Answer:
    """Show the page with one button: opening a link must not take it, because mail scanners open links."""
    page_id, staff_id = _read(kit, call)
    with kit.database.read() as tx:
        detail = page_detail(tx, page_id)
    formats = Formats(language_of(call.language), kit.zone, call.at)
    return page(
        kit,
        call,
        "oncall_receipt.html",
        detail=detail,
        staff_id=staff_id,
        moment=formats.instant,
    )


def _receive(kit: ConsoleKit, call: Call) -> Answer:
    page_id, staff_id = _read(kit, call)
    with kit.database.write() as tx:
        if oncall_store.read_page(tx, page_id) is not None:
            acknowledge(tx, call.at, page_id, by=staff_id, how="link")
    return _receipt(kit, call)


def _read(kit: ConsoleKit, call: Call) -> tuple[str, str]:
    found = read_receipt(kit.oncall.key, call.path["token"])
    if found is None:
        raise ReceiptInvalid("The link was cut off, or was not made here.")
    with kit.database.read() as tx:
        if oncall_store.read_page(tx, found[0]) is None:
            raise ReceiptInvalid("The page is gone.")
    return found


def _minute(text: str) -> int | None:
    hour, colon, minute = text.partition(":")
    if not colon or not (hour.isdecimal() and minute[:2].isdecimal()):
        return None
    return int(hour) * 60 + int(minute[:2])


def _level(text: str) -> int:
    return int(text) if text in {"1", "2", "3"} else 1
