"""Read the archive: one entry again, the log in order, or all of it as relations for DuckDB."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import duckdb
import structlog

from koban.db import Tx
from koban.events.archive import store
from koban.events.archive.parquet import connect, fill, literal, quoted, read_files, scan
from koban.events.archive.rows import (
    ENVELOPE,
    SEALED,
    blobs_of,
    entry_of,
    open_columns,
    open_row,
    sealed_columns,
    shape_of,
)
from koban.events.archive.types import CHANGES, ArchiveDamaged, ArchivedEvent, ArchiveFile, Places
from koban.events.prepare import Preparer, make_preparer, read_row
from koban.events.store import event_key, read_of_type, read_state
from koban.events.types import Entry
from koban.packs import PackDef
from koban.vault import Sealed, Vault

PAGE: Final = 5_000

Unreadable: TypeAlias = Callable[[ArchiveFile, ArchiveDamaged], None]

_log = structlog.get_logger("koban.archive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Archive:
    """The files of one log."""

    places: Places

    def find(self, tx: Tx, seqs: Sequence[int]) -> dict[int, ArchivedEvent]:
        """Return archived entries by their place in the log. Raises ArchiveDamaged."""
        if not seqs:
            return {}
        files = [
            file
            for file in store.files_with(tx, min(seqs), max(seqs))
            if any(file.first_seq <= seq <= file.last_seq for seq in seqs)
        ]
        where = f"seq IN ({', '.join(str(int(seq)) for seq in seqs)})"
        return {found.entry.seq: found for file in files for found in self.read_file(file, where=where)}

    def find_event(self, tx: Tx, event_id: str, source: str | None) -> ArchivedEvent | None:
        """Return an archived event by id: at once with its source, by a walk through the files without. Raises ArchiveDamaged."""
        if source is not None:
            key = event_key(source, event_id)
            seq = store.find_key(tx, key)
            return None if seq is None else self.find(tx, [seq]).get(seq)
        for file in reversed(store.list_files(tx)):
            if file.type != CHANGES:
                found = list(self.read_file(file, where=f"_event_id = {literal(event_id)}"))
                if found:
                    return found[-1]
        return None

    def walk(self, tx: Tx, *, after_seq: int = -1, unreadable: Unreadable | None = None) -> Iterator[ArchivedEvent]:
        """Walk the archived entries in the order of the log, as many files at a time as overlap.

        `unreadable` is told of a file that cannot be read, which is left out then. Raises ArchiveDamaged where it is missing.
        """
        files = [file for file in store.list_files(tx) if file.last_seq > after_seq]
        while files:
            # Files of one round overlap, those of different rounds do not: read what overlaps the first one together.
            end = files[0].last_seq
            together = [file for file in files if file.first_seq <= end]
            while (further := max(file.last_seq for file in together)) != end:
                end = further
                together = [file for file in files if file.first_seq <= end]
            found = [each for file in together for each in self._after(file, after_seq, unreadable)]
            yield from sorted(found, key=lambda each: each.entry.seq)
            files = [file for file in files if file.first_seq > end]

    def next_entries(self, tx: Tx, *, after_seq: int, limit: int) -> list[Entry]:
        """Return the archived entries that come next in the order of the log, without what cannot be read.

        Why without: what is made of the whole log, and can be made again, must not stand still before one file.
        """
        walked = self.walk(tx, after_seq=after_seq, unreadable=_passed_over)
        return [found.entry for found in itertools.islice(walked, limit)]

    def _after(self, file: ArchiveFile, after_seq: int, unreadable: Unreadable | None) -> list[ArchivedEvent]:
        try:
            return list(self.read_file(file, where=f"seq > {int(after_seq)}"))
        except ArchiveDamaged as error:
            if unreadable is None:
                raise
            unreadable(file, error)
            return []

    def read_file(self, file: ArchiveFile, *, where: str = "TRUE") -> Iterator[ArchivedEvent]:
        """Read the entries of a pair of files that meet a condition in SQL. Raises ArchiveDamaged."""
        rows = list(read_files([self.places.entries(file)], tuple(ENVELOPE), where=where))
        sealed: dict[int, bytes] = {}
        if file.sealed_bytes and rows:
            low, high = rows[0]["seq"], rows[-1]["seq"]
            within = f"seq BETWEEN {int(low)} AND {int(high)}"
            found = read_files([self.places.sealed(file)], tuple(SEALED), where=within)
            sealed = {row["seq"]: bytes(row["_sealed"]) for row in found}
        for row in rows:
            yield entry_of(row, sealed.get(row["seq"]), in_changes=file.type == CHANGES)


def _passed_over(file: ArchiveFile, error: ArchiveDamaged) -> None:
    _log.warning("archive_damaged", file=file.name, said=str(error))


def archive_connection(
    tx: Tx,
    archive: Archive,
    vault: Vault,
    pack: PackDef,
    *,
    event_types: Iterable[str] | None = None,
    opening: bool = True,
    threads: int = 1,
    memory: str = "2GB",
) -> duckdb.DuckDBPyConnection:
    """Open DuckDB with a view `event_<type>` over the archive and what is still in the database, as of `tx`.

    Shapes: as `koban.features.archive_relation` wants them. Sealed fields are opened into memory and are NULL where the
    person was erased; without `opening` they are NULL for everyone. Nothing but the archive's folder can be read
    through the connection. Give it `koban.language.register_functions` before asking it for texts.
    Raises ArchiveDamaged, SealBroken.
    """
    connection = connect(threads=threads, memory=memory)
    upto = read_state(tx, "archived_seq")
    for name in event_types if event_types is not None else pack.events:
        _Relation(tx, archive, vault, connection, preparer=make_preparer(pack.events[name]), opening=opening).build(
            upto
        )
    folder = literal(str(archive.places.folder.resolve()))
    connection.execute(f"SET allowed_directories = [{folder}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


class _Relation:
    """One event type on its way into a connection."""

    def __init__(
        self,
        tx: Tx,
        archive: Archive,
        vault: Vault,
        connection: duckdb.DuckDBPyConnection,
        *,
        preparer: Preparer,
        opening: bool,
    ) -> None:
        self._tx = tx
        self._archive = archive
        self._vault = vault
        self._connection = connection
        self._preparer = preparer
        self._opening = opening
        self._name = preparer.event_type.name
        self._flat = self._name.replace(".", "_")
        self._open = open_columns(preparer.event_type)
        self._sealed = sealed_columns(preparer.event_type)
        self._columns: dict[str, str] = {"seq": "int", "log_at": "int", **self._open, **self._sealed}

    def build(self, upto: int) -> None:
        """Make the view."""
        files = store.list_files(self._tx, type_=self._name)
        alike = [file for file in files if file.shape == shape_of(self._open)]
        loaded, opened = quoted(f"loaded_{self._flat}"), quoted(f"opened_{self._flat}")
        self._make(loaded, self._columns)
        self._make(opened, {"seq": "int", **self._sealed})
        for file in files:
            if file not in alike:
                self._load(loaded, (found.entry for found in self._archive.read_file(file)))
        self._load(loaded, self._hot(upto))
        names = ", ".join(quoted(name) for name in self._columns)
        parts = [f"SELECT {names} FROM {loaded}"]
        if alike:
            if self._opening and self._sealed:
                for file in alike:
                    self._open_sealed(opened, file)
            read = ", ".join(f"{'o' if name in self._sealed else 'e'}.{quoted(name)}" for name in self._columns)
            paths = [self._archive.places.entries(file).resolve() for file in alike]
            parts.append(f"SELECT {read} FROM {scan(paths)} AS e LEFT JOIN {opened} AS o ON o.seq = e.seq")
        view = quoted(f"event_{self._flat}")
        self._connection.execute(f"CREATE VIEW {view} AS {' UNION ALL '.join(parts)}")

    def _make(self, table: str, columns: Mapping[str, str]) -> None:
        fill(self._connection, f"CREATE TABLE {table} AS SELECT * FROM {{rows}}", columns, [])

    def _hot(self, upto: int) -> Iterator[Entry]:
        after = upto
        while page := read_of_type(self._tx, self._name, after_seq=after, limit=PAGE):
            yield from page
            after = page[-1].seq

    def _load(self, table: str, entries: Iterator[Entry]) -> None:
        """Read entries from their JSON into a table."""
        page: list[Entry] = []
        for entry in entries:
            page.append(entry)
            if len(page) == PAGE:
                self._load_page(table, page)
                page = []
        self._load_page(table, page)

    def _load_page(self, table: str, page: list[Entry]) -> None:
        if not page:
            return
        keyed = [(entry.seq, event_key(entry.source, entry.event_id), entry.sealed) for entry in page]
        personal = self._personal(keyed)
        rows = [
            {**open_row(self._preparer, entry, fields), "seq": entry.seq, "log_at": entry.log_at}
            for entry, fields in zip(page, personal, strict=True)
        ]
        fill(self._connection, f"INSERT INTO {table} SELECT * FROM {{rows}}", self._columns, rows)

    def _open_sealed(self, table: str, file: ArchiveFile) -> None:
        """Open the sealed fields of a file into a table in memory."""
        if not file.sealed_bytes:
            return
        places = self._archive.places
        sealed = {row["seq"]: bytes(row["_sealed"]) for row in read_files([places.sealed(file)], tuple(SEALED))}
        named = read_files([places.entries(file)], ("seq", "_source", "_event_id"))
        keyed = [
            (row["seq"], event_key(row["_source"], row["_event_id"]), sealed[row["seq"]])
            for row in named
            if row["seq"] in sealed
        ]
        for start in range(0, len(keyed), PAGE):
            page = keyed[start : start + PAGE]
            rows = [
                {**self._typed(fields), "seq": seq}
                for (seq, _, _), fields in zip(page, self._personal(page), strict=True)
            ]
            fill(self._connection, f"INSERT INTO {table} SELECT * FROM {{rows}}", {"seq": "int", **self._sealed}, rows)

    def _typed(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        return {path: value for path, value in read_row(self._preparer, {}, fields).items() if path in self._sealed}

    def _personal(self, keyed: Sequence[tuple[int, bytes, bytes | None]]) -> list[dict[str, object]]:
        """Open what is sealed of some entries; what is of erased people is missing."""
        fields: list[dict[str, object]] = [{} for _ in keyed]
        if not self._opening:
            return fields
        sealed: list[Sealed] = []
        owners: list[int] = []
        for place, (_, key, blob) in enumerate(keyed):
            for person, part in blobs_of(blob).items() if blob is not None else ():
                sealed.append(Sealed(person=person, context=key.hex(), blob=part))
                owners.append(place)
        for place, opened in zip(owners, self._vault.open_many(self._tx, sealed) if sealed else [], strict=True):
            fields[place].update(opened or {})
        return fields
