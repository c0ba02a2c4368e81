"""New features of a pack get their past: computed over the log beside the decider, caught up in the switch itself."""

from collections.abc import Iterator

from koban.base import Instant
from koban.db import Tx
from koban.events import Row
from koban.features import FeatureStore, backfill
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Compiled, event_rows, last_erasures, log_pages


class Filling:
    """State of the new features as of the last entry seen."""

    def __init__(self, desk: Desk, compiled: Compiled, names: frozenset[str]) -> None:
        """Begin before the first entry."""
        self._desk = desk
        self._compiled = compiled
        self._names = names
        self._seen_seq = -1
        self._store: FeatureStore | None = None
        self._erased: dict[str, Instant] = {}

    def caught_up(self, tx: Tx) -> FeatureStore:
        """See every entry that the transaction sees and return the state: nothing of what erased people did before."""
        vault = self._desk.memory.vault
        before, self._erased = self._erased, last_erasures(tx)
        if self._store is None:
            self._store = backfill(self._compiled.pack, self._names, self._events(tx))
            return self._store
        lately = {one for one, at in self._erased.items() if before.get(one) != at}
        if lately:
            self._store.erase_all(None, "account", lambda one: vault.pseudonym("person", one) in lately)
        for seq, event_type, row, at in self._events(tx):
            self._store.apply(None, seq, event_type, row, at)
            self._store.forget()
        return self._store

    def _events(self, tx: Tx) -> Iterator[tuple[int, str, Row, int]]:
        for page in log_pages(tx, self._desk.archive, after_seq=self._seen_seq):
            self._seen_seq = page[-1].seq
            yield from event_rows(tx, self._desk.memory.vault, self._compiled, page, self._erased)


def fill_features(desk: Desk, compiled: Compiled, names: frozenset[str]) -> Filling:
    """Compute new features over the log up to now; the little that comes meanwhile is caught up in the switch."""
    filling = Filling(desk, compiled, names)
    with desk.database.read() as tx:
        filling.caught_up(tx)
    return filling
