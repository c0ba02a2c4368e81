"""An explanation names what the decision names, as of then, and shows nothing of what people wrote."""

import json

from tests.pipeline.conftest import Station

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
