"""The archive as the server runs it, and what it says of itself."""

import dataclasses
import pathlib
import random

import pytest
from tests.app.conftest import SMALL_PACK, Site, send

from koban.app.archiving import (
    pack_in_force,
    render_retention,
    render_status,
    retention,
    run_archive,
    run_when_due,
    status,
)
from koban.base import DAY, Instant, ManualClock, SystemClock, to_rfc3339
from koban.base.settings import read_settings
from koban.events.archive import is_due


@pytest.fixture
def old(tmp_path: pathlib.Path) -> Site:
    """A site whose events are 45 days old, none of them archived."""
    clock = ManualClock(Instant((SystemClock().now() // DAY - 45) * DAY))
    environment = {"KOBAN_DATA": str(tmp_path / "data"), "KOBAN_PACK": str(SMALL_PACK)}
    return Site(settings=read_settings(environment), clock=clock)


def test_the_server_starts_a_process_when_something_is_due(old: Site) -> None:
    with old.open() as koban:
        for number in range(5):
            send(koban, old.event(f"e{number}"))
        koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
        declared = koban.memory.compiled.pack.events
        run_when_due(old.settings, koban.database, old.clock, random.Random(1), lambda: declared)
        with koban.database.read() as tx:
            assert status(tx, old.clock.now(), koban.memory.compiled.pack).sets == ()

        run_when_due(old.settings, koban.database, SystemClock(), random.Random(1), lambda: declared)

        with koban.database.read() as tx:
            found = status(tx, SystemClock().now(), koban.memory.compiled.pack)
            assert not is_due(tx, SystemClock().now(), declared)
        assert {each.type: each.entries for each in found.sets} == {"koban.changes": 1, "message.sent": 5}
        assert (found.recognised, found.due) == (5, False)
        assert "message.sent: 5 entries, 1 files" in render_status(found)
        assert send(koban, old.event("e9"))


def test_a_file_past_its_retention_that_cannot_be_read_is_told(old: Site) -> None:
    year = 366 * DAY
    clock = ManualClock(Instant(old.clock.now() - year))
    ago = dataclasses.replace(old, clock=clock)
    with ago.open() as koban:
        send(koban, ago.event("e1"))
        clock.advance(40 * DAY)
        koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
        run_archive(ago.settings, koban.database, koban.vault, clock, koban.memory.compiled.pack)
        (file,) = (ago.settings.data / "archive" / "entries" / "message.sent").rglob("*.parquet")
        file.write_bytes(b"no parquet")
        declared = koban.memory.compiled.pack.events
        for _ in range(2):
            run_when_due(ago.settings, koban.database, SystemClock(), random.Random(1), lambda: declared)
        with koban.database.read() as tx:
            found = tx.rows("SELECT object, detail, times FROM alerts WHERE kind = 'archive.damaged'")
    (alert,) = found
    name = "/".join(file.parts[-3:])
    assert (alert[0], alert[2]) == (name, 2)
    assert f"archive/entries/{name} is past its retention and cannot be read" in str(alert[1])


def test_retention_says_what_goes_and_when(old: Site) -> None:
    first_day = old.clock.now()
    with old.open() as koban:
        send(koban, old.event("e1"))
        old.clock.advance(40 * DAY)
        koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
        pack = pack_in_force(old.settings, koban.database)
        assert pack == koban.memory.compiled.pack
        run_archive(old.settings, koban.database, koban.vault, old.clock, pack)
        with koban.database.read() as tx:
            found = {each.type: each for each in retention(tx, old.clock.now(), pack)}
            late = {each.type: each for each in retention(tx, Instant(first_day + 366 * DAY), pack)}
    sent = found["message.sent"]
    assert (sent.keep_days, sent.files_over, sent.next_at) == (365, 0, to_rfc3339(Instant(first_day + 366 * DAY)))
    assert (late["message.sent"].files_over, late["message.sent"].entries_over, late["message.sent"].next_day) == (
        1,
        1,
        "",
    )
    assert (found["koban.changes"].keep_days, found["koban.changes"].next_at) == (0, "")
    assert found["payout.requested"].next_day == ""
    written = render_retention(tuple(found.values()))
    assert "message.sent: kept 365 days" in written
    assert "koban.changes: kept for good" in written
