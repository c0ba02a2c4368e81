"""All SQL of finding."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table, Text

from koban.base import Instant
from koban.db import Tx, index_metadata, metadata
from koban.decisions import acts_store
from koban.decisions import store as decision_store
from koban.events import store as event_store
from koban.finding.entries import EntryLine
from koban.finding.types import SavedView, SubjectHit

# Prefixes are found by comparing: the order must be that of the code points on both databases.
_BYTES: Final = Text().with_variant(Text(collation="C"), "postgresql")

entry_subjects: Final = Table(
    "entry_subjects",
    index_metadata,
    Column("kind", Text, primary_key=True, comment="Kind of the subject; `event` for the event's own id."),
    Column("subject", _BYTES, primary_key=True, comment="Its id; a pseudonym where the kind is personal."),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="An entry that names it."),
    comment="Which entries name which subject; made from the log, a moment behind it.",
    sqlite_with_rowid=False,
)

account_links: Final = Table(
    "account_links",
    index_metadata,
    Column("account", Text, primary_key=True, comment="The account that did it."),
    Column("kind", Text, primary_key=True, comment="Kind of what it used: device, address, card, bank, image, …"),
    Column("subject", Text, primary_key=True, comment="What it used; a pseudonym where the kind is personal."),
    Column("times", BigInteger, nullable=False, comment="In how many events."),
    Column("first_at", BigInteger, nullable=False, comment="Log time of the first, in microseconds."),
    Column("last_at", BigInteger, nullable=False, comment="Log time of the last."),
    Column("last_seq", BigInteger, nullable=False, comment="The last entry."),
    Index("account_links_subject", "kind", "subject", "account"),
    comment="What each account used: two that used the same are linked.",
)

saved_views: Final = Table(
    "saved_views",
    metadata,
    Column("id", Text, primary_key=True, comment="view_… id."),
    Column("owner", Text, nullable=False, comment="Who keeps it."),
    Column("shared", SmallInteger, nullable=False, comment="1: everybody sees it."),
    Column("page", Text, nullable=False, comment="Address of the list: /decisions, …"),
    Column("query", Text, nullable=False, comment="Its filters, as they stand behind the question mark."),
    Column("name", Text, nullable=False, comment="What its owner calls it."),
    Column("created_at", BigInteger, nullable=False, comment="When it was kept, in microseconds."),
    Index("saved_views_page", "page", "owner"),
    comment="Lists with their filters that people keep.",
)

_entries: Final = event_store.log_entries
SubjectRow = tuple[str, str, int]  # kind, id, an entry that names it
LinkRow = tuple[str, str, str, int, int, int, int]
OldLink = tuple[str, str, str]  # account, kind, subject
EventRow = tuple[int, int, str, str, str, str | None]  # seq, log time, type, event id, data, acting account

_INSERT_SUBJECT: Final = (
    "INSERT INTO entry_subjects (kind, subject, seq) VALUES (?, ?, ?) ON CONFLICT (kind, subject, seq) DO NOTHING"
)
_ADD_LINK: Final = (
    "INSERT INTO account_links (account, kind, subject, times, first_at, last_at, last_seq)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (account, kind, subject) DO UPDATE SET times = account_links.times + excluded.times,"
    " last_at = excluded.last_at, last_seq = excluded.last_seq"
)
_AFTER_ALL: Final = "\U0010ffff"


def add(tx: Tx, subjects: Sequence[SubjectRow], links: Sequence[LinkRow]) -> None:
    """Enter which entries name which subjects, and what accounts used."""
    tx.many(_INSERT_SUBJECT, subjects)
    tx.many(_ADD_LINK, links)


def unindexed(tx: Tx, *, after_seq: int, limit: int) -> list[EventRow]:
    """Return the next events of the log."""
    return tx.rows(
        "SELECT e.seq, e.log_at, e.type, e.event_id, e.data, d.acting FROM log_entries e"
        " JOIN decisions d ON d.seq = e.seq WHERE e.seq > ? AND e.kind = 'event' ORDER BY e.seq LIMIT ?",
        (after_seq, limit),
    )


def count_unindexed(tx: Tx, *, after_seq: int, at_most: int) -> int:
    """Return how many events come next, counted up to a number."""
    counted = "SELECT count(*) FROM (SELECT seq FROM decisions WHERE seq > ? LIMIT ?) AS next_ones"
    return int(tx.rows(counted, (after_seq, at_most))[0][0])


def seqs_of(tx: Tx, kind: str, subject: str, *, before_seq: int | None, since_seq: int = 0, limit: int) -> list[int]:
    """Return the entries that name a subject, newest first."""
    bound = before_seq if before_seq is not None else (1 << 62)
    rows = tx.rows(
        "SELECT seq FROM entry_subjects WHERE kind = ? AND subject = ? AND seq < ? AND seq >= ?"
        " ORDER BY seq DESC LIMIT ?",
        (kind, subject, bound, since_seq, limit),
    )
    return [int(row[0]) for row in rows]


def search_entries(
    tx: Tx,
    *,
    before_seq: int,
    since_seq: int,
    limit: int,
    filters: Mapping[str, str],
    among: Sequence[int] | None,
) -> list[EntryLine]:
    """Return log entries, newest first, whose columns have the values given; `among`: of these alone."""
    decided = decision_store.decisions
    columns = (
        _entries.c.seq, _entries.c.log_at, _entries.c.kind, _entries.c.type, _entries.c.source, _entries.c.event_id,
        _entries.c.subject, _entries.c.flags, decided.c.verdict, decided.c.acting,
    )  # fmt: skip
    acting = filters.get("acting")
    statement = sqlalchemy.select(*columns)
    if acting is None:
        statement = statement.outerjoin_from(_entries, decided, decided.c.seq == _entries.c.seq)
    else:
        statement = statement.join_from(decided, _entries, decided.c.seq == _entries.c.seq)
    for name, value in filters.items():
        if name != "acting":
            statement = statement.where(_entries.c[name] == value)
    if among is not None:
        statement = statement.where(_entries.c.seq.in_(among))
    if acting is None:
        place = _entries.c.seq
        statement = statement.where(place < before_seq, place >= since_seq)
        found = list(tx.execute(statement.order_by(place.desc()).limit(limit)))
    else:
        found = decision_store.rows_of(tx, acting, statement, since_seq=since_seq, before_seq=before_seq, limit=limit)
    names = [column.name for column in columns]
    return [EntryLine(**dict(zip(names, row, strict=True))) for row in found]


def entries_of_event(tx: Tx, event_id: str) -> list[int]:
    """Return where events of an id stand in the log; several sources may have used it."""
    rows = tx.rows(
        "SELECT seq FROM entry_subjects WHERE kind = 'event' AND subject = ? ORDER BY seq DESC LIMIT 100", (event_id,)
    )
    return [int(row[0]) for row in rows]


def sealed_seqs(tx: Tx, *, before_seq: int | None, limit: int) -> list[int]:
    """Return the newest entries that hold sealed fields."""
    bound = before_seq if before_seq is not None else (1 << 62)
    rows = tx.rows(
        "SELECT seq FROM log_entries WHERE seq < ? AND sealed IS NOT NULL ORDER BY seq DESC LIMIT ?", (bound, limit)
    )
    return [int(row[0]) for row in rows]


def span_of(tx: Tx, kind: str, subject: str) -> tuple[int, int] | None:
    """Return the first and the last entry that name a subject."""
    row = tx.rows("SELECT min(seq), max(seq) FROM entry_subjects WHERE kind = ? AND subject = ?", (kind, subject))[0]
    return None if row[0] is None else (int(row[0]), int(row[1]))


def ids_like(tx: Tx, kind: str, prefix: str, *, limit: int) -> list[str]:
    """Return ids of a kind that begin so, in order.

    Why step by step: grouping would walk every entry of a subject that thousands of entries name.
    """
    end = prefix + _AFTER_ALL
    rows = tx.rows(
        "WITH RECURSIVE found (subject) AS ("
        " SELECT min(subject) FROM entry_subjects WHERE kind = ? AND subject >= ? AND subject < ?"
        " UNION ALL SELECT (SELECT min(e.subject) FROM entry_subjects e"
        " WHERE e.kind = ? AND e.subject > found.subject AND e.subject < ?) FROM found WHERE found.subject IS NOT NULL)"
        " SELECT subject FROM found WHERE subject IS NOT NULL LIMIT ?",
        (kind, prefix, end, kind, end, limit),
    )
    return [str(row[0]) for row in rows]


def named_like(tx: Tx, kind: str, prefix: str, *, limit: int) -> list[SubjectHit]:
    """Return subjects of a kind whose id begins so, in order, with the newest entry that names each."""
    found: list[SubjectHit] = []
    for name in ids_like(tx, kind, prefix, limit=limit):
        span = span_of(tx, kind, name)
        found.append(SubjectHit(kind=kind, id=name, last_seq=span[1] if span is not None else 0))
    return found


def read_links(tx: Tx, account: str, *, limit: int) -> list[tuple[str, str, int, int, int]]:
    """Return what an account used, latest first: kind, subject, times, first and last log time."""
    rows = tx.rows(
        "SELECT kind, subject, times, first_at, last_at FROM account_links WHERE account = ?"
        " ORDER BY last_at DESC LIMIT ?",
        (account, limit),
    )
    return [(str(row[0]), str(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows]


def read_users(tx: Tx, kind: str, subject: str, *, limit: int) -> list[tuple[str, int, int, int]]:
    """Return who used a thing: account, times, first and last log time."""
    rows = tx.rows(
        "SELECT account, times, first_at, last_at FROM account_links WHERE kind = ? AND subject = ?"
        " ORDER BY account LIMIT ?",
        (kind, subject, limit),
    )
    return [(str(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in rows]


def suspended_among(tx: Tx, accounts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the effects of sanctions in force on some accounts."""
    if not accounts:
        return {}
    marks = ", ".join("?" * len(accounts))
    rows = tx.rows(
        "SELECT DISTINCT subject_id, effect FROM sanctions WHERE status = 'in_force' AND subject_kind = 'account'"
        f" AND effect <> 'none' AND effect <> 'warn' AND subject_id IN ({marks}) ORDER BY subject_id, effect",
        tuple(accounts),
    )
    found: dict[str, tuple[str, ...]] = {}
    for account, effect in rows:
        found[str(account)] = (*found.get(str(account), ()), str(effect))
    return found


def read_gone(tx: Tx, *, before_seq: int, upto_seq: int, after: SubjectRow, limit: int) -> list[SubjectRow]:
    """Return what points to entries that left the database, in the order of the table, after a row of it.

    Before `before_seq` nothing is there any more; from there to `upto_seq` it is looked up.
    """
    return tx.rows(
        f"SELECT kind, subject, seq FROM entry_subjects WHERE (kind, subject, seq) > (?, ?, ?) AND {acts_store.gone('entry_subjects')}"
        " ORDER BY kind, subject, seq LIMIT ?",
        (*after, before_seq, upto_seq, limit),
    )


def delete(tx: Tx, subjects: Sequence[SubjectRow]) -> None:
    """Delete which entries name which subjects."""
    tx.many("DELETE FROM entry_subjects WHERE kind = ? AND subject = ? AND seq = ?", subjects)


def read_old_links(tx: Tx, *, before_at: Instant, after: OldLink, limit: int) -> list[OldLink]:
    """Return what accounts used last before a moment, in the order of the table, after a row of it."""
    return tx.rows(
        "SELECT account, kind, subject FROM account_links WHERE (account, kind, subject) > (?, ?, ?) AND last_at < ?"
        " ORDER BY account, kind, subject LIMIT ?",
        (*after, before_at, limit),
    )


def delete_links(tx: Tx, links: Sequence[OldLink], *, before_at: Instant) -> None:
    """Delete links, but for those that were used again meanwhile."""
    statement = "DELETE FROM account_links WHERE account = ? AND kind = ? AND subject = ? AND last_at < ?"
    tx.many(statement, [(*each, before_at) for each in links])


def first_seq(tx: Tx) -> int:
    """Return the oldest event that the database holds; where it holds none, the next one to come."""
    row = tx.rows("SELECT min(seq) FROM decisions")[0]
    return event_store.last_seq(tx) + 1 if row[0] is None else int(row[0])


def newest_seq(tx: Tx) -> int:
    """Return the newest event that the database holds; 0 where it holds none."""
    return int(tx.rows("SELECT max(seq) FROM decisions")[0][0] or 0)


def insert_view(tx: Tx, view: SavedView) -> None:
    """Keep a view."""
    tx.execute(
        saved_views.insert().values(
            id=view.id, owner=view.owner, shared=int(view.shared), page=view.page, query=view.query, name=view.name,
            created_at=view.created_at,
        )
    )  # fmt: skip


def read_view(tx: Tx, view_id: str) -> SavedView | None:
    """Return one view."""
    row = tx.execute(sqlalchemy.select(saved_views).where(saved_views.c.id == view_id)).first()
    return None if row is None else _view(row)


def list_views(tx: Tx, *, reader: str, page: str | None, limit: int) -> list[SavedView]:
    """Return the views that somebody sees: their own, and those that are shared."""
    query = sqlalchemy.select(saved_views).where((saved_views.c.owner == reader) | (saved_views.c.shared == 1))
    if page is not None:
        query = query.where(saved_views.c.page == page)
    return [_view(row) for row in tx.execute(query.order_by(saved_views.c.name, saved_views.c.id).limit(limit))]


def count_views(tx: Tx, owner: str) -> int:
    """Return how many views somebody keeps."""
    return int(tx.rows("SELECT count(*) FROM saved_views WHERE owner = ?", (owner,))[0][0])


def delete_view(tx: Tx, view_id: str) -> None:
    """Take a view away."""
    tx.execute(saved_views.delete().where(saved_views.c.id == view_id))


def _view(row: Any) -> SavedView:  # Any: a row of SQLAlchemy, whose columns are only known at run time
    return SavedView(
        id=str(row.id),
        owner=str(row.owner),
        shared=bool(row.shared),
        page=str(row.page),
        query=str(row.query),
        name=str(row.name),
        created_at=Instant(int(row.created_at)),
    )
