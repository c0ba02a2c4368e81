"""Verbs of on-call: open, escalate, deliver, acknowledge, resolve. All of it stands in rows, so a kill loses nothing.

Its deadlines are rows of this room and not timers of the log: a page must also escalate when it is the decider that
failed. Each is taken by a conditional update, so it fires once, however many processes look.
"""

import dataclasses
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import structlog

from koban.access import list_staff
from koban.audit import record
from koban.base import SECOND, Clock, Instant, random_id
from koban.db import Database, Tx
from koban.oncall import logic, store
from koban.oncall.types import Contact, Page, PageMissing, PageOver, Send, SendStatus, Severity, Step, StepKind
from koban.webhooks import Alert, acknowledge_alert, open_alerts, raise_alert, recent_alerts

CLAIM_FOR: Final = 30 * SECOND  # longer than an attempt takes; after a crash in it, the message is sent again
AT_ONCE: Final = 8
PAGES_AT_ONCE: Final = 50
ERROR_CHARS_MAX: Final = 300
STAFF_MAX: Final = 2_000
SYSTEM: Final = "koban"

_log: Final = structlog.get_logger("koban.oncall")

Deliver = Callable[[Contact, Page, str], str]  # contact, page, link; returns what went wrong, empty where nothing did


@dataclasses.dataclass(frozen=True, kw_only=True)
class OncallKit:
    """What on-call works with; made once by the application."""

    database: Database
    clock: Clock
    randomness: random.Random
    deliver: Deliver
    key: bytes  # links are signed with it
    public_url: str
    decider_failed: Callable[[], bool]


def watch(kit: OncallKit) -> None:
    """Turn troubles into pages: alerts that nobody has taken note of, and a decider that no longer decides."""
    at = kit.clock.now()
    with kit.database.read() as tx:
        waiting, settled = open_alerts(tx), recent_alerts(tx, since=Instant(at - 3_600 * SECOND))
        known = {page.alert_id: page for page in store.search_pages(tx, before=None, limit=500, unresolved=True)}
    failed = kit.decider_failed()
    fresh = [alert for alert in waiting if _is_news(alert, known.get(alert.id), at)]
    over = [page for alert in settled if (page := known.get(alert.id)) is not None and alert.acknowledged_at]
    if not (fresh or over or (failed and not any(alert.kind == "decider.failed" for alert in waiting))):
        return
    with kit.database.write() as tx:
        if failed:
            detail = "This process has stopped deciding. Events are refused until it, or another one, decides again."
            raise_alert(tx, at, kit.randomness, kind="decider.failed", about="decider", detail=detail)
        for alert in fresh:
            open_page(kit, tx, at, kind=alert.kind, about=alert.object, detail=alert.detail, alert=alert)
        for page in over:
            current = store.read_page(tx, page.id)
            if current is not None and current.status != "resolved":
                _resolve(tx, at, current, by=SYSTEM)


def _is_news(alert: Alert, page: Page | None, at: Instant) -> bool:
    if page is None:
        return True
    return alert.times > page.times and (page.status == "open" or at - page.last_at >= logic.AGAIN_AFTER)


def open_page(
    kit: OncallKit,
    tx: Tx,
    at: Instant,
    *,
    kind: str,
    about: str,
    detail: str,
    alert: Alert | None = None,
    severity: Severity | None = None,
    level: int | None = None,
) -> Page:
    """Call whoever is on call about a trouble, or count up the page that is open about it.

    A page that somebody took and that is not resolved calls again when its trouble goes on for half an hour.
    """
    usual, first = logic.trouble(kind)
    severity, level = severity or usual, level or first
    before = store.find_open(tx, kind, about)
    times = alert.times if alert is not None else (1 if before is None else before.times + 1)
    if before is not None:
        again = before.status == "acknowledged" and at - before.last_at >= logic.AGAIN_AFTER
        after = msgspec.structs.replace(before, detail=detail, times=max(times, before.times), last_at=at)
        if again:
            after = msgspec.structs.replace(
                after, status="open", level=level, escalate_at=logic.escalates_at(severity, at, level)
            )
        store.update_page(tx, before, after)
        if again:
            _step(tx, after, at, "again", SYSTEM, f"{after.times} times by now")
            _call(kit, tx, at, after)
        return after
    page = Page(
        id=random_id("page", at, kit.randomness),
        kind=kind,
        object=about,
        severity=severity,
        detail=detail,
        status="open",
        level=level,
        times=times,
        opened_at=at,
        last_at=at,
        escalate_at=logic.escalates_at(severity, at, level),
        alert_id=None if alert is None else alert.id,
    )
    store.insert_page(tx, page)
    _step(tx, page, at, "opened", SYSTEM, kind)
    return _call(kit, tx, at, page)


def escalate(kit: OncallKit) -> None:
    """Call the next level about pages that nobody acknowledged in time."""
    at = kit.clock.now()
    with kit.database.read() as tx:
        if not store.due_to_escalate(tx, at, limit=1):
            return
    with kit.database.write() as tx:
        for page in store.due_to_escalate(tx, at, limit=PAGES_AT_ONCE):
            _go_up(kit, tx, at, page, why="nobody acknowledged")


def deliver_due(kit: OncallKit, pool: ThreadPoolExecutor) -> int:
    """Send what is due, a few at once; return how many attempts were made. At least once: claimed before, noted after."""
    at = kit.clock.now()
    with kit.database.read() as tx:
        found = store.due_sends(tx, at, limit=AT_ONCE)
    if not found:
        return 0
    with kit.database.write() as tx:
        claimed = [one for one in found if store.claim_send(tx, one, until=Instant(at + CLAIM_FOR))]
        pages = {one.page_id: store.read_page(tx, one.page_id) for one in claimed}
        contacts = {each.id: each for each in store.read_contacts(tx, [one.staff_id for one in claimed])}
    list(pool.map(lambda one: _attempt(kit, one, pages[one.page_id], contacts.get(one.contact_id)), claimed))
    return len(claimed)


def link_of(kit: OncallKit, page_id: str, staff_id: str) -> str:
    """Return the signed link with which one person acknowledges one page."""
    return f"{kit.public_url}/on-call/receipt/{logic.receipt(kit.key, page_id, staff_id)}"


def acknowledge(tx: Tx, at: Instant, page_id: str, *, by: str, how: str) -> Page:
    """Take a page: nobody else is called about it. Taking what is taken changes nothing.

    Refuses: PageMissing, PageOver.
    """
    page = _find(tx, page_id)
    if page.status == "acknowledged":
        return page
    if page.status == "resolved":
        raise PageOver(f"{page_id} was resolved by {page.resolved_by}")
    after = msgspec.structs.replace(
        page, status="acknowledged", acknowledged_at=at, acknowledged_by=by, acknowledged_how=how, escalate_at=None,
        last_at=at,
    )  # fmt: skip
    if not store.update_page(tx, page, after):
        return acknowledge(tx, at, page_id, by=by, how=how)
    store.drop_sends(tx, page_id)
    _step(tx, after, at, "acknowledged", by, how)
    record(tx, at, by, "page.acknowledge", page_id, {"how": how})
    return after


def resolve(tx: Tx, at: Instant, page_id: str, *, by: str) -> Page:
    """Say that a trouble is over; its alert is taken note of as well.

    Refuses: PageMissing.
    """
    page = _find(tx, page_id)
    if page.status == "resolved":
        return page
    after = _resolve(tx, at, page, by=by)
    if page.alert_id is not None:
        acknowledge_alert(tx, page.alert_id, at, by)
    record(tx, at, by, "page.resolve", page_id)
    return after


def _resolve(tx: Tx, at: Instant, page: Page, *, by: str) -> Page:
    after = msgspec.structs.replace(page, status="resolved", resolved_at=at, resolved_by=by, escalate_at=None)
    store.update_page(tx, page, after)
    store.drop_sends(tx, page.id)
    _step(tx, after, at, "resolved", by, "")
    return after


def _go_up(kit: OncallKit, tx: Tx, at: Instant, page: Page, *, why: str) -> Page:
    level = page.level + 1
    after = msgspec.structs.replace(page, level=level, escalate_at=logic.escalates_at(page.severity, at, level))
    if not store.update_page(tx, page, after):
        return page  # somebody acknowledged it a moment ago
    _step(tx, after, at, "escalated", SYSTEM, f"level {level}: {why}")
    return _call(kit, tx, at, after)


def _call(kit: OncallKit, tx: Tx, at: Instant, page: Page) -> Page:
    """Make the messages for whoever is on call at the page's level; where that is nobody, go up at once."""
    shifts, overrides = store.read_shifts(tx), store.read_overrides(tx, after=at)
    active = {each.id: each for each in list_staff(tx, after_id="", limit=STAFF_MAX) if each.disabled_at is None}
    people = [each for each in logic.on_call(shifts, overrides, page.level, at) if each in active]
    if not people and page.level < logic.LEVELS[-1]:
        _step(tx, page, at, "nobody", SYSTEM, f"level {page.level}")
        return _go_up(kit, tx, at, page, why=f"nobody is on call at level {page.level}")
    if not people:
        # Better too many than nobody: everyone who leads, whether on call or not.
        _step(tx, page, at, "nobody", SYSTEM, f"level {page.level}: every lead and administrator is told")
        people = [each.id for each in active.values() if {"lead", "admin"} & set(each.roles)]
    contacts = store.read_contacts(tx, people)
    if not contacts:
        _step(tx, page, at, "unreachable", SYSTEM, f"no contact of {', '.join(people) or 'anybody'}")
        if page.level < logic.LEVELS[-1]:
            return _go_up(kit, tx, at, page, why="nobody there can be reached")
        return page
    rows = [_send_to(kit, page, contact, at) for contact in contacts]
    store.insert_sends(tx, rows)
    told = ", ".join(dict.fromkeys(each.staff_id for each in contacts))
    _step(tx, page, at, "told", told, f"level {page.level}: {len(rows)} messages")
    return page


def _send_to(kit: OncallKit, page: Page, contact: Contact, at: Instant) -> Send:
    return Send(
        id=random_id("send", at, kit.randomness),
        page_id=page.id,
        staff_id=contact.staff_id,
        contact_id=contact.id,
        level=page.level,
        status="waiting",
        attempts=0,
        next_attempt_at=logic.quiet_ends_at(contact, page.severity, at) or at,
    )


def _attempt(kit: OncallKit, one: Send, page: Page | None, contact: Contact | None) -> None:
    if page is None or contact is None:
        error = "the contact was removed"
    else:
        try:
            error = kit.deliver(contact, page, link_of(kit, page.id, one.staff_id))
        except Exception as problem:  # noqa: BLE001 — the edge of a thread: one contact must not keep the others waiting
            _log.exception("a page could not be sent", send=one.id)
            error = f"{type(problem).__name__}: {problem}"
    at = kit.clock.now()
    attempts = one.attempts + 1
    again_at = logic.next_attempt(attempts, at)
    status: SendStatus = "sent" if not error else ("waiting" if again_at is not None and contact else "given_up")
    with kit.database.write() as tx:
        store.note_send(
            tx, one.id, status=status, error=error[:ERROR_CHARS_MAX], next_attempt_at=again_at or at,
            sent_at=at if not error else None,
        )  # fmt: skip
        if error and page is not None and attempts == logic.UNREACHED_AFTER:
            _step(tx, page, at, "failed", one.staff_id, error[:ERROR_CHARS_MAX])
            _up_when_unreached(kit, tx, at, page.id)


def _up_when_unreached(kit: OncallKit, tx: Tx, at: Instant, page_id: str) -> None:
    """Go up a level as soon as every contact of the present one has failed several times."""
    page = store.read_page(tx, page_id)
    if page is None or page.status != "open" or page.escalate_at is None:
        return
    rows = [each for each in store.read_sends(tx, page_id) if each.level == page.level]
    if rows and all(each.attempts >= logic.UNREACHED_AFTER and each.sent_at is None for each in rows):
        _go_up(kit, tx, at, page, why="no message of this level was taken")


def _find(tx: Tx, page_id: str) -> Page:
    page = store.read_page(tx, page_id)
    if page is None:
        raise PageMissing(f"there is no page {page_id[:80]}")
    return page


def _step(tx: Tx, page: Page, at: Instant, what: StepKind, who: str, detail: str) -> None:  # noqa: PLR0917 — one sentence
    store.add_step(tx, Step(page_id=page.id, at=at, what=what, who=who, detail=detail))
