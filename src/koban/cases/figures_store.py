"""Questions about queues: what waits, how long people waited and how long cases were touched. SQL that only reads."""

import collections
from typing import Final, Literal

import msgspec

from koban.base import Instant
from koban.db import Tx

What = Literal["waited", "touched", "decided", "acted"]
WHATS: Final[tuple[What, ...]] = ("waited", "touched", "decided", "acted")

# One row per case or claim: its queue and how long it took.
_MEASURED: Final[dict[str, str]] = {
    # From the opening of the case to the first claim.
    "waited": "SELECT t.queue, MIN(t.claimed_at) - MIN(c.opened_at) AS took FROM case_touches t"
    " JOIN cases c ON c.id = t.case_id WHERE t.claimed_at >= ? GROUP BY t.case_id, t.queue",
    # Hands on: each claim that led to a judgement or a proposal.
    "touched": "SELECT queue, touch_us AS took FROM case_touches WHERE claimed_at >= ? AND how IN ('decided', 'proposed')",
    "decided": "SELECT queue, closed_at - opened_at AS took FROM cases WHERE closed_at >= ?",
    # Until the marketplace confirmed all that a judgement asked it for.
    "acted": "SELECT c.queue, MAX(a.confirmed_at) - MIN(c.opened_at) AS took FROM cases c"
    " JOIN case_sanctions s ON s.case_id = c.id JOIN sanction_changes h ON h.sanction_id = s.sanction_id"
    " AND h.seq >= s.seq JOIN actions a ON a.state_version = h.seq"
    " WHERE c.closed_at >= ? AND c.closed_seq = s.seq GROUP BY c.id, c.queue HAVING COUNT(*) = COUNT(a.confirmed_at)",
}


class QueueCount(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in a queue; cases whose clock stands are neither overdue nor next."""

    open: int = 0
    overdue: int = 0
    paused: int = 0
    claimed: int = 0
    next_due_at: Instant | None = None
    oldest_at: Instant | None = None


NOTHING: Final = QueueCount()


def count_queues(tx: Tx, at: Instant) -> dict[str, QueueCount]:
    """Return what waits in each queue that has anything."""
    rows = tx.rows(
        "SELECT queue, COUNT(*), SUM(CASE WHEN due_at < COALESCE(paused_at, ?) THEN 1 ELSE 0 END),"
        " SUM(CASE WHEN paused_at IS NOT NULL THEN 1 ELSE 0 END),"
        " MIN(CASE WHEN paused_at IS NULL THEN due_at END), MIN(opened_at)"
        " FROM cases WHERE status = 'open' GROUP BY queue",
        (at,),
    )
    held = tx.rows(
        "SELECT queue FROM cases WHERE status = 'open' AND claimed_by > '' AND claimed_until > ?", (at,)
    )  # few, and found by their holders
    claimed = collections.Counter(row[0] for row in held)
    return {
        row[0]: QueueCount(
            open=int(row[1]),
            overdue=int(row[2]),
            paused=int(row[3]),
            claimed=claimed[row[0]],
            next_due_at=None if row[4] is None else Instant(int(row[4])),
            oldest_at=Instant(int(row[5])),
        )
        for row in rows
    }


def closed_since(tx: Tx, since: Instant) -> dict[str, tuple[int, int]]:
    """Return how many cases of each queue were closed since a moment, and how many of them late."""
    rows = tx.rows(
        "SELECT queue, COUNT(*), SUM(CASE WHEN closed_at > due_at THEN 1 ELSE 0 END) FROM cases"
        " WHERE closed_at >= ? GROUP BY queue",
        (since,),
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


def spreads(tx: Tx, since: Instant, what: What) -> dict[str, tuple[int, int, int, int]]:
    """Return the 50th, 90th and 99th percentile by queue in microseconds, by rank, and of how many."""
    rows = tx.rows(
        f"SELECT queue, MIN(CASE WHEN place * 2 >= total THEN took END),"
        " MIN(CASE WHEN place * 10 >= total * 9 THEN took END), MIN(CASE WHEN place * 100 >= total * 99 THEN took END),"
        " MAX(total) FROM (SELECT queue, took, ROW_NUMBER() OVER (PARTITION BY queue ORDER BY took) AS place,"
        f" COUNT(*) OVER (PARTITION BY queue) AS total FROM ({_MEASURED[what]}) measured) ranked GROUP BY queue",
        (since,),
    )
    return {row[0]: (int(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows}
