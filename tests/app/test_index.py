"""The index of finding is made from the log, again where it went, and never belongs to another log."""

import contextlib
import dataclasses
import json
import pathlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from tests.app.conftest import MakeSite, Site

from koban.app.archiving import run_archive
from koban.app.backup import restore, take_backup
from koban.app.running import open_desk
from koban.base import DAY, Instant, ManualClock
from koban.db import Database
from koban.decisions import acts_store
from koban.events import decode
from koban.events.routes import Decided
from koban.finding import IndexLag, fit_index, follow, forget_gone, index_lag, neighbourhood, span_of
from koban.pipeline.desk import Desk
from koban.subscriptions import _forget_found
from koban.vault import Vault

Rows = list[tuple[object, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quiet:
    """A Koban that decides and does nothing by itself: no job follows the log meanwhile."""

    database: Database
    vault: Vault
    desk: Desk
    clock: ManualClock


@contextlib.contextmanager
def quiet(site: Site) -> Iterator[Quiet]:
    with open_desk(site.settings, site.clock, random.Random(3), site.secrets, durable=False) as (database, vault, desk):
        yield Quiet(database=database, vault=vault, desk=desk, clock=site.clock)


def follow_all(koban: Quiet) -> None:
    assert koban.desk.archive is not None
    while follow(koban.database, koban.desk.memory.compiled.pack.events, koban.desk.archive.next_entries):
        pass


def rows(database: Database, table: str, columns: str = "*") -> Rows:
    with database.read() as tx:
        return sorted(tuple(row) for row in tx.rows(f"SELECT {columns} FROM {table}"))


def content(database: Database) -> dict[str, Rows]:
    tables = ("account_acts", "account_links", "entry_subjects", "index_place")
    return {table: rows(database, table) for table in tables}


def use(koban: Quiet, site: Site, sender: str, device: str, *, number: int, code: str = "") -> None:
    koban.clock.advance(1_000)
    event = site.event(f"e{number}-{sender}", sender=sender, device={"id": device}, to={"id": code})
    items = decode(json.dumps(event).encode(), "application/json")
    result = koban.desk.submit(items, koban.clock.now(), asynchronous=False).result(timeout=60)[0]
    assert isinstance(result, Decided), result


def share_a_phone(koban: Quiet, site: Site) -> None:
    """Have two accounts use one phone, three times each."""
    for number in range(3):
        for sender in ("a1", "a2"):
            use(koban, site, sender, "phone", number=number)


def archive(koban: Quiet, site: Site, *, days: int) -> None:
    """Let days pass, and what is old enough leave the database."""
    koban.clock.advance(days * DAY)
    koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
    run_archive(site.settings, koban.database, koban.vault, koban.clock, koban.desk.memory.compiled.pack)


def test_the_index_that_went_is_made_again_as_it_was(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban:
        share_a_phone(koban, site)
        follow_all(koban)
        before = content(koban.database)
        assert len(before["account_links"]) == 2
        assert len(before["entry_subjects"]) == 6 * 5
        assert Counter(account for account, _ in before["account_acts"]) == {"a1": 3, "a2": 3}
        with koban.database.read() as tx:
            assert [each.account for each in neighbourhood(tx, "a1").neighbours] == ["a2"]
        koban.database.empty_index()
        follow_all(koban)
        assert content(koban.database) == before
    with quiet(site) as koban:
        assert content(koban.database) == before, "and stays over a start"


def test_accounts_are_linked_for_as_long_as_the_longest_retention(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban:
        share_a_phone(koban, site)
        longest = max(each.retention_days for each in koban.desk.memory.compiled.pack.events.values())
        koban.clock.advance((longest - 10) * DAY)
        use(koban, site, "a2", "phone", number=4)
        follow_all(koban)

        def linked() -> Rows:
            _forget_found(koban.database, koban.clock, koban.desk.memory.compiled.pack.events, look_up=True)
            return rows(koban.database, "account_links", "account, times")

        assert linked() == [("a1", 3), ("a2", 4)]
        koban.clock.advance(11 * DAY)
        assert linked() == [("a2", 4)], "who used it since stays, with all that was counted"
        koban.clock.advance(longest * DAY)
        assert linked() == []


def test_entries_that_left_the_database_still_link_accounts(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban:
        share_a_phone(koban, site)
        archive(koban, site, days=40)
        use(koban, site, "a2", "phone", number=3)
        use(koban, site, "a3", "phone", number=3)
        archive(koban, site, days=10)
        follow_all(koban)
        forget_gone(koban.database)
        before = content(koban.database)
        assert rows(koban.database, "account_links", "account, times") == [("a1", 3), ("a2", 4), ("a3", 1)]
        koban.database.empty_index()
        follow_all(koban)
        assert content(koban.database) == before
        with koban.database.read() as tx:
            assert span_of(tx, "account", "a1") is None, "what is not there cannot be opened"
            assert span_of(tx, "account", "a2") is not None
        archive(koban, site, days=40)
        forget_gone(koban.database)
        assert rows(koban.database, "entry_subjects") == [], "nothing is left in the database"
        assert rows(koban.database, "account_acts") == []
        koban.database.empty_index()
        follow_all(koban)
        after = rows(koban.database, "account_links")
        assert after == before["account_links"], "also when all of it left the database"
        assert rows(koban.database, "entry_subjects") == []
        assert rows(koban.database, "account_acts") == []
    with quiet(site) as koban:
        assert rows(koban.database, "account_links") == after


def test_the_place_of_an_index_is_moved_once_from_where_it_was(database: Database) -> None:
    first, second, third = ((seq, Instant(10 * seq)) for seq in (1, 2, 3))
    with database.write_index() as tx:
        assert acts_store.read_place(tx) is None
        assert not acts_store.move_place(tx, before=first, to=second), "it was nowhere"
        assert acts_store.move_place(tx, before=None, to=first)
        assert not acts_store.move_place(tx, before=None, to=third), "somebody else was quicker"
        assert acts_store.move_place(tx, before=first, to=second)
        assert not acts_store.move_place(tx, before=first, to=third)
        assert not acts_store.move_place(tx, before=(2, Instant(21)), to=third), "another log has that place"
        assert acts_store.read_place(tx) == second


def test_an_index_is_followed_once_whoever_follows(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban:
        for number in range(30):
            use(koban, site, "a1", "phone", number=number)
        events = koban.desk.memory.compiled.pack.events
        beside = 0

        def goes_on() -> bool:  # another one comes in between
            nonlocal beside
            beside += follow(koban.database, events)
            return True

        own = follow(koban.database, events, goes_on=goes_on)
        follow_all(koban)
        assert own <= 30
        assert beside <= 30
        assert rows(koban.database, "account_links", "account, times") == [("a1", 30)]


def test_what_leaves_the_database_while_an_index_follows_is_taken_in_from_the_archive(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban:
        for number in range(60):
            use(koban, site, "a1", "phone", number=number)

        def goes_on() -> bool:  # the first 25 were taken in, and all 60 go
            archive(koban, site, days=40)
            use(koban, site, "a2", "phone", number=60)
            return True

        assert follow(koban.database, koban.desk.memory.compiled.pack.events, goes_on=goes_on) == 25
        follow_all(koban)
        assert rows(koban.database, "account_links", "account, times") == [("a1", 60), ("a2", 1)]


def test_an_empty_index_fits_every_log(site_of: MakeSite) -> None:
    with quiet(site_of("one")) as koban:
        assert fit_index(koban.database)
        assert content(koban.database)["index_place"] == []


def test_a_restored_log_makes_an_index_of_its_own(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    old, new = site_of("old"), site_of("new")
    with quiet(old) as koban:
        use(koban, old, "a1", "phone", number=1)
        archive(koban, old, days=40)
        use(koban, old, "a2", "phone", number=2)
        follow_all(koban)
        forget_gone(koban.database)
        before = content(koban.database)
        take_backup(old.settings, koban.database, old.secrets, old.clock, tmp_path / "backup")
    assert not [each for each in (tmp_path / "backup").rglob("*") if "account_links" in each.name]
    key = old.settings.data / "vault.key"
    restore(new.settings, new.secrets, new.clock, tmp_path / "backup", key=key)
    with quiet(new) as koban:
        follow_all(koban)
        forget_gone(koban.database)
        assert content(koban.database) == before


def test_only_an_index_that_is_far_behind_is_said_to_be(database: Database) -> None:
    def lag() -> IndexLag | None:
        with database.read() as tx:
            return index_lag(tx)

    def decide(seq: int) -> None:
        with database.write() as tx:
            tx.change(
                "INSERT INTO decisions (seq, log_at, type, verdict, took_us, body, inputs)"
                " VALUES (?, ?, 't', 'allow', 1, '', '')",
                (seq, seq),
            )

    assert lag() is None
    decide(20_000)
    assert lag() is None
    decide(20_001)
    assert lag() == IndexLag(up_to=None)
    with database.write_index() as tx:
        tx.change("INSERT INTO index_place (name, seq, log_at) VALUES ('finding', 0, 77)")
    assert lag() == IndexLag(up_to=Instant(77))
    with database.write_index() as tx:
        tx.change("UPDATE index_place SET seq = 1")
    assert lag() is None


def _on_sqlite(site_of: MakeSite) -> Site:
    site = site_of("one")
    if not site.settings.database_url.startswith("sqlite"):
        pytest.skip("on PostgreSQL the index is in the database itself")
    return site


def _spoil(path: pathlib.Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


@pytest.mark.parametrize("harm", [pathlib.Path.unlink, _spoil])
def test_a_file_that_went_or_is_damaged_is_made_again_from_the_log(
    site_of: MakeSite, harm: Callable[[pathlib.Path], None]
) -> None:
    site = _on_sqlite(site_of)
    with quiet(site) as koban:
        use(koban, site, "a1", "phone", number=1)
        follow_all(koban)
        before = content(koban.database)
    harm(site.settings.data / "index.db")
    with quiet(site) as koban:
        follow_all(koban)
        assert content(koban.database) == before
        (site.settings.data / "index.db").unlink()
        follow_all(koban)
        assert content(koban.database) == before


def test_an_index_that_is_ahead_of_its_log_or_of_another_one_is_thrown_away(site_of: MakeSite) -> None:
    site, other = _on_sqlite(site_of), site_of("other")
    data = site.settings.data
    with quiet(site) as koban:
        use(koban, site, "a1", "phone", number=1)
        follow_all(koban)
    shutil.copyfile(data / "koban.db", data / "older.db")
    shutil.copyfile(data / "index.db", data / "older-index.db")
    with quiet(site) as koban:
        use(koban, site, "a2", "tablet", number=2)
        follow_all(koban)
    with quiet(other) as koban:
        koban.clock.advance(1)
        for number in range(3):
            use(koban, other, "x1", "laptop", number=number)
        follow_all(koban)

    shutil.copyfile(data / "older.db", data / "koban.db")
    with quiet(site) as koban:
        follow_all(koban)
        assert rows(koban.database, "account_links", "account") == [("a1",)], "the log knows no a2 any more"

    shutil.copyfile(other.settings.data / "index.db", data / "index.db")
    with quiet(site) as koban:
        follow_all(koban)
        assert rows(koban.database, "account_links", "account") == [("a1",)]

    with quiet(site) as koban:
        use(koban, site, "a3", "watch", number=3)
    shutil.copyfile(data / "older-index.db", data / "index.db")
    with quiet(site) as koban:
        assert ("a1",) in rows(koban.database, "account_links", "account"), "an older index of this log goes on"
        follow_all(koban)
        assert rows(koban.database, "account_links", "account") == [("a1",), ("a3",)]
