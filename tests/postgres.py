"""Empty PostgreSQL databases for tests: each is given out many times, made empty by leaving no row behind.

Why not a database or a schema for each test: making a hundred tables costs half a second, emptying those that were
written to costs a hundredth. A test that changed the tables themselves leaves a database that nobody is given again.
"""

import contextlib
import dataclasses
import os
import random
from collections.abc import Callable, Iterator
from typing import Final

import sqlalchemy

from koban.db import Database

_KEPT: Final = "alembic_version"
_SHAPE: Final = """
SELECT md5(string_agg(one, '|' ORDER BY one)) FROM (
  SELECT concat_ws(' ', 'relation', oid, relname, relkind, relnatts, relchecks, relhastriggers, relrowsecurity) AS one
  FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION ALL
  SELECT concat_ws(' ', 'column', attrelid, attname, atttypid, attnotnull, atthasdef, attisdropped)
  FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
  WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
  UNION ALL
  SELECT concat_ws(' ', 'constraint', oid, conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', 'function', oid, proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', 'trigger', oid, tgname) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT concat_ws(' ', 'schema', oid, nspname) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
  UNION ALL SELECT concat_ws(' ', 'setting', setrole, setconfig) FROM pg_db_role_setting
) AS shape
"""
_WRITTEN: Final = f"""
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> '{_KEPT}' AND pg_relation_size(oid) > 0
"""
_COUNTERS: Final = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences
WHERE last_value IS NOT NULL
"""
_ALONE: Final = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@contextlib.contextmanager
def copied(server_url: str, template: str = "template1") -> Iterator[str]:
    """Make a database as a copy of another, give its address and drop it afterwards."""
    name = f"t_{os.getpid()}_{random.getrandbits(40):x}"
    with _session(server_url) as session:
        session.execute(sqlalchemy.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        yield _address(server_url, name)
    finally:
        with _session(server_url) as session:
            session.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))


@dataclasses.dataclass(kw_only=True)
class Shelf:
    """Databases with the same tables and nothing in them, taken and put back by one test process."""

    server_url: str
    fill: Callable[[Database], object]  # makes the tables
    stack: contextlib.ExitStack
    shape: str = ""
    free: list[str] = dataclasses.field(default_factory=list)
    template: str = ""

    @contextlib.contextmanager
    def take(self) -> Iterator[str]:
        """Give the address of an empty database that nobody else is given until the block ends."""
        url = self.free.pop() if self.free else self._another()
        yield url  # where the block raised, the database is dropped with the rest at the end
        with _session(url) as session:
            session.execute(sqlalchemy.text(_ALONE))
            if session.execute(sqlalchemy.text(_SHAPE)).scalar_one() != self.shape:
                return
            names = session.execute(sqlalchemy.text(_WRITTEN)).scalars().all()
            if names:
                session.execute(sqlalchemy.text(f"TRUNCATE {', '.join(names)} CASCADE"))
            session.execute(sqlalchemy.text(_COUNTERS))
        self.free.append(url)

    def _another(self) -> str:
        if not self.template:
            url = self.stack.enter_context(copied(self.server_url))
            database = Database.open(url, durable=False)
            self.fill(database)
            database.close()  # PostgreSQL copies only what nobody has open
            with _session(url) as session:
                assert not session.execute(sqlalchemy.text(_WRITTEN)).scalars().all(), "rows made with the tables"
            self.template = str(sqlalchemy.make_url(url).database)
        url = self.stack.enter_context(copied(self.server_url, self.template))
        with _session(url) as session:
            shape = session.execute(sqlalchemy.text(_SHAPE)).scalar_one()
        assert self.shape in {"", shape}, "a copy has the numbers of what it was copied from"
        self.shape = shape
        return url


@contextlib.contextmanager
def shelf(server_url: str, fill: Callable[[Database], object]) -> Iterator[Shelf]:
    """Open a shelf of databases whose tables `fill` makes, and drop them at the end."""
    with contextlib.ExitStack() as stack:
        yield Shelf(server_url=server_url, fill=fill, stack=stack)


@contextlib.contextmanager
def _session(url: str) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(
        sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        poolclass=sqlalchemy.NullPool,
    )
    with engine.connect() as connection:
        yield connection


def _address(server_url: str, name: str) -> str:
    address = sqlalchemy.make_url(server_url).set(drivername="postgresql", database=name)
    return address.render_as_string(hide_password=False)
