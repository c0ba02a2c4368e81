"""Entries that left the database: Parquet files by type and day, which DuckDB queries, until their retention is over.

Owns the tables archive_files and archive_keys and the folder of the files. Guarantees: an entry is in the database or
in a file that the database names, whatever crashes; a repetition of an archived event is recognised and gets its
first answer; what is personal is ciphertext on the disk, opened in memory by whoever holds the vault's key.
"""

from koban.events.archive.export import Archiving, archived_before, is_due, keep_days, leaves_early, run
from koban.events.archive.parquet import connect, fill
from koban.events.archive.reading import Archive, Unreadable, archive_connection
from koban.events.archive.store import count_keys, list_files
from koban.events.archive.typed import read_event_ids, read_typed
from koban.events.archive.types import (
    CHANGES,
    Answer,
    ArchiveBusy,
    ArchiveDamaged,
    ArchivedEvent,
    ArchiveFile,
    ArchiveReport,
    Places,
    day_name,
)

__all__ = [
    "CHANGES",
    "Answer",
    "Archive",
    "ArchiveBusy",
    "ArchiveDamaged",
    "ArchiveFile",
    "ArchiveReport",
    "ArchivedEvent",
    "Archiving",
    "Places",
    "Unreadable",
    "archive_connection",
    "archived_before",
    "connect",
    "count_keys",
    "day_name",
    "fill",
    "is_due",
    "keep_days",
    "leaves_early",
    "list_files",
    "read_event_ids",
    "read_typed",
    "run",
]
