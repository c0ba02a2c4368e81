"""Read the events of one type as rows of values, from the archive and from the database, in the order of the log."""

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import duckdb
import numpy

from koban.db import Tx
from koban.events.archive import store
from koban.events.archive.parquet import connect, damaged, quoted, read_files, scan
from koban.events.archive.reading import Archive
from koban.events.archive.rows import blobs_of, open_columns, sealed_columns, shape_of
from koban.events.archive.types import ArchiveFile
from koban.events.decode import decode_document
from koban.events.prepare import Preparer, read_row
from koban.events.store import event_key, read_of_type, read_state
from koban.events.types import Entry, Row
from koban.vault import Sealed, Vault

PAGE: Final = 5_000
FILES_AT_ONCE: Final = 30

Placed = tuple[int, int, Row]  # place in the log, log time, values by path


def read_typed(
    tx: Tx,
    archive: Archive,
    vault: Vault,
    preparer: Preparer,
    *,
    paths: Collection[str],
    upto_seq: int,
    after_seq: int = -1,
    wanted: Collection[int] | None = None,
    naming: Sequence[str] = (),
) -> Iterator[Placed]:
    """Walk the events of one type as of `tx`: those of `wanted`, or all; each row holds at least `paths`.

    With `naming`, those that are not archived and hold none of these texts may be left out.
    Sealed fields are opened where `paths` names one, and are missing where the person was erased.
    Raises ArchiveDamaged, SealBroken.
    """
    reader = _Reader(tx, vault, preparer, paths)
    shape = shape_of(open_columns(preparer.event_type))
    where = f"e.seq > {int(after_seq)} AND e.seq <= {int(upto_seq)}"
    files = [
        file
        for file in store.list_files(tx, type_=preparer.event_type.name)
        if file.last_seq > after_seq and file.first_seq <= upto_seq
    ]
    # Files of one type follow one another; those of one shape are read together, a number of days at a time.
    for alike, run in itertools.groupby(files, key=lambda file: file.shape == shape):
        members = list(run)
        if alike:
            yield from reader.columns(archive, members, where, wanted)
            continue
        for file in members:
            entries = [found.entry for found in archive.read_file(file, where=where.replace("e.seq", "seq"))]
            yield from reader.documents([each for each in entries if wanted is None or each.seq in wanted])
    after = max(after_seq, read_state(tx, "archived_seq"))
    name = preparer.event_type.name
    while page := read_of_type(tx, name, after_seq=after, limit=PAGE, upto_seq=upto_seq, naming=naming):
        after = page[-1].seq
        yield from reader.documents(
            [each for each in page if each.seq <= upto_seq and (wanted is None or each.seq in wanted)]
        )
        if after >= upto_seq:
            return


def read_event_ids(tx: Tx, archive: Archive, seqs: Collection[int]) -> dict[int, str]:
    """Return the ids of archived events. Raises ArchiveDamaged."""
    files = [
        file
        for file in (store.files_with(tx, min(seqs), max(seqs)) if seqs else [])
        if any(file.first_seq <= seq <= file.last_seq for seq in seqs)
    ]
    if not files:
        return {}
    where = f"seq IN ({', '.join(str(int(seq)) for seq in seqs)})"
    found = read_files([archive.places.entries(file) for file in files], ("seq", "_event_id"), where=where)
    return {row["seq"]: str(row["_event_id"]) for row in found}


class _Reader:
    """How the rows of one event type are made."""

    def __init__(self, tx: Tx, vault: Vault, preparer: Preparer, paths: Collection[str]) -> None:
        self._tx = tx
        self._vault = vault
        self._preparer = preparer
        opened = open_columns(preparer.event_type)
        self._open = [path for path in opened if path in paths]
        self._lists = {path for path in self._open if opened[path] == "text[]"}
        self._sealed = {path for path in sealed_columns(preparer.event_type) if path in paths}
        fields = tuple(each for each in preparer.fields if each.path in self._sealed)
        self._sealed_only = dataclasses.replace(preparer, fields=fields)

    def columns(
        self, archive: Archive, files: Sequence[ArchiveFile], where: str, wanted: Collection[int] | None
    ) -> Iterator[Placed]:
        """Read files by their typed columns, ciphertext beside them."""
        names = ["seq", "log_at", *self._open, *(("_source", "_event_id") if self._sealed else ())]
        selected = ", ".join(f"e.{quoted(name)}" for name in names)
        with connect() as connection:
            if wanted is not None:
                connection.register("wanted", {"seq": numpy.fromiter(wanted, dtype="int64", count=len(wanted))})
                where += " AND e.seq IN (SELECT seq FROM wanted)"
            for start in range(0, len(files), FILES_AT_ONCE):
                members = files[start : start + FILES_AT_ONCE]
                source = f"FROM {scan([archive.places.entries(file).resolve() for file in members])} AS e"
                sealed = [archive.places.sealed(file).resolve() for file in members if file.sealed_bytes]
                blob = "NULL"
                if self._sealed and sealed:
                    source += f" LEFT JOIN {scan(sealed)} AS s ON s.seq = e.seq"
                    blob = "s._sealed"
                try:
                    found = connection.execute(f"SELECT {selected}, {blob} {source} WHERE {where} ORDER BY e.seq")
                    while page := found.fetchmany(PAGE):
                        yield from self._page(names, page)
                except duckdb.Error as error:
                    raise damaged([*(archive.places.entries(file) for file in members), *sealed]) from error

    def documents(self, entries: Sequence[Entry]) -> Iterator[Placed]:
        """Read entries by their JSON."""
        keyed = [(event_key(each.source, each.event_id), each.sealed) for each in entries] if self._sealed else []
        personal = self._opened(keyed) if keyed else [{} for _ in entries]
        for entry, fields in zip(entries, personal, strict=True):
            yield entry.seq, entry.log_at, read_row(self._preparer, decode_document(entry.data), fields)

    def _page(self, names: Sequence[str], page: Sequence[tuple[Any, ...]]) -> Iterator[Placed]:
        personal: list[dict[str, object]] = []
        if self._sealed:
            personal = self._opened(
                [(event_key(found[-3], found[-2]), None if found[-1] is None else bytes(found[-1])) for found in page]
            )
        fields = range(2, 2 + len(self._open))
        for place, found in enumerate(page):
            row: Row = {names[index]: found[index] for index in fields if found[index] is not None}
            for path in self._lists & row.keys() if self._lists else ():
                row[path] = tuple(row[path])  # type: ignore[arg-type]  # DuckDB gives a list of texts
            if personal and personal[place]:
                row.update(read_row(self._sealed_only, {}, personal[place]))
            yield found[0], found[1], row

    def _opened(self, keyed: Sequence[tuple[bytes, bytes | None]]) -> list[dict[str, object]]:
        fields: list[dict[str, object]] = [{} for _ in keyed]
        sealed: list[Sealed] = []
        owners: list[int] = []
        for place, (key, blob) in enumerate(keyed):
            for person, part in blobs_of(blob).items() if blob is not None else ():
                sealed.append(Sealed(person=person, context=key.hex(), blob=part))
                owners.append(place)
        for place, opened in zip(owners, self._vault.open_many(self._tx, sealed) if sealed else [], strict=True):
            fields[place].update(opened or {})
        return fields
