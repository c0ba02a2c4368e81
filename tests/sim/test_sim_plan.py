"""The plan: repeatable, in order, declared, true, and of the mix that a marketplace has."""

import collections
import hashlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping

import msgspec
import pytest
import yaml

from koban.base import HOUR, MINUTE, Instant, from_rfc3339
from koban.sim import TRICKS, Raid, Scenario, Settings, SimEvent, Size, Takeover, plan, wire
from koban.sim.texts import sentence_count
from koban.sim.texts_adversary import ADVERSARY
from koban.sim.texts_english import ENGLISH
from koban.sim.texts_japanese import JAPANESE
from koban.sim.types import AccountTruth, EventTruth, TruthRow

START = Instant(1_795_000_000_000_000)
EVENTS = pathlib.Path(__file__).parents[2] / "packs" / "starter" / "events.yaml"


def settings(seed: int = 7, minutes: int = 4, **changes: object) -> Settings:
    return msgspec.structs.replace(Settings(seed=seed, start_at=START, duration=minutes * MINUTE), **changes)


def digest(chosen: Settings) -> str:
    whole = hashlib.sha256()
    encode = msgspec.json.Encoder().encode
    for event in plan(chosen, lambda row: whole.update(encode(row))):
        whole.update(encode(wire(event)))
    return whole.hexdigest()


@pytest.fixture(scope="module")
def hour() -> tuple[list[SimEvent], list[TruthRow]]:
    truth: list[TruthRow] = []
    return list(plan(settings(minutes=60), truth.append)), truth


def test_same_settings_give_the_same_bytes_and_truth() -> None:
    assert digest(settings()) == digest(settings())


def test_bytes_do_not_depend_on_the_process() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_sim_plan as t; print(t.digest(t.settings(minutes=2)))"
    )
    here = str(pathlib.Path(__file__).parent)
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, here],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {digest(settings(minutes=2)) + "\n"}


def test_another_seed_gives_another_plan() -> None:
    assert len({digest(settings(seed=seed, minutes=1)) for seed in range(4)}) == 4


def test_another_start_gives_other_ids_for_the_same_seed() -> None:
    later = settings(start_at=Instant(START + HOUR))
    assert {event.id for event in plan(settings())}.isdisjoint(event.id for event in plan(later))


def test_events_come_in_time_order_within_the_duration(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    moments = [event.at for event in hour[0]]
    assert moments == sorted(moments)
    assert moments[0] >= START
    assert moments[-1] < START + HOUR


def test_everything_is_marked_as_simulated() -> None:
    events = [wire(event) for event in plan(settings(minutes=1))]
    assert {event["source"] for event in events} == {"sim://market/7"}
    assert {event["simulated"] for event in events} == {True}
    assert {event["specversion"] for event in events} == {"1.0"}


def leaves(data: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def fits(kind: str, value: object) -> bool:
    match kind:
        case "text":
            return isinstance(value, str)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "timestamp":
            return isinstance(value, str) and from_rfc3339(value) is not None
        case _:
            raise AssertionError(kind)


def test_every_event_is_as_declared(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    declared = {each["event"]: each for each in yaml.safe_load(EVENTS.read_text())}
    kinds = {
        name: {path: field if isinstance(field, str) else field["type"] for path, field in each["fields"].items()}
        for name, each in declared.items()
    }
    for event in hour[0]:
        sent = dict(leaves(event.data))
        wrong = [path for path, value in sent.items() if not fits(kinds[event.type].get(path, "text"), value)]
        assert not wrong, (event.type, wrong)
        assert set(sent) <= set(kinds[event.type]), (event.type, set(sent) - set(kinds[event.type]))
        assert sent[declared[event.type]["acting"]] == event.actor
        subjects = {sent[path] for path in declared[event.type]["subjects"] if path in sent}
        assert event.subject in subjects
        if "recipient" in declared[event.type]:
            assert declared[event.type]["recipient"] in sent
    # Facts of the ledger, of banks and of payments: nobody sends them.
    told_by_koban = {name for name, kind in kinds.items() if "posting.id" in kind or "cash_out.id" in kind}
    told_by_koban.add("order.paid_twice")
    assert {event.type for event in hour[0]} == set(declared) - told_by_koban, "an hour shows every type"


def test_ids_are_used_once(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    assert len({event.id for event in hour[0]}) == len(hour[0])
    for kind in ("message", "comment", "chat", "bid", "dispute", "payment"):
        ids = [str(event.data[kind]["id"]) for event in hour[0] if isinstance(event.data.get(kind), dict)]  # type: ignore[index] # checked in the same line
        repeated = {each for each, count in collections.Counter(ids).items() if count > 1}
        assert not repeated or kind == "payment", (kind, repeated)


def test_amounts_are_positive(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    for event in hour[0]:
        for path, value in leaves(event.data):
            if path.endswith(("_minor", "_g")):
                assert isinstance(value, int)
                assert value > 0, (event.type, path, value)


def test_truth_is_complete(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    events, truth = hour
    by_event = {row.event_id: row for row in truth if isinstance(row, EventTruth)}
    people = {row.account: row for row in truth if isinstance(row, AccountTruth)}
    assert set(by_event) == {event.id for event in events}
    for event in events:
        row = by_event[event.id]
        assert row.account == event.actor
        person = people[event.actor]
        assert not row.harm or (row.trick and (row.incident or event.type == "account.created"))
        if person.trick is not None:
            assert row.trick == person.trick, event
        assert row.trick is None or row.trick in TRICKS
        assert row.planted_minor == 0 or row.trick is not None


def test_truth_comes_before_its_event() -> None:
    known: set[str] = set()

    def note(row: TruthRow) -> None:
        known.add(row.account if isinstance(row, AccountTruth) else row.event_id)

    for event in plan(settings(minutes=2), note):
        assert {event.id, event.actor} <= known


def test_every_trick_does_harm_within_an_hour(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    harms = collections.Counter(row.trick for row in hour[1] if isinstance(row, EventTruth) and row.harm)
    assert set(harms) == set(TRICKS)
    assert len(TRICKS) == 25


def test_the_mix_is_that_of_a_marketplace(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    events, truth = hour
    rate = len(events) / 3_600
    assert 27 <= rate <= 33
    harm = sum(isinstance(row, EventTruth) and row.harm for row in truth) / len(events)
    assert 0.015 <= harm <= 0.03
    shares = {kind: count / len(events) for kind, count in collections.Counter(e.type for e in events).items()}
    assert 0.12 <= shares["stream.chat"] <= 0.22
    assert 0.08 <= shares["message.sent"] <= 0.2
    assert 0.05 <= shares["listing.created"] <= 0.12
    assert 0.03 <= shares["order.created"] <= 0.08


def test_people_write_japanese_mostly_and_english_too(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    texts = [str(event.data["text"]) for event in hour[0] if event.data.get("text")]
    english = sum(text.isascii() for text in texts) / len(texts)
    assert 0.05 <= english <= 0.25


def test_there_are_several_hundred_honest_sentences() -> None:
    assert sentence_count("ja") >= 280
    assert sentence_count("en") >= 100
    assert len(JAPANESE["hard"]) >= 60
    assert set(ENGLISH) <= set(JAPANESE)


def test_voices_multiply_the_sentences(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    tricks = {row.event_id: row.trick for row in hour[1] if isinstance(row, EventTruth)}
    honest = {str(event.data["text"]) for event in hour[0] if event.data.get("text") and tricks[event.id] is None}
    assert len(honest) >= 3_000


@pytest.mark.parametrize(
    "line",
    [
        "直取引はお断りしています",
        "オンラインで購入",
        "Aライン",
        "ラインストーン",
        "追跡番号は",
        "手押し車",
        "PayPayドーム",
    ],
)
def test_honest_people_say_hard_things(hour: tuple[list[SimEvent], list[TruthRow]], line: str) -> None:
    tricks = {row.event_id: row.trick for row in hour[1] if isinstance(row, EventTruth)}
    said = (
        str(value)
        for event in hour[0]
        if tricks[event.id] is None
        for path, value in leaves(event.data)
        if path in {"text", "title", "description"}
    )
    assert any(line in text for text in said)


def test_no_slot_and_no_bracket_is_left(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    for event in hour[0]:
        for path, value in leaves(event.data):
            if path in {"text", "title", "description", "account.profile", "account.name"}:
                assert not set("{}[]|") & set(str(value)), value


def test_adversaries_have_words_of_their_own() -> None:
    honest = {line for bank in (JAPANESE, ENGLISH) for lines in bank.values() for line in lines}
    own = {line for name, lines in ADVERSARY.items() if name != "small_talk" for line in lines}
    assert not own & honest
    assert len(own) >= 100


def test_families_share_a_device(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    tricks = {row.event_id: row.trick for row in hour[1] if isinstance(row, EventTruth)}
    users: dict[str, set[str]] = collections.defaultdict(set)
    for event in hour[0]:
        device = event.data.get("device")
        if isinstance(device, dict) and tricks[event.id] is None:
            users[str(device["id"])].add(event.actor)
    assert sum(len(each) > 1 for each in users.values()) >= 100


def test_movers_list_many_things_honestly(hour: tuple[list[SimEvent], list[TruthRow]]) -> None:
    tricks = {row.event_id: row.trick for row in hour[1] if isinstance(row, EventTruth)}
    listed = collections.Counter(
        event.actor for event in hour[0] if event.type == "listing.created" and tricks[event.id] is None
    )
    assert sum(count >= 12 for count in listed.values()) >= 20


def test_the_raid_begins_at_its_minute() -> None:
    raid = Raid(minute=2, lasts_s=30, per_minute=600, accounts=9, devices=2)
    chosen = settings(minutes=4, tricks=("live_raid",), scenario=Scenario(raid=raid))
    truth: list[TruthRow] = []
    events = {event.id: event for event in plan(chosen, truth.append)}
    raiding = [events[row.event_id] for row in truth if isinstance(row, EventTruth) and row.trick == "live_raid"]
    assert {event.type for event in raiding} == {"stream.chat"}
    assert raiding[0].at >= START + 2 * MINUTE
    assert raiding[-1].at < START + 2 * MINUTE + 30_000_000
    assert 240 <= len(raiding) <= 360
    assert len({event.actor for event in raiding}) == 9
    assert len({str(event.data["device"]) for event in raiding}) <= 2
    assert len({event.subject for event in raiding}) == 1


def test_a_takeover_can_be_set_for_a_minute() -> None:
    scenario = Scenario(raid=None, takeovers=(Takeover(minute=1, amount_minor=77_000),))
    truth: list[TruthRow] = []
    types = {
        event.id: event.type for event in plan(settings(minutes=30, trick_percent=0, scenario=scenario), truth.append)
    }
    deeds = [row for row in truth if isinstance(row, EventTruth) and row.trick]
    planted = [row.planted_minor for row in deeds if row.planted_minor]
    assert planted == [77_000]
    assert {types[row.event_id] for row in deeds} >= {"login.succeeded", "payout_account.changed", "payout.requested"}
    stolen = [row for row in truth if isinstance(row, AccountTruth) and row.stolen]
    assert [row.trick for row in stolen] == [None]


def test_without_scammers_everybody_is_honest() -> None:
    truth: list[TruthRow] = []
    assert sum(1 for _ in plan(settings(minutes=25, trick_percent=0), truth.append)) > 10_000
    assert all(row.trick is None for row in truth)


def test_a_small_town_makes_few_events() -> None:
    small = settings(minutes=10, size=Size(people=200, events_per_minute=180, streams=2))
    count = sum(1 for _ in plan(small))
    assert 800 <= count <= 2_600
