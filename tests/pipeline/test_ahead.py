"""Texts of a batch are normalised together: every event still gets the decision of its own text."""

import pathlib
import time

import msgspec
import pytest
from tests.pipeline.conftest import SMALL_PACK, Station, open_station

from koban.base import ManualClock, limits
from koban.db import Database
from koban.decisions import DecisionRecord
from koban.events.routes import Decided
from koban.packs import PackDef, files_of, parse_files

TEXTS = {
    "直取引しませんか": True,
    "直 取 引 しませんか": True,
    "購入を検討しています": False,
    "直取引はお断りしています": False,
    "ﾁｮｸ取引": False,
    "": False,
}


def _caught(result: object) -> bool:
    assert isinstance(result, Decided), result
    record = msgspec.json.decode(bytes(result.body), type=DecisionRecord)
    return any(signal.rule == "lure" for signal in record.signals)


@pytest.mark.parametrize("count", [1, 7, 90])
def test_each_event_of_a_batch_is_decided_by_its_own_text(station: Station, count: int) -> None:
    texts = list(TEXTS)
    for batch in range(3):  # what rules ask for is learned from the first
        asked = [texts[(number + batch) % len(texts)] for number in range(count)]
        events = [station.event(f"e{batch}-{number}", text) for number, text in enumerate(asked)]
        assert [_caught(result) for result in station.send(*events)] == [TEXTS[text] for text in asked]


def test_an_id_that_comes_twice_in_a_batch_is_decided_by_the_text_that_came_first(station: Station) -> None:
    for batch in range(2):
        events = [station.event(f"e{batch}-{number % 40}", texts) for number, texts in enumerate(list(TEXTS) * 20)]
        results = station.send(*events)
        first = [_caught(result) for result in results[:40]]
        assert first == [(list(TEXTS.values()) * 20)[number] for number in range(40)]


def test_what_no_rule_asks_for_any_more_is_left_alone_after_a_while(station: Station) -> None:
    def lines(batch: int, kind: str) -> list[dict[str, object]]:
        if kind == "payout":
            return [station.payout(f"p{batch}-{number}", 5) for number in range(20)]
        return [station.event(f"m{batch}-{number}") for number in range(20)]

    station.send(*lines(0, "message"))
    station.send(*lines(1, "message"))
    asked = station.desk._ahead._asked
    assert asked["message.sent"] == {"text": 8}
    station.send(*lines(2, "payout"))
    station.send(*lines(3, "payout"))
    assert asked["payout.requested"] == {}


def test_changes_of_features_wait_for_so_many_entries_and_no_longer(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FEATURES_BEHIND_MAX", 40)
    monkeypatch.setattr(limits, "FEATURES_TOGETHER", 10)
    behind = []
    for batch in range(12):
        station.send(*[station.payout(f"e{batch}-{number}", 5, account=f"a{number}") for number in range(10)])
        features, last_seq = station.desk.memory.features, station.desk.memory.last_seq
        behind.append(last_seq - features.watermark)
        assert station.rows("SELECT seq FROM feature_watermark") in ([], [(features.watermark,)])
    assert behind[3:] == [0, 10, 20, 30] * 2 + [0]  # ten records, each written once for forty changes


def test_records_wait_in_slices_under_load_and_are_folded_when_many_wait_or_nothing_happens(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FEATURES_BEHIND_MAX", 20)
    monkeypatch.setattr(limits, "FEATURES_TOGETHER", 10)
    monkeypatch.setattr(limits, "FEATURES_IN_SLICES_MAX", 50)
    held = []
    for batch in range(24):
        station.send(*[station.payout(f"e{batch}-{number}", 5, account=f"a{batch}-{number}") for number in range(10)])
        held.append(station.desk.memory.features.unfolded)
    assert (max(held), held[-1]) == (50, 50)
    kept = "SELECT count(*) FROM feature_state"
    assert station.rows(kept) > [(100,)]
    assert station.rows("SELECT count(*) FROM feature_slices") == [(5,)]
    until = time.monotonic() + 60
    while station.desk.memory.features.unfolded and time.monotonic() < until:
        station.clock.advance(limits.WRITE_BACK_AFTER)
        time.sleep(0.02)
    assert station.rows(kept) == [(240,)]
    assert station.rows("SELECT count(*) FROM feature_slices") == [(0,)]


def _wide_pack(width: int) -> PackDef:
    """The small pack with a feature of each of so many subjects that a payout names."""
    files = dict(files_of(SMALL_PACK))
    named = [f"x{number}" for number in range(width)]
    events, features, rules = "events.yaml", "features.yaml", "rules/rules.yaml"
    files[events] = files[events].replace(
        "{account.id: account}", "{account.id: account, " + ", ".join(f"{each}.id: account" for each in named) + "}"
    )
    files[events] += "".join(f"    {each}.id: text\n" for each in named)
    for each in named:
        files[features] += f"""
- feature: count_{each}
  about: {{en: Count, ja: 回数}}
  on: payout.requested
  by: {each}.id
  value: count(*)
  within: 24 hours
"""
    files[rules] += f"""
- rule: many
  policy: fraud/lure
  on: [payout.requested]
  when: {" and ".join(f"count_{each} >= 3" for each in named)}
  then: [{{review: scams}}]
  mode: shadow
  because: {{en: many, ja: 多数}}
"""
    return parse_files(files)


def test_no_more_waits_where_an_event_changes_many_records(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FEATURES_BEHIND_MAX", 20)
    monkeypatch.setattr(limits, "FEATURES_TOGETHER", 10)
    monkeypatch.setattr(limits, "FEATURES_IN_SLICES_MAX", 50)
    monkeypatch.setattr(limits, "FEATURE_SLICE_MAX", 1)
    behind = []
    with open_station(database, clock, tmp_path, first=True, pack=_wide_pack(9)) as station:
        for batch in range(12):
            payouts = []
            for number in range(10):
                event_id = f"e{batch}-{number}"
                named = {f"x{each}": {"id": f"x{each}-{event_id}"} for each in range(9)}
                data = {"account": {"id": event_id}, "amount_minor": 5, **named}
                payouts.append(station.event(event_id, type="payout.requested", data=data))
            station.send(*payouts)
            memory = station.desk.memory
            behind.append(memory.last_seq - memory.features.watermark)
            assert memory.features.unfolded <= 50
    assert max(behind) <= 30
