"""The migrations make exactly the tables that the code knows, on both databases; foreign and newer data is refused."""

import pathlib
from collections.abc import Callable

import alembic.autogenerate
import alembic.migration
import pytest
import sqlalchemy

from koban.db import Database, DataForeign, DataTooNew, newest_revision, revision, upgrade
from koban.schema import INDEX_METADATA, METADATA


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> object:
    if request.param == "sqlite":
        opened = Database.open(f"sqlite:///{tmp_path}/koban.db", durable=False)
    else:
        opened = Database.open_schema(request.getfixturevalue("postgres_url"), f"m_{tmp_path.name[-30:].lower()}_x")
    yield opened
    opened.close()


def test_the_migrations_make_the_tables_that_the_code_knows(empty: Database) -> None:
    newest = newest_revision()
    assert upgrade(empty) == (None, newest)
    assert upgrade(empty) == (newest, newest)
    with empty.read() as tx:
        context = alembic.migration.MigrationContext.configure(tx.connection)
        differences = alembic.autogenerate.compare_metadata(context, known_to(empty))
    assert [each for each in differences if not _comment_only(each)] == []


def known_to(database: Database) -> sqlalchemy.MetaData:
    """Gather the tables that migrations make: on SQLite those of the index are made with their own file."""
    tables = sqlalchemy.MetaData()
    for each in (METADATA,) if database.dialect == "sqlite" else (METADATA, INDEX_METADATA):
        for table in each.sorted_tables:
            table.to_metadata(tables)
    return tables


def _comment_only(difference: object) -> bool:
    return "comment" in str(difference).split(",", 1)[0]


@pytest.mark.parametrize(
    ("prepare", "refusal"),
    [
        (lambda tx: tx.many("UPDATE alembic_version SET version_num = ?", [("9999",)]), DataTooNew),
        (lambda tx: tx.execute(sqlalchemy.text("DROP TABLE alembic_version")), DataForeign),
    ],
)
def test_data_of_another_release_or_of_somebody_else_is_refused_and_left_alone(
    empty: Database, prepare: Callable[[object], None], refusal: type[Exception]
) -> None:
    upgrade(empty)
    with empty.write() as tx:
        prepare(tx)
    before = revision(empty)
    with pytest.raises(refusal):
        upgrade(empty)
    assert revision(empty) == before
