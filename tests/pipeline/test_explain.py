"""An explanation names what the decision names, as of then, and shows nothing of what people wrote."""

import functools
import json
import pathlib

import pytest
from tests.conftest import fresh_database
from tests.pipeline.conftest import Station, open_station

from koban.base import ManualClock
from koban.db import Database
from koban.lists import EntriesAdded
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
