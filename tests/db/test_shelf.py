"""The databases that tests are given: one that was put back is as good as new, or nobody gets it again."""

import pathlib

import psycopg
import pytest
import sqlalchemy
from tests.conftest import fresh_database
from tests.postgres import Shelf, shelf

from koban.db import Database, index_metadata, metadata


def open_numbers(database: Database) -> None:
    own = sqlalchemy.MetaData()
    sqlalchemy.Table("numbers", own, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))
    with database.write() as tx:
        own.create_all(tx.connection)


def add(url: str) -> int:
    """Add a number and return it."""
    return int(str(run(url, "INSERT INTO numbers DEFAULT VALUES RETURNING id")))


def run(url: str, sql: str) -> object:
    database = Database.open(url, durable=False)
    try:
        with database.write() as tx:
            return tx.execute(sqlalchemy.text(sql)).scalar() if "RETURNING" in sql else tx.change(sql)
    finally:
        database.close()


def given(one: Shelf) -> str:
    with one.take() as url:
        return url


def test_rows_are_gone_and_numbers_begin_anew(postgres_url: str) -> None:
    with shelf(postgres_url, open_numbers) as numbers:
        with numbers.take() as first:
            assert [add(first), add(first)] == [1, 2]
        with numbers.take() as again:
            assert again == first
            assert add(again) == 1


def test_a_number_that_was_taken_back_is_given_again(postgres_url: str) -> None:
    with shelf(postgres_url, open_numbers) as numbers:
        with numbers.take() as first:
            database = Database.open(first, durable=False)
            with pytest.raises(psycopg.errors.DivisionByZero), database.write() as tx:
                tx.rows("INSERT INTO numbers DEFAULT VALUES RETURNING 1 / (id - 1)")
            database.close()
        with numbers.take() as again:
            assert (again == first, add(again)) == (True, 1)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (id integer)",
        "CREATE INDEX more ON numbers (id)",
        "ALTER TABLE numbers ADD COLUMN more integer",
        "ALTER TABLE numbers ALTER COLUMN id TYPE bigint",
        "ALTER TABLE numbers ADD CHECK (id < 3)",
        "ALTER TABLE numbers DROP CONSTRAINT numbers_pkey",
        "CREATE SCHEMA more",
        "DROP TABLE numbers",
    ],
)
def test_one_whose_tables_were_changed_is_given_to_nobody_else(postgres_url: str, change: str) -> None:
    with shelf(postgres_url, open_numbers) as numbers:
        with numbers.take() as first:
            run(first, change)
        assert given(numbers) != first


def test_one_that_a_failing_test_left_is_given_to_nobody_else(postgres_url: str) -> None:
    with shelf(postgres_url, open_numbers) as numbers:
        with pytest.raises(ZeroDivisionError), numbers.take() as first:
            raise ZeroDivisionError
        assert given(numbers) != first


def test_two_at_once_are_two(postgres_url: str) -> None:
    with shelf(postgres_url, open_numbers) as numbers, numbers.take() as one, numbers.take() as other:
        assert one != other


def test_who_is_still_connected_holds_nothing_up(postgres_url: str) -> None:
    with shelf(postgres_url, open_numbers) as numbers:
        with numbers.take() as first:
            forgotten = sqlalchemy.create_engine(sqlalchemy.make_url(first).set(drivername="postgresql+psycopg"))
            connection = forgotten.connect()
            connection.execute(sqlalchemy.text("INSERT INTO numbers DEFAULT VALUES"))
        with numbers.take() as again:
            assert (again == first, add(again)) == (True, 1)
        connection.invalidate()
        forgotten.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_table_is_there_and_empty(request: pytest.FixtureRequest, kind: str, tmp_path: pathlib.Path) -> None:
    with fresh_database(request, kind, tmp_path) as database, database.read() as tx:
        beside = set(index_metadata.tables)  # on SQLite in a file of its own
        assert set(tx.table_names()) | beside == {*metadata.tables, *beside}
        assert {name for name in {*tx.table_names(), *beside} if tx.rows(f'SELECT 1 FROM "{name}" LIMIT 1')} == set()
