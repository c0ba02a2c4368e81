"""An explanation names what the decision names, as of then, and shows nothing of what people wrote."""

import functools
import json
import pathlib
import shutil

import msgspec
import pytest
from tests.conftest import fresh_database
from tests.pipeline.conftest import SMALL_PACK, Station, open_station

from koban.base import ManualClock
from koban.db import Database
from koban.labels import LabelSet, LabelSource
from koban.lists import EntriesAdded, EntryRemoved
from koban.pipeline import commands, explain
from koban.pipeline.explain import as_json

LURE = "直取引しませんか、秘密の言葉"


def test_an_explanation_recomputes_the_decision_as_of_its_place_in_the_log(station: Station) -> None:
    record = station.decide(station.event("e1", LURE))
    added = EntriesAdded(list="trusted", values=("a1",), note="", by="lead")
    station.desk.command(lambda memory, tx: commands.change_list(memory, tx, added))
    later = station.decide(station.event("e2", LURE))
    vault = station.desk.memory.vault
    first = explain(station.database, vault, record.seq)
    second = explain(station.database, vault, later.seq)
    assert [rule.rule for rule in first.rules if rule.matched] == ["lure"]
    assert [rule.rule for rule in second.rules if rule.matched] == []
    assert first.features == {"messages_1h": 1, "recipients_1h": 1}


def test_an_explanation_hides_what_people_wrote(station: Station) -> None:
    record = station.decide(station.event("e1", LURE))
    written = as_json(explain(station.database, station.desk.memory.vault, record.seq))
    assert "秘密" not in written
    assert "(sealed)" in written
    assert json.loads(written)["decision"]["verdict"] == "block"


def test_two_logs_of_one_process_are_explained_each_by_its_own_lists(
    database: Database, clock: ManualClock, request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "other").mkdir()
    said = []
    with fresh_database(request, "sqlite", tmp_path / "other") as other:
        for log, trusted in ((database, "a1"), (other, "a2")):
            folder = tmp_path if log is database else tmp_path / "other"
            with open_station(log, clock, folder, first=True) as station:
                added = EntriesAdded(list="trusted", values=(trusted,), note="", by="lead")
                station.desk.command(functools.partial(commands.change_list, change=added))
                record = station.decide(station.event("e1", LURE))
                explained = explain(log, station.desk.memory.vault, record.seq)
                said.append((record.seq, [rule.rule for rule in explained.rules if rule.matched]))
    assert said == [(3, []), (3, ["lure"])]


def test_an_explanation_reads_labels_and_lists_as_of_its_place_whatever_was_explained_before(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(SMALL_PACK, tmp_path / "pack")
    with (tmp_path / "pack" / "rules" / "rules.yaml").open("a", encoding="utf-8") as rules:
        rules.write(
            "- rule: labelled\n  policy: fraud/lure\n  on: [message.sent]\n"
            "  when: has_label(sender.id, 'fraud') AND mentions(text, 'lures') AND NOT in_list(sender.id, 'trusted')\n"
            "  then: [{review: scams}]\n  mode: live\n  because: {en: was found out before, ja: 以前に判明しています}\n"
        )
    label = LabelSet(
        subject_kind="account", subject_id="a1", label="truth", value="fraud", source=LabelSource.PERSON, by="lead"
    )
    added = EntriesAdded(list="trusted", values=("a1",), note="", by="lead")
    removed = EntryRemoved(list="trusted", value="a1", note="", by="lead")
    with open_station(database, clock, tmp_path, first=True, pack_folder=tmp_path / "pack") as station:
        records = [station.decide(station.event("e1", LURE))]
        station.desk.command(lambda memory, tx: commands.label(memory, tx, label))
        records.append(station.decide(station.event("e2", LURE)))
        station.desk.command(lambda memory, tx: commands.change_list(memory, tx, added))
        records.append(station.decide(station.event("e3", LURE)))
        station.desk.command(lambda memory, tx: commands.change_list(memory, tx, removed))
        station.desk.command(
            lambda memory, tx: commands.label(memory, tx, msgspec.structs.replace(label, value="honest"))
        )
        records.append(station.decide(station.event("e4", LURE)))
        vault = station.desk.memory.vault
        for order in (records, [*reversed(records)]):
            for record in order:
                explained = explain(database, vault, record.seq)
                matched = {rule.rule for rule in explained.rules if rule.matched}
                assert matched == {signal.rule for signal in record.signals}
    assert ["labelled" in {signal.rule for signal in record.signals} for record in records] == [
        False,
        True,
        False,
        False,
    ]
