"""Engines over a file of SQLite's: pragmas, how a transaction begins, a pragma outside any."""

import pathlib
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy
from sqlalchemy.engine import Connection, Engine

# The driver looks for an adapter of bytes and of nothing, too, each time that it binds them, and asks the value itself
# for one: 0.2 to 1 µs. With one that gives the value back as it is, the search ends at once.
_nothing: Final[Callable[[None], None]] = dict[None, None]().get
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), _nothing)

_PREPARED: Final = 512  # statements that a connection of SQLite's keeps
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
    "PRAGMA secure_delete=ON",  # erasure: a deleted key must not linger in a free page
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA wal_autocheckpoint=4000",
)


def build_engine(
    path: pathlib.Path,
    *,
    begin: tuple[str, ...],
    synchronous: str,
    pool_size: int,
    query_only: bool = False,
    prepare: Callable[[Any], None] = lambda _connection: None,  # Any: sqlite3.Connection behind SQLAlchemy's type
) -> Engine:
    """Return an engine over a file; `begin`: what begins a transaction; `prepare` sees each new connection."""
    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}",
        connect_args={"check_same_thread": False, "timeout": 10.0, "cached_statements": _PREPARED},
        pool_size=pool_size,
        max_overflow=8,
        pool_reset_on_return=None,  # each transaction ends itself, also when it raises
        hide_parameters=True,  # a row that could not be written stands in no error, and so in no log
    )

    @sqlalchemy.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # Any: sqlite3.Connection behind SQLAlchemy's type
        connection.isolation_level = None
        for pragma in (*_PRAGMAS, f"PRAGMA synchronous={synchronous}"):
            connection.execute(pragma)
        prepare(connection)
        if query_only:
            connection.execute("PRAGMA query_only=ON")

    @sqlalchemy.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        cursor = connection.connection.cursor()  # past SQLAlchemy, which takes ten times as long
        try:
            for statement in begin:
                cursor.execute(statement).fetchall()
        except sqlite3.Error as error:
            if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]  # sqlite3's own
                cursor.execute("ROLLBACK")
            raise sqlalchemy.exc.OperationalError("; ".join(begin), None, error) from error

    return engine


def run_alone(engine: Engine, pragma: str) -> tuple[Any, ...]:  # Any: a row of the driver
    """Run a pragma outside any transaction and return its first row."""
    raw = engine.raw_connection()
    try:
        found: tuple[Any, ...] = raw.cursor().execute(pragma).fetchone()
        return found
    finally:
        raw.close()
