"""Stored deadlines (law 6). A timer fires once: its row goes in the transaction that enters its firing into the log."""

import dataclasses
import heapq
from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Table, Text

from koban.base import Instant
from koban.db.core import Tx, metadata

timers: Final = Table(
    "timers",
    metadata,
    Column("id", Text, primary_key=True, comment="timer_… id, made from the entry that set it."),
    Column("due_at", BigInteger, nullable=False, index=True, comment="When it fires, in microseconds of log time."),
    Column("kind", Text, nullable=False, comment="What it is for: sanction.end, hold.lapse, …"),
    Column("about", Text, nullable=False, comment="The id of what it is about."),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timer:
    """A deadline."""

    id: str
    due_at: Instant
    kind: str
    about: str


class LiveTimers:
    """The timers that are set, in memory, earliest first. Only the decider touches it."""

    def __init__(self, loaded: Sequence[Timer]) -> None:
        """Start from the stored rows."""
        self._set = {timer.id: timer for timer in loaded}
        self._heap = [(timer.due_at, timer.id) for timer in loaded]
        heapq.heapify(self._heap)

    def add(self, timer: Timer) -> None:
        """Set a timer."""
        self._set[timer.id] = timer
        heapq.heappush(self._heap, (timer.due_at, timer.id))

    def remove(self, timer_id: str) -> Timer | None:
        """Take a timer back; None where it is not set (any more)."""
        return self._set.pop(timer_id, None)

    def next_due(self) -> Instant | None:
        """Return when the next timer fires."""
        while self._heap and self._set.get(self._heap[0][1]) is None:
            heapq.heappop(self._heap)
        return Instant(self._heap[0][0]) if self._heap else None

    def due(self, at: Instant, limit: int) -> list[Timer]:
        """Return timers due at `at`, earliest first; they stay set until removed."""
        found: list[Timer] = []
        popped = []
        while self._heap and self._heap[0][0] <= at and len(found) < limit:
            popped.append(heapq.heappop(self._heap))
            timer = self._set.get(popped[-1][1])
            if timer is None or timer.due_at != popped[-1][0]:
                popped.pop()
                continue
            found.append(timer)
        for item in popped:
            heapq.heappush(self._heap, item)
        return found

    def __len__(self) -> int:
        """Return how many timers are set."""
        return len(self._set)


def load_timers(tx: Tx) -> list[Timer]:
    """Return every stored timer."""
    return [
        Timer(id=row[0], due_at=Instant(int(row[1])), kind=row[2], about=row[3])
        for row in tx.rows("SELECT id, due_at, kind, about FROM timers ORDER BY due_at, id")
    ]


def insert_timers(tx: Tx, rows: Sequence[Timer]) -> None:
    """Store timers."""
    tx.many(
        "INSERT INTO timers (id, due_at, kind, about) VALUES (?, ?, ?, ?)",
        [(timer.id, timer.due_at, timer.kind, timer.about) for timer in rows],
    )


def delete_timers(tx: Tx, ids: Sequence[str]) -> None:
    """Delete timers that fired or were taken back."""
    tx.many("DELETE FROM timers WHERE id = ?", [(timer_id,) for timer_id in ids])
