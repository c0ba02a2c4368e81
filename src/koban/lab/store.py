"""All SQL of the lab: what the database knows about a log's events, and the figures over a run's tables in DuckDB."""

from collections.abc import Mapping, Sequence
from typing import Final

import duckdb
import sqlalchemy

from koban.base import HOUR
from koban.db import Tx

CASES_MEASURED_MIN: Final = 20
MOST: Final = 2**63 - 1  # of an amount, as reports carry it


def seq_before(tx: Tx, at: int) -> int:
    """Return a place in the log before which everything is older than a log time; -1 for the beginning.

    Why a search by halves: log time rises with the place in the log, so no index on it is needed.
    """
    oldest = tx.rows("SELECT max(last_seq) FROM archive_files WHERE (day + 1) * 86400000000 <= ?", (at,))
    low = int(oldest[0][0]) if oldest and oldest[0][0] is not None else -1
    last = tx.rows("SELECT seq, log_at FROM log_entries ORDER BY seq DESC LIMIT 1")
    first = tx.rows("SELECT value FROM log_state WHERE name = 'archived_seq'")
    start = max(low, int(first[0][0]) if first else -1)
    if not last or int(last[0][1]) < at:
        return max(low, int(last[0][0]) if last else -1)
    found = tx.rows("SELECT log_at FROM log_entries WHERE seq > ? ORDER BY seq LIMIT 1", (start,))
    if not found or int(found[0][0]) >= at:
        return low  # the moment lies in the archive
    low, high = start, int(last[0][0])  # low lies before the moment, high does not
    while high - low > 1:
        middle = (low + high) // 2
        found = tx.rows("SELECT seq, log_at FROM log_entries WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,))
        if int(found[0][1]) >= at:
            high = middle
        else:
            low = int(found[0][0])
    return low


def touch_times(tx: Tx) -> dict[str, int]:
    """Return the median seconds that people worked on a case, per queue with at least 20 of them that ended by a decision."""
    if not sqlalchemy.inspect(tx.connection).has_table("case_touches"):
        return {}
    rows = tx.rows(
        "SELECT queue, touch_us FROM case_touches WHERE ended_at IS NOT NULL AND how = 'closed'"
        " ORDER BY ended_at DESC LIMIT 5000"
    )
    taken: dict[str, list[int]] = {}
    for queue, touch_us in rows:
        taken.setdefault(str(queue), []).append(max(1, int(touch_us) // 1_000_000))
    return {queue: sorted(each)[len(each) // 2] for queue, each in taken.items() if len(each) >= CASES_MEASURED_MIN}


def truths_of_subjects(tx: Tx) -> list[tuple[str, str, int]]:
    """Return what finally counts of every labelled subject: kind, id, 1 for fraud and 0 for honest.

    A person's word outranks an import's, and that a rule's; of equals the newest counts.
    """
    rows = tx.rows(
        "SELECT subject_kind, subject_id, value FROM labels WHERE label = 'truth' ORDER BY"
        " CASE source WHEN 'person' THEN 2 WHEN 'import' THEN 1 ELSE 0 END, seq, ordinal"
    )
    found: dict[tuple[str, str], int | None] = {}
    for kind, subject, value in rows:
        found[str(kind), str(subject)] = {"fraud": 1, "honest": 0}.get(str(value))
    return [(kind, subject, value) for (kind, subject), value in found.items() if value is not None]


def truths_of_events(tx: Tx) -> list[tuple[int, int | None, int]]:
    """Return what a named log's file says of its rows: entry, 1 or 0 or nothing, whether it is in the test part."""
    rows = tx.rows(
        "SELECT e.seq, t.harmful, t.is_test FROM log_truth t JOIN log_entries e ON e.event_id = t.event_id"
        " WHERE e.kind = 'event'"
    )
    return [(int(row[0]), None if row[1] is None else int(row[1]), int(row[2])) for row in rows]


def has_truths_of_events(tx: Tx) -> bool:
    """Tell whether a log came from a file that knows something about its rows."""
    return bool(tx.rows("SELECT 1 FROM log_truth LIMIT 1"))


def event_ids(tx: Tx, seqs: Sequence[int]) -> dict[int, str]:
    """Return the ids of events that are still in the database."""
    if not seqs:
        return {}
    marks = ", ".join("?" * len(seqs))
    return {
        int(row[0]): str(row[1])
        for row in tx.rows(f"SELECT seq, event_id FROM log_entries WHERE seq IN ({marks})", tuple(seqs))
    }


# rule -> harmful, honest, unknown events; people; honest people; people of each hour, added up
Counts = Mapping[int, tuple[int, int, int, int, int, int]]


def counts_of_rules(connection: duckdb.DuckDBPyConnection) -> Counts:
    """Count, per rule, the events it hits by what they were, and the people behind them."""
    rows = connection.execute(
        "SELECT h.rule, count(*) FILTER (s.harmful = 1), count(*) FILTER (s.harmful = 0),"
        " count(*) FILTER (s.harmful IS NULL), count(DISTINCT s.person),"
        " count(DISTINCT CASE WHEN s.harmful = 0 THEN s.person END),"
        f" count(DISTINCT CASE WHEN s.person IS NOT NULL THEN (s.person, s.log_at // {HOUR}) END)"
        " FROM hits h JOIN scope s ON s.seq = h.seq GROUP BY h.rule"
    ).fetchall()
    return {row[0]: (row[1], row[2], row[3], row[4], row[5], row[6]) for row in rows}


def lived_hours(connection: duckdb.DuckDBPyConnection) -> int:
    """Count the hours in which anything happened."""
    return int(connection.execute(f"SELECT count(DISTINCT log_at // {HOUR}) FROM scope").fetchall()[0][0])


def make_hit_events(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the events that at least one rule in question hits under each pack, `hit_new` and `hit_old`.

    `hit_rest` are those that a rule hits which nobody asks about: it hits them under either pack.
    """
    for table, which in (
        ("hit_new", "r.pack = 'new'"),
        ("hit_old", "r.pack = 'old' AND r.rest = 0"),
        ("hit_rest", "r.rest = 1"),
    ):
        connection.execute(
            f"CREATE TABLE {table} AS SELECT s.* FROM scope s WHERE s.seq IN"
            f" (SELECT h.seq FROM hits h JOIN rule_of r ON r.rule = h.rule WHERE {which})"
        )


def totals(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int, int, int, int, int, int]:
    """Count events and those that were harmful, honest, unknown; people, honest people, people behind harm."""
    found = connection.execute(
        "SELECT count(*), count(*) FILTER (harmful = 1), count(*) FILTER (harmful = 0),"
        " count(*) FILTER (harmful IS NULL), count(DISTINCT person),"
        " count(DISTINCT CASE WHEN harmful = 0 THEN person END),"
        f" count(DISTINCT CASE WHEN harmful = 1 THEN person END) FROM {table}"
    ).fetchall()[0]
    return found[0], found[1], found[2], found[3], found[4], found[5], found[6]


def test_part(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int, int]:
    """Count what is harmful, honest and unknown in the test part."""
    found = connection.execute(
        "SELECT count(*) FILTER (harmful = 1), count(*) FILTER (harmful = 0), count(*) FILTER (harmful IS NULL)"
        f" FROM {table} WHERE is_test = 1"
    ).fetchall()[0]
    return found[0], found[1], found[2]


def overlaps(connection: duckdb.DuckDBPyConnection) -> dict[int, list[tuple[int, int]]]:
    """Return, per rule of the new pack, the rules of the old one that hit the same events, and how many."""
    rows = connection.execute(
        "SELECT n.rule, o.rule, count(*) AS times FROM hits n JOIN rule_of rn ON rn.rule = n.rule AND rn.pack = 'new'"
        " JOIN hits o ON o.seq = n.seq JOIN rule_of ro ON ro.rule = o.rule AND ro.pack = 'old'"
        " WHERE rn.name <> ro.name GROUP BY n.rule, o.rule ORDER BY n.rule, times DESC, o.rule"
    ).fetchall()
    found: dict[int, list[tuple[int, int]]] = {}
    for new, old, both in rows:
        found.setdefault(new, []).append((old, both))
    return found


def also_old(connection: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """Return, per rule of the new pack, how many of its hits another rule of the old pack shares."""
    rows = connection.execute(
        "SELECT n.rule, count(DISTINCT n.seq) FROM hits n JOIN rule_of rn ON rn.rule = n.rule AND rn.pack = 'new'"
        " JOIN hits o ON o.seq = n.seq JOIN rule_of ro ON ro.rule = o.rule AND ro.pack = 'old'"
        " WHERE rn.name <> ro.name GROUP BY n.rule"
    ).fetchall()
    return dict(rows)


def per_day(connection: duckdb.DuckDBPyConnection, offset_us: int) -> list[tuple[int, int, int]]:
    """Count hits per day of the scope: day since 1970 at an offset from UTC, under the new pack, under the old."""
    day = f"((log_at + {offset_us}) // 86400000000)"
    return connection.execute(
        f"SELECT d.day, (SELECT count(*) FROM hit_new WHERE {day} = d.day),"
        f" (SELECT count(*) FROM hit_old WHERE {day} = d.day)"
        f" FROM (SELECT DISTINCT {day} AS day FROM scope) d ORDER BY d.day"
    ).fetchall()


def cases_per_queue(connection: duckdb.DuckDBPyConnection, pack: str) -> dict[str, int]:
    """Count the cases that a pack's hits would open: one per queue, subject and day, since later hits join it.

    Rules that nobody asks about count under either pack: what joins a case of theirs is no more work.
    """
    rows = connection.execute(
        "SELECT q.queue, count(DISTINCT (coalesce(s.content, s.person, s.seq::VARCHAR), s.log_at // 86400000000))"
        " FROM hits h JOIN rule_of r ON r.rule = h.rule JOIN queue_of q ON q.rule = h.rule JOIN scope s ON s.seq = h.seq"
        f" WHERE r.pack = '{pack}' OR r.rest = 1 GROUP BY q.queue"
    ).fetchall()
    return dict(rows)


def caught_amounts(connection: duckdb.DuckDBPyConnection, pack: str) -> list[tuple[str, int, int, int]]:
    """Sum, per currency, the amounts of harmful events: all, those hit, those at or after their person's first hit."""
    return connection.execute(
        f"WITH first AS (SELECT coalesce(person, seq::VARCHAR) AS who, min(seq) AS seq FROM hit_{pack} GROUP BY who)"
        f" SELECT s.currency, {_summed('s.amount')},"
        f" {_summed('s.amount', f's.seq IN (SELECT seq FROM hit_{pack})')}, {_summed('s.amount', 's.seq >= f.seq')}"
        " FROM scope s LEFT JOIN first f ON f.who = coalesce(s.person, s.seq::VARCHAR)"
        " WHERE s.harmful = 1 AND s.amount IS NOT NULL GROUP BY s.currency ORDER BY s.currency"
    ).fetchall()


def caught_losses(connection: duckdb.DuckDBPyConnection, pack: str) -> list[tuple[str, int, int, int]]:
    """Sum, per currency, the losses that people caused: all, of people hit at any time, of people hit before the loss."""
    return connection.execute(
        f"WITH first AS (SELECT person, min(seq) AS seq FROM hit_{pack} WHERE person IS NOT NULL GROUP BY person)"
        f" SELECT l.currency, {_summed('l.amount')},"
        f" {_summed('l.amount', 'f.seq IS NOT NULL')}, {_summed('l.amount', 'f.seq <= l.seq')}"
        " FROM losses l LEFT JOIN first f ON f.person = l.person WHERE l.amount IS NOT NULL"
        " GROUP BY l.currency ORDER BY l.currency"
    ).fetchall()


def _summed(amount: str, where: str = "TRUE") -> str:
    """Write a sum of amounts that fits into 64 bits, whatever people sent: two absurd amounts must not end every backtest."""
    total = f"coalesce(sum({amount}) FILTER ({where}), 0)"
    return f"greatest(least({total}, {MOST}), {-MOST})::BIGINT"


def samples(connection: duckdb.DuckDBPyConnection, table: str, without: str, most: int) -> list[int]:
    """Choose events that one pack hits and the other does not, nor any rule beside: the same ones each time."""
    rows = connection.execute(
        f"SELECT seq FROM {table} WHERE seq NOT IN (SELECT seq FROM {without}) AND seq NOT IN (SELECT seq FROM hit_rest)"
        f" ORDER BY md5(seq::VARCHAR) LIMIT {int(most)}"
    ).fetchall()
    return sorted(row[0] for row in rows)


def rules_of_events(connection: duckdb.DuckDBPyConnection, seqs: Sequence[int], pack: str) -> dict[int, list[str]]:
    """Return the rules that hit some events."""
    if not seqs:
        return {}
    listed = ", ".join(str(int(seq)) for seq in seqs)
    rows = connection.execute(
        "SELECT h.seq, r.name FROM hits h JOIN rule_of r ON r.rule = h.rule"
        f" WHERE r.pack = '{pack}' AND h.seq IN ({listed}) ORDER BY h.seq, r.name"
    ).fetchall()
    found: dict[int, list[str]] = {}
    for seq, name in rows:
        found.setdefault(seq, []).append(name)
    return found


def facts(
    connection: duckdb.DuckDBPyConnection, seqs: Sequence[int]
) -> list[tuple[int, int, str, str | None, int | None]]:
    """Return entry, log time, type, person and truth of some events."""
    if not seqs:
        return []
    listed = ", ".join(str(int(seq)) for seq in seqs)
    return connection.execute(
        f"SELECT seq, log_at, type, person, harmful FROM scope WHERE seq IN ({listed}) ORDER BY seq"
    ).fetchall()
