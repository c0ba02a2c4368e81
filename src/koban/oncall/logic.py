"""On-call without I/O: who is on call when, how severe a trouble is, when it escalates, what a message says."""

import base64
import datetime
import hashlib
import hmac
import itertools
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from koban.base import DAY, MINUTE, SECOND, Instant, to_rfc3339
from koban.oncall.types import SEVERITIES, Contact, Override, Page, Severity, Shift, Span

LEVELS: Final = (1, 2, 3)
MINUTES_A_DAY: Final = 24 * 60
ATTEMPTS_MAX: Final = 8
FIRST_PAUSE: Final = 5 * SECOND
LONGEST_PAUSE: Final = 5 * MINUTE
UNREACHED_AFTER: Final = 3  # attempts at every contact of a level without one success: go up without waiting longer
AGAIN_AFTER: Final = 30 * MINUTE  # a page taken and not resolved, whose trouble goes on, calls again after this

# Which trouble is how severe, and at which level a page about it begins; anything else is of medium severity.
_TROUBLES: Final[Mapping[str, tuple[Severity, int]]] = {
    "decider.failed": ("critical", 1),
    "audit.broken": ("critical", 2),
    "ledger.unbalanced": ("critical", 2),
    "budget.tripped": ("high", 1),
    "emergency.started": ("high", 2),  # the lead is told at once
    "emergency.unfit": ("high", 1),
    "actions.unconfirmed": ("high", 1),
    "actions.dead": ("medium", 1),
    "case.breached": ("medium", 1),
    "archive.damaged": ("medium", 1),
    "clock.stepped": ("medium", 1),
    "pack.outdated": ("medium", 1),
    "pack.waits": ("low", 1),
    "rule.drift": ("low", 1),
    "rule.dead": ("low", 1),
}
_ESCALATE_AFTER: Final[Mapping[Severity, int | None]] = {
    "critical": 5 * MINUTE,
    "high": 10 * MINUTE,
    "medium": 30 * MINUTE,
    "low": None,  # waits for whoever is on call to look
}
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def trouble(kind: str) -> tuple[Severity, int]:
    """Return how severe a kind of alert is and the level at which paging begins."""
    return _TROUBLES.get(kind, ("medium", 1))


def escalates_at(severity: Severity, at: Instant, level: int) -> Instant | None:
    """Return when a page goes up a level unless somebody acknowledges it; None: never, or there is none above."""
    after = _ESCALATE_AFTER[severity]
    return None if after is None or level >= LEVELS[-1] else Instant(at + after)


def on_call(shifts: Iterable[Shift], overrides: Iterable[Override], level: int, at: Instant) -> tuple[str, ...]:
    """Return who is on call at a level: whoever stands in, else whom the weekly pattern names."""
    standing_in = [each.staff_id for each in overrides if each.level == level and each.from_at <= at < each.until_at]
    by_pattern = [each.staff_id for each in shifts if each.level == level and covers(each, at)]
    return tuple(dict.fromkeys(standing_in or by_pattern))


def covers(shift: Shift, at: Instant) -> bool:
    """Tell whether a shift of the weekly pattern is under way, by the wall clock of its zone."""
    local = _local(at, shift.zone)
    minute, day = local.hour * 60 + local.minute, local.weekday()
    if shift.from_minute < shift.until_minute:
        return day in shift.weekdays and shift.from_minute <= minute < shift.until_minute
    began_today = day in shift.weekdays and minute >= shift.from_minute
    began_yesterday = (day - 1) % 7 in shift.weekdays and minute < shift.until_minute
    return began_today or began_yesterday


def spans(
    shifts: Sequence[Shift], overrides: Sequence[Override], level: int, *, from_at: Instant, until_at: Instant
) -> list[Span]:
    """Cut a span of time into spans in which the same people are on call; one without anybody is a gap."""
    edges = {int(from_at)}
    for override in overrides:
        if override.level == level:
            edges.update(edge for edge in (override.from_at, override.until_at) if from_at < edge < until_at)
    for shift in shifts:
        if shift.level == level:
            edges.update(_edges(shift, from_at, until_at))
    ordered = [*sorted(edges), int(until_at)]
    found: list[Span] = []
    for start, end in itertools.pairwise(ordered):
        staff = on_call(shifts, overrides, level, Instant(start))
        if found and found[-1].staff == staff:
            found[-1] = msgspec.structs.replace(found[-1], until_at=Instant(end))
        elif end > start:
            found.append(Span(from_at=Instant(start), until_at=Instant(end), staff=staff))
    return found


def quiet_ends_at(contact: Contact, severity: Severity, at: Instant) -> Instant | None:
    """Return when a contact may be written to, if its quiet hours keep a message of this severity back now."""
    if contact.quiet_from is None or contact.quiet_until is None or contact.quiet_from == contact.quiet_until:
        return None
    if SEVERITIES.index(severity) >= SEVERITIES.index(contact.quiet_least):
        return None
    hours = Shift(
        id="", level=1, staff_id="", weekdays=tuple(range(7)), from_minute=contact.quiet_from,
        until_minute=contact.quiet_until, zone=contact.zone,
    )  # fmt: skip
    if not covers(hours, at):
        return None
    day = _local(at, contact.zone).date()
    for ahead in range(3):
        ends_at = _moment(day + datetime.timedelta(days=ahead), contact.quiet_until, contact.zone)
        if ends_at > at:
            return ends_at
    raise AssertionError("a quiet span ends within two days")


def next_attempt(attempts: int, at: Instant) -> Instant | None:
    """Return when to try a message again; None: give up."""
    if attempts >= ATTEMPTS_MAX:
        return None
    return Instant(at + min(LONGEST_PAUSE, FIRST_PAUSE << (attempts - 1)))


def receipt(key: bytes, page_id: str, staff_id: str) -> str:
    """Make what a signed link carries: whoever holds it acknowledges this page as this person, and nothing else."""
    return f"{page_id}.{staff_id}.{_signature(key, page_id, staff_id)}"


def read_receipt(key: bytes, text: str) -> tuple[str, str] | None:
    """Return page and person of a link that this installation made; None for any other."""
    parts = text.split(".")
    if len(parts) != 3 or not text.isascii():
        return None
    page_id, staff_id, signature = parts
    return (page_id, staff_id) if hmac.compare_digest(signature, _signature(key, page_id, staff_id)) else None


def title_of(page: Page) -> str:
    """Return the one line that a telephone shows."""
    return f"[Koban] {page.severity.upper()} {page.kind}: {page.object}"


def text_of(page: Page, link: str) -> str:
    """Write a message in plain text, Japanese and English, for mail and chat."""
    return (
        f"{title_of(page)}\n\n{page.detail}\n\n"
        f"受領する / Acknowledge: {link}\n"
        f"{to_rfc3339(page.opened_at)} · {page.times}×\n"
        "受領されない場合は次の担当者に連絡します。 / If nobody acknowledges, the next level is called.\n"
    )


def webhook_body(page: Page, staff_id: str, link: str) -> bytes:
    """Write a message for a program: the shape of our other webhooks."""
    data = {
        "page": page.id, "kind": page.kind, "object": page.object, "severity": page.severity, "detail": page.detail,
        "level": page.level, "times": page.times, "staff": staff_id, "acknowledge_url": link,
    }  # fmt: skip
    return msgspec.json.encode({"type": "page.opened", "timestamp": to_rfc3339(page.opened_at), "data": data})


def slack_body(page: Page, link: str) -> bytes:
    """Write a message in the form that Slack and what imitates it take."""
    text = f"*{_escaped(title_of(page))}*\n{_escaped(page.detail)}\n<{link}|受領する / Acknowledge>"
    return msgspec.json.encode({"text": text})


def valid_zone(name: str) -> bool:
    """Tell whether there is such a time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _signature(key: bytes, page_id: str, staff_id: str) -> str:
    digest = hmac.new(key, f"koban page {page_id} {staff_id}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:24]).decode()


def _local(at: Instant, zone: str) -> datetime.datetime:
    return (_EPOCH + datetime.timedelta(microseconds=int(at))).astimezone(zoneinfo.ZoneInfo(zone))


def _moment(day: datetime.date, minute: int, zone: str) -> Instant:
    local = datetime.datetime.combine(day, datetime.time(), tzinfo=zoneinfo.ZoneInfo(zone))
    local = local.replace(hour=minute // 60 % 24, minute=minute % 60) + datetime.timedelta(days=minute // MINUTES_A_DAY)
    return Instant(int((local.astimezone(datetime.UTC) - _EPOCH).total_seconds()) * SECOND)


def _edges(shift: Shift, from_at: Instant, until_at: Instant) -> Iterable[int]:
    day = _local(Instant(from_at - DAY), shift.zone).date()
    last = _local(Instant(until_at + DAY), shift.zone).date()
    while day <= last:
        for minute in (shift.from_minute, shift.until_minute):
            edge = int(_moment(day, minute, shift.zone))
            if from_at < edge < until_at:
                yield edge
        day += datetime.timedelta(days=1)
