"""Scores as the decider sees them, folded from log entries, in memory."""

from collections.abc import Callable
from typing import TypeAlias

from koban.db import Tx
from koban.language import NEVER
from koban.scores import store
from koban.scores.types import ScoreRecorded, ScoreRow

Undo: TypeAlias = Callable[[], None]
_Key: TypeAlias = tuple[str, str]  # name, subject id: a name belongs to one kind of subject


class LiveScores:
    """The newest score of each name and subject.

    Invariant: equal to folding `apply` over the log in order; the table holds the same.
    """

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        """Start with no score at all."""
        self._newest: dict[_Key, tuple[int, int]] = {}  # score in millionths, expiry

    def load(self, tx: Tx) -> None:
        """Read all scores from the table."""
        self._newest = {}
        for row in store.all_scores(tx):
            self._take(row)

    def apply(self, change: ScoreRecorded) -> Undo:
        """Follow a log entry and return what takes it back; undo in reverse order."""
        key = (change.name, change.subject_id)
        before = self._newest.get(key)
        self._take(change)

        def undo() -> None:
            if before is None:
                del self._newest[key]
            else:
                self._newest[key] = before

        return undo

    def value(self, name: str, subject_id: object, at: int) -> int | None:
        """Return the score that counts at a log time, in millionths; None for none, or one that has expired."""
        found = self._newest.get((name, subject_id)) if isinstance(subject_id, str) else None
        return None if found is None or found[1] <= at else found[0]

    def _take(self, said: ScoreRecorded | ScoreRow) -> None:
        expiry = NEVER if said.expires_at is None else int(said.expires_at)
        self._newest[said.name, said.subject_id] = (said.score, expiry)
