"""Transactions behave the same on both databases."""

import pathlib
import threading

import pytest
import sqlalchemy

from koban.base import Unavailable
from koban.db import Database, insert, sum_halves, upsert, whole_sum

own = sqlalchemy.MetaData()  # apart from the house's tables, which other tests look at
things = sqlalchemy.Table(
    "test_things",
    own,
    sqlalchemy.Column("name", sqlalchemy.Text, primary_key=True),
    sqlalchemy.Column("size", sqlalchemy.BigInteger, nullable=False),
)


@pytest.fixture(autouse=True)
def table(request: pytest.FixtureRequest) -> None:
    if "database" in request.fixturenames:
        opened: Database = request.getfixturevalue("database")
        with opened.write() as tx:
            own.create_all(tx.connection)


def sizes(database: Database) -> list[tuple[str, int]]:
    with database.read() as tx:
        return [tuple(row) for row in tx.execute(sqlalchemy.select(things).order_by(things.c.name))]


def test_a_block_that_ends_commits_all_of_it(database: Database) -> None:
    with database.write() as tx:
        tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [("a", 1), ("b", 2)])
    assert sizes(database) == [("a", 1), ("b", 2)]


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as tx:  # noqa: PT012 - the block is what is tested
        tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [("a", 1)])
        raise RuntimeError
    assert sizes(database) == []


def test_a_savepoint_takes_back_only_its_own_block(database: Database) -> None:
    with database.write() as tx:
        tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [("a", 1)])
        with pytest.raises(RuntimeError), tx.savepoint():  # noqa: PT012 - the block is what is tested
            tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [("b", 2)])
            raise RuntimeError
        tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [("c", 3)])
    assert sizes(database) == [("a", 1), ("c", 3)]


def test_savepoints_inside_each_other_take_back_their_own(database: Database) -> None:
    with database.write() as tx:
        with tx.savepoint():
            insert(tx, things, [{"name": "a", "size": 1}])
            with pytest.raises(RuntimeError), tx.savepoint():  # noqa: PT012 - the block is what is tested
                insert(tx, things, [{"name": "b", "size": 2}])
                raise RuntimeError
            insert(tx, things, [{"size": 3, "name": "c"}, {"size": 4, "name": "d"}])
        with pytest.raises(RuntimeError), tx.savepoint():  # noqa: PT012 - the block is what is tested
            with tx.savepoint():
                insert(tx, things, [{"name": "e", "size": 5}])
            raise RuntimeError
    assert sizes(database) == [("a", 1), ("c", 3), ("d", 4)]


def test_upsert_updates_only_the_named_columns(database: Database) -> None:
    with database.write() as tx:
        upsert(tx, things, [{"name": "a", "size": 1}], keys=["name"], update=["size"])
        upsert(tx, things, [{"name": "a", "size": 2}, {"name": "b", "size": 3}], keys=["name"], update=["size"])
        upsert(tx, things, [{"name": "b", "size": 9}], keys=["name"], update=[])
    assert sizes(database) == [("a", 2), ("b", 3)]


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 100, 1_000])
def test_many_rows_are_written_as_if_one_after_the_other(database: Database, count: int) -> None:
    rows = [(f"id{number % 70}", number) for number in range(count)]
    with database.write() as tx:
        tx.many(
            "INSERT INTO test_things (name, size) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET size = excluded.size",
            rows,
        )
    with database.read() as tx:
        assert dict(tx.rows("SELECT name, size FROM test_things")) == dict(rows), "the last word on each counts"


def test_many_changes_and_computed_inserts_are_left_to_the_driver(database: Database) -> None:
    with database.write() as tx:
        tx.many("INSERT INTO test_things (name, size) VALUES (?, abs(?))", [("a", -1), ("b", -2)])
        tx.many("UPDATE test_things SET size = size + ? WHERE name = ?", [(10, "a"), (20, "b")])
        tx.many("DELETE FROM test_things WHERE name = ?", [("a",)])
        tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [])
    with database.read() as tx:
        assert tx.rows("SELECT name, size FROM test_things") == [("b", 22)]


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"), database.read() as tx:
        tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [("a", 1)])


def test_a_read_sees_one_state_while_a_writer_goes_on(database: Database) -> None:
    with database.read() as reader:
        before = reader.rows("SELECT count(*) FROM test_things")[0][0]
        with database.write() as tx:
            tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [("a", 1)])
        assert reader.rows("SELECT count(*) FROM test_things")[0][0] == before == 0


def test_a_database_that_cannot_be_opened_is_an_outage_with_its_name() -> None:
    with pytest.raises(Unavailable, match="cannot open"):
        Database.open("sqlite:////nowhere/at/all/koban.db")
    with pytest.raises(Unavailable, match="cannot reach"):
        Database.open("postgresql://koban@127.0.0.1:1/koban")


def many_pages(database: Database, first: int) -> None:
    with database.write() as tx:
        tx.many(
            "INSERT INTO test_things (name, size) VALUES (?, ?)",
            [(f"{first + number:09}" + "x" * 3_000, number) for number in range(2_000)],
        )


def test_the_log_of_writes_is_moved_beside_the_writer_and_begins_anew(tmp_path: pathlib.Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/koban.db", durable=False)
    with database.write() as tx:
        own.create_all(tx.connection)
    log = tmp_path / "koban.db-wal"
    database.move_log()
    before = (tmp_path / "koban.db").stat().st_size
    sizes = []
    for turn in range(30):  # 2,000 pages of 4 KiB and more each: far more than the log may hold
        many_pages(database, turn * 2_000)
        if turn == 4:
            assert (tmp_path / "koban.db").stat().st_size == before, "the writer leaves it to somebody else"
        if turn > 4:
            database.move_log()
        sizes.append(log.stat().st_size)
    assert (tmp_path / "koban.db").stat().st_size > 60_000 * 3_000
    assert sizes[-1] == sizes[-5], "a log that began anew does not grow"
    with database.read() as tx:
        assert tx.rows("SELECT count(*) FROM test_things")[0][0] == 60_000
    database.close()


def test_moving_the_log_is_in_nobodys_way(database: Database) -> None:
    over = threading.Event()
    failed: list[BaseException] = []

    def move() -> None:
        try:
            while not over.is_set():
                database.move_log()
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failed.append(error)

    mover = threading.Thread(target=move)
    mover.start()
    for turn in range(20):
        with database.write() as tx:
            tx.many("INSERT INTO test_things (name, size) VALUES (?, ?)", [(f"{turn}", turn)])
        database.forget_deleted()
    over.set()
    mover.join()
    assert failed == []
    assert len(sizes(database)) == 20


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [1, 2],
        [2**62, 2**62, 2**62, 2**62 - 1],
        [2**63 - 1] * 5,
        [-(2**63)] * 3 + [2**63 - 1],
        [2**32, 2**32 - 1, -(2**32), -1, -(2**32) - 1],
    ],
)
def test_a_sum_in_halves_is_exact_past_64_bits(database: Database, sizes: list[int]) -> None:
    with database.write() as tx:
        tx.many(
            "INSERT INTO test_things (name, size) VALUES (?, ?)", [(str(no), size) for no, size in enumerate(sizes)]
        )
        [(high, low)] = tx.rows(f"SELECT {sum_halves('size')} FROM test_things")
    assert whole_sum(high, low) == sum(sizes)
