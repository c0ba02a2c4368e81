"""New features of a pack get their past: computed over the log beside the decider, caught up in the switch itself."""

from collections.abc import Iterator, Mapping

import koban.events.store as event_store
from koban.db import Tx
from koban.events import Entry, Kind, Row, decode_document, read_row
from koban.features import FeatureStore, backfill
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Compiled
from koban.pipeline.sealing import open_entries

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
            events = [entry for entry in page if entry.kind is Kind.EVENT and entry.type in self._compiled.preparers]
            keyed = [(event_store.event_key(entry.source, entry.event_id), entry) for entry in events]
            for entry, personal in zip(events, open_entries(tx, self._desk.memory.vault, keyed), strict=True):
                yield entry.seq, entry.type, self._row(entry, personal), entry.log_at

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

    def _row(self, entry: Entry, personal: Mapping[str, object]) -> Row:
        return read_row(self._compiled.preparers[entry.type], decode_document(entry.data), personal)


def fill_features(desk: Desk, compiled: Compiled, names: frozenset[str]) -> Filling:
    """Compute new features over the log up to now; the little that comes meanwhile is caught up in the switch."""
    filling = Filling(desk, compiled, names)
    with desk.database.read() as tx:
        filling.caught_up(tx)
    return filling
