"""All SQL of the log: entries, the inbox of events that wait, quarantine, and what the log knows of itself."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table, Text

from koban.base import Instant, limits
from koban.db import RowNumber, Tx, metadata
from koban.events.decode import encode
from koban.events.types import Entry, Flag, Kind

log_entries: Final = Table(
    "log_entries",
    metadata,
    Column("seq", RowNumber, primary_key=True, autoincrement=False, comment="Place in the log: epoch << 40 | counter."),
    Column("log_at", BigInteger, nullable=False, comment="Log time in microseconds; rises with every entry."),
    Column("received_at", BigInteger, nullable=False, comment="When it arrived, in microseconds."),
    Column("kind", Text, nullable=False, comment="event, or change for what Koban itself entered."),
    Column("type", Text, nullable=False, comment="Event type, or the name of the change."),
    Column("source", Text, nullable=False, comment="CloudEvents source; koban: for changes."),
    Column("event_id", Text, nullable=False, comment="CloudEvents id within the source."),
    Column("event_at", BigInteger, nullable=False, comment="When it happened, by its own account."),
    Column("subject", Text, nullable=True, comment="CloudEvents subject."),
    Column("data", Text, nullable=False, comment="JSON without anything personal."),
    Column("sealed", LargeBinary, nullable=True, comment="Personal fields, each person's under that person's key."),
    Column("digest", LargeBinary, nullable=True, comment="Keyed digest of the whole event, to recognise a repetition."),
    Column("flags", SmallInteger, nullable=False, comment="Bits of events.Flag."),
    Column("cause_seq", BigInteger, nullable=True, comment="The entry that brought this one about."),
    Index("log_entries_type", "type", "seq"),
    # An event stands once. Why no hash: ids that rise are written to neighbouring places, hashes to a page each.
    Index("log_entries_once", "event_id", "source", unique=True),
)

inbox: Final = Table(
    "inbox",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False, comment="Order of arrival."),
    Column("received_at", BigInteger, nullable=False, comment="When it arrived, in microseconds."),
    Column("type", Text, nullable=False, comment="Event type."),
    Column("source", Text, nullable=False, comment="CloudEvents source."),
    Column("event_id", Text, nullable=False, comment="CloudEvents id within the source."),
    Column("event_key", LargeBinary, nullable=False, unique=True, comment="Hash of source and id."),
    Column("event_at", BigInteger, nullable=False, comment="When it happened, by its own account."),
    Column("subject", Text, nullable=True, comment="CloudEvents subject."),
    Column("data", Text, nullable=False, comment="JSON without anything personal."),
    Column("sealed", LargeBinary, nullable=True, comment="Personal fields, sealed."),
    Column("digest", LargeBinary, nullable=False, comment="Keyed digest of the whole event."),
    Column("flags", SmallInteger, nullable=False, comment="Bits of events.Flag."),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("id", Text, primary_key=True, comment="quarantine_… id."),
    Column("at", BigInteger, nullable=False, comment="When it arrived, in microseconds."),
    Column("source", Text, nullable=True, comment="CloudEvents source, where it could be read."),
    Column("event_id", Text, nullable=True, comment="CloudEvents id, where it could be read."),
    Column("type", Text, nullable=True, comment="Event type, where it could be read."),
    Column("problems", Text, nullable=False, comment="JSON list of path, detail, hint."),
    Column(
        "sealed", LargeBinary, nullable=False, comment="What was sent, sealed under a key that is dated and forgotten."
    ),
    Column("status", Text, nullable=False, comment="waiting, replayed or dropped."),
    Index("quarantine_at", "status", "at"),
)

log_state: Final = Table(
    "log_state",
    metadata,
    Column("name", Text, primary_key=True, comment="epoch, archived_seq, inbox_position, …"),
    Column("value", BigInteger, nullable=False, comment="Its value."),
)

SEQS_AT_ONCE: Final = 500  # SQLite takes 999 parameters in its oldest builds
_INSERT_ENTRY: Final = (
    "INSERT INTO log_entries (seq, log_at, received_at, kind, type, source, event_id, event_at, subject,"
    " data, sealed, digest, flags, cause_seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_INBOX: Final = (
    "INSERT INTO inbox (position, received_at, type, source, event_id, event_key, event_at, subject, data, sealed,"
    " digest, flags) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_QUARANTINE: Final = (
    "INSERT INTO quarantine (id, at, source, event_id, type, problems, sealed, status)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting')"
)
_ENTRY_COLUMNS: Final = (
    "seq, log_at, received_at, kind, type, source, event_id, event_at, subject, data, sealed, digest, flags, cause_seq"
)


def event_key(source: str, event_id: str) -> bytes:
    """Return the 16 bytes under which an event stands once."""
    return hashlib.blake2b(f"{source}\0{event_id}".encode(), digest_size=16).digest()


def insert_entries(tx: Tx, entries: Sequence[Entry]) -> None:
    """Append entries to the log."""
    event = Kind.EVENT
    tx.many(
        _INSERT_ENTRY,
        [
            (
                entry.seq,
                entry.log_at,
                entry.received_at,
                "event" if entry.kind is event else "change",
                entry.type,
                entry.source,
                entry.event_id,
                entry.event_at,
                entry.subject,
                entry.data.decode(),
                entry.sealed,
                entry.digest,
                int(entry.flags),
                entry.cause_seq,
            )
            for entry in entries
        ],
    )


def find_known(tx: Tx, named: Mapping[bytes, tuple[str, str]]) -> dict[bytes, tuple[int, bytes | None]]:
    """Return seq and digest of the events that the log already holds, the archived ones too.

    `named`: source and id of the events to look for, by their keys.
    """
    if not named:
        return {}
    rows = tx.among_pairs(
        "SELECT e.source, e.event_id, e.seq, e.digest FROM (??) asked CROSS JOIN log_entries e"
        " WHERE e.event_id = asked.column1 AND e.source = asked.column2",
        [(event_id, source) for source, event_id in named.values()],
    )
    found = [(event_key(source, event_id), seq, digest) for source, event_id, seq, digest in rows]
    # Why asked first: looking for each key in an empty table costs two thirds of looking in the log.
    if tx.rows("SELECT 1 FROM archive_keys LIMIT 1"):
        found += tx.among("SELECT event_key, seq, digest FROM archive_keys WHERE event_key IN (??)", list(named))
    return {bytes(key): (seq, None if digest is None else bytes(digest)) for key, seq, digest in found}


def find_waiting(tx: Tx, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the digests of the events among `keys` that wait in the inbox."""
    if not keys or not tx.rows("SELECT 1 FROM inbox LIMIT 1"):
        return {}
    found = tx.among("SELECT event_key, digest FROM inbox WHERE event_key IN (??)", keys)
    return {bytes(key): bytes(digest) for key, digest in found}


def last_entry(tx: Tx) -> tuple[int, int] | None:
    """Return seq and log time of the newest entry, None while the log is empty."""
    found = tx.rows("SELECT seq, log_at FROM log_entries ORDER BY seq DESC LIMIT 1")
    return (int(found[0][0]), int(found[0][1])) if found else None


def last_seq(tx: Tx) -> int:
    """Return the newest place in the log, 0 while it is empty."""
    found = last_entry(tx)
    return max(0 if found is None else found[0], read_state(tx, "last_seq"))


def newest_before(tx: Tx, seq: int) -> int:
    """Return the newest place before another that an entry stands at, 0 where none does."""
    return int(tx.rows("SELECT coalesce(max(seq), 0) FROM log_entries WHERE seq < ?", (seq,))[0][0])


def seq_since(tx: Tx, at: Instant) -> int:
    """Return the first place in the log whose log time is not before `at`; past the end where there is none.

    Why a search by halves: log time rises with the place in the log, so no index on it is needed and a span of time
    becomes a range of the primary key.
    """
    last = last_entry(tx)
    if last is None or last[1] < at:
        return 0 if last is None else last[0] + 1
    low, high = -1, last[0]  # low lies before the moment, high does not
    while high - low > 1:
        middle = (low + high) // 2
        found = tx.rows("SELECT seq, log_at FROM log_entries WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,))
        if found[0][1] >= at:
            high = middle
        else:
            low = int(found[0][0])
    return high


def count_entries(tx: Tx) -> int:
    """Return how many entries the database holds; the archived ones not counted."""
    return int(tx.rows("SELECT count(*) FROM log_entries")[0][0])


def read_entry(tx: Tx, seq: int) -> Entry | None:
    """Return one entry by its place in the log."""
    found = tx.rows(f"SELECT {_ENTRY_COLUMNS} FROM log_entries WHERE seq = ?", (seq,))
    return _entry(found[0]) if found else None


def read_many(tx: Tx, seqs: Sequence[int]) -> list[Entry]:
    """Return entries by their places, in order; those that left the database are left out."""
    if not seqs:
        return []
    marks = ", ".join("?" * len(seqs))
    found = tx.rows(f"SELECT {_ENTRY_COLUMNS} FROM log_entries WHERE seq IN ({marks}) ORDER BY seq", tuple(seqs))
    return [_entry(row) for row in found]


def last_change(tx: Tx, types: Sequence[str], *, before_seq: int) -> int:
    """Return the newest change of some types before a place in the log; -1 where there is none."""
    newest = -1
    for each in types:  # one by one: each is the end of a range of the index
        rows = tx.rows("SELECT max(seq) FROM log_entries WHERE type = ? AND seq < ?", (each, before_seq))
        newest = max(newest, -1 if rows[0][0] is None else int(rows[0][0]))
    return newest


def read_some(tx: Tx, seqs: Sequence[int]) -> list[Entry]:
    """Return some entries, newest first; those that left the database are left out."""
    found: list[Entry] = []
    for start in range(0, len(seqs), SEQS_AT_ONCE):
        found.extend(read_many(tx, seqs[start : start + SEQS_AT_ONCE]))
    return sorted(found, key=lambda entry: -entry.seq)


def find_event(tx: Tx, source: str | None, event_id: str) -> Entry | None:
    """Return an event by id; without a source the newest event of that id."""
    if source is not None:
        found = tx.rows(
            f"SELECT {_ENTRY_COLUMNS} FROM log_entries WHERE event_id = ? AND source = ?", (event_id, source)
        )
    else:
        found = tx.rows(
            f"SELECT {_ENTRY_COLUMNS} FROM log_entries WHERE event_id = ? AND kind = 'event' ORDER BY seq DESC LIMIT 1",
            (event_id,),
        )
    return _entry(found[0]) if found else None


def read_entries(tx: Tx, *, after_seq: int, limit: int) -> list[Entry]:
    """Return the next entries in log order."""
    found = tx.rows(f"SELECT {_ENTRY_COLUMNS} FROM log_entries WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit))
    return [_entry(row) for row in found]


def read_back(tx: Tx, types: Sequence[str], *, before_seq: int | None, limit: int) -> list[Entry]:
    """Return entries of some types before a place, newest first."""
    if not types:
        return []
    marks = ", ".join("?" * len(types))
    before = "" if before_seq is None else " AND seq < ?"
    values = (*types, *(() if before_seq is None else (before_seq,)), limit)
    rows = tx.rows(
        f"SELECT {_ENTRY_COLUMNS} FROM log_entries WHERE type IN ({marks}){before} ORDER BY seq DESC LIMIT ?", values
    )
    return [_entry(row) for row in rows]


def read_of_type(
    tx: Tx, type_: str, *, after_seq: int, limit: int, upto_seq: int | None = None, naming: Sequence[str] = ()
) -> list[Entry]:
    """Return the next entries of one type in log order; with `naming`, every one whose open data holds one of these texts.

    Others may come, too (a text may stand anywhere, and in other capitals): whoever asks looks again.
    """
    where, values = "type = ? AND seq > ? AND kind = 'event'", [type_, after_seq]
    if upto_seq is not None:
        where, values = f"{where} AND seq <= ?", [*values, upto_seq]
    if naming:
        held = " OR ".join(["data LIKE ? ESCAPE '!'"] * len(naming))
        where = f"{where} AND ({held})"
        values += [_holding(text) for text in naming]
    found = tx.rows(
        f"SELECT {_ENTRY_COLUMNS} FROM log_entries WHERE {where} ORDER BY seq LIMIT ?",
        (*values, limit),
    )
    return [_entry(row) for row in found]


def _holding(text: str) -> str:
    """Write the pattern of stored JSON that holds a text."""
    written = encode(text)[1:-1].decode()
    for sign in "!%_":
        written = written.replace(sign, f"!{sign}")
    return f"%{written}%"


def read_changes(tx: Tx, types: Sequence[str], *, before_seq: int) -> list[Entry]:
    """Return the changes of some types before a place in the log, in log order."""
    marks = ", ".join("?" * len(types))
    found = tx.rows(
        f"SELECT {_ENTRY_COLUMNS} FROM log_entries WHERE type IN ({marks}) AND seq < ? ORDER BY seq",
        (*types, before_seq),
    )
    return [_entry(row) for row in found]


def walk_entries(tx: Tx, *, after_seq: int = -1, page: int = 2_000) -> Iterator[Entry]:
    """Walk the log in order, page by page."""
    while True:
        entries = read_entries(tx, after_seq=after_seq, limit=page)
        yield from entries
        if len(entries) < page:
            return
        after_seq = entries[-1].seq


def _entry(row: Sequence[object]) -> Entry:
    (
        seq,
        log_at,
        received_at,
        kind,
        kind_type,
        source,
        event_id,
        event_at,
        subject,
        data,
        sealed,
        digest,
        flags,
        cause,
    ) = row
    return Entry(
        seq=int(str(seq)),
        log_at=Instant(int(str(log_at))),
        received_at=Instant(int(str(received_at))),
        kind=Kind(str(kind)),
        type=str(kind_type),
        source=str(source),
        event_id=str(event_id),
        event_at=Instant(int(str(event_at))),
        subject=None if subject is None else str(subject),
        data=str(data).encode(),
        sealed=_bytes(sealed),
        digest=_bytes(digest),
        flags=Flag(int(str(flags))),
        cause_seq=None if cause is None else int(str(cause)),
    )


def _bytes(value: object) -> bytes | None:
    if value is None:
        return None
    assert isinstance(value, bytes | memoryview)
    return bytes(value)


def insert_waiting(tx: Tx, rows: Sequence[tuple[int, Entry]]) -> None:
    """Put events into the inbox, each at its position."""
    tx.many(
        _INSERT_INBOX,
        [
            (
                position,
                entry.received_at,
                entry.type,
                entry.source,
                entry.event_id,
                entry.key if entry.key is not None else event_key(entry.source, entry.event_id),
                entry.event_at,
                entry.subject,
                entry.data.decode(),
                entry.sealed,
                entry.digest,
                int(entry.flags),
            )
            for position, entry in rows
        ],
    )


def read_waiting(tx: Tx, limit: int) -> list[tuple[int, Entry]]:
    """Return the oldest waiting events with their positions."""
    found = tx.rows(
        "SELECT position, received_at, type, source, event_id, event_at, subject, data, sealed, digest, flags"
        " FROM inbox ORDER BY position LIMIT ?",
        (limit,),
    )
    return [
        (
            int(row[0]),
            _entry(
                (
                    -1,
                    row[1],
                    row[1],
                    "event",
                    row[2],
                    row[3],
                    row[4],
                    row[5],
                    row[6],
                    row[7],
                    row[8],
                    row[9],
                    row[10],
                    None,
                )
            ),
        )
        for row in found
    ]


def delete_waiting(tx: Tx, positions: Sequence[int]) -> None:
    """Take decided events out of the inbox."""
    tx.many("DELETE FROM inbox WHERE position = ?", [(position,) for position in positions])


def inbox_bounds(tx: Tx) -> tuple[int, int]:
    """Return how many events wait and the highest position ever given."""
    waiting = tx.rows("SELECT count(*), max(position) FROM inbox")[0]
    return int(waiting[0]), max(int(waiting[1] or 0), read_state(tx, "inbox_position"))


def insert_quarantined(tx: Tx, rows: Sequence[tuple[str, int, str | None, str | None, str | None, str, bytes]]) -> None:
    """Keep what could not be read: id, time, source, event id, type, problems as JSON, sealed bytes."""
    tx.many(_INSERT_QUARANTINE, rows)


def read_quarantined(tx: Tx, *, status: str, before: str | None, limit: int) -> list[dict[str, object]]:
    """Return quarantined events, newest first, without what was sent."""
    statement = sqlalchemy.select(quarantine).where(quarantine.c.status == status)
    if before is not None:
        statement = statement.where(quarantine.c.id < before)
    rows = tx.execute(statement.order_by(quarantine.c.id.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows]


def read_one_quarantined(tx: Tx, quarantine_id: str) -> dict[str, object] | None:
    """Return one quarantined event with its sealed bytes."""
    row = tx.execute(sqlalchemy.select(quarantine).where(quarantine.c.id == quarantine_id)).mappings().first()
    return None if row is None else dict(row)


def read_sealed_quarantined(tx: Tx, *, after: str, limit: int) -> list[tuple[str, bytes]]:
    """Return ids and sealed bytes of quarantined events in the order of their ids, whatever became of them."""
    rows = tx.rows("SELECT id, sealed FROM quarantine WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
    return [(str(row[0]), bytes(row[1])) for row in rows]


def delete_quarantined(tx: Tx, ids: Sequence[str]) -> None:
    """Forget quarantined events for good."""
    tx.many("DELETE FROM quarantine WHERE id = ?", [(each,) for each in ids])


def set_quarantine_status(tx: Tx, quarantine_id: str, status: str) -> None:
    """Mark a quarantined event as replayed or dropped."""
    tx.execute(sqlalchemy.update(quarantine).where(quarantine.c.id == quarantine_id).values(status=status))


def count_quarantined(tx: Tx) -> int:
    """Return how many quarantined events wait for somebody."""
    return int(tx.rows("SELECT count(*) FROM quarantine WHERE status = 'waiting'")[0][0])


def delete_quarantined_before(tx: Tx, at: int) -> int:
    """Drop quarantined events that arrived before `at`; return how many."""
    result = tx.execute(sqlalchemy.delete(quarantine).where(quarantine.c.at < at))
    return int(result.rowcount)


def read_state(tx: Tx, name: str) -> int:
    """Return one number that the log knows of itself; 0 where it was never set."""
    found = tx.rows("SELECT value FROM log_state WHERE name = ?", (name,))
    return int(found[0][0]) if found else 0


def write_state(tx: Tx, name: str, value: int) -> None:
    """Set one number that the log knows of itself."""
    tx.change(
        "INSERT INTO log_state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def first_seq(epoch: int) -> int:
    """Return the first sequence number of an epoch."""
    return (epoch << limits.SEQ_EPOCH_SHIFT) | 1
