"""The tables of the ledger and all SQL on them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table, Text

from koban.base import Instant, limits
from koban.db import Tx, metadata, upsert
from koban.ledger.codes import TransferCode
from koban.ledger.logic import BookState, Known, NewRow, Pending
from koban.ledger.types import (
    Balance,
    Flag,
    Line,
    PendingState,
    StoredTransfer,
    Total,
)

FIRST_HASH: Final = b"\0" * 32
_ENCODER: Final = msgspec.msgpack.Encoder()

head: Final = Table(
    "ledger_head",
    metadata,
    Column("name", Text, primary_key=True, comment="Always `head`: there is one ledger."),
    Column("position", BigInteger, nullable=False, comment="Place of the newest row of the log."),
    Column("hash", LargeBinary, nullable=False, comment="Its hash."),
    Column("last_at", BigInteger, nullable=False, comment="Its time, in microseconds; time never goes back here."),
    Column("closed_through", Text, nullable=False, comment="Booking dates up to this one are closed; empty: none."),
    comment="Where the ledger's log ends; locked by whoever writes.",
)

books: Final = Table(
    "ledger_books",
    metadata,
    Column("num", BigInteger, primary_key=True, autoincrement=False, comment="Place in the log of its creation."),
    Column("id", Text, nullable=False, unique=True, comment="The client's id."),
    Column("currency", Text, nullable=False, comment="ISO 4217; never changes."),
    Column("code", Text, nullable=False, comment="Code of the chart of books."),
    Column("owner", Text, comment="Id of whom or what it belongs to."),
    Column("debit_max", BigInteger, comment="Most that debits less credits may be; null: no limit."),
    Column("credit_max", BigInteger, comment="Most that credits less debits may be; null: no limit."),
    Column("closed", SmallInteger, nullable=False, comment="1 while a closing transfer is pending."),
    Column("debits_pending", BigInteger, nullable=False, comment="Minor units that may still be debited."),
    Column("debits_posted", BigInteger, nullable=False, comment="Minor units debited."),
    Column("credits_pending", BigInteger, nullable=False, comment="Minor units that may still be credited."),
    Column("credits_posted", BigInteger, nullable=False, comment="Minor units credited."),
    Column("nth", BigInteger, nullable=False, comment="How many rows of the log moved it."),
    Column("last", BigInteger, nullable=False, comment="Place of the newest of them; 0: none."),
    Index(
        "ledger_books_owner",
        "owner",
        sqlite_where=sqlalchemy.text("owner IS NOT NULL"),
        postgresql_where=sqlalchemy.text("owner IS NOT NULL"),
    ),
    Index("ledger_books_code", "code", "num"),
    comment="Books with their balances; re-proved from the log by `koban ledger verify`.",
)

_AFTER: Final = tuple(
    f"{side}_{column}"
    for side in ("debit", "credit")
    for column in ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
)

transfers: Final = Table(
    "ledger_transfers",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="Place in the log."),
    Column("id", Text, nullable=False, unique=True, comment="The client's id."),
    Column("at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("debit_num", BigInteger, nullable=False, comment="The debited book."),
    Column("credit_num", BigInteger, nullable=False, comment="The credited book."),
    Column("amount", BigInteger, nullable=False, comment="Minor units."),
    Column("asked", BigInteger, comment="The amount as it was asked for; null: all of it."),
    Column("reason", Text, nullable=False, comment="Why: mostly the posting template."),
    Column("flags", BigInteger, nullable=False, comment="linked 1, pending 2, post 4, void 8, … ; 256: expired."),
    Column("pending_position", BigInteger, comment="Place of the pending transfer that it resolves."),
    Column("timeout_s", BigInteger, nullable=False, comment="Seconds for which a pending one holds; 0: for ever."),
    Column("order_ref", Text, comment="Id of the order."),
    Column("payment_ref", Text, comment="Id of the payment."),
    Column("cause_ref", Text, comment="Id of the fact, or of the transfer that it corrects."),
    Column("booking_date", Text, nullable=False, comment="Accounting date, YYYY-MM-DD."),
    Column("effective_date", Text, nullable=False, comment="Date from which it counts, YYYY-MM-DD."),
    Column("conditions", Text, comment="JSON: what had to be true of balances."),
    *(Column(name, BigInteger, nullable=False, comment="Of that side's book, after it.") for name in _AFTER),
    Column("debit_nth", BigInteger, nullable=False, comment="Which row of the debited book it is."),
    Column("credit_nth", BigInteger, nullable=False, comment="Which row of the credited book it is."),
    Column("debit_before", BigInteger, nullable=False, comment="Place of the debited book's row before; 0: none."),
    Column("credit_before", BigInteger, nullable=False, comment="Place of the credited book's row before; 0: none."),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 over the row and the hash before it."),
    *(
        Index(
            f"ledger_transfers_{name}",
            f"{name}_ref",
            "position",
            sqlite_where=sqlalchemy.text(f"{name}_ref IS NOT NULL"),
            postgresql_where=sqlalchemy.text(f"{name}_ref IS NOT NULL"),
        )
        for name in ("order", "payment")
    ),
    Index("ledger_transfers_booked", "booking_date", "position"),
    comment="Transfers: written once, never changed.",
)

changes: Final = Table(
    "ledger_changes",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="Place in the log."),
    Column("at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("kind", Text, nullable=False, comment="book, limits, burned or period."),
    Column("about", Text, nullable=False, comment="Id of the book or transfer, or the date."),
    Column("body", Text, nullable=False, comment="JSON: what was set."),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 over the row and the hash before it."),
    Index("ledger_changes_about", "about", "kind", "position"),
    comment="What else the log holds: books opened, limits changed, ids burned, periods closed.",
)

pendings: Final = Table(
    "ledger_pendings",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="Place of the pending transfer."),
    Column("state", Text, nullable=False, comment="open, posted, voided or expired."),
    Column("expires_at", BigInteger, comment="The stored timer: when it expires, in microseconds; null: never."),
    Column("resolved_by", BigInteger, comment="Place of the row that resolved it."),
    Column("closes_debit", BigInteger, comment="The debited book, where it is closed by this."),
    Column("closes_credit", BigInteger, comment="The credited book, where it is closed by this."),
    Index(
        "ledger_pendings_due",
        "expires_at",
        sqlite_where=sqlalchemy.text("state = 'open' AND expires_at IS NOT NULL"),
        postgresql_where=sqlalchemy.text("state = 'open' AND expires_at IS NOT NULL"),
    ),
    *(
        Index(
            f"ledger_pendings_{name}",
            name,
            sqlite_where=sqlalchemy.text(f"{name} IS NOT NULL"),
            postgresql_where=sqlalchemy.text(f"{name} IS NOT NULL"),
        )
        for name in ("closes_debit", "closes_credit")
    ),
    comment="What became of pending transfers.",
)

marks: Final = Table(
    "ledger_marks",
    metadata,
    Column("num", BigInteger, primary_key=True, comment="The book."),
    Column("position", BigInteger, primary_key=True, comment="Place of every 64th row that moved it."),
    comment="Where a statement can start without walking a book from its end.",
    sqlite_with_rowid=False,
)

totals: Final = Table(
    "ledger_totals",
    metadata,
    Column("code", Text, primary_key=True, comment="Code of the chart."),
    Column("currency", Text, primary_key=True, comment="ISO 4217."),
    Column("books", BigInteger, nullable=False, comment="How many books."),
    *(
        Column(name, Text, nullable=False, comment="Sum over the books: decimal digits, as it may leave 64 bits.")
        for name in ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
    ),
    comment="Sums over all books of a code, kept with every batch.",
)


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log ends."""

    position: int
    hash: bytes
    last_at: Instant
    closed_through: str


def lock_head(tx: Tx) -> Head:
    """Return where the log ends and keep every other writer waiting until this transaction is over."""
    sql = "SELECT position, hash, last_at, closed_through FROM ledger_head WHERE name = 'head'"
    locking = sql + (" FOR UPDATE" if tx.dialect == "postgresql" else "")
    found = tx.rows(locking)
    if not found:
        first = {"name": "head", "position": 0, "hash": FIRST_HASH, "last_at": 0, "closed_through": ""}
        upsert(tx, head, [first], keys=["name"], update=[])
        found = tx.rows(locking)
    return _head(found[0])


def read_head(tx: Tx) -> Head:
    """Return where the log ends."""
    found = tx.rows("SELECT position, hash, last_at, closed_through FROM ledger_head WHERE name = 'head'")
    return _head(found[0]) if found else Head(position=0, hash=FIRST_HASH, last_at=Instant(0), closed_through="")


def _head(row: Sequence[Any]) -> Head:  # Any: a row of the driver
    return Head(position=int(row[0]), hash=bytes(row[1]), last_at=Instant(int(row[2])), closed_through=str(row[3]))


def move_head(tx: Tx, at: Instant, position: int, chain_hash: bytes) -> None:
    """Write where the log ends now."""
    tx.change(
        "UPDATE ledger_head SET position = ?, hash = ?, last_at = ? WHERE name = 'head'", (position, chain_hash, at)
    )


def set_closed_through(tx: Tx, date: str) -> None:
    """Write up to which booking date the books are closed."""
    tx.change("UPDATE ledger_head SET closed_through = ? WHERE name = 'head'", (date,))


_BOOK_COLUMNS: Final = (
    "num, id, currency, code, owner, debit_max, credit_max, closed, "
    "debits_pending, debits_posted, credits_pending, credits_posted, nth, last"
)


def _sound(ids: Iterable[str]) -> list[str]:
    """Leave out what no id can be; PostgreSQL would not even look for a text with a NUL in it."""
    return [each for each in ids if "\0" not in each]


def load_books(tx: Tx, ids: Iterable[str]) -> dict[str, BookState]:
    """Return those of the books that exist, by id."""
    rows = tx.among(f"SELECT {_BOOK_COLUMNS} FROM ledger_books WHERE id IN (??)", _sound(ids))
    return {row[1]: _book_state(row) for row in rows}


def load_books_by_num(tx: Tx, nums: Iterable[int]) -> dict[int, BookState]:
    """Return books by their number."""
    rows = tx.among(f"SELECT {_BOOK_COLUMNS} FROM ledger_books WHERE num IN (??)", list(nums))
    return {int(row[0]): _book_state(row) for row in rows}


def _book_state(row: Sequence[Any]) -> BookState:  # Any: a row of the driver
    return BookState(
        num=row[0],
        id=row[1],
        currency=row[2],
        code=row[3],
        owner=row[4],
        debit_max=row[5],
        credit_max=row[6],
        closed=row[7] == 1,
        debits_pending=row[8],
        debits_posted=row[9],
        credits_pending=row[10],
        credits_posted=row[11],
        nth=row[12],
        last=row[13],
    )


_KNOWN: Final = (
    "SELECT t.position, t.id, d.id, c.id, t.amount, t.asked, d.currency, t.reason, t.flags, p.id, t.timeout_s, "
    "t.order_ref, t.payment_ref, t.cause_ref, t.booking_date, t.effective_date, t.conditions "
    "FROM ledger_transfers t JOIN ledger_books d ON d.num = t.debit_num JOIN ledger_books c ON c.num = t.credit_num "
    "LEFT JOIN ledger_transfers p ON p.position = t.pending_position "
)


def load_known(tx: Tx, ids: Sequence[str]) -> dict[str, Known]:
    """Return those of the transfers that stand, by id."""
    found = tx.among("SELECT position FROM ledger_transfers WHERE id IN (??)", _sound(ids))
    return load_known_at(tx, [row[0] for row in found])


def load_known_at(tx: Tx, positions: Sequence[int]) -> dict[str, Known]:
    """Return transfers by their place, keyed by id."""
    rows = tx.among(f"{_KNOWN} WHERE t.position IN (??)", positions) if positions else []
    return {
        row[1]: Known(
            position=row[0],
            id=row[1],
            debit_book=row[2],
            credit_book=row[3],
            amount=row[4],
            asked=row[5],
            currency=row[6],
            reason=row[7],
            flags=row[8],
            pending_id=row[9] or "",
            timeout_s=row[10],
            order=row[11],
            payment=row[12],
            cause=row[13],
            booking_date=row[14],
            effective_date=row[15],
            conditions=row[16],
        )
        for row in rows
    }


def load_burned(tx: Tx, ids: Sequence[str]) -> dict[str, TransferCode]:
    """Return which of the ids failed before, and how."""
    rows = tx.among("SELECT about, body FROM ledger_changes WHERE kind = 'burned' AND about IN (??)", _sound(ids))
    return {row[0]: TransferCode(msgspec.json.decode(row[1])["code"]) for row in rows}


def load_pendings(tx: Tx, known: Iterable[Known]) -> dict[str, Pending]:
    """Return those of the transfers that are pending ones, with what became of them, by id."""
    by_position = {each.position: each for each in known}
    rows = tx.among("SELECT position, state, expires_at FROM ledger_pendings WHERE position IN (??)", list(by_position))
    return {by_position[row[0]].id: Pending(known=by_position[row[0]], state=row[1], expires_at=row[2]) for row in rows}


def due_pendings(tx: Tx, at: Instant, limit: int) -> list[int]:
    """Return the places of pending transfers whose time ran out, earliest first."""
    rows = tx.rows(
        "SELECT position FROM ledger_pendings WHERE state = 'open' AND expires_at IS NOT NULL AND expires_at <= ? "
        "ORDER BY expires_at, position LIMIT ?",
        (at, limit),
    )
    return [int(row[0]) for row in rows]


def next_due(tx: Tx) -> Instant | None:
    """Return when the next pending transfer's time runs out."""
    rows = tx.rows("SELECT min(expires_at) FROM ledger_pendings WHERE state = 'open' AND expires_at IS NOT NULL")
    return Instant(int(rows[0][0])) if rows and rows[0][0] is not None else None


_TRANSFER_INSERT: Final = (
    "INSERT INTO ledger_transfers (position, id, at, debit_num, credit_num, amount, asked, reason, flags, "
    "pending_position, timeout_s, order_ref, payment_ref, cause_ref, booking_date, effective_date, conditions, "
    + ", ".join(_AFTER)
    + ", debit_nth, credit_nth, debit_before, credit_before, hash) VALUES ("
    + ", ".join("?" * 30)
    + ")"
)


def insert_transfers(tx: Tx, at: Instant, rows: Sequence[NewRow], previous: bytes) -> bytes:
    """Append rows to the log, each with the hash that follows from the one before, and return the last hash."""
    written: list[tuple[object, ...]] = []
    for row in rows:
        known = row.known
        content = (
            known.position,
            known.id,
            at,
            row.debit_num,
            row.credit_num,
            known.amount,
            known.asked,
            known.reason,
            known.flags,
            row.pending_position,
            known.timeout_s,
            known.order,
            known.payment,
            known.cause,
            known.booking_date,
            known.effective_date,
            known.conditions,
            *row.debit_after,
            *row.credit_after,
            row.debit_nth,
            row.credit_nth,
            row.debit_before,
            row.credit_before,
        )
        previous = row_hash(previous, content)
        written.append((*content, previous))
    tx.many(_TRANSFER_INSERT, written)
    return previous


def row_hash(previous: bytes, content: Sequence[object]) -> bytes:
    """Return the hash of a row at its place: every column goes in, so none can change alone."""
    return hashlib.sha256(previous + _ENCODER.encode(content)).digest()


def insert_changes(
    tx: Tx, at: Instant, position: int, previous: bytes, rows: Sequence[tuple[str, str, str]]
) -> tuple[int, bytes]:
    """Append (kind, about, body) to the log after `position`; return the new end and its hash."""
    written = []
    for kind, about, body in rows:
        position += 1
        previous = row_hash(previous, (position, at, kind, about, body))
        written.append((position, at, kind, about, body, previous))
    tx.many("INSERT INTO ledger_changes (position, at, kind, about, body, hash) VALUES (?, ?, ?, ?, ?, ?)", written)
    return position, previous


def insert_books(tx: Tx, states: Sequence[BookState]) -> None:
    """Write new books."""
    tx.many(
        f"INSERT INTO ledger_books ({_BOOK_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0)",
        [(each.num, each.id, each.currency, each.code, each.owner, each.debit_max, each.credit_max) for each in states],
    )


def save_books(tx: Tx, states: Iterable[BookState]) -> None:
    """Write the balances of books that a batch moved."""
    tx.many(
        "UPDATE ledger_books SET closed = ?, debits_pending = ?, debits_posted = ?, credits_pending = ?, "
        "credits_posted = ?, nth = ?, last = ? WHERE num = ?",
        [
            (
                int(each.closed),
                each.debits_pending,
                each.debits_posted,
                each.credits_pending,
                each.credits_posted,
                each.nth,
                each.last,
                each.num,
            )
            for each in states
        ],
    )


def save_limits(tx: Tx, num: int, debit_max: int | None, credit_max: int | None) -> None:
    """Write other limits of a book."""
    tx.change("UPDATE ledger_books SET debit_max = ?, credit_max = ? WHERE num = ?", (debit_max, credit_max, num))


def insert_pendings(tx: Tx, made: Iterable[tuple[Pending, int, int]]) -> None:
    """Write pending transfers with their stored timers; each with its debit and credit book's number."""
    tx.many(
        "INSERT INTO ledger_pendings (position, state, expires_at, closes_debit, closes_credit) VALUES (?, 'open', ?, ?, ?)",
        [
            (
                each.known.position,
                each.expires_at,
                debit if each.known.flags & Flag.CLOSING_DEBIT else None,
                credit if each.known.flags & Flag.CLOSING_CREDIT else None,
            )
            for each, debit, credit in made
        ],
    )


def save_resolved(tx: Tx, resolved: Iterable[tuple[PendingState, int, int]]) -> None:
    """Write (state, by which row, place) of pending transfers."""
    tx.many("UPDATE ledger_pendings SET state = ?, resolved_by = ? WHERE position = ?", list(resolved))


def insert_marks(tx: Tx, rows: Sequence[NewRow]) -> None:
    """Write where statements can start."""
    every = limits.STATEMENT_MARK_EVERY
    found = [(row.debit_num, row.known.position) for row in rows if row.debit_nth % every == 0]
    found += [(row.credit_num, row.known.position) for row in rows if row.credit_nth % every == 0]
    tx.many("INSERT INTO ledger_marks (num, position) VALUES (?, ?)", found)


def save_totals(tx: Tx, changed: Iterable[Total]) -> None:
    """Write the sums of codes that a batch changed."""
    tx.many(
        "INSERT INTO ledger_totals (code, currency, books, debits_pending, debits_posted, credits_pending, credits_posted) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (code, currency) DO UPDATE SET books = excluded.books, debits_pending = "
        "excluded.debits_pending, debits_posted = excluded.debits_posted, credits_pending = excluded.credits_pending, "
        "credits_posted = excluded.credits_posted",
        [
            (
                each.code,
                each.currency,
                each.books,
                str(each.debits_pending_minor),
                str(each.debits_posted_minor),
                str(each.credits_pending_minor),
                str(each.credits_posted_minor),
            )
            for each in changed
        ],
    )


def read_totals(tx: Tx) -> list[Total]:
    """Return the sums of every code and currency."""
    rows = tx.rows(
        "SELECT code, currency, books, debits_pending, debits_posted, credits_pending, credits_posted "
        "FROM ledger_totals ORDER BY currency, code"
    )
    return [
        Total(
            code=row[0],
            currency=row[1],
            books=row[2],
            debits_pending_minor=int(row[3]),
            debits_posted_minor=int(row[4]),
            credits_pending_minor=int(row[5]),
            credits_posted_minor=int(row[6]),
        )
        for row in rows
    ]


def opening_of(tx: Tx, num: int) -> dict[str, Any]:  # Any: JSON
    """Return how a book was opened."""
    rows = tx.rows("SELECT body FROM ledger_changes WHERE position = ?", (num,))
    opened: dict[str, Any] = msgspec.json.decode(rows[0][0])
    return opened


def limits_at(tx: Tx, book: BookState, position: int) -> tuple[int | None, int | None]:
    """Return a book's limits as they were at a place of the log."""
    rows = tx.rows(
        "SELECT body FROM ledger_changes WHERE about = ? AND kind IN ('book', 'limits') AND position <= ? "
        "ORDER BY position DESC LIMIT 1",
        (book.id, position),
    )
    body = msgspec.json.decode(rows[0][0])
    return body["debit_max"], body["credit_max"]


def position_at(tx: Tx, at: Instant) -> int:
    """Return the place of the last row of the log at or before a time, 0 when there is none.

    Why by halving: time never goes back along the log, so no index on it is needed.
    """
    low, high = 0, read_head(tx).position
    while low < high:
        middle = (low + high + 1) // 2
        found = tx.rows("SELECT at FROM ledger_transfers WHERE position = ?", (middle,)) or tx.rows(
            "SELECT at FROM ledger_changes WHERE position = ?", (middle,)
        )
        assert found, "the log has no gap"
        if found[0][0] <= at:
            low = middle
        else:
            high = middle - 1
    return low


_WALK: Final = (
    "WITH RECURSIVE walk(position, before, n) AS ("
    "SELECT position, CASE WHEN debit_num = ? THEN debit_before ELSE credit_before END, "
    "CASE WHEN position <= ? THEN 1 ELSE 0 END FROM ledger_transfers WHERE position = ? UNION ALL "
    "SELECT t.position, CASE WHEN t.debit_num = ? THEN t.debit_before ELSE t.credit_before END, "
    "CASE WHEN t.position <= ? THEN w.n + 1 ELSE w.n END "
    "FROM walk w JOIN ledger_transfers t ON t.position = w.before WHERE w.n < ?) "
)


def book_lines(tx: Tx, book: BookState, upto: int, count: int) -> list[Line]:
    """Return the newest `count` rows of a book at or before a place, newest first.

    Why a walk: each row names its book's row before, and every 64th row of a book is marked, so no index by book is
    kept up at every transfer.
    """
    if book.last == 0 or count == 0:
        return []
    start = tx.rows(
        "SELECT position FROM ledger_marks WHERE num = ? AND position >= ? ORDER BY position LIMIT 1", (book.num, upto)
    )
    first = int(start[0][0]) if start else book.last
    rows = tx.rows(
        f"{_WALK} SELECT t.position, t.at, t.id, t.debit_num, d.id, c.id, t.amount, t.reason, t.flags, p.id, "
        f"t.order_ref, t.payment_ref, t.cause_ref, t.booking_date, t.effective_date, {', '.join('t.' + name for name in _AFTER)} "
        "FROM walk w JOIN ledger_transfers t ON t.position = w.position JOIN ledger_books d ON d.num = t.debit_num "
        "JOIN ledger_books c ON c.num = t.credit_num LEFT JOIN ledger_transfers p ON p.position = t.pending_position "
        "WHERE t.position <= ? ORDER BY t.position DESC LIMIT ?",
        (book.num, upto, first, book.num, upto, count, upto, count),
    )
    return [_line(book, row) for row in rows]


def _line(book: BookState, row: Sequence[Any]) -> Line:  # Any: a row of the driver
    is_debit = row[3] == book.num
    after = row[15:19] if is_debit else row[19:23]
    return Line(
        position=row[0],
        at=Instant(row[1]),
        transfer=row[2],
        side="debit" if is_debit else "credit",
        other_book=row[5] if is_debit else row[4],
        amount_minor=row[6],
        reason=row[7],
        flags=row[8],
        pending_id=row[9],
        order=row[10],
        payment=row[11],
        cause=row[12],
        booking_date=row[13],
        effective_date=row[14],
        debits_pending_minor=after[0],
        debits_posted_minor=after[1],
        credits_pending_minor=after[2],
        credits_posted_minor=after[3],
    )


def nth_of(tx: Tx, book: BookState, position: int) -> int:
    """Return which row of a book the one at a place is."""
    rows = tx.rows(
        "SELECT CASE WHEN debit_num = ? THEN debit_nth ELSE credit_nth END FROM ledger_transfers WHERE position = ?",
        (book.num, position),
    )
    return int(rows[0][0])


def closed_at(tx: Tx, book: BookState, position: int) -> bool:
    """Tell whether a book was closed at a place of the log: a closing transfer of it was pending there."""
    rows = tx.rows(
        "SELECT count(*) FROM ledger_pendings WHERE (closes_debit = ? OR closes_credit = ?) AND position <= ? "
        "AND (resolved_by IS NULL OR resolved_by > ?)",
        (book.num, book.num, position, position),
    )
    return int(rows[0][0]) > 0


_STORED: Final = (
    "SELECT t.position, t.at, t.id, d.id, c.id, t.amount, d.currency, t.reason, t.flags, p.id, s.expires_at, t.order_ref, "
    "t.payment_ref, t.cause_ref, t.booking_date, t.effective_date, s.state, t.hash FROM ledger_transfers t "
    "JOIN ledger_books d ON d.num = t.debit_num JOIN ledger_books c ON c.num = t.credit_num "
    "LEFT JOIN ledger_transfers p ON p.position = t.pending_position "
    "LEFT JOIN ledger_pendings s ON s.position = t.position "
)


def find_transfer(tx: Tx, transfer_id: str) -> StoredTransfer | None:
    """Return a transfer by its id."""
    rows = tx.rows(f"{_STORED} WHERE t.id = ?", (transfer_id,)) if _sound([transfer_id]) else []
    return _stored(rows[0]) if rows else None


def list_transfers(
    tx: Tx, *, order: str | None, payment: str | None, before: int | None, limit: int
) -> list[StoredTransfer]:
    """Return transfers, newest first: of an order or a payment, or all of them."""
    where = ["t.position < ?"]
    parameters: list[object] = [before if before is not None else limits.AMOUNT_MINOR_MAX]
    for column, value in (("order_ref", order), ("payment_ref", payment)):
        if value is not None:
            where.append(f"t.{column} = ?")
            parameters.append(value.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    rows = tx.rows(
        f"{_STORED} WHERE {' AND '.join(where)} ORDER BY t.position DESC LIMIT ?",
        (*parameters, limit),
    )
    return [_stored(row) for row in rows]


def _stored(row: Sequence[Any]) -> StoredTransfer:  # Any: a row of the driver
    return StoredTransfer(
        position=row[0],
        at=Instant(row[1]),
        id=row[2],
        debit_book=row[3],
        credit_book=row[4],
        amount_minor=row[5],
        currency=row[6],
        reason=row[7],
        flags=row[8],
        pending_id=row[9],
        expires_at=Instant(row[10]) if row[10] is not None else None,
        order=row[11],
        payment=row[12],
        cause=row[13],
        booking_date=row[14],
        effective_date=row[15],
        state=row[16],
        hash=bytes(row[17]).hex(),
    )


def balance_of(state: BookState, as_of: int) -> Balance:
    """Write a book's state as a balance."""
    return Balance(
        book=state.id,
        code=state.code,
        currency=state.currency,
        owner=state.owner,
        debits_pending_minor=state.debits_pending,
        debits_posted_minor=state.debits_posted,
        credits_pending_minor=state.credits_pending,
        credits_posted_minor=state.credits_posted,
        net_debit_max_minor=state.debit_max,
        net_credit_max_minor=state.credit_max,
        closed=state.closed,
        transfers=state.nth,
        as_of=as_of,
    )


def list_books(tx: Tx, *, code: str | None, owner: str | None, after_num: int, limit: int) -> list[BookState]:
    """Return books in the order in which they were opened: of a code, of an owner, or all."""
    where = ["num > ?"]
    parameters: list[object] = [after_num]
    for column, value in (("code", code), ("owner", owner)):
        if value is not None:
            where.append(f"{column} = ?")
            parameters.append(value.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    rows = tx.rows(
        f"SELECT {_BOOK_COLUMNS} FROM ledger_books WHERE {' AND '.join(where)} ORDER BY num LIMIT ?",
        (*parameters, limit),
    )
    return [_book_state(row) for row in rows]


_PAGE: Final = 2_000


def walk_log(tx: Tx) -> Iterator[tuple[str, tuple[Any, ...]]]:  # Any: rows of the driver
    """Yield every row of the log in order: ("transfer", its columns) or ("change", its columns); a page in memory."""
    kinds = (("transfer", "ledger_transfers"), ("change", "ledger_changes"))
    after = {kind: -1 for kind, _ in kinds}
    pages: dict[str, list[Any]] = {kind: [] for kind, _ in kinds}
    columns = {
        "transfer": ", ".join(each.name for each in transfers.columns),
        "change": "position, at, kind, about, body, hash",
    }
    done: set[str] = set()
    while True:
        for kind, table in kinds:
            if not pages[kind] and kind not in done:
                found = tx.rows(
                    f"SELECT {columns[kind]} FROM {table} WHERE position > ? ORDER BY position LIMIT {_PAGE}",
                    (after[kind],),
                )
                if found:
                    after[kind] = found[-1][0]
                    pages[kind] = found[::-1]
                else:
                    done.add(kind)
        waiting = [kind for kind, _ in kinds if pages[kind]]
        if not waiting:
            return
        kind = min(waiting, key=lambda each: pages[each][-1][0])
        yield kind, tuple(pages[kind].pop())


def walk_books(tx: Tx) -> Iterator[BookState]:
    """Yield every book in the order of its number."""
    after = -1
    while page := list_books(tx, code=None, owner=None, after_num=after, limit=_PAGE):
        yield from page
        after = page[-1].num


def walk_pendings(tx: Tx) -> Iterator[tuple[int, str, int | None, int | None]]:
    """Yield (place, state, when it expires, resolved by) of every pending transfer."""
    after = -1
    while page := tx.rows(
        f"SELECT position, state, expires_at, resolved_by FROM ledger_pendings WHERE position > ? ORDER BY position LIMIT {_PAGE}",
        (after,),
    ):
        yield from (tuple(row) for row in page)
        after = page[-1][0]
