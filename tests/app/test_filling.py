"""New features get the whole past, what left the database included, and a crash before all of it is stored loses none."""

import dataclasses
import pathlib
import shutil

import pytest
from tests.app.conftest import SMALL_PACK, Site, send

from koban.app import Koban
from koban.app.archiving import run_archive
from koban.app.running import switch_pack
from koban.base import DAY, MINUTE, Instant, ManualClock, SystemClock, limits
from koban.base.settings import read_settings
from koban.db import Tx
from koban.packs import files_of, parse_files
from koban.packs.draft_store import Permit
from koban.pipeline import Memory

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


def test_after_a_crash_new_features_are_filled_from_the_archive_too(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FEATURE_SLICE_MAX", 1)  # of what is filled, a few records are stored with the switch
    monkeypatch.setattr(limits, "WRITE_BACK_AFTER", DAY)  # and the rest not yet when it crashes
    clock = ManualClock(Instant((SystemClock().now() // DAY - 45) * DAY))
    place = {"KOBAN_DATA": str(tmp_path / "data"), "KOBAN_PACK": str(SMALL_PACK)}
    site = Site(settings=read_settings(place), clock=clock)
    files = dict(files_of(SMALL_PACK))
    more = files | {
        "features.yaml": files["features.yaml"] + _EVER,
        "rules/rules.yaml": files["rules/rules.yaml"] + _RULE,
    }
    with site.open() as koban:
        for number in range(PEOPLE):
            send(koban, site.event(f"e{number}", sender=f"a{number}"))
        koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
        clock.advance(40 * DAY)
        run_archive(site.settings, koban.database, koban.vault, clock, koban.memory.compiled.pack)
        with koban.database.read() as tx:
            assert tx.rows("SELECT count(*) FROM log_entries WHERE type = 'message.sent'") == [(0,)]
        base = koban.memory.compiled.pack.digest
        permit = Permit(base=base, by="mika", reason="more is asked", ground="ordinary")
        switch_pack(koban.desk, parse_files(more), permit)
        assert koban.memory.features.unsaved > 0
        shutil.copytree(tmp_path / "data", tmp_path / "crashed")
        assert _counted(koban) == {2}
    clock.advance(MINUTE)  # the lease of the one that crashed has run out
    crashed = read_settings(place | {"KOBAN_DATA": str(tmp_path / "crashed")})
    with dataclasses.replace(site, settings=crashed).open() as koban:
        assert _counted(koban) == {2}
