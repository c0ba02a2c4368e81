"""SQL of who did what: the index beside the log, up to where it is made, and what stands in the log after that.

The decider writes none of it: an index of its own table would cost a page for each event. Answers are exact all the same:
whoever asks reads what the index holds, and the log after `indexed_upto`. On SQLite a transaction that writes sees none of
these tables (`koban.db.index`).
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Table, Text

from koban.base import Instant
from koban.db import Tx, index_metadata

account_acts: Final = Table(
    "account_acts",
    index_metadata,
    Column("account", Text, primary_key=True, comment="The account that did it."),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="A decision about what it did."),
    comment="Which decisions are about what each account did; made from the log, a moment behind it.",
    sqlite_with_rowid=False,
)

index_place: Final = Table(
    "index_place",
    index_metadata,
    Column("name", Text, primary_key=True, comment="What follows the log: `finding`."),
    Column("seq", BigInteger, nullable=False, comment="The last entry that it took in."),
    Column(
        "log_at", BigInteger, nullable=False, comment="Log time of that entry: a log that has another there is another."
    ),
    comment="Up to which entry of the log an index is made.",
)

ActRow = tuple[str, int]  # account, a decision about what it did
Place = tuple[int, Instant]  # an entry, with its log time

TAIL: Final = (
    "SELECT acting AS account, min(seq) AS first, max(seq) AS last FROM decisions"
    " WHERE seq > ? AND acting IS NOT NULL GROUP BY acting"
)
"""SQL of the first and the last decision about each account after a place, which is `indexed_upto`."""

_FINDING: Final = "finding"  # the name of the one place
# The index may still name what left the database; SQLite walks the tables of a CROSS JOIN in the order given.
_ACT: Final = (
    "(SELECT act.seq FROM account_acts act CROSS JOIN decisions kept WHERE act.account = {account} AND kept.seq = act.seq"
    " ORDER BY act.seq {order} LIMIT 1)"
)


def first_indexed(account: str) -> str:
    """Return the SQL of the first decision about what an account did, in what the index has taken in."""
    return _ACT.format(account=account, order="ASC")


def last_indexed(account: str) -> str:
    """Return the SQL of the last one there."""
    return _ACT.format(account=account, order="DESC")


def gone(table: str) -> str:
    """Return the SQL of rows that point to nothing: before the oldest decision, or, up to a place, where none is found."""
    return f"(seq < ? OR seq <= ? AND NOT EXISTS (SELECT 1 FROM decisions kept WHERE kept.seq = {table}.seq))"


def read_place(tx: Tx) -> Place | None:
    """Return the last entry that the index took in, with its log time; None before the first."""
    rows = tx.rows("SELECT seq, log_at FROM index_place WHERE name = ?", (_FINDING,))
    return (int(rows[0][0]), Instant(int(rows[0][1]))) if rows else None


def indexed_upto(tx: Tx) -> int:
    """Return the place in the log up to which the index is made; 0 where it holds nothing."""
    place = read_place(tx)
    return 0 if place is None else place[0]


def move_place(tx: Tx, *, before: Place | None, to: Place) -> bool:
    """Move it on from where it was; tell whether it still was there."""
    if before is None:
        sql = "INSERT INTO index_place (name, seq, log_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING"
        return tx.change(sql, (_FINDING, *to)) == 1
    sql = "UPDATE index_place SET seq = ?, log_at = ? WHERE name = ? AND seq = ? AND log_at = ?"
    return tx.change(sql, (*to, _FINDING, *before)) == 1


def acts_between(tx: Tx, *, after_seq: int, upto_seq: int) -> list[ActRow]:
    """Return who acted in a part of the log, as far as the database holds it."""
    return tx.rows(
        "SELECT acting, seq FROM decisions WHERE seq > ? AND seq <= ? AND acting IS NOT NULL", (after_seq, upto_seq)
    )


def add(tx: Tx, acts: Sequence[ActRow]) -> None:
    """Enter who acted."""
    tx.many("INSERT INTO account_acts (account, seq) VALUES (?, ?) ON CONFLICT (account, seq) DO NOTHING", acts)


def read_gone(tx: Tx, *, before_seq: int, upto_seq: int, after: ActRow, limit: int) -> list[ActRow]:
    """Return what points to decisions that left the database, in the order of the table, after a row of it.

    Before `before_seq` nothing is there any more; from there to `upto_seq` it is looked up.
    """
    return tx.rows(
        f"SELECT account, seq FROM account_acts WHERE (account, seq) > (?, ?) AND {gone('account_acts')} ORDER BY account, seq LIMIT ?",
        (*after, before_seq, upto_seq, limit),
    )


def delete(tx: Tx, acts: Sequence[ActRow]) -> None:
    """Delete who acted."""
    tx.many("DELETE FROM account_acts WHERE account = ? AND seq = ?", acts)
