"""New features of a pack get their past: computed over the log beside the decider, caught up in the switch itself."""

from collections.abc import Iterator

import koban.events.store as event_store
from koban.db import Tx
from koban.events import Entry, Row
from koban.features import FeatureStore, backfill
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Compiled, event_rows

PAGE = 1_000


class Filling:
    """State of the new features as of the last entry seen."""

    def __init__(self, desk: Desk, compiled: Compiled, names: frozenset[str]) -> None:
        """Begin before the first entry."""
        self._desk = desk
        self._compiled = compiled
        self._names = names
        self._seen_seq = -1
        self._store: FeatureStore | None = None

    def caught_up(self, tx: Tx) -> FeatureStore:
        """See every entry that the transaction sees and return the state."""
        if self._store is None:
            self._store = backfill(self._compiled.pack, self._names, self._events(tx))
            return self._store
        for seq, event_type, row, at in self._events(tx):
            self._store.apply(None, seq, event_type, row, at)
            self._store.forget()
        return self._store

    def _events(self, tx: Tx) -> Iterator[tuple[int, str, Row, int]]:
        for page in self._pages(tx):
            self._seen_seq = page[-1].seq
            yield from event_rows(tx, self._desk.memory.vault, self._compiled, page)

    def _pages(self, tx: Tx) -> Iterator[list[Entry]]:
        """Walk the log from where this is: first what left the database, then what is in it."""
        upto = event_store.read_state(tx, "archived_seq")
        if self._desk.archive is not None and self._seen_seq < upto:
            page: list[Entry] = []
            for archived in self._desk.archive.walk(tx, after_seq=self._seen_seq):
                page.append(archived.entry)
                if len(page) == PAGE:
                    yield page
                    page = []
            if page:
                yield page
        while page := event_store.read_entries(tx, after_seq=max(self._seen_seq, upto), limit=PAGE):
            yield page


def fill_features(desk: Desk, compiled: Compiled, names: frozenset[str]) -> Filling:
    """Compute new features over the log up to now; the little that comes meanwhile is caught up in the switch."""
    filling = Filling(desk, compiled, names)
    with desk.database.read() as tx:
        filling.caught_up(tx)
    return filling
