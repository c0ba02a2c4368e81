"""An entry of the log as a row of the archive, and back."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from koban.base import Instant
from koban.events.archive.types import CHANGES, Answer, ArchivedEvent
from koban.events.decode import decode_document
from koban.events.prepare import Preparer, make_preparer, read_row
from koban.events.types import Entry, Flag, Kind
from koban.packs import EventType

# Columns that every file has. Those of the envelope begin with _, so that no declared field has the same name.
ENVELOPE: Final[Mapping[str, str]] = {
    "seq": "int",
    "log_at": "int",
    "_type": "text",
    "_received_at": "int",
    "_source": "text",
    "_event_id": "text",
    "_event_at": "int",
    "_subject": "text",
    "_data": "text",
    "_digest": "bytes",
    "_flags": "int",
    "_cause_seq": "int",
    "_answer": "text",
    "_inputs": "text",
}
SEALED: Final[Mapping[str, str]] = {"seq": "int", "_sealed": "bytes"}

_PEOPLE: Final = msgspec.msgpack.Decoder(dict[str, bytes])


def open_columns(event_type: EventType) -> dict[str, str]:
    """Return the declared fields that are not sealed, with their types; a joined one is a pseudonym."""
    return {path: field.type for path, field in event_type.fields.items() if field.personal is None or field.joined}


def sealed_columns(event_type: EventType) -> dict[str, str]:
    """Return the declared fields that are sealed, with their types."""
    return {path: field.type for path, field in event_type.fields.items() if field.personal and not field.joined}


def shape_of(columns: Mapping[str, str]) -> str:
    """Return a digest of columns and their types; empty for none."""
    if not columns:
        return ""
    return hashlib.sha256(msgspec.json.encode(sorted(columns.items()))).hexdigest()[:16]


def archive_row(entry: Entry, answer: Answer | None, preparer: Preparer | None) -> dict[str, object]:
    """Write an entry with its answer as a row: the envelope, and what is declared and open to queries."""
    row: dict[str, object] = dict(open_row(preparer, entry)) if preparer is not None else {}
    row |= {
        "seq": entry.seq,
        "log_at": entry.log_at,
        "_type": entry.type,
        "_received_at": entry.received_at,
        "_source": entry.source,
        "_event_id": entry.event_id,
        "_event_at": entry.event_at,
        "_subject": entry.subject,
        "_data": entry.data.decode(),
        "_digest": entry.digest,
        "_flags": int(entry.flags),
        "_cause_seq": entry.cause_seq,
        "_answer": answer[0] if answer is not None else None,
        "_inputs": answer[1] if answer is not None else None,
    }
    return row


def open_row(preparer: Preparer, entry: Entry, personal: Mapping[str, object] | None = None) -> Mapping[str, object]:
    """Read the declared fields of an entry again, the sealed ones where they are given."""
    return read_row(preparer, decode_document(entry.data), personal or {})


def entry_of(row: Mapping[str, object], sealed: bytes | None, *, in_changes: bool) -> ArchivedEvent:
    """Read an entry back from its row."""
    digest, subject, cause = row["_digest"], row["_subject"], row["_cause_seq"]
    entry = Entry(
        seq=_int(row["seq"]),
        log_at=Instant(_int(row["log_at"])),
        received_at=Instant(_int(row["_received_at"])),
        kind=Kind.CHANGE if in_changes else Kind.EVENT,
        type=str(row["_type"]),
        source=str(row["_source"]),
        event_id=str(row["_event_id"]),
        event_at=Instant(_int(row["_event_at"])),
        subject=None if subject is None else str(subject),
        data=str(row["_data"]).encode(),
        sealed=sealed,
        digest=bytes(digest) if isinstance(digest, bytes | bytearray) else None,
        flags=Flag(_int(row["_flags"])),
        cause_seq=None if cause is None else _int(cause),
    )
    answer, inputs = row["_answer"], row["_inputs"]
    return ArchivedEvent(
        entry=entry,
        answer=None if answer is None else str(answer).encode(),
        inputs=None if inputs is None else str(inputs).encode(),
    )


def blobs_of(sealed: bytes) -> Mapping[str, bytes]:
    """Return the ciphertext of each person."""
    return _PEOPLE.decode(sealed)


def preparers_of(event_types: Mapping[str, EventType]) -> dict[str, Preparer]:
    """Make a reader for each event type."""
    return {name: make_preparer(event_type) for name, event_type in event_types.items()}


def set_of(entry: Entry) -> str:
    """Name the set of files that an entry belongs to."""
    return CHANGES if entry.kind is Kind.CHANGE else entry.type


def group(entries: Sequence[Entry], day_us: int) -> dict[tuple[str, int], list[Entry]]:
    """Sort entries by set and day, in the order of the log."""
    groups: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((set_of(entry), entry.log_at // day_us), []).append(entry)
    return groups


def _int(value: object) -> int:
    assert isinstance(value, int), "the column is a whole number"
    return value
