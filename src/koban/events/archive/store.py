"""All SQL of the archive: which files there are, the keys of what is in them, and rows that leave the database."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata, upsert
from koban.events.archive.types import ArchiveFile
from koban.events.store import event_key

archive_files: Final = Table(
    "archive_files",
    metadata,
    Column("type", Text, primary_key=True, comment="Event type, or koban.changes."),
    Column("first_seq", BigInteger, primary_key=True, autoincrement=False, comment="First entry in it."),
    Column("last_seq", BigInteger, nullable=False, comment="Last entry in it."),
    Column("day", BigInteger, nullable=False, comment="Day of its entries' log time, counted from 1970-01-01."),
    Column("entries", BigInteger, nullable=False, comment="Entries in it."),
    Column("shape", Text, nullable=False, comment="Digest of the columns it was written with."),
    Column("normaliser", Text, nullable=False, comment="Version of the text tables when it was written."),
    Column("keep_days", BigInteger, nullable=False, comment="Retention when it was written; 0: for good."),
    Column("bytes", BigInteger, nullable=False, comment="Size of the file of entries."),
    Column("sealed_bytes", BigInteger, nullable=False, comment="Size of the file of sealed fields; 0: there is none."),
    Column("written_at", BigInteger, nullable=False, comment="When it was written, in microseconds."),
    Index("archive_files_seq", "last_seq"),
    comment="Parquet files that are whole; a file that is not named here is left over from an interrupted run.",
)

archive_keys: Final = Table(
    "archive_keys",
    metadata,
    Column("event_key", LargeBinary, primary_key=True, comment="Hash of source and id."),
    Column("seq", BigInteger, nullable=False, comment="Its entry."),
    Column("digest", LargeBinary, nullable=True, comment="Keyed digest of the whole event."),
    comment="Events that left the database: a repetition is still recognised.",
    sqlite_with_rowid=False,
)

_FILE_COLUMNS: Final = (
    "type, day, first_seq, last_seq, entries, shape, normaliser, keep_days, bytes, sealed_bytes, written_at"
)
_INSERT_KEY: Final = (
    "INSERT INTO archive_keys (event_key, seq, digest) VALUES (?, ?, ?) ON CONFLICT (event_key) DO NOTHING"
)


def insert_keys(tx: Tx, rows: Sequence[tuple[bytes, int, bytes | None]]) -> None:
    """Keep the keys of events that leave; a key that is there stays as it is."""
    tx.many(_INSERT_KEY, rows)


def find_key(tx: Tx, key: bytes) -> int | None:
    """Return the entry of an archived event."""
    found = tx.rows("SELECT seq FROM archive_keys WHERE event_key = ?", (key,))
    return int(found[0][0]) if found else None


def delete_keys(tx: Tx, keys: Sequence[bytes]) -> None:
    """Forget keys, with the events themselves."""
    tx.many("DELETE FROM archive_keys WHERE event_key = ?", [(key,) for key in keys])


def count_keys(tx: Tx) -> int:
    """Return how many archived events are still recognised."""
    return int(tx.rows("SELECT count(*) FROM archive_keys")[0][0])


def insert_files(tx: Tx, files: Sequence[ArchiveFile]) -> None:
    """Name files that are whole on the disk."""
    rows = [
        {name: getattr(file, name) for name in _FILE_COLUMNS.split(", ")}
        for file in files
    ]  # fmt: skip
    upsert(tx, archive_files, rows, keys=["type", "first_seq"], update=[*_FILE_COLUMNS.split(", ")[3:], "day"])


def delete_file(tx: Tx, file: ArchiveFile) -> None:
    """Forget a file; it is taken from the disk afterwards."""
    tx.execute(
        sqlalchemy.delete(archive_files).where(
            archive_files.c.type == file.type, archive_files.c.first_seq == file.first_seq
        )
    )


def list_files(tx: Tx, *, type_: str | None = None) -> list[ArchiveFile]:
    """Return the files, oldest first."""
    where, parameters = ("WHERE type = ? ", (type_,)) if type_ is not None else ("", ())
    return [
        _file(row)
        for row in tx.rows(f"SELECT {_FILE_COLUMNS} FROM archive_files {where}ORDER BY first_seq", parameters)
    ]


def files_with(tx: Tx, first_seq: int, last_seq: int) -> list[ArchiveFile]:
    """Return the files whose range meets a range of entries."""
    found = tx.rows(
        f"SELECT {_FILE_COLUMNS} FROM archive_files WHERE last_seq >= ? AND first_seq <= ? ORDER BY first_seq",
        (first_seq, last_seq),
    )
    return [_file(row) for row in found]


def oldest_at(tx: Tx, *, after_seq: int) -> Instant | None:
    """Return the log time of the oldest entry that is not archived."""
    found = tx.rows("SELECT log_at FROM log_entries WHERE seq > ? ORDER BY seq LIMIT 1", (after_seq,))
    return Instant(int(found[0][0])) if found else None


def read_archived_seqs(tx: Tx, upto_seq: int, *, kept: Sequence[str], limit: int) -> list[int]:
    """Return entries that are archived and still in the database, but for the types that stay there."""
    marks = ", ".join("?" * len(kept)) or "''"
    found = tx.rows(
        f"SELECT seq FROM log_entries WHERE seq <= ? AND type NOT IN ({marks}) ORDER BY seq LIMIT ?",
        (upto_seq, *kept, limit),
    )
    return [int(row[0]) for row in found]


def read_expired(
    tx: Tx, type_: str, *, after_seq: int, upto_seq: int, before_at: int, limit: int
) -> list[tuple[int, bytes, bytes | None]]:
    """Return seq, key and sealed bytes of events of one type in the database that are past their retention."""
    found = tx.rows(
        "SELECT seq, source, event_id, sealed FROM log_entries WHERE type = ? AND seq > ? AND seq <= ? AND log_at < ?"
        " AND kind = 'event' ORDER BY seq LIMIT ?",
        (type_, after_seq, upto_seq, before_at, limit),
    )
    return [
        (int(seq), event_key(source, event_id), None if sealed is None else bytes(sealed))
        for seq, source, event_id, sealed in found
    ]


def delete_entries(tx: Tx, seqs: Sequence[int]) -> None:
    """Take entries out of the database."""
    tx.many("DELETE FROM log_entries WHERE seq = ?", [(seq,) for seq in seqs])


def _file(row: Sequence[object]) -> ArchiveFile:
    values = dict(zip(_FILE_COLUMNS.split(", "), row, strict=True))
    texts = {"type", "shape", "normaliser"}
    return ArchiveFile(**{name: str(value) if name in texts else int(str(value)) for name, value in values.items()})  # type: ignore[arg-type]  # each column is read as its field's type
