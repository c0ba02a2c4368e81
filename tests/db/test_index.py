"""Tables that can be made again: a writer and, on SQLite, a file of their own, which is thrown away when it is no good."""

import contextlib
import os
import pathlib
import sqlite3
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy

from koban.base import Unavailable
from koban.db import Database, Tx
from koban.schema import INDEX_METADATA

INSERT = "INSERT INTO index_place (name, seq, log_at) VALUES (?, ?, ?)"
TABLES = {"account_acts", "account_links", "entry_subjects", "index_place"}


def fill(database: Database, *names: str) -> None:
    with database.write_index() as tx:
        tx.many(INSERT, [(name, 1, 1) for name in names])


def filled(database: Database) -> list[str]:
    with database.read() as tx:
        return [str(row[0]) for row in tx.rows("SELECT name FROM index_place ORDER BY name")]


@contextlib.contextmanager
def opened(folder: pathlib.Path, *, durable: bool = False, read_only: bool = False) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{folder}/koban.db", durable=durable, read_only=read_only, index=True)
    with contextlib.closing(database):
        yield database


def test_the_index_is_written_whole_or_not_at_all(database: Database) -> None:
    assert set(INDEX_METADATA.tables) == TABLES
    fill(database, "one")
    with pytest.raises(RuntimeError), database.write_index() as tx:  # noqa: PT012 - the block is what is tested
        tx.many(INSERT, [("two", 1, 1)])
        raise RuntimeError
    assert filled(database) == ["one"]
    database.empty_index()
    assert filled(database) == []
    fill(database, "three")
    assert filled(database) == ["three"]


def test_one_at_a_time_writes_to_the_index(database: Database) -> None:
    begun, over = threading.Event(), threading.Event()

    def add() -> None:
        with database.write_index() as tx:
            tx.many(INSERT, [("one", 1, 1)])
            begun.set()
            over.wait(60)

    adding = threading.Thread(target=add)
    adding.start()
    assert begun.wait(60)
    emptying = threading.Thread(target=database.empty_index)
    emptying.start()
    emptying.join(0.2)
    assert emptying.is_alive(), "it waits until what is being added is there"
    over.set()
    for each in (adding, emptying):
        each.join(60)
    assert filled(database) == []


def waits_for_the_disk(tx: Tx) -> bool:
    if tx.dialect == "sqlite":
        return int(tx.rows("PRAGMA synchronous")[0][0]) > 1
    return str(tx.rows("SHOW synchronous_commit")[0][0]) == "on"


def test_only_a_commit_of_the_index_does_not_wait_for_the_disk(
    tmp_path: pathlib.Path, database: Database, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "durable"
    folder.mkdir()
    url = f"sqlite:///{folder}/koban.db" if database.dialect == "sqlite" else request.getfixturevalue("postgres_url")
    with contextlib.closing(Database.open(url, index=True)) as durable:
        for _ in range(2):
            with durable.write() as tx:
                assert waits_for_the_disk(tx)
            with durable.write_index() as tx:
                assert not waits_for_the_disk(tx)
            with pytest.raises(RuntimeError), durable.write_index():
                raise RuntimeError


def test_the_two_writers_do_not_wait_for_each_other(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database:
        with database.write() as tx:
            tx.change("CREATE TABLE t (x)")
        with database.write_index() as beside:
            beside.many(INSERT, [("one", 1, 1)])
            with database.write() as tx:
                tx.change("INSERT INTO t VALUES (?)", (1,))
                assert filled(database) == [], "nobody sees what is not committed"
        assert filled(database) == ["one"]
        with pytest.raises(sqlite3.OperationalError, match="no such table"), database.write() as tx:
            tx.rows("SELECT * FROM index_place")


def test_a_snapshot_never_sees_an_index_ahead_of_the_log(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database:
        with database.write() as tx:
            tx.change("CREATE TABLE t (x)")
        with database.read() as reader:
            with database.write() as tx:
                tx.change("INSERT INTO t VALUES (?)", (1,))
            fill(database, "one")
            assert reader.rows("SELECT x FROM t") == [(1,)]
            assert reader.rows("SELECT * FROM index_place") == []
        assert filled(database) == ["one"]


def test_the_index_stays_from_one_start_to_the_next(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database:
        fill(database, "one")
    assert {each.name for each in tmp_path.iterdir()} == {"koban.db", "index.db"}
    with opened(tmp_path) as database:
        assert filled(database) == ["one"]
        with database.read() as tx:
            assert tx.table_names() == [], "in the other file there is none of it"


def _garbage(path: pathlib.Path) -> None:
    path.write_bytes(b"no database at all" * 1_000)


def _cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def _with_other_tables(path: pathlib.Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE index_place ADD COLUMN more INTEGER")
        connection.execute("PRAGMA user_version=7")
        connection.commit()


def _empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


SPOILT = [pathlib.Path.unlink, _garbage, _cut, _with_other_tables, _empty]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_file_that_is_no_good_is_thrown_away(tmp_path: pathlib.Path, spoil: Callable[[pathlib.Path], None]) -> None:
    with opened(tmp_path) as database:
        fill(database, "one")
    spoil(tmp_path / "index.db")
    with opened(tmp_path) as database:
        assert filled(database) == []
        fill(database, "two")
    with opened(tmp_path) as database:
        assert filled(database) == ["two"]


def test_the_log_of_a_file_that_went_is_not_taken_for_that_of_the_next(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database:
        fill(database, "one")
        left = (tmp_path / "index.db-wal").read_bytes()
    (tmp_path / "index.db").unlink()
    (tmp_path / "index.db-wal").write_bytes(left)
    with opened(tmp_path) as database:
        fill(database, "two")
        assert "two" in filled(database)
    with opened(tmp_path) as database, database.read() as tx:
        assert tx.rows("PRAGMA remade.integrity_check") == [("ok",)]


@pytest.mark.parametrize("spoil", SPOILT)
def test_who_only_looks_sees_an_empty_index_and_changes_nothing(
    tmp_path: pathlib.Path, spoil: Callable[[pathlib.Path], None]
) -> None:
    with opened(tmp_path) as database:
        fill(database, "one")
    with opened(tmp_path, read_only=True) as database:
        assert filled(database) == ["one"]
    spoil(tmp_path / "index.db")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.name.startswith("index")}
    with opened(tmp_path, read_only=True) as database:
        assert filled(database) == []
        with database.read() as tx:
            assert tx.rows("SELECT count(*) FROM entry_subjects JOIN account_links USING (subject)") == [(0,)]
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.name.startswith("index")} == before


def test_damage_that_a_reader_meets_is_mended_and_others_go_on(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database:
        fill(database, *(f"{number:05}" + "x" * 200 for number in range(2_000)))
    whole = (tmp_path / "index.db").read_bytes()
    with opened(tmp_path) as database:
        assert not database.mend_index()
        (tmp_path / "index.db").write_bytes(whole[:8_192] + b"\xff" * (len(whole) - 8_192))
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            filled(database)
        with database.write() as tx:
            tx.change("CREATE TABLE t (x)")
        with database.read() as reader:
            assert database.mend_index()
            assert reader.rows("SELECT count(*) FROM t") == [(0,)], "who reads goes on"
        assert filled(database) == []
        fill(database, "one")
        assert not database.mend_index()
        assert filled(database) == ["one"]


@pytest.mark.parametrize("is_open", [True, False])
def test_damage_that_the_writer_does_not_see_is_mended(tmp_path: pathlib.Path, is_open: bool) -> None:  # noqa: FBT001
    with opened(tmp_path) as database:
        fill(database, "one")
        if is_open:
            assert filled(database) == ["one"]
        database.forget_deleted()  # all of it stands in the file
        os.truncate(tmp_path / "index.db", 0)
        with pytest.raises(
            (sqlalchemy.exc.DatabaseError, sqlite3.DatabaseError), match=r"not a database|no such table"
        ):
            filled(database)
        assert database.mend_index()
        assert filled(database) == []
        fill(database, "two")
        assert filled(database) == ["two"]


def test_damage_of_the_other_file_is_not_the_indexs(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database:
        fill(database, "one")
        with database.write() as tx:
            tx.change("CREATE TABLE t (x)")
            tx.many("INSERT INTO t VALUES (?)", [("x" * 3_000,) for _ in range(100)])
    whole = (tmp_path / "koban.db").read_bytes()
    (tmp_path / "koban.db").write_bytes(whole[:4_096] + b"\xff" * (len(whole) - 4_096))
    with opened(tmp_path) as database:
        with pytest.raises(sqlite3.DatabaseError, match="malformed"), database.read() as tx:
            tx.rows("SELECT * FROM t")
        assert not database.mend_index()
        assert filled(database) == ["one"]


def test_a_file_that_somebody_deleted_is_made_anew_while_the_server_runs(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database:
        fill(database, "one")
        with database.read() as reader:
            assert len(reader.rows("SELECT * FROM index_place")) == 1
            (tmp_path / "index.db").unlink()
            assert database.mend_index()
            assert len(reader.rows("SELECT * FROM index_place")) == 1
        assert filled(database) == []
        fill(database, "two")
    with opened(tmp_path) as database:
        assert filled(database) == ["two"]


def test_readers_of_a_file_that_went_leave_the_next_one_alone(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database, opened(tmp_path, read_only=True) as other:
        fill(database, "one")
        assert filled(other) == ["one"]
        database.empty_index()
        fill(database, "two")
        assert filled(other) == ["one"], "another process looks at what it opened"
        other.close()
        assert filled(database) == ["two"]
    with opened(tmp_path) as database:
        assert filled(database) == ["two"]


def test_an_index_that_cannot_be_opened_is_an_outage_with_its_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "index.db").mkdir()
    with pytest.raises(Unavailable, match=r"cannot open .*index\.db"), opened(tmp_path):
        pass


def test_what_left_the_index_is_gone_from_its_log_of_writes(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as database:
        fill(database, "a-name-to-forget")
        with database.write_index() as tx:
            tx.execute(sqlalchemy.delete(INDEX_METADATA.tables["index_place"]))
        assert b"a-name-to-forget" in (tmp_path / "index.db-wal").read_bytes()
        database.forget_deleted()
        assert not any(b"a-name-to-forget" in each.read_bytes() for each in tmp_path.iterdir())


def test_without_the_index_there_are_no_such_tables_and_no_file(tmp_path: pathlib.Path) -> None:
    with contextlib.closing(Database.open(f"sqlite:///{tmp_path}/koban.db", durable=False)) as database:
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            filled(database)
        assert not database.mend_index()
    assert [each.name for each in tmp_path.iterdir()] == ["koban.db"]
