"""SQLite's file of its own for tables that can be made again from the log: `index.db`, which readers attach.

Whatever is wrong with the file, it is thrown away and an empty one takes its place; who fills it begins anew then. Why a
file of its own: SQLite lets one transaction write to a file at a time, and the decider must not wait for an index.
"""

import contextlib
import pathlib
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import Connection, Engine

from koban.base import Unavailable
from koban.db.sqlite import build_engine, run_alone

INDEX_FILE: Final = "index.db"
# A snapshot sees the index as of its beginning, and the rest as of its first look: never an index ahead of its log.
SEE_INDEX: Final = "SELECT 1 FROM remade.sqlite_master LIMIT 1"
_CACHE_KIB: Final = 16_384  # of the index, in each connection that reads
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

index_metadata: Final = sqlalchemy.MetaData()
"""Tables that can be made again from the log. On PostgreSQL they are among the others, and migrated with them."""


class IndexFile:
    """The file while it is open: one writer, and readers that attach it."""

    def __init__(self, path: pathlib.Path, *, durable: bool, is_ours: bool = True) -> None:
        """Call `open` before anything else. Not even a durable one waits for the disk with each commit.

        `is_ours=False`: another process makes the file and throws it away; this one only goes with it.
        """
        self._path = path
        self._is_ours = is_ours
        self._synchronous = "NORMAL" if durable else "OFF"
        self._writing = threading.RLock()
        self._replacing = threading.Lock()  # nobody attaches a file that is half thrown away
        self._engine: Engine | None = None
        self._number = 0  # of the file on its disk: another one there is not the one that is open
        self._is_suspect = False

    def open(self) -> None:
        """Open the file; one that is damaged or holds other tables than this release's is thrown away.

        Raises sqlite3.Error, sqlalchemy.exc.DBAPIError; Unavailable where another process makes the file and has not yet.
        """
        with self._writing, self._replacing:
            if not self._is_ours:
                self._join()
                return
            try:
                fits = self._open()
            except (sqlite3.DatabaseError, sqlalchemy.exc.DatabaseError) as error:
                if not is_damage(error):
                    raise
                fits = False
            if not fits:
                self._throw_away()
                self._open()

    def attach(self, connection: Any) -> None:  # Any: sqlite3.Connection behind SQLAlchemy's type
        """Let a reader's connection see the tables; a name that its own file does not have is looked for there."""
        with self._replacing:
            connection.execute("ATTACH DATABASE ? AS remade", (str(self._path),))
            connection.execute(f"PRAGMA remade.cache_size=-{_CACHE_KIB}")

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the writer's transaction."""
        with self._writing:
            assert self._engine is not None, "opened"
            try:
                with self._engine.connect() as connection, connection.begin():
                    yield connection
            except (sqlite3.DatabaseError, sqlalchemy.exc.DatabaseError) as error:
                self._is_suspect = self._is_suspect or is_suspicious(error)
                raise

    def suspect(self) -> None:
        """Note that somebody met damage, here or in the file beside it."""
        self._is_suspect = True

    def mend(self) -> bool:
        """Make the file anew if it is not there any more, or if it is suspected and rightly; tell whether that was so.

        Where another process makes it: open the one that took its place. Raises Unavailable as `open`.
        """
        with self._writing:
            if not self._is_ours:
                if self._is_there():
                    return False
                self.open()
                return True
            if self._is_there() and not (self._is_suspect and self._is_damaged()):
                self._is_suspect = False
                return False
            self.make_anew()
            return True

    def make_anew(self) -> None:
        """Put an empty file in the place of this one; who reads it goes on with what it was."""
        with self._writing, self._replacing:
            self._throw_away()
            self._open()
            self._is_suspect = False

    def forget_deleted(self) -> bool:
        """Empty the log of writes, so that deleted rows cannot be read from it; tell whether nobody was in the way."""
        with self._writing:
            assert self._engine is not None, "opened"
            return not run_alone(self._engine, "PRAGMA wal_checkpoint(TRUNCATE)")[0]

    def close(self) -> None:
        """Close the writer."""
        if self._engine is not None:
            self._engine.dispose()

    def _join(self) -> None:
        self.close()
        if not self._path.is_file():
            raise Unavailable("index", 1, f"{self._path.name} is not there.")
        number = self._path.stat().st_ino
        if not self._open():
            raise Unavailable("index", 1, f"{self._path.name} is of another release.")
        # Why the number from before: a file that took its place meanwhile is another one then, and is opened next.
        self._number = number

    def _open(self) -> bool:
        """Open what is there, or make it; tell whether it holds the tables of this release."""
        self._engine = build_engine(self._path, begin=("BEGIN IMMEDIATE",), synchronous=self._synchronous, pool_size=1)
        with self._engine.connect() as connection, connection.begin():
            if self._is_ours and connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one() == 0:
                index_metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version={_version()}")
            self._number = self._path.stat().st_ino
            return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one()) == _version()

    def _throw_away(self) -> None:
        # Readers that still have it open keep it, and SQLite touches nothing under a name that now stands for another
        # file (https://sqlite.org/c3ref/c_fcntl_begin_atomic_write.html#sqlitefcntlhasmoved).
        if self._engine is not None:
            self._engine.dispose()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _is_there(self) -> bool:
        try:
            return self._path.stat().st_ino == self._number
        except FileNotFoundError:
            return False

    def _is_damaged(self) -> bool:
        # Why a connection of its own: the writer's answers from pages that it keeps, whatever became of them on the disk.
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=10.0)) as fresh:
                is_whole = fresh.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
                return not is_whole or int(fresh.execute("PRAGMA user_version").fetchone()[0]) != _version()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return True


def attach_to_look(path: pathlib.Path, connection: Any) -> None:  # Any: sqlite3.Connection behind SQLAlchemy's type
    """Let a connection that only looks see the tables; where no file fits, empty ones. Nothing is made on the disk."""
    if path.is_file() and _attaches(path, connection):
        return
    connection.execute("ATTACH DATABASE ':memory:' AS remade")
    for table in index_metadata.sorted_tables:
        there = table.to_metadata(sqlalchemy.MetaData(), schema="remade")
        connection.execute(str(sqlalchemy.schema.CreateTable(there).compile(dialect=sqlite_dialect.dialect())))


def _attaches(path: pathlib.Path, connection: Any) -> bool:  # Any: as above
    try:
        connection.execute("ATTACH DATABASE ? AS remade", (str(path),))
    except sqlite3.DatabaseError:
        return False
    try:
        fits = int(connection.execute("PRAGMA remade.user_version").fetchall()[0][0]) == _version()
    except sqlite3.DatabaseError:
        fits = False
    if not fits:
        connection.execute("DETACH DATABASE remade")
    return fits


def is_damage(error: BaseException) -> bool:
    """Tell whether SQLite says that a file is damaged, or is none of its own."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
    return int(code) & 0xFF in _DAMAGED


def is_suspicious(error: BaseException) -> bool:
    """Tell whether an error may come from a damaged file: one that was cut to nothing is an empty database to SQLite."""
    return is_damage(error) or "no such table" in str(error)


def _version() -> int:
    """Return a number that stands for the tables: with other columns or indexes it is another one."""
    made: list[sqlalchemy.schema.ExecutableDDLElement] = []
    for table in index_metadata.sorted_tables:
        made.append(sqlalchemy.schema.CreateTable(table))
        made += [sqlalchemy.schema.CreateIndex(one) for one in sorted(table.indexes, key=lambda one: str(one.name))]
    dialect = sqlite_dialect.dialect()
    return zlib.crc32("\n".join(str(each.compile(dialect=dialect)) for each in made).encode()) & 0x7FFF_FFFF
