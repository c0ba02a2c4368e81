"""SQL on the ledger's log for the company's own books: what was booked between two dates, and what was closed."""

from collections.abc import Iterator
from typing import Final

import msgspec

from koban.base import Instant
from koban.db import Tx
from koban.ledger.logic import EXPIRED_FLAG
from koban.ledger.store import read_head
from koban.ledger.types import Flag, JournalLine, PeriodChange, TrialLine

_PAGE: Final = 2_000
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


def walk_journal(tx: Tx, first: str, last: str) -> Iterator[JournalLine]:
    """Yield what was booked from one date to another, in the order of the log; a page in memory.

    Why the whole log is looked at: a booking date may lie long before or after the moment, and an index by it would cost
    every transfer for an export once a month.
    """
    after = -1
    while True:
        rows = tx.rows(
            "SELECT t.position, t.id, t.reason, t.booking_date, d.code, d.owner, c.code, c.owner, t.amount, d.currency, "
            "t.order_ref, t.payment_ref, t.cause_ref FROM ledger_transfers t JOIN ledger_books d ON d.num = t.debit_num "
            "JOIN ledger_books c ON c.num = t.credit_num WHERE t.position > ? AND t.booking_date >= ? "
            f"AND t.booking_date <= ? AND (t.flags & {_BOOKS_NOTHING}) = 0 AND t.amount > 0 ORDER BY t.position LIMIT {_PAGE}",
            (after, first, last),
        )
        for row in rows:
            yield JournalLine(**dict(zip(JournalLine.__struct_fields__, row, strict=True)))
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def trial_lines(tx: Tx, first: str, last: str) -> list[TrialLine]:
    """Return what every code did in a period, by booking dates."""
    sums: dict[tuple[str, str], list[int]] = {}
    for side, place in (("debit", 0), ("credit", 1)):
        rows = tx.rows(
            f"SELECT b.code, b.currency, CASE WHEN t.booking_date < ? THEN 0 ELSE 1 END AS now, t.amount >> {_BITS}, "
            f"sum(t.amount & {_HALF - 1}), count(*) FROM ledger_transfers t JOIN ledger_books b ON b.num = t.{side}_num "
            f"WHERE t.booking_date <= ? AND (t.flags & {_BOOKS_NOTHING}) = 0 GROUP BY 1, 2, 3, 4",
            (first, last),
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
