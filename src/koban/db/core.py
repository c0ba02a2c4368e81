"""One way to read and one way to write, on SQLite and PostgreSQL. All differences between the two live in this room."""

import contextlib
import functools
import itertools
import pathlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import sqlalchemy
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, CursorResult, Engine

from koban.base import Unavailable
from koban.db.index import INDEX_FILE, SEE_INDEX, IndexFile, attach_to_look, index_metadata, is_suspicious
from koban.db.sqlite import build_engine, run_alone

Dialect = Literal["sqlite", "postgresql"]
Row = Sequence[object]

metadata: Final = sqlalchemy.MetaData()

# A whole number that a table is in the order of. On SQLite it is the number of the row itself, where a BIGINT would have
# an index of its own: a page more that each commit writes. Source: https://sqlite.org/lang_createtable.html#rowid
RowNumber: Final = sqlalchemy.BigInteger().with_variant(sqlalchemy.Integer(), "sqlite")

_QUOTE: Final = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]  # SQLAlchemy's own
_AMONG_MAX: Final = 512  # values in one query on SQLite
_PARAMETERS_MAX: Final = 960  # of one statement that inserts; SQLite takes 999 in its oldest builds
_ROWS_AT_ONCE: Final = 128  # each number of rows is a statement of its own that stays prepared
# On PostgreSQL, too, one at a time writes to the index, so that it is never emptied under somebody who adds to it.
_ONE_INDEXER: Final = "SELECT pg_advisory_xact_lock(hashtext('koban.index' || current_schema()))"
_MOVED_APART_PAGES: Final = 100_000  # the writer moves its log itself only beyond this, once somebody else does it
_BEGIN_ANEW_PAGES: Final = 64_000  # of SQLite's log of writes, 256 MB: then the writer stands still for its last part


class Tx:
    """A transaction, handed to actions and stores. They never commit: the edge that opened it does."""

    __slots__ = ("_connection", "_driver", "dialect")

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        """Wrap an open SQLAlchemy connection that is inside a transaction."""
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection  # Any: sqlite3's connection or psycopg's
        self.dialect = dialect

    @property
    def connection(self) -> Connection:
        """The SQLAlchemy connection, for Alembic alone."""
        return self._connection

    def execute(
        self,
        statement: sqlalchemy.Executable,
        parameters: Mapping[str, object] | Sequence[Mapping[str, object]] | None = None,
    ) -> CursorResult[
        *tuple[Any, ...]
    ]:  # Any: SQLAlchemy's own word for a row whose columns are only known at run time
        """Run one SQLAlchemy Core statement."""
        if parameters is None:
            return self._connection.execute(statement)
        if isinstance(parameters, Mapping):
            return self._connection.execute(statement, dict(parameters))
        return self._connection.execute(statement, [dict(one) for one in parameters])

    def stream(
        self, statement: sqlalchemy.Executable, *, page: int = 1_000
    ) -> Iterator[tuple[Any, ...]]:  # Any: as in `execute`
        """Walk the rows of one statement, of which only a page is in memory."""
        found = self._connection.execute(statement, execution_options={"yield_per": page})
        for row in found:
            yield tuple(row)

    def table_names(self) -> list[str]:
        """Name the tables that the database holds."""
        return sqlalchemy.inspect(self._connection).get_table_names()

    def drop_tables(self) -> None:
        """Drop every table of Koban, and with them all data: only for a database that was just made."""
        for each in (metadata, index_metadata):
            each.drop_all(self._connection)
        self._connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS alembic_version"))

    def many(self, sql: str, rows: Sequence[Row]) -> None:
        """Run one hot statement for many rows through the driver's executemany.

        `sql` has `?` placeholders, no other question mark and no percent sign.
        """
        if not rows:
            return
        cursor = self._driver.cursor()
        try:
            if self.dialect == "sqlite":
                _in_few_statements(cursor, sql, rows)
            else:
                cursor.executemany(sql.replace("?", "%s"), rows)
        finally:
            cursor.close()

    def change(self, sql: str, parameters: Row = ()) -> int:
        """Run one hot statement through the driver and return how many rows it changed; placeholders as in `many`."""
        cursor = self._driver.cursor()
        try:
            cursor.execute(sql if self.dialect == "sqlite" else sql.replace("?", "%s"), tuple(parameters))
            return int(cursor.rowcount)
        finally:
            cursor.close()

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block wrote when it raises, and leave the rest of the transaction as it is.

        Why through the driver: the decider opens several for each command, and SQLAlchemy's cost 0.2 ms each.
        """
        # Each of the same name hides the one around it until it is released, on both databases.
        self.change("SAVEPOINT here")
        try:
            yield
        except BaseException:
            self.change("ROLLBACK TO SAVEPOINT here")
            self.change("RELEASE SAVEPOINT here")
            raise
        self.change("RELEASE SAVEPOINT here")

    def among(self, sql: str, values: Sequence[object], parameters: Row = ()) -> list[Any]:  # Any: rows of the driver
        """Run one hot query for many values at once: `sql` says `IN (??)` for them, after the other placeholders.

        Why padded on SQLite: few different texts of a statement stay prepared; on PostgreSQL it is one array.
        """
        if self.dialect == "postgresql":
            return self.rows(sql.replace("IN (??)", "= ANY(?)"), (*parameters, list(values))) if values else []
        found: list[Any] = []
        for start in range(0, len(values), _AMONG_MAX):
            part = tuple(values[start : start + _AMONG_MAX])
            count = 1 << (len(part) - 1).bit_length()
            part += part[-1:] * (count - len(part))
            found.extend(self.rows(sql.replace("??", ",".join("?" * count)), (*parameters, *part)))
        return found

    def among_pairs(self, sql: str, pairs: Sequence[tuple[str, str]]) -> list[Any]:  # Any: rows of the driver
        """Run one hot query for many pairs of texts at once: `(??)` in `sql` is a relation of `column1` and `column2`."""
        if self.dialect == "postgresql":
            given = "SELECT * FROM unnest(?::text[], ?::text[]) AS given (column1, column2)"
            columns = [list(column) for column in zip(*pairs, strict=True)]
            return self.rows(sql.replace("??", given), columns) if pairs else []
        found: list[Any] = []
        for start in range(0, len(pairs), _AMONG_MAX // 2):
            part = list(pairs[start : start + _AMONG_MAX // 2])
            count = 1 << (len(part) - 1).bit_length()  # padded as in `among`, with what is found in no row twice
            values = "VALUES " + ",".join(["(?,?)"] * len(part) + ["(NULL,NULL)"] * (count - len(part)))
            found.extend(self.rows(sql.replace("??", values), tuple(itertools.chain.from_iterable(part))))
        return found

    def rows(self, sql: str, parameters: Row = ()) -> list[Any]:  # Any: rows of the driver
        """Run one hot query through the driver and return its rows as tuples; placeholders as in `many`."""
        cursor = self._driver.cursor()
        try:
            cursor.execute(sql if self.dialect == "sqlite" else sql.replace("?", "%s"), tuple(parameters))
            return list(cursor.fetchall())
        finally:
            cursor.close()


def _in_few_statements(cursor: Any, sql: str, rows: Sequence[Row]) -> None:  # Any: SQLite's cursor
    """Run a statement for many rows, several rows at once where it inserts them.

    Why: the driver gives the interpreter's lock away for each statement that it runs, and under load another thread
    takes it and keeps it for half a millisecond. `executemany` runs one for each row.
    """
    head, values, tail = sql.partition(" VALUES (")
    group, closed, tail = tail.partition(")")
    at_once = min(_ROWS_AT_ONCE, _PARAMETERS_MAX // max(1, len(rows[0])))
    if not values or "(" in group:
        cursor.executemany(sql, rows)
        return
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        groups = ", ".join([f"({group}{closed}"] * len(part))
        cursor.execute(f"{head}{values[:-1]}{groups}{tail}", list(itertools.chain.from_iterable(part)))


def upsert(
    tx: Tx,
    table: sqlalchemy.Table,
    rows: Sequence[Mapping[str, object]],
    *,
    keys: Sequence[str],
    update: Sequence[str],
) -> None:
    """Insert rows; where one with the same `keys` stands, set the `update` columns (none: leave it as it is)."""
    if rows:
        columns = tuple(rows[0])
        sql = _upsert_sql(table, columns, tuple(keys), tuple(update))
        tx.many(sql, [tuple(row[name] for name in columns) for row in rows])


def insert(tx: Tx, table: sqlalchemy.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows of the same columns through the driver, which costs a tenth of a statement of SQLAlchemy's."""
    if rows:
        columns = tuple(rows[0])
        tx.many(_insert_sql(table, columns), [tuple(row[name] for name in columns) for row in rows])


@functools.cache
def _insert_sql(table: sqlalchemy.Table, columns: tuple[str, ...]) -> str:
    # Both databases quote names alike.
    names = ", ".join(_QUOTE(table.c[each].name) for each in columns)
    return f"INSERT INTO {_QUOTE(table.name)} ({names}) VALUES ({', '.join('?' * len(columns))})"


@functools.cache
def _upsert_sql(
    table: sqlalchemy.Table, columns: tuple[str, ...], keys: tuple[str, ...], update: tuple[str, ...]
) -> str:
    change = ", ".join(f"{_QUOTE(each)} = excluded.{_QUOTE(each)}" for each in update)
    found = ", ".join(map(_QUOTE, keys))
    then = f"DO UPDATE SET {change}" if update else "DO NOTHING"
    return f"{_insert_sql(table, columns)} ON CONFLICT ({found}) {then}"


class Database:
    """A database that is open. `read` gives a snapshot; `write` gives the one writer's transaction."""

    def __init__(
        self,
        writer: Engine,
        reader: Engine,
        dialect: Dialect,
        path: pathlib.Path | None,
        mover: Engine | None = None,
        *,
        index: IndexFile | None = None,
    ) -> None:
        """Use `Database.open` instead."""
        self._writer = writer
        self._reader = reader
        self._mover = mover
        self._index = index
        self._moving = threading.Lock()  # SQLite refuses a second one at once, and does not wait
        self._is_moved_apart = False
        self._kept: Connection | None = None
        self._write_lock = threading.RLock() if dialect == "sqlite" else None
        self.dialect: Dialect = dialect
        self.path = path

    @staticmethod
    def open(
        url: str, *, durable: bool = True, schema: str | None = None, read_only: bool = False, index: bool = False
    ) -> "Database":
        """Open `sqlite:///FILE` or `postgresql://…`; `durable=False` gives up fsync and is for tests alone.

        `read_only` never asks for the writer's place, so a server on the same data is not held up for a moment.
        `index`: on SQLite, with the tables of `index_metadata`, in the file `index.db` beside it.

        Raises Unavailable when the server cannot be reached or the file cannot be opened.
        """
        if url.startswith("sqlite:///"):
            return _open_sqlite(url, durable=durable, read_only=read_only, has_index=index)
        return _open_postgresql(url, durable=durable, schema=schema, read_only=read_only)

    @staticmethod
    def open_beside(url: str) -> "Database":
        """Open for a process beside the one that holds the log: it reads, and writes the tables of `index_metadata` alone.

        On SQLite it never asks for the writer's place in the database, and neither makes the index's file nor throws it
        away: both is left to the holder. Raises Unavailable as `open`, and where the index's file is not there.
        """
        if url.startswith("sqlite:///"):
            return _open_sqlite(url, durable=True, read_only=True, has_index=True, is_beside=True)
        return _open_postgresql(url, durable=True, schema=None, read_only=False)

    @staticmethod
    def open_schema(url: str, schema: str) -> "Database":
        """Open a schema of its own in a PostgreSQL database, made where it is missing."""
        engine = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            connection.execute(sqlalchemy.schema.CreateSchema(schema, if_not_exists=True))
        engine.dispose()
        return Database.open(url, schema=schema)

    @staticmethod
    def drop_schema(url: str, schema: str) -> None:
        """Drop a schema of its own with everything in it; nothing may have it open."""
        engine = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            connection.execute(sqlalchemy.schema.DropSchema(schema, cascade=True, if_exists=True))
        engine.dispose()

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """Open a snapshot that sees one state of the database and cannot change it."""
        try:
            with self._reader.connect() as connection, connection.begin():
                yield Tx(connection, self.dialect)
        except (sqlite3.DatabaseError, sqlalchemy.exc.DatabaseError) as error:
            if self._index is not None and is_suspicious(error):
                self._index.suspect()
            raise

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        """Open the writer's transaction: committed when the block ends, rolled back when it raises.

        On SQLite there is one writer at a time in the process (the lock) and in the file (BEGIN IMMEDIATE).
        """
        if self._write_lock is None:
            with self._writer.connect() as connection, connection.begin():
                yield Tx(connection, self.dialect)
            return
        with self._write_lock:
            connection = self._keep()
            try:
                with connection.begin():
                    yield Tx(connection, self.dialect)
            except (sqlite3.Error, sqlalchemy.exc.DBAPIError):
                self._let_go(connection)
                raise

    def _keep(self) -> Connection:
        """Return the one connection of SQLite's writer; the lock is held.

        Why kept: taking it from a pool and giving it back costs a tenth of a small batch.
        """
        if self._kept is None:
            self._kept = self._writer.connect()
        return self._kept

    def _let_go(self, connection: Connection) -> None:
        """Close the writer's connection after an error of the database's; the next transaction opens another."""
        self._kept = None
        self._is_moved_apart = False
        connection.invalidate()
        connection.close()

    @contextlib.contextmanager
    def write_index(self) -> Iterator[Tx]:
        """Open a transaction on the tables of `index_metadata`, which can be made again: its commit waits for no disk.

        A crash may lose the newest of these transactions, each whole. On SQLite they have a file and a writer of their
        own, which keep nobody from `write`, and see no other table; elsewhere they are among the others (PostgreSQL's
        synchronous_commit=off, https://www.postgresql.org/docs/current/wal-async-commit.html).
        """
        if self._index is not None:
            with self._index.write() as connection:
                yield Tx(connection, self.dialect)
            return
        assert self.dialect == "postgresql", "opened with its index"
        with self._writer.connect() as connection, connection.begin():
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            connection.exec_driver_sql(_ONE_INDEXER)
            yield Tx(connection, self.dialect)

    def mend_index(self) -> bool:
        """Make the index's file anew, empty, where it went or somebody met damage in it; tell whether that was so."""
        if self._index is None or not self._index.mend():
            return False
        self._reader.dispose()  # who reads now goes on in the file that was; whoever comes next sees the new one
        return True

    def suspect_index(self) -> None:
        """Have `mend_index` look whether the index's file is whole: another process met trouble with it."""
        if self._index is not None:
            self._index.suspect()

    def empty_index(self) -> None:
        """Make all tables of `index_metadata` empty: they were made from another log."""
        if self._index is not None:
            self._index.make_anew()
            self._reader.dispose()
            return
        with self.write_index() as tx:
            for table in index_metadata.sorted_tables:
                tx.execute(sqlalchemy.delete(table))

    def move_log(self) -> None:
        """Move what was committed from SQLite's log of writes into its file, beside the writer, which goes on.

        Why: otherwise a commit in every few hundred does it and everybody waits for some ten milliseconds. A log that
        is written all the time is never moved whole; now and then the writer stands still for the last part, so that
        the log begins anew. PostgreSQL does this by itself. Source: https://sqlite.org/wal.html#avoiding_excessively_large_wal_files
        """
        if self._mover is None or self._write_lock is None:
            return
        with self._moving:
            if not self._is_moved_apart:
                with self._write_lock:
                    self._keep().connection.cursor().execute(f"PRAGMA wal_autocheckpoint={_MOVED_APART_PAGES}")
                self._is_moved_apart = True
            _, pages, _ = run_alone(self._mover, "PRAGMA wal_checkpoint(PASSIVE)")
            if pages > _BEGIN_ANEW_PAGES:
                with self._write_lock:
                    run_alone(self._mover, "PRAGMA wal_checkpoint(RESTART)")

    def forget_deleted(self) -> None:
        """Make sure that deleted rows can no longer be read from the disk: empty the WAL, or vacuum.

        Raises Unavailable when somebody reads for longer than a connection waits.
        """
        if self.dialect == "sqlite":
            with self._moving, self._write_lock or contextlib.nullcontext():
                is_kept = run_alone(self._writer, "PRAGMA wal_checkpoint(TRUNCATE)")[0]
            if not is_kept and self._index is not None:
                is_kept = not self._index.forget_deleted()
            if is_kept:
                raise Unavailable(
                    "database", 5, "A long read keeps what was deleted in the log of writes; ask once more."
                )
            return
        with self._writer.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(sqlalchemy.text("VACUUM"))

    def close(self) -> None:
        """Close every connection; the object must not be used afterwards."""
        self._reader.dispose()
        with self._write_lock or contextlib.nullcontext():  # whoever writes finishes first
            if self._kept is not None:
                self._kept.close()
                self._kept = None
        self._writer.dispose()
        if self._mover is not None:
            self._mover.dispose()
        if self._index is not None:
            self._index.close()


def _open_sqlite(url: str, *, durable: bool, read_only: bool, has_index: bool, is_beside: bool = False) -> Database:
    path = pathlib.Path(url.removeprefix("sqlite:///"))
    synchronous = "FULL" if durable else "OFF"
    build = functools.partial(build_engine, path, synchronous=synchronous)
    beside = path.with_name(INDEX_FILE)
    is_index_open = has_index and (is_beside or not read_only)
    index = IndexFile(beside, durable=durable, is_ours=not is_beside) if is_index_open else None
    attach = index.attach if index is not None else functools.partial(attach_to_look, beside)
    database = Database(
        build(begin=("BEGIN" if read_only else "BEGIN IMMEDIATE",), query_only=read_only, pool_size=1),
        build(begin=("BEGIN", SEE_INDEX), query_only=True, pool_size=4, prepare=attach)
        if has_index
        else build(begin=("BEGIN",), query_only=True, pool_size=4),
        "sqlite",
        path,
        None if read_only else build(begin=("BEGIN",), pool_size=1),
        index=index,
    )
    try:
        with database.write() as tx:
            tx.rows("SELECT count(*) FROM sqlite_master")
        path = beside
        if index is not None:
            index.open()
    except Unavailable:
        database.close()
        raise
    except (sqlite3.Error, sqlalchemy.exc.DBAPIError) as error:
        database.close()
        raise Unavailable("database", 5, f"cannot open {path}: {getattr(error, 'orig', error)}") from error
    return database


def _open_postgresql(url: str, *, durable: bool, schema: str | None, read_only: bool) -> Database:
    address = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
    options = f"-csynchronous_commit={'on' if durable else 'off'}" + (f" -csearch_path={schema}" if schema else "")

    def build(*, read_only: bool, pool_size: int) -> Engine:
        return sqlalchemy.create_engine(
            address,
            connect_args={"options": options + (" -cdefault_transaction_read_only=on" if read_only else "")},
            isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
            pool_size=pool_size,
            max_overflow=16,
            pool_pre_ping=True,
            hide_parameters=True,  # a row that could not be written stands in no error, and so in no log
        )

    database = Database(build(read_only=read_only, pool_size=4), build(read_only=True, pool_size=4), "postgresql", None)
    try:
        with database.read():
            pass
    except sqlalchemy.exc.DBAPIError as error:
        database.close()
        raise Unavailable("database", 5, f"cannot reach the PostgreSQL server: {error.orig}") from error
    return database
