"""All SQL of insight: what a file said about its rows, kept apart from what rules see; and the runs over a log."""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Column, SmallInteger, Table, Text

from koban.db import Tx, metadata

log_truth: Final = Table(
    "log_truth",
    metadata,
    Column("event_id", Text, primary_key=True, comment="The event that the row became."),
    Column("harmful", SmallInteger, nullable=True, comment="1 or 0 as the file says; null: it does not say."),
    Column("kind", Text, nullable=True, comment="A finer class, where the file has one."),
    Column("is_test", SmallInteger, nullable=False, comment="1 in the test part."),
)


log_marks: Final = Table(
    "log_marks",
    metadata,
    Column("event_id", Text, primary_key=True, comment="The event of a hit."),
    Column("mark", SmallInteger, nullable=False, comment="1 right, 0 wrong, 2 not to be told."),
    Column("marked_by", Text, nullable=False, comment="Who said so."),
    Column("marked_at", BigInteger, nullable=False, comment="When, in microseconds."),
)

STRICTEST: Final = ("block", "hold", "challenge", "warn", "allow")


class HitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A flagged row, what the file says of it, and what somebody said."""

    seq: int
    event_id: str
    verdict: str
    harmful: bool | None
    mark: int | None
    rules: tuple[str, ...]


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
    for table in ("signals", "decisions"):
        tx.many(f"DELETE FROM {table} WHERE 0 <= ?", [(0,)])


def read_hits(tx: Tx, *, offset: int, limit: int) -> list[HitRow]:
    """Return flagged rows: the strictest verdicts first, and among equals in an order that means nothing.

    Why such an order: marks from the top are then a random sample of their verdict's hits, and their share is fair.
    """
    found = tx.rows(
        "SELECT d.seq, e.event_id, d.verdict, t.harmful, m.mark FROM decisions d"
        " JOIN log_entries e ON e.seq = d.seq LEFT JOIN log_truth t ON t.event_id = e.event_id"
        " LEFT JOIN log_marks m ON m.event_id = e.event_id"
        " WHERE EXISTS (SELECT 1 FROM signals s WHERE s.seq = d.seq AND s.withheld <> 'shadow')"
    )
    order = {verdict: place for place, verdict in enumerate(STRICTEST)}
    found.sort(key=lambda row: (order.get(row[2], len(order)), hashlib.sha256(str(row[1]).encode()).digest()))
    page = found[offset : offset + limit]
    rules: dict[int, list[str]] = {}
    for seq, rule in tx.among(
        "SELECT seq, rule FROM signals WHERE withheld <> 'shadow' AND seq IN (??) ORDER BY seq, rule",
        [row[0] for row in page],
    ):
        if rule not in rules.setdefault(int(seq), []):
            rules[int(seq)].append(str(rule))
    return [
        HitRow(
            seq=int(row[0]),
            event_id=str(row[1]),
            verdict=str(row[2]),
            harmful=None if row[3] is None else bool(row[3]),
            mark=None if row[4] is None else int(row[4]),
            rules=tuple(rules.get(int(row[0]), ())),
        )
        for row in page
    ]


def count_all_hits(tx: Tx) -> int:
    """Return how many rows at least one rule flagged."""
    return int(tx.rows("SELECT count(DISTINCT seq) FROM signals WHERE withheld <> 'shadow'")[0][0])


def set_mark(tx: Tx, event_id: str, mark: int | None, *, by: str, at: int) -> bool:
    """Keep what somebody says of a hit, in place of what was said before; None takes it back. False: no such event."""
    if not tx.rows("SELECT 1 FROM log_entries WHERE event_id = ?", (event_id,)):
        return False
    tx.change("DELETE FROM log_marks WHERE event_id = ?", (event_id,))
    if mark is not None:
        tx.change(
            "INSERT INTO log_marks (event_id, mark, marked_by, marked_at) VALUES (?, ?, ?, ?)", (event_id, mark, by, at)
        )
    return True


def count_marks(tx: Tx, what: str) -> list[tuple[str, int | None, int]]:
    """Return, by verdict, by rule or for all together: the name, the mark (None: not marked), how many hits."""
    assert what in {"verdict", "rule", "all"}, "what hits are counted by"
    column = {"verdict": "d.verdict", "rule": "s.rule", "all": "'all'"}[what]
    rows = tx.rows(
        f"SELECT {column}, m.mark, count(DISTINCT d.seq) FROM decisions d"
        " JOIN signals s ON s.seq = d.seq AND s.withheld <> 'shadow' JOIN log_entries e ON e.seq = d.seq"
        f" LEFT JOIN log_marks m ON m.event_id = e.event_id GROUP BY {column}, m.mark"
        if what != "all"
        else "SELECT 'all', m.mark, count(DISTINCT d.seq) FROM decisions d"
        " JOIN signals s ON s.seq = d.seq AND s.withheld <> 'shadow' JOIN log_entries e ON e.seq = d.seq"
        " LEFT JOIN log_marks m ON m.event_id = e.event_id GROUP BY m.mark"
    )
    return [(str(row[0]), None if row[1] is None else int(row[1]), int(row[2])) for row in rows]


def read_marks(tx: Tx) -> list[tuple[str, int, str, str, str, int]]:
    """Return every mark: event id, mark, verdict, rules with spaces between, who, when."""
    marks = tx.rows(
        "SELECT m.event_id, m.mark, d.verdict, d.seq, m.marked_by, m.marked_at FROM log_marks m"
        " JOIN log_entries e ON e.event_id = m.event_id JOIN decisions d ON d.seq = e.seq ORDER BY m.marked_at, m.event_id"
    )
    rules: dict[int, list[str]] = {}
    for seq, rule in tx.among(
        "SELECT seq, rule FROM signals WHERE withheld <> 'shadow' AND seq IN (??) ORDER BY seq, rule",
        [row[3] for row in marks],
    ):
        if rule not in rules.setdefault(int(seq), []):
            rules[int(seq)].append(str(rule))
    return [
        (str(row[0]), int(row[1]), str(row[2]), " ".join(rules.get(int(row[3]), ())), str(row[4]), int(row[5]))
        for row in marks
    ]
