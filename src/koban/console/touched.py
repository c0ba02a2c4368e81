"""Honest people whom rules touched within a day: counted once for every page that says it."""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from koban.base import DAY, SECOND, Instant
from koban.board import ActedOn, honest_touched
from koban.db import Tx
from koban.events import store as event_store

COUNTED_FOR: Final = 15 * SECOND  # it goes through all people whom rules acted on in a day


class Touched:
    """The count by rule, kept for a while however many people look. Safe to use from several threads.

    The first count reads a day of what rules did: the server makes it when it starts. Later ones read what is new.
    """

    def __init__(self, is_honest: Callable[[str, Instant], bool]) -> None:
        """Count nothing yet."""
        self._is_honest = is_honest
        self._lock = threading.Lock()
        self._acted_on = ActedOn()
        self._kept: tuple[Instant, Mapping[str, int]] | None = None

    def of(self, tx: Tx, at: Instant) -> Mapping[str, int]:
        """Return how many honest people each rule touched in the day before a moment."""
        with self._lock:
            if self._kept is None or not 0 <= at - self._kept[0] < COUNTED_FOR:
                since_seq = event_store.seq_since(tx, Instant(at - DAY))
                found = honest_touched(tx, at, since_seq, lambda one: self._is_honest(one, at), self._acted_on)
                self._kept = (at, found)
            return self._kept[1]
