"""Questions that only the console asks, over the tables of several rooms. It reads and never writes."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy

from koban.base import Instant
from koban.db import Tx
from koban.decisions import store as decision_store
from koban.enforcement import SubjectRef
from koban.events import store as event_store
from koban.webhooks import store as webhook_store
from koban.webhooks.types import Action

_entries: Final = event_store.log_entries
_signals: Final = decision_store.signals


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule did in a span of time: signals, those that acted, distinct accounts among those that acted."""

    hits: int
    applied: int
    accounts: int
    last_at: Instant


NO_ACTIVITY: Final = Activity(hits=0, applied=0, accounts=0, last_at=Instant(0))


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


def seq_since(tx: Tx, at: Instant) -> int:
    """Return the first place in the log whose log time is not before `at`; past the end where there is none.

    Why a search by halves: log time rises with the place in the log, so no index on it is needed and a span of time
    becomes a range of the primary key.
    """
    last = event_store.last_entry(tx)
    if last is None or last[1] < at:
        return 0 if last is None else last[0] + 1
    low, high = -1, last[0]  # low lies before the moment, high does not
    while high - low > 1:
        middle = (low + high) // 2
        found = tx.rows("SELECT seq, log_at FROM log_entries WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,))
        if found[0][1] >= at:
            high = middle
        else:
            low = int(found[0][0])
    return high


def activity(tx: Tx, *, since_seq: int) -> Mapping[str, Activity]:
    """Return what each rule did since a place in the log."""
    rows = tx.rows(
        "SELECT rule, count(*), sum(applied), count(DISTINCT CASE WHEN applied = 1 THEN acting END), max(log_at)"
        " FROM signals WHERE seq >= ? GROUP BY rule",
        (since_seq,),
    )
    return {
        str(row[0]): Activity(hits=int(row[1]), applied=int(row[2]), accounts=int(row[3]), last_at=Instant(int(row[4])))
        for row in rows
    }


def rule_activity(tx: Tx, rule: str, *, since_seq: int) -> Activity:
    """Return what one rule did since a place in the log."""
    row = tx.rows(
        "SELECT count(*), sum(applied), count(DISTINCT CASE WHEN applied = 1 THEN acting END), max(log_at)"
        " FROM signals WHERE rule = ? AND seq >= ?",
        (rule, since_seq),
    )[0]
    return Activity(hits=int(row[0]), applied=int(row[1] or 0), accounts=int(row[2]), last_at=Instant(int(row[3] or 0)))


def rule_buckets(tx: Tx, rule: str, *, since_at: Instant, bucket_us: int, buckets: int) -> list[tuple[int, int]]:
    """Return hits and those that acted in each of some equal spans from a moment on."""
    rows = tx.rows(
        "SELECT (log_at - ?) / ?, count(*), sum(applied) FROM signals WHERE rule = ? AND seq >= ? GROUP BY 1",
        (int(since_at), bucket_us, rule, seq_since(tx, since_at)),
    )
    found = {int(row[0]): (int(row[1]), int(row[2])) for row in rows}
    return [found.get(place, (0, 0)) for place in range(buckets)]


def harmed_lately(tx: Tx, *, after: Instant) -> Mapping[str, int]:
    """Return how many distinct accounts each rule acted against since a moment: what counts against its cap."""
    rows = tx.rows("SELECT rule, count(DISTINCT account) FROM rule_harm WHERE at > ? GROUP BY rule", (int(after),))
    return {str(row[0]): int(row[1]) for row in rows}


def facts_of(tx: Tx, seqs: Sequence[int]) -> Mapping[int, tuple[str | None, int]]:
    """Return acting account and microseconds taken of some decisions."""
    if not seqs:
        return {}
    marks = ", ".join("?" * len(seqs))
    rows = tx.rows(f"SELECT seq, acting, took_us FROM decisions WHERE seq IN ({marks})", seqs)
    return {int(row[0]): (None if row[1] is None else str(row[1]), int(row[2])) for row in rows}


def search_entries(
    tx: Tx,
    *,
    before_seq: int | None,
    limit: int,
    filters: Mapping[str, str],
    since_at: int | None,
    until_at: int | None,
) -> list[EntryLine]:
    """Return log entries, newest first, whose columns have the values given."""
    decided = decision_store.decisions
    columns = (
        _entries.c.seq, _entries.c.log_at, _entries.c.kind, _entries.c.type, _entries.c.source, _entries.c.event_id,
        _entries.c.subject, _entries.c.flags, decided.c.verdict, decided.c.acting,
    )  # fmt: skip
    statement = sqlalchemy.select(*columns).outerjoin_from(_entries, decided, decided.c.seq == _entries.c.seq)
    for name, value in filters.items():
        statement = statement.where(decided.c.acting == value if name == "acting" else _entries.c[name] == value)
    if before_seq is not None:
        statement = statement.where(_entries.c.seq < before_seq)
    if since_at is not None:
        statement = statement.where(_entries.c.seq >= seq_since(tx, Instant(since_at)))
    if until_at is not None:
        statement = statement.where(_entries.c.seq < seq_since(tx, Instant(until_at)))
    found = tx.execute(statement.order_by(_entries.c.seq.desc()).limit(limit)).mappings()
    return [EntryLine(**{**row, "log_at": Instant(row["log_at"])}) for row in found]


def causes(tx: Tx, seq: int, limit: int) -> list[EntryLine]:
    """Return the entries that an entry brought about, in order."""
    rows = tx.rows(
        "SELECT seq, log_at, kind, type, source, event_id, subject, flags FROM log_entries"
        " WHERE seq > ? AND seq < ? AND cause_seq = ? ORDER BY seq LIMIT ?",
        (seq, seq + 1_000, seq, limit),
    )
    return [
        EntryLine(
            seq=int(row[0]), log_at=Instant(int(row[1])), kind=str(row[2]), type=str(row[3]), source=str(row[4]),
            event_id=str(row[5]), subject=row[6], flags=int(row[7]), verdict=None, acting=None,
        )
        for row in rows
    ]  # fmt: skip


def sanctions_of_rule(tx: Tx, rule: str, *, since_at: Instant) -> tuple[int, int]:
    """Return how many sanctions stand that a rule imposed or joined since a moment, and on how many subjects."""
    row = tx.rows(
        "SELECT count(DISTINCT s.id), count(DISTINCT s.subject_kind || ':' || s.subject_id) FROM sanction_changes c"
        " JOIN sanctions s ON s.id = c.sanction_id WHERE c.rule = ? AND c.changed_at >= ? AND s.status <> 'overturned'",
        (rule, int(since_at)),
    )[0]
    return int(row[0]), int(row[1])


def sanctions_by_status(tx: Tx) -> Mapping[str, int]:
    """Return how many sanctions there are in each status."""
    return {str(row[0]): int(row[1]) for row in tx.rows("SELECT status, count(*) FROM sanctions GROUP BY status")}


def actions_of(tx: Tx, seqs: Sequence[int]) -> list[Action]:
    """Return what the marketplace was asked for by some entries, in order."""
    if not seqs:
        return []
    table = webhook_store.actions
    found = tx.execute(
        sqlalchemy.select(table.c.id).where(table.c.state_version.in_(seqs)).order_by(table.c.state_version, table.c.id)
    )
    read = (webhook_store.read_action(tx, str(row[0])) for row in found)
    return [action for action in read if action is not None]


def open_alerts(tx: Tx) -> int:
    """Return how many alerts nobody has taken note of."""
    return int(tx.rows("SELECT count(*) FROM alerts WHERE acknowledged_at IS NULL")[0][0])


def accounts_hit(tx: Tx, rule: str, *, since_seq: int) -> int:
    """Return how many accounts a rule matched, whether it acted or not: whom it would fall on if it were live."""
    sql = "SELECT count(DISTINCT acting) FROM signals WHERE rule = ? AND seq >= ?"
    return int(tx.rows(sql, (rule, since_seq))[0][0])


def actions_about(tx: Tx, subject: SubjectRef, *, limit: int) -> list[Action]:
    """Return what the marketplace was asked for about a subject, newest first."""
    wanted = {"subject_kind": subject.kind, "subject_id": subject.id}
    return webhook_store.search_actions(tx, before=None, limit=limit, filters=wanted)


def decided_of_source(tx: Tx, source: str, *, since_seq: int) -> tuple[list[str], list[str]]:
    """Return the ids of a source's events that were decided, and the answers of those over which a rule spoke."""
    ids = tx.rows(
        "SELECT e.event_id FROM log_entries e JOIN decisions d ON d.seq = e.seq WHERE e.seq >= ? AND e.source = ?",
        (since_seq, source),
    )
    bodies = tx.rows(
        "SELECT d.body FROM decisions d JOIN log_entries e ON e.seq = d.seq WHERE d.seq >= ? AND e.source = ?"
        " AND (d.verdict <> 'allow' OR EXISTS (SELECT 1 FROM signals s WHERE s.seq = d.seq))",
        (since_seq, source),
    )
    return [str(row[0]) for row in ids], [str(row[0]) for row in bodies]
