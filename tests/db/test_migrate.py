"""The migrations make exactly the tables that the code knows, on both databases; foreign and newer data is refused."""

import contextlib
import pathlib
import subprocess
import sys
from collections.abc import Callable

import alembic.autogenerate
import alembic.command
import alembic.migration
import pytest
import sqlalchemy

from koban.db import Database, DataForeign, DataTooNew, migrate, newest_revision, revision, upgrade
from koban.events.store import find_known
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


def test_the_schema_names_every_table_by_itself(tmp_path: pathlib.Path) -> None:
    """Whatever else is imported: a backup copies the tables that it names, and an installation may import little."""
    ask = "import koban.schema as s; print(*s.METADATA.tables, *s.INDEX_METADATA.tables)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60).stdout
    with contextlib.closing(Database.open(f"sqlite:///{tmp_path}/koban.db", durable=False)) as database:
        upgrade(database)
        with database.read() as tx:
            made = {*tx.table_names(), *INDEX_METADATA.tables} - {"alembic_version"}
    assert set(told.split()) == made


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


ENTRY = (
    "INSERT INTO log_entries (seq, log_at, received_at, kind, type, source, event_id, event_key, event_at, data, flags)"
    " VALUES (?, ?, 1, 'event', 't', 's', ?, NULL, 1, '{}', 0)"
)


def test_the_log_is_kept_when_its_hashes_go_and_an_event_stands_once_by_its_id_and_source(empty: Database) -> None:
    config, _ = migrate._scripts()
    with empty.write() as tx:
        config.attributes["connection"] = tx.connection
        alembic.command.upgrade(config, "0031")
    with empty.write() as tx:
        tx.many(ENTRY, [(seq, 10 * seq, f"e{seq}") for seq in range(1, 1_001)])
    upgrade(empty)
    with empty.read() as tx:
        rows = tx.rows("SELECT seq, log_at, source, event_id, data, flags FROM log_entries ORDER BY seq")
        assert rows == [(seq, 10 * seq, "s", f"e{seq}", "{}", 0) for seq in range(1, 1_001)]
        asked = {b"k": ("s", "e7"), b"l": ("s", "e7000"), b"m": ("other", "e7")}
        assert list(find_known(tx, asked).values()) == [(7, None)]
    again = ENTRY.replace("event_key, ", "").replace("NULL, ", "")
    with empty.write() as tx:
        tx.many(again.replace("'s'", "'other'"), [(2_001, 1, "e7")])
    with pytest.raises(Exception, match=r"(?i)unique"), empty.write() as tx:
        tx.many(again, [(2_002, 1, "e7")])


@pytest.mark.parametrize(("followed", "kept"), [(2, [("finding", 2, 20)]), (9, []), (None, [])])
def test_the_index_keeps_its_place_on_postgresql_and_leaves_the_file_on_sqlite(
    empty: Database, followed: int | None, kept: list[tuple[object, ...]]
) -> None:
    config, _ = migrate._scripts()
    with empty.write() as tx:
        config.attributes["connection"] = tx.connection
        alembic.command.upgrade(config, "0030")
    with empty.write() as tx:
        tx.many(ENTRY, [(1, 10, "e1"), (2, 20, "e2")])
        tx.change("INSERT INTO entry_subjects (kind, subject, seq) VALUES ('account', 'a', 2)")
        tx.change(
            "INSERT INTO account_links (account, kind, subject, times, first_at, last_at, last_seq)"
            " VALUES ('a', 'device', 'd', 1, 20, 20, 2)"
        )
        if followed is not None:
            tx.change("INSERT INTO log_state (name, value) VALUES ('finding_seq', ?)", (followed,))
    upgrade(empty)
    with empty.read() as tx:
        assert tx.rows("SELECT name FROM log_state WHERE name = 'finding_seq'") == []
        if empty.dialect == "sqlite":
            assert set(INDEX_METADATA.tables).isdisjoint(tx.table_names())
            return
        assert tx.rows("SELECT name, seq, log_at FROM index_place") == kept
        counts = [tx.rows(f"SELECT count(*) FROM {each}")[0][0] for each in ("entry_subjects", "account_links")]
    assert counts == ([1, 1] if kept else [0, 0]), "rows without a place would be counted twice"


@pytest.mark.parametrize(("place", "acts"), [(20, [("a", 10), ("b", 20)]), (None, [])])
def test_who_did_what_is_in_the_index_as_far_as_that_is_made(
    empty: Database, place: int | None, acts: list[tuple[object, ...]]
) -> None:
    config, _ = migrate._scripts()
    with empty.write() as tx:
        config.attributes["connection"] = tx.connection
        alembic.command.upgrade(config, "0031")
    with empty.write() as tx:
        tx.many(
            "INSERT INTO decisions (seq, log_at, type, verdict, acting, took_us, body, inputs)"
            " VALUES (?, 1, 't', 'allow', ?, 1, '', '')",
            [(10, "a"), (11, None), (20, "b"), (21, "a")],
        )
        if place is not None and empty.dialect == "postgresql":
            tx.change("INSERT INTO index_place (name, seq, log_at) VALUES ('finding', ?, 1)", (place,))
    upgrade(empty)
    with empty.read() as tx:
        if empty.dialect == "sqlite":
            assert set(INDEX_METADATA.tables).isdisjoint(tx.table_names())
            assert tx.rows("SELECT name FROM sqlite_master WHERE tbl_name = 'decisions' AND name LIKE '%acting%'") == []
        else:
            assert tx.rows("SELECT account, seq FROM account_acts ORDER BY seq") == acts


def test_places_become_row_numbers_and_nothing_else_changes(empty: Database) -> None:
    config, _ = migrate._scripts()
    places = (1, 7, (3 << 40) + 2)
    with empty.write() as tx:
        config.attributes["connection"] = tx.connection
        alembic.command.upgrade(config, "0035")
    with empty.write() as tx:
        tx.many(ENTRY.replace("event_key, ", "").replace("NULL, ", ""), [(seq, seq, f"e{seq}") for seq in places])
        tx.many(
            "INSERT INTO decisions (seq, log_at, type, verdict, acting, took_us, body, inputs)"
            " VALUES (?, 1, 't', ?, 'a', 1, '{}', '')",
            list(zip(places, ("allow", "block", "hold"), strict=True)),
        )
    upgrade(empty)
    with empty.read() as tx:
        assert [row[0] for row in tx.rows("SELECT seq FROM log_entries ORDER BY seq")] == list(places)
        assert tx.rows("SELECT seq, verdict FROM decisions WHERE verdict <> 'allow' ORDER BY seq") == [
            (7, "block"), (places[2], "hold")
        ]  # fmt: skip
        if empty.dialect == "sqlite":
            own = "SELECT name FROM sqlite_master WHERE tbl_name IN ('log_entries', 'decisions') AND type = 'index'"
            assert {name for (name,) in tx.rows(own)} == {
                "log_entries_type",
                "log_entries_once",
                "decisions_not_allowed",
            }
            partial = tx.rows("SELECT sql FROM sqlite_master WHERE name = 'decisions_not_allowed'")[0][0]
            assert "WHERE verdict <> 'allow'" in partial
            assert tx.rows("SELECT rowid FROM decisions ORDER BY seq") == [(seq,) for seq in places]
