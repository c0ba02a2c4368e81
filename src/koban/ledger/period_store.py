"""SQL on the ledger's log for the company's own books: what was booked between two dates, and what was closed."""

from typing import Final

import msgspec

from koban.base import Instant
from koban.db import Tx
from koban.ledger.logic import EXPIRED_FLAG
from koban.ledger.store import read_head
from koban.ledger.types import Flag, JournalLine, PeriodChange, TrialLine

_BITS: Final = 31
_HALF: Final = 1 << _BITS  # sums are made in two halves, so that none leaves 64 bits on SQLite
_BOOKS_NOTHING: Final = int(Flag.PENDING | Flag.VOID_PENDING) | EXPIRED_FLAG


def list_period_changes(tx: Tx, *, limit: int) -> list[PeriodChange]:
    """Return closings and reopenings, newest first."""
    rows = tx.rows(
        "SELECT position, at, about, body FROM ledger_changes WHERE kind = 'period' ORDER BY position DESC LIMIT ?",
        (limit,),
    )
    found = []
    for position, at, through, text in rows:
        body = msgspec.json.decode(text)
        found.append(
            PeriodChange(
                position=position,
                at=Instant(at),
                kind=body.get("kind", "closed"),
                through=through,
                by=body.get("by", ""),
                note=body.get("note", ""),
            )
        )
    return found


def journal_page(tx: Tx, last: str, *, after: tuple[str, int], upto: int, limit: int) -> list[JournalLine]:
    """Return what was booked after a place (booking date, position) up to a date, in that order.

    `upto`: nothing that was written to the log later. Why: the log only grows, so pages that are read one after the
    other, each in a transaction of its own, say the same as if they had been read at once.
    """
    rows = tx.rows(
        "SELECT t.position, t.id, t.reason, t.booking_date, d.code, d.owner, c.code, c.owner, t.amount, d.currency, "
        "t.order_ref, t.payment_ref, t.cause_ref FROM ledger_transfers t JOIN ledger_books d ON d.num = t.debit_num "
        "JOIN ledger_books c ON c.num = t.credit_num WHERE (t.booking_date, t.position) > (?, ?) AND t.booking_date <= ? "
        f"AND t.position <= ? AND (t.flags & {_BOOKS_NOTHING}) = 0 AND t.amount > 0 "
        "ORDER BY t.booking_date, t.position LIMIT ?",
        (*after, last, upto, limit),
    )
    return [JournalLine(**dict(zip(JournalLine.__struct_fields__, row, strict=True))) for row in rows]


def trial_lines(tx: Tx, first: str, last: str, *, upto: int | None = None) -> list[TrialLine]:
    """Return what every code did in a period, by booking dates; `upto`: nothing that was written to the log later."""
    end = read_head(tx).position if upto is None else upto
    sums: dict[tuple[str, str], list[int]] = {}
    for side, place in (("debit", 0), ("credit", 1)):
        rows = tx.rows(
            f"SELECT b.code, b.currency, CASE WHEN t.booking_date < ? THEN 0 ELSE 1 END AS now, t.amount >> {_BITS}, "
            f"sum(t.amount & {_HALF - 1}), count(*) FROM ledger_transfers t JOIN ledger_books b ON b.num = t.{side}_num "
            f"WHERE t.booking_date <= ? AND t.position <= ? AND (t.flags & {_BOOKS_NOTHING}) = 0 GROUP BY 1, 2, 3, 4",
            (first, last, end),
        )
        for code, currency, now, high, low, count in rows:
            sum_ = sums.setdefault((code, currency), [0, 0, 0, 0])
            sum_[place + 2 * int(now)] += int(high) * _HALF * int(count) + int(low)
    return [
        TrialLine(
            code=code,
            currency=currency,
            opening_minor=before_credits - before_debits,
            debits_minor=debits,
            credits_minor=credits_,
        )
        for (code, currency), (before_debits, before_credits, debits, credits_) in sorted(sums.items())
    ]


def closed_through(tx: Tx) -> str:
    """Return up to which booking date the books are closed; empty: none."""
    return read_head(tx).closed_through
