"""What travels through the flow: an event as sent, an event made ready, an entry of the log; and what is refused."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from koban.base import Instant, Problem, Refusal

Value: TypeAlias = bool | int | str | tuple[str, ...] | None  # decimals are integers scaled by 10**6
Row: TypeAlias = dict[str, Value]  # dotted path -> value; a path that was not sent has no key


class Flag(enum.IntFlag):
    """Marks on a log entry that a replay needs."""

    NONE = 0
    LATE = 1  # older than ten minutes at arrival: action on people becomes review
    OVERDUE = 2  # taken up after its type's `within_ms`: the fallback was answered
    DAMAGED = 4  # some text held code points that are no characters
    AHEAD = 8  # its own time lies more than ten minutes in the future
    IMPORTED = 16  # no consequences
    FORGOTTEN = 32  # an account that it names was erased while it waited: to features and rules nobody stood there


class Kind(enum.StrEnum):
    """Whether an entry is an event or a change that decisions may read."""

    EVENT = "event"
    CHANGE = "change"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One CloudEvent as sent, its attributes checked and its data not yet."""

    id: str
    source: str
    type: str
    event_at: Instant | None
    subject: str | None
    data: dict[str, object]
    damaged: bool
    damaged_at: frozenset[str] = frozenset()  # dotted paths within the data
    raw: bytes = b""  # as it was sent, where it is damaged: nothing else tells two damaged texts apart


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An event that cannot be read: what was sent, and why not."""

    raw: bytes
    problems: tuple[Problem, ...]
    id: str | None = None
    source: str | None = None
    type: str | None = None


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An event ready for the decider: typed values to decide on, and bytes to store.

    Invariant: `data` holds nothing personal; `personal` maps an account to its fields, which the decider seals.
    """

    id: str
    source: str
    type: str
    event_at: Instant
    received_at: Instant
    subject: str | None
    row: Row
    data: bytes
    personal: Mapping[str, Mapping[str, object]]
    digest: bytes
    unread: tuple[str, ...]
    flags: Flag


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the log."""

    seq: int
    log_at: Instant
    received_at: Instant
    kind: Kind
    type: str
    source: str
    event_id: str
    event_at: Instant
    subject: str | None
    data: bytes
    sealed: bytes | None
    digest: bytes | None
    flags: Flag
    cause_seq: int | None
    key: bytes | None = None  # under which an event stands once; known where it was just prepared, else see `event_key`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accepted:
    """Written durably to the inbox; decided later."""

    event_id: str
    source: str


class BodyUnreadable(Refusal):
    """The body is no JSON, or not of a shape that holds events."""

    code = "body_unreadable"
    status = 400
    title = "The body could not be read as events."


class EventConflict(Refusal):
    """The same source and id came before with another content."""

    code = "event_conflict"
    status = 409
    title = "This event id was used before for another event."


class TooManyEvents(Refusal):
    """More events in one request than `BATCH_EVENTS_MAX`."""

    code = "too_many_events"
    status = 413
    title = "Too many events in one request."


class EventMissing(Refusal):
    """No such event in the log."""

    code = "event_missing"
    status = 404
    title = "There is no such event."


class QuarantineMissing(Refusal):
    """No such quarantined event."""

    code = "quarantine_missing"
    status = 404
    title = "There is no such quarantined event."


class LogTaken(Refusal):
    """Another process decides this log."""

    code = "log_taken"
    status = 409
    title = "Another Koban process holds this log."


class Fenced(Exception):
    """This process lost the lease while it held a batch: nothing of the batch was written."""
