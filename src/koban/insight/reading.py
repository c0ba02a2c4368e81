"""Read somebody's files with a map: DuckDB computes every row once, in order of time, into a spool on disk.

The spool keeps memory bounded however large the files are, and tells how many rows there are before the first is used.
"""

import contextlib
import dataclasses
import functools
import gzip
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

from koban.base import Instant, Problem, Refusal
from koban.insight.mapping import ROW_TIME, Map, MapInvalid, Sql, literal, reader_of
from koban.insight.metrics import is_test

if TYPE_CHECKING:
    import duckdb

MEMORY_MAX: Final = "512MB"
CHUNK: Final = 1_000
_COPY_BYTES: Final = 1 << 20
_CASTS: Final = {"int": "BIGINT", "bool": "BOOLEAN", "decimal": "DOUBLE", "text": "VARCHAR"}
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NO_ROW: Final = "row"
_FIXED: Final = ("_row", "_id", "_event", "_at", "_harmful", "_kind", "_group", "_test", "_lost")


class FileUnreadable(Refusal):
    """A file that cannot be read as its map says."""

    code = "file_unreadable"
    status = 422
    title = "The file cannot be read as the map says."


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A row that could not be read: where it stands and why. What it holds is not repeated."""

    place: str
    problems: tuple[Problem, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MappedRow:
    """One row of a file as its map reads it; `problems` says what could not be computed."""

    row: int
    id: str | None
    event: str
    at: Instant | None
    harmful: bool | None
    kind: str | None
    is_test: bool
    data: Mapping[str, object]
    problems: tuple[Problem, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Expression:
    name: str  # as the map calls it
    sql: Sql  # gives a struct with the value as v, or NULL where it fails
    said: Sql  # as the map says it


class MappedFile:
    """Files as rows of events, in order of time."""

    def __init__(
        self, connection: "duckdb.DuckDBPyConnection", mapping: Map, expressions: Sequence[_Expression]
    ) -> None:
        self._connection = connection
        self._mapping = mapping
        self._said = {each.name: each.said for each in expressions}
        self.total = _number(connection, "SELECT count(*) FROM rows")
        self.rejected, self.rejects = _rejects(connection)

    def chunks(self) -> Iterator[list[MappedRow]]:
        """Yield the rows, a thousand at a time."""
        for start in range(0, self.total, CHUNK):
            found = self._connection.execute(
                "SELECT * FROM rows WHERE rowid >= ? AND rowid < ? ORDER BY rowid", [start, start + CHUNK]
            ).fetchall()
            yield [self._row(values, start + place) for place, values in enumerate(found)]

    def _row(self, values: Sequence[object], place: int) -> MappedRow:
        row, event_id, event, at, harmful, kind, group, test, lost = values[: len(_FIXED)]
        lost_names = lost if isinstance(lost, list) else []
        return MappedRow(
            row=int(str(row)),
            id=None if event_id is None else str(event_id),
            event=str(event),
            at=None if at is None else Instant(int(str(at))),
            harmful=None if harmful is None else bool(harmful),
            kind=None if kind is None else str(kind),
            is_test=self._in_test(place, str(group), test is True),
            data=dict(zip(self._mapping.data, values[len(_FIXED) :], strict=True)),
            problems=tuple(self._problem(str(name)) for name in lost_names),
        )

    def _problem(self, name: str) -> Problem:
        if name == NO_ROW:
            return Problem(path=NO_ROW, detail="This line is no JSON object, or an empty one.")
        return Problem(path=name, detail=f"This cannot be computed for the row: {self._said[name]}")

    def _in_test(self, place: int, group: str, own: bool) -> bool:  # noqa: FBT001 - what the set says
        match self._mapping.split:
            case "none":
                return True
            case "own":
                return own
            case "time":
                return place >= self.total * 4 // 5
            case _:
                return is_test(group)


@contextlib.contextmanager
def open_mapped(
    mapping: Map, files: Sequence[pathlib.Path], types: Mapping[str, str], spool: pathlib.Path
) -> Iterator[MappedFile]:
    """Read files with a map whose fields have the given types, through a spool in the given folder.

    Refuses: FileUnreadable, MapInvalid with every expression that is wrong.
    """
    import duckdb

    for file in files:
        if not file.is_file():
            raise FileUnreadable(f"{file} is no file.")
    with tempfile.TemporaryDirectory(prefix="import-", dir=spool) as name:
        folder = pathlib.Path(name)
        read = [decoded(file, mapping.encoding, folder) for file in files]
        with duckdb.connect(str(folder / "rows.duckdb")) as connection:
            _confine(connection, folder, files)
            columns = _open_columns(connection, mapping, read, files[0].parent)
            expressions = _checked(connection, mapping, types, files[0].name, columns)
            try:
                connection.execute(_spool_query(mapping, reader_of(mapping, read), expressions, columns))
            except duckdb.Error as error:
                raise FileUnreadable(f"{files[0].name}: {first_lines(error)}") from error
            yield MappedFile(connection, mapping, expressions)


def decoded(file: pathlib.Path, encoding: str, folder: pathlib.Path) -> pathlib.Path:
    """Return the file, or a copy in UTF-8 in the folder when it has another encoding."""
    if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
        return file.resolve()
    copy = folder / file.name.removesuffix(".gz")
    try:
        with (
            _open_text(file, encoding) as old,
            copy.open("w", encoding="utf-8", newline="") as new,
        ):
            shutil.copyfileobj(old, new, _COPY_BYTES)
    except LookupError as error:
        raise MapInvalid(f"{encoding!r} is no encoding that is known here.") from error
    return copy


def _open_text(file: pathlib.Path, encoding: str) -> TextIO:
    if file.name.endswith(".gz"):
        return gzip.open(file, "rt", encoding=encoding, errors="replace", newline="")
    return file.open(encoding=encoding, errors="replace", newline="")


def _confine(connection: "duckdb.DuckDBPyConnection", folder: pathlib.Path, files: Sequence[pathlib.Path]) -> None:
    """Let a map read its files' folders and nothing else, and hold memory down."""
    folders = dict.fromkeys([str(folder), *(str(file.resolve().parent) for file in files)])
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{MEMORY_MAX}'")
    connection.execute("SET threads = 2")
    connection.execute("SET disabled_optimizers = 'common_subexpressions'")  # it takes expressions out of their TRY
    connection.execute(f"SET temp_directory = {literal(str(folder / 'spill'))}")
    connection.execute(f"SET allowed_directories = [{', '.join(literal(each) for each in folders)}]")
    connection.execute("SET enable_external_access = false")


def _open_columns(
    connection: "duckdb.DuckDBPyConnection", mapping: Map, files: Sequence[pathlib.Path], folder: pathlib.Path
) -> list[str]:
    """Make the tables beside the file and an empty one like it; return the file's columns."""
    import duckdb

    where = str(folder.resolve()).replace("'", "''")
    for name, query in mapping.beside.items():
        try:
            connection.execute(f'CREATE TEMP TABLE "{name}" AS {query.replace("$FOLDER", where)}')
        except duckdb.Error as error:
            problem = Problem(path=f"beside.{name}", detail=first_lines(error))
            raise MapInvalid("A table beside the file cannot be read.", problems=(problem,)) from error
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {reader_of(mapping, files)}").fetchall()
        columns = [str(row[0]) for row in described]
        connection.execute(f"CREATE TEMP TABLE file AS {_numbered(reader_of(mapping, files), columns)} LIMIT 0")
    except duckdb.Error as error:
        raise FileUnreadable(f"{files[0].name}: {first_lines(error)}") from error
    return columns


def _numbered(reader: Sql, columns: Sequence[str]) -> Sql:
    """Give rows their number in the order of the file; a column of its own called row steps aside."""
    aside = [f'"{name}" AS row_of_file' for name in columns if name.lower() == "row"]
    renamed = f"* RENAME ({aside[0]})" if aside else "*"
    return f"SELECT row_number() OVER () AS row, {renamed} FROM {reader}"


def _checked(
    connection: "duckdb.DuckDBPyConnection",
    mapping: Map,
    types: Mapping[str, str],
    file: str,
    columns: Sequence[str],
) -> list[_Expression]:
    """Return every expression of a map as it will be run, in the order of the spool's columns."""
    truth = mapping.truth
    stem = literal(file.split(".", maxsplit=1)[0])
    wanted: list[tuple[str, Sql, str]] = [
        ("id", mapping.id if mapping.id is not None else f"{stem} || '-' || row", "text"),
        ("event_of", mapping.event_of if mapping.event_of is not None else literal(mapping.events[0]), "text"),
        ("time", mapping.time, "timestamp"),
        ("truth.harmful", truth.harmful if truth is not None else "NULL", "bool"),
        ("truth.kind", truth.kind if truth is not None and truth.kind is not None else "NULL", "text"),
        ("group", mapping.group if mapping.group is not None else "row", "text"),
        ("test", mapping.test if mapping.test is not None else "NULL", "bool"),
        *((f"data.{path}", sql, types[path]) for path, sql in mapping.data.items()),
    ]
    expressions = []
    problems = []
    for name, sql, kind in [*wanted, ("where", mapping.where or "true", "bool")]:
        found = _typed(connection, sql, kind)
        if isinstance(found, str):
            expressions.append(_Expression(name=name, sql=found, said=sql.strip()))
        else:
            problems.append(
                Problem(path=name, detail=found.detail, hint=f"{sql.strip()}\n    {_columns_hint(columns)}")
            )
    if problems:
        raise MapInvalid(f"{len(problems)} of its expressions cannot be used with {file}.", problems=tuple(problems))
    return expressions[:-1]


def _columns_hint(columns: Sequence[str]) -> str:
    """Name the columns as a map has to write them: an SQL word and anything unusual in double quotes."""
    return f"Columns of the file: {', '.join(written(name) for name in columns)}."


def written(name: str) -> Sql:
    """Write a column's name, in double quotes where SQL asks for it."""
    plain = _PLAIN.fullmatch(name) and name.lower() not in _words()
    return name if plain else '"' + name.replace('"', '""') + '"'


@functools.cache
def _words() -> frozenset[str]:
    import duckdb

    query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    return frozenset(str(row[0]) for row in duckdb.connect().execute(query).fetchall())


def _typed(connection: "duckdb.DuckDBPyConnection", sql: Sql, kind: str) -> Sql | Problem:
    """Return an expression that gives the wanted type, or what is wrong with the one in the map."""
    import duckdb

    try:
        described = connection.execute(f"DESCRIBE SELECT (\n{sql}\n) AS it FROM file").fetchall()
        is_json = str(described[0][1]) == "JSON"
        plain = f"(({sql})->>'$')" if is_json else f"(\n{sql}\n)"
        match kind:
            case "timestamp":
                typed = f"epoch_us(CAST({plain} AS TIMESTAMPTZ))"
            case "text[]":
                typed = f"CAST({plain} AS VARCHAR[])"
            case _:
                typed = f"CAST({plain} AS {_CASTS[kind]})"
        connection.execute(f"SELECT {typed} FROM file")
    except duckdb.Error as error:
        return Problem(path="", detail=first_lines(error))
    return _tried(connection, typed)


def _spool_query(mapping: Map, reader: Sql, expressions: Sequence[_Expression], columns: Sequence[str]) -> Sql:
    """Return the statement that computes every row once."""
    tried = ", ".join(f"{each.sql} AS e{index}" for index, each in enumerate(expressions))
    fixed = ("_id", "_event", "_at", "_harmful", "_kind", "_group", "_test")
    named = [f"e{index}.v AS {name}" for index, name in enumerate(fixed)]
    data = [f"e{index + len(fixed)}.v AS d{index}" for index in range(len(mapping.data))]
    lost = ", ".join(
        f"CASE WHEN e{index} IS NULL THEN {literal(each.name)} END" for index, each in enumerate(expressions)
    )
    # A line of JSON that could not be read comes as a row of nothing.
    nothing = " AND ".join(f'"{name}" IS NULL' for name in _renamed(columns)) if _skips_lines(reader) else "false"
    where = f" WHERE ({mapping.where})" if mapping.where else ""
    order = "" if mapping.time == ROW_TIME else " ORDER BY _at, _row"  # the row's time is in the file's order already
    return (
        f"CREATE TABLE rows AS SELECT row AS _row, {', '.join(named)},"
        f" CASE WHEN empty THEN ['{NO_ROW}'] ELSE list_filter([{lost}], lambda name: name IS NOT NULL) END AS _lost,"
        f" {', '.join(data)}"
        f" FROM (SELECT row, ({nothing}) AS empty, {tried} FROM ({_numbered(reader, columns)}){where}){order}"
    )


def _tried(connection: "duckdb.DuckDBPyConnection", typed: Sql) -> Sql:
    """Let an expression fail for a row alone.

    TRY gives NULL for an expression that fails; inside a struct, a failure and a NULL of its own can be told apart.
    Around a query or a volatile function DuckDB does not allow it.
    """
    import duckdb

    struct = f"{{'v': {typed}}}"
    try:
        connection.execute(f"SELECT TRY({struct}) FROM file")
    except duckdb.BinderException:
        return struct
    return f"TRY({struct})"


def _renamed(columns: Sequence[str]) -> list[str]:
    return ["row_of_file" if name.lower() == "row" else name for name in columns]


def _skips_lines(reader: Sql) -> bool:
    return "ignore_errors=true" in reader and "read_csv" not in reader


def _number(connection: "duckdb.DuckDBPyConnection", query: Sql) -> int:
    found = connection.execute(query).fetchone()
    assert found is not None, "a count gives a row"
    return int(found[0])


def _rejects(connection: "duckdb.DuckDBPyConnection") -> tuple[int, list[Unreadable]]:
    """Return how many lines of CSV files were no rows, and the first of them. Their content is not repeated."""
    import duckdb

    try:
        rows = connection.execute(
            "SELECT file_id, line, min(error_message) FROM reject_errors GROUP BY file_id, line ORDER BY file_id, line LIMIT 20"
        ).fetchall()
        count = _number(connection, "SELECT count(*) FROM (SELECT DISTINCT file_id, line FROM reject_errors)")
    except duckdb.CatalogException:
        return 0, []
    return count, [
        Unreadable(place=f"line {line}", problems=(Problem(path="", detail=str(message), hint=_hint(str(message))),))
        for _, line, message in rows
    ]


def _hint(message: str) -> str:
    """Say what to do about a line that is no UTF-8: spreadsheets write the encoding of their country."""
    return "Name its encoding in the map: `encoding: cp932`, for instance." if "utf-8" in message else ""


def first_lines(error: Exception) -> str:
    """Return the part of DuckDB's message that says what is wrong, without the query that a map never wrote."""
    kept = str(error).split("\n\nLINE ")[0].split("\nOriginal Line:")[0]
    return " ".join(kept.split())
