"""The table of bookings that people propose, and all SQL on it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.ledger.bookings import Booking, BookingStatus, Wants

bookings: Final = Table(
    "ledger_bookings",
    metadata,
    Column("id", Text, primary_key=True, comment="The client's id; also the id of the posting."),
    Column("wants", Text, nullable=False, comment="JSON: a posting, transfers, or limits of a book."),
    Column("reason", Text, nullable=False, comment="Why."),
    Column("proposed_by", Text, nullable=False, comment="The first person."),
    Column("proposed_at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("status", Text, nullable=False, comment="waiting, approved or declined."),
    Column("decided_by", Text, comment="The second person."),
    Column("decided_at", BigInteger, comment="When."),
    Column("answer", Text, nullable=False, comment="Why it was declined."),
    Index("ledger_bookings_status", "status", "proposed_at", "id"),
    comment="What people want booked: one proposes, another decides.",
)

_COLUMNS: Final = "id, wants, reason, proposed_by, proposed_at, status, decided_by, decided_at, answer"


def find(tx: Tx, booking_id: str) -> Booking | None:
    """Return a booking."""
    found = tx.rows(f"SELECT {_COLUMNS} FROM ledger_bookings WHERE id = ?", (booking_id,))
    return _booking(found[0]) if found else None


def insert(tx: Tx, new: Booking) -> None:
    """Write a booking that waits."""
    tx.change(
        f"INSERT INTO ledger_bookings ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.id, msgspec.json.encode(new.wants).decode(), new.reason, new.by, new.at, new.status, new.decided_by,
            new.decided_at, new.answer,
        ),
    )  # fmt: skip


def decide(tx: Tx, at: Instant, booking_id: str, *, by: str, status: BookingStatus, answer: str) -> None:
    """Write what the second person said."""
    tx.change(
        "UPDATE ledger_bookings SET status = ?, decided_by = ?, decided_at = ?, answer = ? WHERE id = ?",
        (status, by, at, answer, booking_id),
    )


def list_bookings(tx: Tx, *, status: str, before: tuple[int, str] | None, limit: int) -> list[Booking]:
    """Return bookings, newest first; an empty status stands for all."""
    where, given = ["1 = 1"], list[str | int]()
    if status:
        where.append("status = ?")
        given.append(status)
    if before is not None:
        where.append("(proposed_at < ? OR (proposed_at = ? AND id < ?))")
        given.extend((before[0], before[0], before[1]))
    found = tx.rows(
        f"SELECT {_COLUMNS} FROM ledger_bookings WHERE {' AND '.join(where)} ORDER BY proposed_at DESC, id DESC LIMIT ?",
        (*given, limit),
    )
    return [_booking(each) for each in found]


def count_waiting(tx: Tx) -> int:
    """Return how many wait for a second person."""
    return int(tx.rows("SELECT count(*) FROM ledger_bookings WHERE status = 'waiting'")[0][0])


def _booking(row: Sequence[Any]) -> Booking:  # Any: a row of the driver
    return Booking(
        id=row[0],
        wants=msgspec.json.decode(row[1], type=Wants),
        reason=row[2],
        by=row[3],
        at=Instant(row[4]),
        status=row[5],
        decided_by=row[6],
        decided_at=None if row[7] is None else Instant(row[7]),
        answer=row[8],
    )
