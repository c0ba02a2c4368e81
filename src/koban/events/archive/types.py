"""What the archive keeps, as frozen data, and what can go wrong with it."""

import dataclasses
import pathlib
from typing import Final, TypeAlias

import msgspec

from koban.base import DAY, Instant, Refusal
from koban.events.types import Entry

CHANGES: Final = "koban.changes"  # stands in the place of an event type in the files that hold changes

Answer: TypeAlias = tuple[str, str]  # the answer as given, and what it was decided on, both JSON


class ArchiveFile(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of Parquet files: entries of one type and day, and beside them what is sealed of them.

    Units: `day` counts from 1970-01-01 of the log time.
    """

    type: str
    day: int
    first_seq: int
    last_seq: int
    entries: int
    shape: str  # digest of the declared columns; files of another shape are read again from their JSON
    normaliser: str  # version of the text tables in force when it was written
    keep_days: int  # 0: for good
    bytes: int
    sealed_bytes: int  # 0: nothing personal, and no second file
    written_at: Instant

    @property
    def name(self) -> str:
        """The path below the folder of its set."""
        return f"{self.type}/{day_name(self.day)}/{self.first_seq}-{self.last_seq}.parquet"

    @property
    def ends_at(self) -> Instant:
        """The first moment after its day."""
        return Instant((self.day + 1) * DAY)


class ArchivedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An entry read back from the archive, with the answer that was given; None for a change."""

    entry: Entry
    answer: bytes | None
    inputs: bytes | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Where the files are: a set for what is open to queries, and one for what is sealed."""

    folder: pathlib.Path

    def entries(self, file: ArchiveFile) -> pathlib.Path:
        """Return the file of a pair that holds the entries."""
        return self.folder / "entries" / file.name

    def sealed(self, file: ArchiveFile) -> pathlib.Path:
        """Return the file of a pair that holds ciphertext."""
        return self.folder / "sealed" / file.name


class ArchiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the archive did."""

    archived: int = 0
    files: int = 0
    deleted_rows: int = 0  # rows that left the database, the archived ones among them
    expired_files: int = 0
    expired_entries: int = 0
    held_files: int = 0  # kept past their retention by a legal hold
    unreadable_files: tuple[str, ...] = ()  # past their retention, and kept because they cannot be read
    strays: int = 0  # files of an interrupted run


class ArchiveBusy(Refusal):
    """Another process archives this log."""

    code = "archive_busy"
    status = 409
    title = "The archive is being written by another process."


class ArchiveDamaged(Refusal):
    """A file that the database names is gone or damaged; it can be put back from a backup."""

    code = "archive_damaged"
    status = 503
    title = "A file of the archive cannot be read."


def day_name(day: int) -> str:
    """Write a day as 2026-10-21."""
    import datetime

    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
