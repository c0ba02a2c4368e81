"""All SQL of the board: its minutes, and counts over other rooms' tables, each within an index."""

from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Column, Table, Text

from koban.base import MINUTE, Instant
from koban.board.types import ActionFigures, CaseFigures
from koban.db import Tx, metadata, upsert
from koban.decisions import ACTED_SQL

minutes: Final = Table(
    "board_minutes",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False, comment="Minutes since 1970-01-01 UTC."),
    Column("figures", Text, nullable=False, comment="JSON: name of a figure to its value at that minute."),
    comment="The board's figures by the minute, for its sparklines; kept for a week.",
)

_UNCONFIRMED: Final = "status IN ('requested', 'failed', 'delivered')"
_FIGURES: Final = msgspec.json.Decoder(dict[str, int])


def write_minute(tx: Tx, minute: int, figures: Mapping[str, int]) -> None:
    """Keep the figures of a minute; the later of two in one minute stays."""
    row = {"minute": minute, "figures": msgspec.json.encode(figures).decode()}
    upsert(tx, minutes, [row], keys=["minute"], update=["figures"])


def forget_minutes(tx: Tx, *, before: int) -> None:
    """Delete the figures of minutes before one."""
    tx.change("DELETE FROM board_minutes WHERE minute < ?", (before,))


def read_minutes(tx: Tx, *, since: int) -> dict[int, dict[str, int]]:
    """Return figures by minute, from one on."""
    rows = tx.rows("SELECT minute, figures FROM board_minutes WHERE minute >= ? ORDER BY minute", (since,))
    return {int(row[0]): _FIGURES.decode(row[1]) for row in rows}


def count_cases(tx: Tx, at: Instant) -> CaseFigures:
    """Return how many cases are open, how many of them late, how old the oldest is, and which is due next."""
    row = tx.rows(
        "SELECT count(*), coalesce(sum(CASE WHEN due_at <= ? THEN 1 ELSE 0 END), 0),"
        " min(CASE WHEN due_at > ? THEN due_at END) FROM cases WHERE status = 'open'",
        (at, at),
    )[0]
    oldest = tx.rows("SELECT min(opened_at) FROM cases WHERE status = 'open'")[0][0]
    return CaseFigures(
        open=int(row[0]), overdue=int(row[1]), oldest_at=_instant(oldest), next_due_at=_instant(row[2])
    )  # fmt: skip


def count_actions(tx: Tx) -> ActionFigures:
    """Return how many actions stand where, and since when the oldest unconfirmed one waits."""
    by_status = {str(row[0]): int(row[1]) for row in tx.rows("SELECT status, count(*) FROM actions GROUP BY status")}
    row = tx.rows(
        "SELECT count(*), min(requested_at), coalesce(sum(CASE WHEN overdue_at IS NULL THEN 0 ELSE 1 END), 0)"
        f" FROM actions WHERE {_UNCONFIRMED}"
    )[0]
    return ActionFigures(
        by_status=by_status, unconfirmed=int(row[0]), oldest_unconfirmed_at=_instant(row[1]), overdue=int(row[2])
    )


def count_sanctions(tx: Tx) -> dict[str, int]:
    """Return how many sanctions there are in each status."""
    return {str(row[0]): int(row[1]) for row in tx.rows("SELECT status, count(*) FROM sanctions GROUP BY status")}


def count_alerts(tx: Tx) -> int:
    """Return how many alerts nobody has taken note of."""
    return int(tx.rows("SELECT count(*) FROM alerts WHERE acknowledged_at IS NULL")[0][0])


def holds_since(tx: Tx, *, after_seq: int) -> list[tuple[int, int, str, str | None, str, str]]:
    """Return held events after a place in the log: seq, log time, type, account, answer, data."""
    # `verdict <> 'allow'` says again what the partial index holds: SQLite takes it only for the same words.
    return tx.rows(
        "SELECT d.seq, d.log_at, d.type, d.acting, d.body, e.data FROM decisions d JOIN log_entries e ON e.seq = d.seq"
        " WHERE d.verdict = 'hold' AND d.verdict <> 'allow' AND d.seq > ? ORDER BY d.seq",
        (after_seq,),
    )


def ended_holds(tx: Tx, *, since_seq: int) -> frozenset[int]:
    """Return the decisions from a place in the log on whose holds are over."""
    return frozenset(int(row[0]) for row in tx.rows("SELECT seq FROM hold_ends WHERE seq >= ?", (since_seq,)))


def events_since(tx: Tx, type_: str, *, after_seq: int) -> list[tuple[int, int, str | None, str]]:
    """Return events of a type after a place in the log: seq, log time, account, data."""
    return tx.rows(
        "SELECT e.seq, e.log_at, d.acting, e.data FROM log_entries e JOIN decisions d ON d.seq = e.seq"
        " WHERE e.type = ? AND e.seq > ? ORDER BY e.seq",
        (type_, after_seq),
    )


def freezes(tx: Tx, at: Instant) -> dict[str, tuple[int, Instant | None]]:
    """Return accounts whose payouts are frozen: from when, and until when (None: until a person decides)."""
    rows = tx.rows(
        "SELECT subject_id, starts_at, ends_at FROM sanctions WHERE status = 'in_force' AND effect = 'freeze_payout'"
        " AND subject_kind = 'account' AND (ends_at IS NULL OR ends_at > ?)",
        (at,),
    )
    found: dict[str, tuple[int, Instant | None]] = {}
    for account, starts_at, ends_at in rows:
        since, until = found.get(account, (int(starts_at), Instant(0)))
        longer = None if until is None or ends_at is None else Instant(max(until, int(ends_at)))
        found[str(account)] = (min(since, int(starts_at)), longer)
    return found


def newest_signal(tx: Tx) -> int:
    """Return the place in the log of the newest signal, -1 when there is none."""
    rows = tx.rows("SELECT max(seq) FROM signals")
    return -1 if rows[0][0] is None else int(rows[0][0])


def hits_by_minute(tx: Tx, *, since_seq: int, until_seq: int) -> list[tuple[str, int, int, int, int]]:
    """Return rule, minute, signals, those that acted and log time of the newest, of a part of the log."""
    rows = tx.rows(
        f"SELECT rule, log_at / {MINUTE}, count(*), sum(CASE WHEN {ACTED_SQL} THEN 1 ELSE 0 END), max(log_at) FROM signals"
        " WHERE seq >= ? AND seq <= ? GROUP BY 1, 2",
        (since_seq, until_seq),
    )
    return [(str(row[0]), int(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows]


def acted_on(tx: Tx, *, since_seq: int, until_seq: int) -> list[tuple[str, str, int]]:
    """Return each rule with each account that it acted on in a part of the log, and the log time when it last did."""
    rows = tx.rows(
        "SELECT rule, acting, max(log_at) FROM signals"
        f" WHERE seq >= ? AND seq <= ? AND {ACTED_SQL} AND acting IS NOT NULL GROUP BY rule, acting",
        (since_seq, until_seq),
    )
    return [(str(row[0]), str(row[1]), int(row[2])) for row in rows]


def judged_honest(tx: Tx, *, since_at: Instant, limit: int) -> list[tuple[str, str]]:
    """Return each rule with each person of a case that it brought about and that was closed as honest."""
    rows = tx.rows(
        "SELECT DISTINCT s.rule, coalesce(c.acting_id, c.subject_id) FROM"
        " (SELECT id, acting_id, subject_id FROM cases WHERE outcome = 'honest' AND closed_at >= ? LIMIT ?) c"
        " JOIN case_signals s ON s.case_id = c.id",
        (since_at, limit),
    )
    return [(str(row[0]), str(row[1])) for row in rows]


def overturned(tx: Tx, *, since_seq: int, limit: int) -> list[tuple[str, str]]:
    """Return each rule with each person whose sanction by it was overturned since a place in the log."""
    rows = tx.rows(
        "SELECT DISTINCT s.rule, d.acting FROM sanctions s JOIN decisions d ON d.seq = s.cause_seq"
        " WHERE s.status = 'overturned' AND s.changed_seq >= ? AND coalesce(s.rule, '') <> '' AND d.acting IS NOT NULL LIMIT ?",
        (since_seq, limit),
    )
    return [(str(row[0]), str(row[1])) for row in rows]


def _instant(value: object) -> Instant | None:
    return None if value is None else Instant(int(str(value)))
