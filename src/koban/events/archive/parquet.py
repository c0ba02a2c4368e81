"""Rows to Parquet and back, through DuckDB: typed columns by NumPy, no extension, nothing spilled to the disk."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb
import msgspec
import numpy

from koban.events.archive.types import ArchiveDamaged

SQL_TYPES: Final[Mapping[str, str]] = {
    "text": "VARCHAR",
    "int": "BIGINT",
    "decimal": "BIGINT",
    "timestamp": "BIGINT",
    "bool": "BOOLEAN",
    "text[]": "VARCHAR[]",
    "bytes": "BLOB",
}
FETCHED_AT_ONCE: Final = 2_000
MEMORY_MAX: Final = "2GB"

Columns = Mapping[str, str]  # name -> field type, or bytes


def connect(*, threads: int = 1, memory: str = MEMORY_MAX) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory.

    Why no folder for temporary files: what a query has opened of a person must not be spilled to the disk.
    """
    return duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": "",
            "threads": threads,
            "memory_limit": memory,
            "preserve_insertion_order": "true",
        }
    )


def fill(
    connection: duckdb.DuckDBPyConnection, sql: str, columns: Columns, rows: Sequence[Mapping[str, object]]
) -> None:
    """Run `sql` over rows: `{rows}` in it stands for a query with one typed column per name; a missing value is NULL."""
    arrays = {
        f"c{place}": _array(kind, [row.get(name) for row in rows]) for place, (name, kind) in enumerate(columns.items())
    }
    selected = ", ".join(
        f"{_read(kind, f'c{place}')} AS {quoted(name)}" for place, (name, kind) in enumerate(columns.items())
    )
    connection.register("koban_rows", arrays)
    try:
        connection.execute(sql.replace("{rows}", f"(SELECT {selected} FROM koban_rows)"))
    finally:
        connection.unregister("koban_rows")


def write_file(path: pathlib.Path, columns: Columns, rows: Sequence[Mapping[str, object]]) -> int:
    """Write a Parquet file so that it is whole or not there at all, whatever crashes; return its size."""
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with connect() as connection:
        fill(
            connection,
            f"COPY {{rows}} TO {literal(str(part))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 4096)",
            columns,
            rows,
        )
    _sync(part)
    part.chmod(0o600)
    part.replace(path)
    _sync(path.parent)
    return path.stat().st_size


def read_files(
    paths: Sequence[pathlib.Path], names: Sequence[str], *, where: str = "TRUE", order: str = "seq"
) -> Iterator[dict[str, Any]]:  # Any: values as DuckDB gives them
    """Read rows of Parquet files that are alike, in order. Raises ArchiveDamaged."""
    if not paths:
        return
    with connect() as connection:
        try:
            found = connection.execute(
                f"SELECT {', '.join(quoted(name) for name in names)} FROM {scan(paths)} WHERE {where} ORDER BY {order}"
            )
            while page := found.fetchmany(FETCHED_AT_ONCE):
                for row in page:
                    yield dict(zip(names, row, strict=True))
        except duckdb.Error as error:
            raise damaged(paths) from error


def damaged(paths: Sequence[pathlib.Path]) -> ArchiveDamaged:
    """Say which of some files it is that cannot be read."""
    found = next((path for path in paths if not _is_whole(path)), paths[0])
    place = "/".join(("archive", *found.parts[-4:]))  # where it stands in the data folder
    return ArchiveDamaged(f"{place} is {'damaged' if found.exists() else 'gone'}. Put it back from a backup.")


def _is_whole(path: pathlib.Path) -> bool:
    with connect() as connection:
        try:
            found = connection.execute(f"SELECT * FROM {scan([path])}")
            while found.fetchmany(FETCHED_AT_ONCE):
                pass
        except duckdb.Error:
            return False
    return True


def scan(paths: Sequence[pathlib.Path]) -> str:
    """Write the relation over some files."""
    return f"read_parquet([{', '.join(literal(str(path)) for path in paths)}])"


def quoted(name: str) -> str:
    """Write a name as SQL does."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write a text as SQL does."""
    return "'" + text.replace("'", "''") + "'"


def make_folder(folder: pathlib.Path) -> None:
    """Make a folder that only its owner reads, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync(folder.parent)


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _array(kind: str, values: Sequence[object]) -> Any:  # Any: NumPy's array types say nothing here
    match kind:
        case "int" | "decimal" | "timestamp":
            return numpy.ma.array(
                [value or 0 for value in values], mask=[value is None for value in values], dtype="int64"
            )
        case "bool":
            return numpy.ma.array(
                [bool(value) for value in values], mask=[value is None for value in values], dtype="bool"
            )
        case "text[]":
            values = [None if value is None else msgspec.json.encode(value).decode() for value in values]
    array = numpy.empty(len(values), dtype=object)
    array[:] = values
    return array


def _read(kind: str, column: str) -> str:
    if kind == "text[]":
        return f"CAST(CAST({column} AS JSON) AS VARCHAR[])"
    return f"CAST({column} AS {SQL_TYPES[kind]})"
