"""Move old entries from the database to Parquet files, and let both go when their retention is over.

Every step may be the last one: files are written beside the database and named in it once they are whole; keys stand
before rows go; rows go only after their files are named. What an interrupted run left is finished by the next.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from koban.base import DAY, MINUTE, Clock, Instant, limits
from koban.db import Database, Held, Lease, Tx, drop_lease, keep_lease, take_lease
from koban.events.archive import store
from koban.events.archive.parquet import read_files, write_file
from koban.events.archive.rows import (
    ENVELOPE,
    SEALED,
    archive_row,
    blobs_of,
    group,
    open_columns,
    preparers_of,
    set_of,
    shape_of,
)
from koban.events.archive.types import CHANGES, Answer, ArchiveBusy, ArchiveDamaged, ArchiveFile, ArchiveReport, Places
from koban.events.prepare import Preparer
from koban.events.store import event_key, read_entries, read_state, write_state
from koban.events.types import Entry, Kind
from koban.packs import EventType
from koban.text import VERSION

_T = TypeVar("_T")

CHUNK_ENTRIES: Final = 20_000  # in one round: what is held in memory, and the most entries of a file
SLICE_ROWS: Final = 100  # in one transaction of the writer, who must not be held longer than a few milliseconds
LEASE_NAME: Final = "archiver"
LEASE_FOR: Final = 5 * MINUTE
PAUSE_S: Final = 0.004  # between two transactions, so that the decider always gets its turn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Archiving:
    """What a run works with; the functions know the tables of rooms further down the flow."""

    database: Database
    clock: Clock
    places: Places
    event_types: Mapping[str, EventType]
    answers: Callable[[Tx, Sequence[int]], Mapping[int, Answer]]
    forget_answers: Callable[[Tx, Sequence[int]], None]
    derived_seq: Callable[[Tx], int]  # up to where derived state is stored: nothing later may leave the database
    is_held: Callable[[Tx], Callable[[str], bool]]  # tells of a person whether a legal hold keeps their data
    kept_changes: frozenset[str]  # types of change that explanations fold, and that therefore stay
    pause: Callable[[float], None]
    holder: str = "archive"
    chunk: int = CHUNK_ENTRIES


def is_due(tx: Tx, at: Instant, event_types: Mapping[str, EventType]) -> bool:
    """Tell whether a run would find anything to do; a cheap question."""
    oldest = store.oldest_at(tx, after_seq=read_state(tx, "archived_seq"))
    if oldest is not None and oldest < archived_before(at):
        return True
    if any(_is_over(file, event_types, at) for file in store.list_files(tx)):
        return True
    return oldest is not None and any(
        leaves_early(each) and oldest < at - each.retention_days * DAY for each in event_types.values()
    )


def leaves_early(event_type: EventType) -> bool:
    """Tell whether events of a type leave the database for good, before those around them leave for the archive."""
    return event_type.retention_days < limits.DATABASE_DAYS


def archived_before(at: Instant) -> Instant:
    """Return the moment before which entries leave the database: whole days, so that a day has few files."""
    return Instant((at // DAY - limits.DATABASE_DAYS) * DAY)


def run(archiving: Archiving, *, progress: Callable[[int], None] = lambda _entries: None) -> ArchiveReport:
    """Archive everything that is old enough, and let go of everything past its retention.

    A file past its retention that cannot be read stays, named in the report, and keeps no other: whether a hold is on
    somebody in it, and which keys go with it, stands in the file alone.
    Refuses: ArchiveBusy.
    """
    with _lease(archiving) as keep:
        at = archiving.clock.now()
        strays = _sweep(archiving)
        deleted = _expire_rows(archiving, at)
        deleted += _delete_archived(archiving)
        archived = files = 0
        while True:
            written = _archive_chunk(archiving, at, keep)
            if written is None:
                break
            archived += sum(file.entries for file in written)
            files += len(written)
            deleted += _delete_archived(archiving)
            progress(archived)
        expired = _expire_files(archiving, at)
    return msgspec.structs.replace(expired, archived=archived, files=files, deleted_rows=deleted, strays=strays)


def keep_days(file: ArchiveFile, event_types: Mapping[str, EventType]) -> int:
    """Return the retention of a file: as the pack in force declares it, else as it was when it was written; 0: for good."""
    declared = event_types.get(file.type)
    return declared.retention_days if declared is not None else file.keep_days


def _is_over(file: ArchiveFile, event_types: Mapping[str, EventType], at: Instant) -> bool:
    days = keep_days(file, event_types)
    return days > 0 and file.ends_at + days * DAY <= at


@contextlib.contextmanager
def _lease(archiving: Archiving) -> Iterator[Callable[[Tx], None]]:
    def write(act: Callable[[Tx], object]) -> object:
        with archiving.database.write() as tx:
            return act(tx)

    now = archiving.clock.now
    taken = write(lambda tx: take_lease(tx, now(), LEASE_NAME, holder=archiving.holder, lasts=LEASE_FOR))
    if isinstance(taken, Held):
        raise ArchiveBusy(f"{taken.holder} is at it. A process that died is given up after five minutes.")
    assert isinstance(taken, Lease)

    def keep(tx: Tx) -> None:
        if not keep_lease(tx, now(), taken, lasts=LEASE_FOR):
            raise ArchiveBusy("Another process took the archive over.")

    try:
        yield keep
    finally:
        write(lambda tx: drop_lease(tx, taken))


def _archive_chunk(archiving: Archiving, at: Instant, keep: Callable[[Tx], None]) -> list[ArchiveFile] | None:
    """Write the next entries to files and name them; None when nothing is old enough."""
    with archiving.database.read() as tx:
        after = read_state(tx, "archived_seq")
        derived = archiving.derived_seq(tx)
        entries = [
            entry
            for entry in read_entries(tx, after_seq=after, limit=archiving.chunk)
            if entry.log_at < archived_before(at) and entry.seq <= derived
        ]
        if not entries:
            return None
        answers = archiving.answers(tx, [entry.seq for entry in entries if entry.kind is Kind.EVENT])
    preparers = preparers_of(archiving.event_types)
    files = [
        write_pair(archiving.places, at, members, day=day, answers=answers, preparer=preparers.get(name))
        for (name, day), members in group(entries, DAY).items()
    ]
    keys = [
        (event_key(entry.source, entry.event_id), entry.seq, entry.digest)
        for entry in entries
        if entry.kind is Kind.EVENT
    ]
    for piece in _slices(keys):
        with archiving.database.write() as tx:
            store.insert_keys(tx, piece)
        archiving.pause(PAUSE_S)
    with archiving.database.write() as tx:
        keep(tx)
        store.insert_files(tx, files)
        last = entries[-1]
        write_state(tx, "archived_seq", last.seq)
        # Why: the log goes on after them even where nothing later stands in the database.
        write_state(tx, "last_seq", max(last.seq, read_state(tx, "last_seq")))
        write_state(tx, "last_log_at", max(last.log_at, read_state(tx, "last_log_at")))
    return files


def write_pair(
    places: Places,
    at: Instant,
    entries: Sequence[Entry],
    *,
    day: int,
    answers: Mapping[int, Answer],
    preparer: Preparer | None,
) -> ArchiveFile:
    """Write entries of one type and day as a pair of files; they count once `store.insert_files` names them."""
    columns = open_columns(preparer.event_type) if preparer is not None else {}
    file = ArchiveFile(
        type=set_of(entries[0]),
        day=day,
        first_seq=entries[0].seq,
        last_seq=entries[-1].seq,
        entries=len(entries),
        shape=shape_of(columns),
        normaliser=VERSION,
        keep_days=preparer.event_type.retention_days if preparer is not None else 0,
        bytes=0,
        sealed_bytes=0,
        written_at=at,
    )
    sealed = [{"seq": entry.seq, "_sealed": entry.sealed} for entry in entries if entry.sealed is not None]
    sealed_bytes = write_file(places.sealed(file), SEALED, sealed) if sealed else 0
    rows = [archive_row(entry, answers.get(entry.seq), preparer) for entry in entries]
    size = write_file(places.entries(file), {**ENVELOPE, **columns}, rows)
    return msgspec.structs.replace(file, bytes=size, sealed_bytes=sealed_bytes)


def _delete_archived(archiving: Archiving) -> int:
    """Delete rows whose files are named."""
    deleted = 0
    with archiving.database.read() as tx:
        upto = read_state(tx, "archived_seq")
    kept = sorted(archiving.kept_changes)
    while True:
        with archiving.database.read() as tx:
            seqs = store.read_archived_seqs(tx, upto, kept=kept, limit=SLICE_ROWS * 100)
        if not seqs:
            return deleted
        for piece in _slices(seqs):
            _delete(archiving, piece)
        deleted += len(seqs)


def _expire_rows(archiving: Archiving, at: Instant) -> int:
    """Delete events whose retention is shorter than their time in the database, but for those that a hold keeps."""
    deleted = 0
    for name, event_type in archiving.event_types.items():
        if not leaves_early(event_type):
            continue
        before = at - event_type.retention_days * DAY
        after = -1
        while True:
            with archiving.database.read() as tx:
                upto, held = archiving.derived_seq(tx), archiving.is_held(tx)
                found = store.read_expired(
                    tx, name, after_seq=after, upto_seq=upto, before_at=before, limit=SLICE_ROWS * 100
                )
            if not found:
                break
            after = found[-1][0]
            going = [seq for seq, _, sealed in found if sealed is None or not any(map(held, blobs_of(sealed)))]
            for piece in _slices(going):
                _delete(archiving, piece)
            deleted += len(going)
    return deleted


def _delete(archiving: Archiving, seqs: Sequence[int]) -> None:
    with archiving.database.write() as tx:
        archiving.forget_answers(tx, seqs)
        store.delete_entries(tx, seqs)
    archiving.pause(PAUSE_S)


def _expire_files(archiving: Archiving, at: Instant) -> ArchiveReport:
    """Let files go that are past their retention, keys first; return the part of the report that tells of them."""
    with archiving.database.read() as tx:
        over = [file for file in store.list_files(tx) if _is_over(file, archiving.event_types, at)]
        held = archiving.is_held(tx)
    expired = entries = kept = 0
    unreadable: list[str] = []
    for file in over:
        try:
            if _holds_somebody(archiving, file, held):
                kept += 1
                continue
            named = read_files([archiving.places.entries(file)], ("_source", "_event_id"))
            keys = [event_key(str(row["_source"]), str(row["_event_id"])) for row in named]
        except ArchiveDamaged:
            unreadable.append(file.name)
            continue
        _let_go(archiving, file, keys if file.type != CHANGES else [])
        expired += 1
        entries += file.entries
    return ArchiveReport(
        expired_files=expired, expired_entries=entries, held_files=kept, unreadable_files=tuple(unreadable)
    )


def _let_go(archiving: Archiving, file: ArchiveFile, keys: Sequence[bytes]) -> None:
    for piece in _slices(keys):
        with archiving.database.write() as tx:
            store.delete_keys(tx, piece)
        archiving.pause(PAUSE_S)
    with archiving.database.write() as tx:
        store.delete_file(tx, file)
    archiving.places.entries(file).unlink(missing_ok=True)
    archiving.places.sealed(file).unlink(missing_ok=True)


def _holds_somebody(archiving: Archiving, file: ArchiveFile, held: Callable[[str], bool]) -> bool:
    if not file.sealed_bytes:
        return False
    rows = read_files([archiving.places.sealed(file)], tuple(SEALED))
    return any(held(person) for row in rows for person in blobs_of(bytes(row["_sealed"])))


def _sweep(archiving: Archiving) -> int:
    """Remove files that no row names: an interrupted run left them, or an interrupted expiry."""
    with archiving.database.read() as tx:
        named = {file.name for file in store.list_files(tx)}
    strays = 0
    for each in ("entries", "sealed"):
        folder = archiving.places.folder / each
        for path in folder.rglob("*.par*") if folder.is_dir() else ():
            if path.relative_to(folder).as_posix() not in named:
                path.unlink()
                strays += 1
    return strays


def _slices(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(rows), SLICE_ROWS):
        yield rows[start : start + SLICE_ROWS]
