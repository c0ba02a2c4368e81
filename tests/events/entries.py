"""Events that stand in a log and say nothing: for tests of places, ids and walks."""

from koban.base import Instant
from koban.events import Entry, Flag, Kind


def bare_entry(seq: int, event_id: str, *, source: str = "shop") -> Entry:
    """Make an event of the log with no data, at a log time of its place."""
    return Entry(
        seq=seq, log_at=Instant(seq), received_at=Instant(1), kind=Kind.EVENT, type="t", source=source,
        event_id=event_id, event_at=Instant(1), subject=None, data=b"{}", sealed=None, digest=b"d%d" % seq,
        flags=Flag.NONE, cause_seq=None,
    )  # fmt: skip
