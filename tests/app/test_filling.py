"""New features get the whole past, what left the database included, and a crash before all of it is stored loses none."""

import contextlib
import dataclasses
import pathlib
import shutil
from collections.abc import Iterator

import msgspec
import pytest
from tests.app.conftest import SMALL_PACK, MakeSite, Site, records_wait, send

from koban.app import Koban
from koban.app.archiving import run_archive
from koban.app.people import erase_person
from koban.app.running import switch_pack
from koban.base import DAY, MINUTE, Instant, ManualClock, SystemClock
from koban.base.settings import read_settings
from koban.console.alerted import alert_said
from koban.console.formats import Formats
from koban.console.words import Words
from koban.db import Tx
from koban.decisions import Inputs
from koban.events.archive import ArchiveDamaged
from koban.features import new_features
from koban.features.generate import HEAD
from koban.packs import PackDef, files_of, parse_files
from koban.packs.draft_store import Permit
from koban.pipeline import Memory
from koban.pipeline.filling import fill_features

PEOPLE = 20
_EVER = """
- feature: messages_ever
  about: {en: Messages ever, ja: 全期間のメッセージ数}
  on: message.sent
  by: sender.id
  value: count(*)
  within: ever
"""
_RULE = """
- rule: many_ever
  policy: fraud/lure
  on: [message.sent]
  when: messages_ever >= 100
  then: [{review: scams}]
  mode: shadow
  because: {en: many messages, ja: 多数のメッセージを送っています}
"""


def _more() -> PackDef:
    files = dict(files_of(SMALL_PACK))
    more = {"features.yaml": files["features.yaml"] + _EVER, "rules/rules.yaml": files["rules/rules.yaml"] + _RULE}
    return parse_files(files | more)


def _ask_more(koban: Koban) -> PackDef:
    """Go over to a pack with one more feature, and return it."""
    pack = _more()
    permit = Permit(base=koban.memory.compiled.pack.digest, by="mika", reason="more is asked", ground="ordinary")
    switch_pack(koban.desk, pack, permit)
    return pack


@contextlib.contextmanager
def _crashed(site: Site, tmp_path: pathlib.Path) -> Iterator[Koban]:
    """Open the copy of a folder that was made while its server ran."""
    site.clock.advance(MINUTE)  # the lease of the one that crashed has run out
    settings = read_settings({"KOBAN_DATA": str(tmp_path / "crashed"), "KOBAN_PACK": str(SMALL_PACK)})
    with dataclasses.replace(site, settings=settings).open() as koban:
        yield koban


def _counted(koban: Koban) -> set[object]:
    """Return what the new feature says of everybody who sent one message before it, with one more."""

    def probe(memory: Memory, tx: Tx) -> set[object]:
        mark = memory.mark()
        seq, at = memory.next_seq(), memory.log_time.peek()
        rows = [{"sender.id": f"a{number}"} for number in range(PEOPLE)]
        found: set[object] = {memory.features.apply(tx, seq, "message.sent", row, at)["messages_ever"] for row in rows}
        memory.back(mark)
        return found

    return koban.desk.command(probe, alone=True)


def _crash_after_a_switch(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Crash with features that are new and whose past is in the archive, a few of their records stored."""
    clock = ManualClock(Instant((SystemClock().now() // DAY - 45) * DAY))
    place = {"KOBAN_DATA": str(tmp_path / "data"), "KOBAN_PACK": str(SMALL_PACK)}
    site = Site(settings=read_settings(place), clock=clock)
    with site.open() as koban:
        for number in range(PEOPLE):
            send(koban, site.event(f"e{number}", sender=f"a{number}"))
        koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
        clock.advance(40 * DAY)
        run_archive(site.settings, koban.database, koban.vault, clock, koban.memory.compiled.pack)
        with koban.database.read() as tx:
            assert tx.rows("SELECT count(*) FROM log_entries WHERE type = 'message.sent'") == [(0,)]
        with records_wait(monkeypatch):  # of what is filled, a few records are stored with the switch, the rest not yet
            _ask_more(koban)
            assert koban.memory.features.unsaved > 0
            shutil.copytree(tmp_path / "data", tmp_path / "crashed")
        assert _counted(koban) == {2}
    return site


def test_after_a_crash_new_features_are_filled_from_the_archive_too(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = _crash_after_a_switch(tmp_path, monkeypatch)
    with _crashed(site, tmp_path) as koban:
        assert _counted(koban) == {2}


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_after_a_crash_koban_starts_without_a_file_that_cannot_be_read_and_says_what_lacks(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    site = _crash_after_a_switch(tmp_path, monkeypatch)
    (file,) = (tmp_path / "crashed" / "archive" / "entries" / "message.sent").rglob("*.parquet")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:200])
    name = "/".join(file.parts[-3:])
    with _crashed(site, tmp_path) as koban:
        assert _counted(koban) == {1, 2}, "the few that were stored are whole"
        assert koban.desk.archive is not None
        with koban.database.read() as tx:
            assert tx.rows("SELECT object FROM alerts WHERE kind = 'archive.damaged'") == [(name,)]
            said = str(tx.rows("SELECT detail FROM alerts WHERE kind = 'archive.damaged'")[0][0])
            with pytest.raises(ArchiveDamaged, match=f"archive/entries/{name} is {damage}"):
                list(koban.desk.archive.walk(tx))
            assert any(
                each.type != "message.sent" for each in koban.desk.archive.next_entries(tx, after_seq=-1, limit=9)
            )
        assert "20 events" in said
        assert "messages_ever" in said
        assert "アーカイブ" in alert_said(Words("ja"), Formats("ja", "Asia/Tokyo", Instant(0)), lambda _: "", said)


@pytest.fixture
def site(site_of: MakeSite) -> Site:
    return site_of("one")


def _ever(koban: Koban, site: Site, sender: str) -> object:
    """Send one more message and return what the new feature said of its sender."""
    send(koban, site.event(f"more-{sender}", sender=sender))
    with koban.database.read() as tx:
        newest = tx.rows("SELECT inputs FROM decisions ORDER BY seq DESC LIMIT 1")[0][0]
    return msgspec.json.decode(newest, type=Inputs).features["messages_ever"]


def _send_three(koban: Koban, site: Site, word: str) -> None:
    for number in range(3):
        for sender in ("gone", "stays"):
            send(koban, site.event(f"{word}{sender}{number}", sender=sender))


def test_new_features_are_not_filled_with_what_somebody_did_before_being_erased(site: Site) -> None:
    with site.open() as koban:
        _send_three(koban, site, "a")
        erase_person(koban, "gone", by="dpo")
        send(koban, site.event("back", sender="gone"))
        pack = _ask_more(koban)
        assert (_ever(koban, site, "gone"), _ever(koban, site, "stays")) == (2, 4)
    with site.open() as koban:  # where what was filled is not all stored yet, a start fills it again
        assert koban.memory.compiled.pack.digest == pack.digest


def test_who_is_erased_again_is_not_counted_from_the_first_time_on(site: Site) -> None:
    with site.open() as koban:
        erase_person(koban, "gone", by="dpo")
        unsealed = site.event("between", sender="gone")
        data = unsealed["data"]
        assert isinstance(data, dict)
        del data["text"]  # of such a person nothing is sealed, and no key is there to be destroyed
        send(koban, unsealed)
        erase_person(koban, "gone", by="dpo")
        _ask_more(koban)
        assert _ever(koban, site, "gone") == 1


def test_somebody_erased_while_new_features_are_filled_is_not_in_them(site: Site) -> None:
    with site.open() as koban:
        _send_three(koban, site, "a")
        memory = koban.memory
        compiled = memory.compile(_more())
        fresh = frozenset(new_features(memory.compiled.features, compiled.features))
        filling = fill_features(koban.desk, compiled, fresh)
        _send_three(koban, site, "b")
        erase_person(koban, "gone", by="dpo")
        send(koban, site.event("back", sender="gone"))
        with koban.database.read() as tx:
            filled = filling.caught_up(tx)
        kept = filled.release()["account"]
        counted = {each: (kept.take(each) or [])[HEAD:] for each in kept.names()}
    assert counted == {"gone": [1], "stays": [6]}


def test_a_recovery_fills_nothing_of_whom_was_erased(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(SystemClock().now())
    place = {"KOBAN_DATA": str(tmp_path / "data"), "KOBAN_PACK": str(SMALL_PACK)}
    site = Site(settings=read_settings(place), clock=clock)
    people = [f"a{number}" for number in range(PEOPLE)]
    with site.open() as koban:
        for each in people:
            send(koban, site.event(each, sender=each))
        for each in people[::2]:
            erase_person(koban, each, by="dpo")
        with records_wait(monkeypatch):  # of what is filled, a few records are stored with the switch, the rest not yet
            _ask_more(koban)
            assert koban.memory.features.unsaved > 0
            shutil.copytree(tmp_path / "data", tmp_path / "crashed")
    with _crashed(site, tmp_path) as koban:
        assert [_ever(koban, site, each) for each in people] == [1, 2] * (PEOPLE // 2)
