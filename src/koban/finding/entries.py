"""The log as a list: what its page shows and what its file holds."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy

from koban.base import Instant, sequence_id
from koban.db import Tx
from koban.decisions import store as decision_store
from koban.events import store as event_store

_entries: Final = event_store.log_entries


class EntryLine(msgspec.Struct, frozen=True, kw_only=True):
    """A log entry as the list shows it, with its verdict where it was judged."""

    seq: int
    log_at: Instant
    kind: str
    type: str
    source: str
    event_id: str
    subject: str | None
    flags: int
    verdict: str | None
    acting: str | None


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when a list looks; None: from the beginning, to the end."""

    since_at: Instant | None = None
    until_at: Instant | None = None

    def seqs(self, tx: Tx, *, before_seq: int | None) -> tuple[int, int]:
        """Return the first place in the log that lies in it, and the first one beyond it or `before_seq`."""
        since = 0 if self.since_at is None else event_store.seq_since(tx, self.since_at)
        ends = [
            event_store.last_seq(tx) + 1 if before_seq is None else before_seq,
            *(() if self.until_at is None else (event_store.seq_since(tx, self.until_at),)),
        ]
        return since, min(ends)

    def ids(self, tx: Tx, prefix: str, *, before: str | None) -> tuple[str | None, str | None]:
        """Return the same for ids that are made from places in the log."""
        since = None if self.since_at is None else sequence_id(prefix, event_store.seq_since(tx, self.since_at))
        ends = [] if before is None else [before]
        if self.until_at is not None:
            ends.append(sequence_id(prefix, event_store.seq_since(tx, self.until_at)))
        return since, min(ends, default=None)


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
    place = _entries.c.seq
    if acting is None:
        statement = sqlalchemy.select(*columns).outerjoin_from(_entries, decided, decided.c.seq == _entries.c.seq)
    else:
        statement = sqlalchemy.select(*columns).join_from(decided, _entries, decided.c.seq == _entries.c.seq)
        statement, place = statement.where(decided.c.acting == acting), decided.c.seq
    for name, value in filters.items():
        if name != "acting":
            statement = statement.where(_entries.c[name] == value)
    if among is not None:
        statement = statement.where(_entries.c.seq.in_(among))
    statement = statement.where(place < before_seq, place >= since_seq)
    found = tx.execute(statement.order_by(place.desc()).limit(limit)).mappings()
    return [EntryLine(**{**row, "log_at": Instant(row["log_at"])}) for row in found]


def entries_of_event(tx: Tx, event_id: str) -> list[int]:
    """Return where events of an id stand in the log; several sources may have used it."""
    rows = tx.rows(
        "SELECT seq FROM entry_subjects WHERE kind = 'event' AND subject = ? ORDER BY seq DESC LIMIT 100", (event_id,)
    )
    return [int(row[0]) for row in rows]
