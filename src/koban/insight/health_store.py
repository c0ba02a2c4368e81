"""All SQL of rule health: hours of rules, judged cases by rule, and which lists and rules were ever of use."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import HOUR, Instant
from koban.db import Tx, metadata, upsert
from koban.decisions import ACTED_SQL

rule_hours: Final = Table(
    "rule_hours",
    metadata,
    Column("rule", Text, primary_key=True, comment="rule"),
    Column("hour_at", BigInteger, primary_key=True, autoincrement=False,
           comment="the whole hour's beginning, microseconds UTC"),
    Column("events", BigInteger, nullable=False, comment="events of the types that it reads"),
    Column("hits", BigInteger, nullable=False, comment="events that it matched"),
    Column("acted", BigInteger, nullable=False, comment="of them, those on which it acted"),
    Column("people", BigInteger, nullable=False, comment="different accounts among those that it matched"),
    Index("rule_hours_at", "hour_at"),
    comment="What each rule did in each hour, counted once the hour is over.",
)  # fmt: skip


class RuleHour(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule did in one hour."""

    rule: str
    hour_at: Instant
    events: int
    hits: int
    acted: int
    people: int


def last_hour(tx: Tx) -> Instant | None:
    """Return the last hour that was counted."""
    rows = tx.rows("SELECT max(hour_at) FROM rule_hours")
    return None if rows[0][0] is None else Instant(int(rows[0][0]))


def first_event_at(tx: Tx) -> Instant | None:
    """Return the log time of the first decision that is in the database."""
    rows = tx.rows("SELECT log_at FROM decisions ORDER BY seq LIMIT 1")
    return Instant(int(rows[0][0])) if rows else None


def count_events(tx: Tx, *, from_seq: int, until_seq: int) -> dict[str, int]:
    """Return how many events of each type were decided between two places of the log."""
    rows = tx.rows(
        "SELECT type, count(*) FROM decisions WHERE seq >= ? AND seq < ? GROUP BY type", (from_seq, until_seq)
    )
    return {str(row[0]): int(row[1]) for row in rows}


def count_signals(tx: Tx, *, from_seq: int, until_seq: int) -> dict[str, tuple[int, int, int]]:
    """Return per rule hits, hits that acted, and different accounts, between two places of the log."""
    rows = tx.rows(
        f"SELECT rule, count(*), sum(CASE WHEN {ACTED_SQL} THEN 1 ELSE 0 END), count(DISTINCT acting) FROM signals"
        " WHERE seq >= ? AND seq < ? GROUP BY rule",
        (from_seq, until_seq),
    )
    return {str(row[0]): (int(row[1]), int(row[2] or 0), int(row[3])) for row in rows}


def seq_at(tx: Tx, at: int) -> int:
    """Return the first place of a decision whose log time is not before a moment; past the end where there is none.

    Why a search by halves: log time rises with the place, so no index on it is needed.
    """
    last = tx.rows("SELECT seq, log_at FROM decisions ORDER BY seq DESC LIMIT 1")
    if not last or int(last[0][1]) < at:
        return int(last[0][0]) + 1 if last else 0
    low, high = -1, int(last[0][0])
    while high - low > 1:
        middle = (low + high) // 2
        found = tx.rows("SELECT seq, log_at FROM decisions WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,))
        if int(found[0][1]) >= at:
            high = middle
        else:
            low = int(found[0][0])
    return high


def save_hours(tx: Tx, rows: Sequence[RuleHour]) -> None:
    """Store hours; one that is there already is replaced."""
    upsert(
        tx, rule_hours, [msgspec.structs.asdict(each) for each in rows], keys=["rule", "hour_at"],
        update=["events", "hits", "acted", "people"],
    )  # fmt: skip


def read_hours(tx: Tx, *, since: Instant) -> dict[str, list[RuleHour]]:
    """Return the hours of every rule since a moment, oldest first."""
    found: dict[str, list[RuleHour]] = {}
    for row in tx.rows(
        "SELECT rule, hour_at, events, hits, acted, people FROM rule_hours WHERE hour_at >= ? ORDER BY hour_at",
        (since,),
    ):
        values = dict(zip(RuleHour.__struct_fields__, row, strict=True))
        found.setdefault(str(row[0]), []).append(msgspec.convert(values, RuleHour))
    return found


def delete_hours(tx: Tx, *, before: Instant) -> None:
    """Forget hours that nothing compares with any more."""
    tx.many("DELETE FROM rule_hours WHERE hour_at < ?", [(before,)])


def judged_cases(tx: Tx, *, since: Instant) -> dict[str, list[tuple[Instant, bool]]]:
    """Return, per rule, when cases that it opened or joined were closed and whether they were upheld, oldest first."""
    rows = tx.rows(
        "SELECT DISTINCT s.rule, c.closed_at, c.outcome, c.id FROM case_signals s JOIN cases c ON c.id = s.case_id"
        " WHERE c.status = 'closed' AND c.outcome IN ('upheld', 'honest') AND c.closed_at >= ? ORDER BY c.closed_at, c.id",
        (since,),
    )
    found: dict[str, list[tuple[Instant, bool]]] = {}
    for row in rows:
        found.setdefault(str(row[0]), []).append((Instant(int(row[1])), row[2] == "upheld"))
    return found


def last_hits(tx: Tx) -> dict[str, Instant]:
    """Return when each rule matched last, as far as the database reaches back."""
    rows = tx.rows("SELECT rule, max(log_at) FROM signals GROUP BY rule")
    return {str(row[0]): Instant(int(row[1])) for row in rows}


def expected_at(tx: Tx) -> dict[str, Instant]:
    """Return since when what is expected of each rule is expected of it."""
    return {str(row[0]): Instant(int(row[1])) for row in tx.rows("SELECT rule, set_at FROM rule_expectations")}


def asked_since(tx: Tx) -> dict[str, Instant]:
    """Return since when each rule was looked at as it is now: its first hour that is kept, or the last change of its mode."""
    since = {str(row[0]): int(row[1]) for row in tx.rows("SELECT rule, min(hour_at) FROM rule_hours GROUP BY rule")}
    for rule, changed_at in tx.rows("SELECT rule, changed_at FROM rule_modes"):
        since[str(rule)] = max(int(changed_at), since.get(str(rule), 0))
    return {rule: Instant(at) for rule, at in since.items()}


def hour_of(at: int) -> Instant:
    """Return the beginning of the hour in which a moment lies."""
    return Instant(at - at % HOUR)
