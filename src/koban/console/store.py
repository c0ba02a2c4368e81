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
from koban.finding import EntryLine
from koban.rules import BUDGET_TRIPPED, BudgetTripped
from koban.webhooks import store as webhook_store
from koban.webhooks.types import Action

_entries: Final = event_store.log_entries
_signals: Final = decision_store.signals


def hits_since(tx: Tx, rule: str, *, since_seq: int) -> int:
    """Return how many signals of a rule there are since a place in the log."""
    return int(tx.rows("SELECT count(*) FROM signals WHERE rule = ? AND seq >= ?", (rule, since_seq))[0][0])


def trip_of(tx: Tx, seq: int) -> BudgetTripped | None:
    """Return what stopped a rule, as the entry of the log says; None where the entry has left the database."""
    row = tx.execute(
        sqlalchemy.select(_entries.c.data).where(_entries.c.seq == seq, _entries.c.type == BUDGET_TRIPPED)
    ).one_or_none()
    return None if row is None else msgspec.json.decode(row.data, type=BudgetTripped)


def harmed_lately(tx: Tx, *, after: Instant) -> Mapping[str, int]:
    """Return how many distinct accounts each rule acted against since a moment: what counts against its cap."""
    rows = tx.rows("SELECT rule, count(DISTINCT account) FROM rule_harm WHERE at > ? GROUP BY rule", (int(after),))
    return {str(row[0]): int(row[1]) for row in rows}


def last_seq(tx: Tx) -> int:
    """Return the newest place in the log."""
    return event_store.last_seq(tx)


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


class NamedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its open data."""

    seq: int
    log_at: Instant
    type: str
    data: str


def entries_named(tx: Tx, seqs: Sequence[int]) -> list[NamedEntry]:
    """Return some entries with their open data, newest first."""
    rows = tx.among("SELECT seq, log_at, type, data FROM log_entries WHERE seq IN (??)", seqs)
    found = [
        NamedEntry(seq=int(row[0]), log_at=Instant(int(row[1])), type=str(row[2]), data=str(row[3])) for row in rows
    ]
    return sorted(found, key=lambda entry: -entry.seq)


def cases_about(tx: Tx, seq: int, account: str | None, *, limit: int) -> list[tuple[str, str, str]]:
    """Return cases that may open an entry: those it brought about, and those about its account: id, queue, status."""
    rows = tx.rows(
        "SELECT DISTINCT c.id, c.queue, c.status FROM case_signals s JOIN cases c ON c.id = s.case_id WHERE s.seq = ?"
        " LIMIT ?",
        (seq, limit),
    )
    if account is not None:
        rows += tx.rows(
            "SELECT id, queue, status FROM cases WHERE subject_kind = 'account' AND subject_id = ?"
            " ORDER BY id DESC LIMIT ?",
            (account, limit),
        )
    return list(dict.fromkeys((str(row[0]), str(row[1]), str(row[2])) for row in rows))[:limit]


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
