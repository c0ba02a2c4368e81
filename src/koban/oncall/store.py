"""All SQL of on-call: the rota, contacts, pages, messages and steps."""

from collections.abc import Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.oncall.types import Contact, Override, Page, Send, SendStatus, Shift, Step

shifts: Final = Table(
    "oncall_shifts",
    metadata,
    Column("id", Text, primary_key=True, comment="shift_… id"),
    Column("level", SmallInteger, nullable=False, comment="1 is called first"),
    Column("staff_id", Text, nullable=False, comment="who is on call"),
    Column("weekdays", Text, nullable=False, comment="days on which it begins, JSON; 0 is Monday"),
    Column("from_minute", BigInteger, nullable=False, comment="minute of the day at which it begins"),
    Column("until_minute", BigInteger, nullable=False, comment="and ends; not later than the beginning: the next day"),
    Column("zone", Text, nullable=False, comment="time zone of both"),
    comment="The weekly pattern of who is on call.",
)

overrides: Final = Table(
    "oncall_overrides",
    metadata,
    Column("id", Text, primary_key=True, comment="override_… id"),
    Column("level", SmallInteger, nullable=False, comment="at which level"),
    Column("staff_id", Text, nullable=False, comment="who stands in"),
    Column("from_at", BigInteger, nullable=False, comment="from when, microseconds UTC"),
    Column("until_at", BigInteger, nullable=False, comment="until when"),
    Column("reason", Text, nullable=False, comment="why"),
    Index("oncall_overrides_until", "until_at"),
    comment="Who stands in for whom the pattern names.",
)

contacts: Final = Table(
    "oncall_contacts",
    metadata,
    Column("id", Text, primary_key=True, comment="contact_… id"),
    Column("staff_id", Text, nullable=False, index=True, comment="whom it reaches"),
    Column("kind", Text, nullable=False, comment="webhook, slack or mail"),
    Column("address", Text, nullable=False, comment="URL or mail address"),
    Column("allow_private", SmallInteger, nullable=False, comment="1: the URL may lie inside the own network"),
    Column("zone", Text, nullable=False, comment="time zone of the quiet hours"),
    Column("quiet_from", BigInteger, comment="minute of the day from which it is quiet; null: never"),
    Column("quiet_until", BigInteger, comment="and until which"),
    Column("quiet_least", Text, nullable=False, comment="the least severe page that is sent all the same"),
    Column("secret", LargeBinary, nullable=False, comment="sealed secret with which webhooks are signed"),
    comment="How staff are reached.",
)

pages: Final = Table(
    "oncall_pages",
    metadata,
    Column("id", Text, primary_key=True, comment="page_… id"),
    Column("kind", Text, nullable=False, comment="kind of trouble: budget.tripped, actions.unconfirmed, …"),
    Column("object", Text, nullable=False, comment="what it is about"),
    Column("severity", Text, nullable=False, comment="low, medium, high or critical"),
    Column("detail", Text, nullable=False, comment="a sentence; the latest one"),
    Column("status", Text, nullable=False, comment="open, acknowledged or resolved"),
    Column("level", SmallInteger, nullable=False, comment="the level that was called last"),
    Column("times", BigInteger, nullable=False, comment="how often the trouble came"),
    Column("opened_at", BigInteger, nullable=False, comment="when, microseconds UTC"),
    Column("last_at", BigInteger, nullable=False, comment="when the trouble came last"),
    Column("escalate_at", BigInteger, comment="when the next level is called; null: not by itself"),
    Column("alert_id", Text, index=True, comment="the alert behind it; null: a person called"),
    Column("acknowledged_at", BigInteger, comment="when somebody took it"),
    Column("acknowledged_by", Text, comment="who"),
    Column("acknowledged_how", Text, comment="console, api, link"),
    Column("resolved_at", BigInteger, comment="when it was over"),
    Column("resolved_by", Text, comment="who said so"),
    Column("open_key", Text, unique=True, comment="kind and object until it is resolved: one page of each"),
    Index("oncall_pages_escalate", "escalate_at", sqlite_where=sqlalchemy.text("escalate_at IS NOT NULL"),
          postgresql_where=sqlalchemy.text("escalate_at IS NOT NULL")),
    comment="Calls for a person.",
)  # fmt: skip

sends: Final = Table(
    "oncall_sends",
    metadata,
    Column("id", Text, primary_key=True, comment="send_… id"),
    Column("page_id", Text, nullable=False, index=True, comment="the page"),
    Column("staff_id", Text, nullable=False, comment="whom it is to reach"),
    Column("contact_id", Text, nullable=False, comment="through which contact"),
    Column("level", SmallInteger, nullable=False, comment="the level for which it was made"),
    Column("status", Text, nullable=False, comment="waiting, sent, given_up or dropped"),
    Column("attempts", BigInteger, nullable=False, comment="attempts begun"),
    Column("next_attempt_at", BigInteger, nullable=False, comment="not before this moment"),
    Column("last_error", Text, nullable=False, comment="how the last attempt failed"),
    Column("sent_at", BigInteger, comment="when the receiver took it"),
    Index("oncall_sends_due", "next_attempt_at", sqlite_where=sqlalchemy.text("status = 'waiting'"),
          postgresql_where=sqlalchemy.text("status = 'waiting'")),
    comment="Messages about pages, each until it was taken or given up.",
)  # fmt: skip

steps: Final = Table(
    "oncall_steps",
    metadata,
    Column("page_id", Text, primary_key=True, comment="the page"),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False, comment="its place among the page's steps"),
    Column("at", BigInteger, nullable=False, comment="when, microseconds UTC"),
    Column("what", Text, nullable=False, comment="opened, told, escalated, acknowledged, resolved, …"),
    Column("who", Text, nullable=False, comment="whom it concerns, or who did it"),
    Column("detail", Text, nullable=False, comment="more about it"),
    comment="What happened to each page, in order; never changed.",
)

_SHIFT: Final = sqlalchemy.select(shifts).order_by(shifts.c.level, shifts.c.from_minute, shifts.c.id)
_PAGE_FIELDS: Final = tuple(Page.__struct_fields__)


def insert_shift(tx: Tx, one: Shift) -> None:
    """Add a line to the weekly pattern."""
    values = msgspec.structs.asdict(one) | {"weekdays": msgspec.json.encode(one.weekdays).decode()}
    tx.execute(sqlalchemy.insert(shifts), values)


def read_shifts(tx: Tx) -> list[Shift]:
    """Return the weekly pattern."""
    return [
        Shift(**{**row, "weekdays": tuple(msgspec.json.decode(row["weekdays"], type=list[int]))})
        for row in tx.execute(_SHIFT).mappings()
    ]


def insert_override(tx: Tx, one: Override) -> None:
    """Let somebody stand in."""
    tx.execute(sqlalchemy.insert(overrides), msgspec.structs.asdict(one))


def read_overrides(tx: Tx, *, after: Instant) -> list[Override]:
    """Return who stands in, now or later than a moment."""
    statement = sqlalchemy.select(overrides).where(overrides.c.until_at > after).order_by(overrides.c.from_at)
    return [Override(**row) for row in tx.execute(statement).mappings()]


def insert_contact(tx: Tx, one: Contact) -> None:
    """Add a contact."""
    tx.execute(sqlalchemy.insert(contacts), msgspec.structs.asdict(one) | {"allow_private": int(one.allow_private)})


def read_contacts(tx: Tx, staff_ids: Sequence[str] | None = None) -> list[Contact]:
    """Return contacts, of some people or of all."""
    statement = sqlalchemy.select(contacts).order_by(contacts.c.staff_id, contacts.c.id)
    if staff_ids is not None:
        statement = statement.where(contacts.c.staff_id.in_(staff_ids))
    return [
        Contact(**{**row, "allow_private": bool(row["allow_private"]), "secret": bytes(row["secret"])})
        for row in tx.execute(statement).mappings()
    ]


def delete_line(tx: Tx, table: Table, line_id: str) -> bool:
    """Take a line out of the rota; False where there was none."""
    return bool(tx.execute(sqlalchemy.delete(table).where(table.c.id == line_id)).rowcount)


def insert_page(tx: Tx, page: Page) -> None:
    """Store a page that opens."""
    tx.execute(sqlalchemy.insert(pages), msgspec.structs.asdict(page) | {"open_key": f"{page.kind} {page.object}"})


def read_page(tx: Tx, page_id: str) -> Page | None:
    """Return a page."""
    row = tx.execute(_PAGES.where(pages.c.id == page_id)).mappings().first()
    return None if row is None else Page(**row)


def find_open(tx: Tx, kind: str, about: str) -> Page | None:
    """Return the page about a trouble that is not resolved yet."""
    row = tx.execute(_PAGES.where(pages.c.open_key == f"{kind} {about}")).mappings().first()
    return None if row is None else Page(**row)


def search_pages(tx: Tx, *, before: str | None, limit: int, unresolved: bool) -> list[Page]:
    """Return pages, newest first."""
    statement = _PAGES.order_by(pages.c.id.desc()).limit(limit)
    if unresolved:
        statement = statement.where(pages.c.open_key.is_not(None))
    if before is not None:
        statement = statement.where(pages.c.id < before)
    return [Page(**row) for row in tx.execute(statement).mappings()]


def pages_of(tx: Tx, staff_id: str, *, limit: int) -> list[Page]:
    """Return the pages for which somebody was called or that they took, newest first."""
    called = sqlalchemy.select(sends.c.page_id).where(sends.c.staff_id == staff_id)
    statement = _PAGES.where(sqlalchemy.or_(pages.c.id.in_(called), pages.c.acknowledged_by == staff_id))
    return [Page(**row) for row in tx.execute(statement.order_by(pages.c.id.desc()).limit(limit)).mappings()]


def update_page(tx: Tx, before: Page, after: Page) -> bool:
    """Store what changed about a page; False where somebody else changed it meanwhile."""
    changed = tx.execute(
        sqlalchemy.update(pages)
        .where(pages.c.id == before.id, pages.c.status == before.status, pages.c.level == before.level)
        .values(
            **{name: getattr(after, name) for name in _PAGE_FIELDS if name not in {"id", "kind", "object"}},
            open_key=None if after.status == "resolved" else f"{after.kind} {after.object}",
        )
    )
    return changed.rowcount == 1


def due_to_escalate(tx: Tx, at: Instant, *, limit: int) -> list[Page]:
    """Return open pages that nobody acknowledged in time."""
    statement = _PAGES.where(pages.c.status == "open", pages.c.escalate_at <= at).order_by(pages.c.escalate_at)
    return [Page(**row) for row in tx.execute(statement.limit(limit)).mappings()]


def insert_sends(tx: Tx, rows: Sequence[Send]) -> None:
    """Store messages that are to be sent."""
    if rows:
        tx.execute(sqlalchemy.insert(sends), [msgspec.structs.asdict(each) for each in rows])


def due_sends(tx: Tx, at: Instant, *, limit: int) -> list[Send]:
    """Return messages whose next attempt is due."""
    statement = (
        sqlalchemy.select(sends)
        .where(sends.c.status == "waiting", sends.c.next_attempt_at <= at)
        .order_by(sends.c.next_attempt_at, sends.c.id)
        .limit(limit)
    )
    return [Send(**row) for row in tx.execute(statement).mappings()]


def claim_send(tx: Tx, one: Send, *, until: Instant) -> bool:
    """Claim a message for one attempt; False where somebody else has it, or it is no longer wanted."""
    taken = tx.execute(
        sqlalchemy.update(sends)
        .where(
            sends.c.id == one.id,
            sends.c.status == "waiting",
            sends.c.attempts == one.attempts,
            sends.c.next_attempt_at == one.next_attempt_at,
        )
        .values(attempts=one.attempts + 1, next_attempt_at=until)
    )
    return taken.rowcount == 1


def note_send(
    tx: Tx, send_id: str, *, status: SendStatus, error: str, next_attempt_at: Instant, sent_at: Instant | None
) -> None:
    """Note how an attempt went; one that was dropped meanwhile stays dropped unless it arrived."""
    statement = sqlalchemy.update(sends).where(sends.c.id == send_id)
    if status != "sent":
        statement = statement.where(sends.c.status == "waiting")
    tx.execute(statement.values(status=status, last_error=error, next_attempt_at=next_attempt_at, sent_at=sent_at))


def drop_sends(tx: Tx, page_id: str) -> None:
    """Send nothing more about a page."""
    tx.execute(
        sqlalchemy.update(sends).where(sends.c.page_id == page_id, sends.c.status == "waiting").values(status="dropped")
    )


def read_sends(tx: Tx, page_id: str) -> list[Send]:
    """Return the messages about a page, oldest first."""
    statement = sqlalchemy.select(sends).where(sends.c.page_id == page_id).order_by(sends.c.id)
    return [Send(**row) for row in tx.execute(statement).mappings()]


def add_step(tx: Tx, step: Step) -> None:
    """Add to what happened to a page."""
    ordinal = tx.rows("SELECT coalesce(max(ordinal), -1) + 1 FROM oncall_steps WHERE page_id = ?", (step.page_id,))
    tx.execute(sqlalchemy.insert(steps), msgspec.structs.asdict(step) | {"ordinal": int(ordinal[0][0])})


def read_steps(tx: Tx, page_id: str) -> list[Step]:
    """Return what happened to a page, in order."""
    statement = sqlalchemy.select(steps.c.page_id, steps.c.at, steps.c.what, steps.c.who, steps.c.detail).where(
        steps.c.page_id == page_id
    )
    return [Step(**row) for row in tx.execute(statement.order_by(steps.c.ordinal)).mappings()]


_PAGES: Final = sqlalchemy.select(*(pages.c[name] for name in _PAGE_FIELDS))
