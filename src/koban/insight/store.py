"""All SQL of insight: what a file said about its rows, kept apart from what rules see; and the runs over a log."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Column, SmallInteger, Table, Text

from koban.db import Tx, metadata

log_truth: Final = Table(
    "log_truth",
    metadata,
    Column("event_id", Text, primary_key=True, comment="The event that the row became."),
    Column("harmful", SmallInteger, nullable=True, comment="1 or 0 as the file says; null: it does not say."),
    Column("kind", Text, nullable=True, comment="A finer class, where the file has one."),
    Column("is_test", SmallInteger, nullable=False, comment="1 in the test part."),
)


class _Run(msgspec.Struct):
    pack: str


Row = tuple[str, int | None, str | None, int]
Count = tuple[str, int, int | None, int, int]


def insert_truth(tx: Tx, rows: Sequence[Row]) -> None:
    """Keep what a file says; a row that was imported before stays as it is."""
    tx.many("INSERT INTO log_truth (event_id, harmful, kind, is_test) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)


def count_truth(tx: Tx) -> list[tuple[int, int | None, int]]:
    """Return test part or not, harmful or not, and how many rows."""
    return [
        (int(row[0]), None if row[1] is None else int(row[1]), int(row[2]))
        for row in tx.rows("SELECT is_test, harmful, count(*) FROM log_truth GROUP BY is_test, harmful")
    ]


def count_hits(tx: Tx, column: str) -> list[Count]:
    """Return, per rule or policy: its name, test part or not, harmful or not, how many rows, 0 (rules only watch)."""
    assert column in {"rule", "policy"}, "a column of signals"
    rows = tx.rows(
        f"SELECT s.{column}, t.is_test, t.harmful, count(DISTINCT e.seq) FROM signals s"
        " JOIN log_entries e ON e.seq = s.seq JOIN log_truth t ON t.event_id = e.event_id"
        f" WHERE s.withheld <> 'shadow' GROUP BY s.{column}, t.is_test, t.harmful ORDER BY s.{column}"
    )
    return [(str(row[0]), int(row[1]), None if row[2] is None else int(row[2]), int(row[3]), 0) for row in rows]


def count_flagged(tx: Tx) -> list[tuple[int, int | None, int]]:
    """Return test part or not, harmful or not, and how many rows at least one rule flagged."""
    rows = tx.rows(
        "SELECT t.is_test, t.harmful, count(DISTINCT e.seq) FROM signals s JOIN log_entries e ON e.seq = s.seq"
        " JOIN log_truth t ON t.event_id = e.event_id WHERE s.withheld <> 'shadow' GROUP BY t.is_test, t.harmful"
    )
    return [(int(row[0]), None if row[1] is None else int(row[1]), int(row[2])) for row in rows]


def count_kinds(tx: Tx) -> list[tuple[str, int, int]]:
    """Return, per kind of the test part: its name, how many rows, how many of them flagged."""
    rows = tx.rows(
        "SELECT t.kind, count(*), count(f.event_id) FROM log_truth t LEFT JOIN (SELECT DISTINCT e.event_id FROM signals s"
        " JOIN log_entries e ON e.seq = s.seq WHERE s.withheld <> 'shadow') f ON f.event_id = t.event_id"
        " WHERE t.is_test = 1 AND t.kind IS NOT NULL GROUP BY t.kind ORDER BY t.kind"
    )
    return [(str(row[0]), int(row[1]), int(row[2])) for row in rows]


def count_entries(tx: Tx) -> int:
    """Return how many events stand in the log."""
    return int(tx.rows("SELECT count(*) FROM log_entries WHERE kind = 'event'")[0][0])


def read_run(tx: Tx) -> tuple[int, str | None]:
    """Return how many events the last run decided, and the pack that it ran."""
    decided = int(tx.rows("SELECT count(*) FROM decisions")[0][0])
    last = tx.rows("SELECT inputs FROM decisions ORDER BY seq DESC LIMIT 1")
    return decided, msgspec.json.decode(last[0][0], type=_Run).pack if last else None


def clear_run(tx: Tx) -> None:
    """Forget the decisions of the last run over a named log."""
    for table in ("signals", "decisions", "feature_state"):
        tx.many(f"DELETE FROM {table} WHERE 0 <= ?", [(0,)])
