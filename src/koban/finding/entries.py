"""The log as a list: a line of it, and the span of time that a list looks at."""

import msgspec

from koban.base import Instant, sequence_id
from koban.db import Tx
from koban.events import store as event_store


class EntryLine(msgspec.Struct, frozen=True, kw_only=True):
    """A log entry as the list shows it, with its verdict where it was judged."""

    seq: int
    log_at: Instant
    kind: str
    type: str
    source: str
    event_id: str
    subject: str | None
    flags: int
    verdict: str | None
    acting: str | None


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when a list looks; None: from the beginning, to the end."""

    since_at: Instant | None = None
    until_at: Instant | None = None

    def seqs(self, tx: Tx, *, before_seq: int | None) -> tuple[int, int]:
        """Return the first place in the log that lies in it, and the first one beyond it or `before_seq`."""
        since = 0 if self.since_at is None else event_store.seq_since(tx, self.since_at)
        ends = [
            event_store.last_seq(tx) + 1 if before_seq is None else before_seq,
            *(() if self.until_at is None else (event_store.seq_since(tx, self.until_at),)),
        ]
        return since, min(ends)

    def ids(self, tx: Tx, prefix: str, *, before: str | None) -> tuple[str | None, str | None]:
        """Return the same for ids that are made from places in the log."""
        since = None if self.since_at is None else sequence_id(prefix, event_store.seq_since(tx, self.since_at))
        ends = [] if before is None else [before]
        if self.until_at is not None:
            ends.append(sequence_id(prefix, event_store.seq_since(tx, self.until_at)))
        return since, min(ends, default=None)
