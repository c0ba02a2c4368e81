"""The demo's evening: told the same every time, with everything in it that its bar speaks of."""

import collections
import itertools

import pytest

from koban.base import HOUR, MINUTE, SECOND, Instant
from koban.sim import SimEvent, plan
from koban.sim.evening import CHAPTERS, OPENS_AT, chapter_at, chapter_of, evening_of, past_of
from koban.sim.types import AccountTruth, EventTruth, TruthRow

START = Instant(1_795_000_000_000_000)
LATER = Instant(START + HOUR)
Told = tuple[list[SimEvent], dict[str, AccountTruth], dict[str, EventTruth]]


def told(seed: int = 1, at: Instant = START) -> Told:
    truth: list[TruthRow] = []
    events = list(plan(evening_of(seed, at), truth.append))
    return (
        events,
        {row.account: row for row in truth if isinstance(row, AccountTruth)},
        {row.event_id: row for row in truth if isinstance(row, EventTruth)},
    )


@pytest.fixture(scope="module")
def evening() -> Told:
    return told()


def minute(event: SimEvent) -> float:
    return (event.at - START) / MINUTE


def test_the_story_s_clock_shows_half_past_eight_and_an_hour_lies_before_it() -> None:
    assert OPENS_AT == 20 * HOUR + 30 * MINUTE
    assert CHAPTERS[-1].minute == 60
    assert chapter_at(0)[0].key == "opening"
    assert [each.key for each in chapter_at(19 * MINUTE) if each] == ["raid", "fan"]
    assert chapter_at(60 * MINUTE)[1] is None


def test_equal_seeds_tell_equal_evenings_at_any_moment(evening: Told) -> None:
    again, later = told(), told(at=LATER)
    assert [(event.at, event.type, event.data) for event in again[0]] == [
        (event.at, event.type, event.data) for event in evening[0]
    ]
    assert [(event.at - LATER, event.type) for event in later[0]] == [
        (event.at - START, event.type) for event in evening[0]
    ]


def test_two_evenings_in_one_log_share_neither_people_nor_devices(evening: Told) -> None:
    later = told(at=LATER)
    for name in ("device", "bank", "card"):
        first, second = (
            {str(event.data[name]) for event in events if name in event.data} for events in (evening[0], later[0])
        )
        assert first
        assert first.isdisjoint(second)
    assert evening[1].keys().isdisjoint(later[1])


def test_played_twelve_times_faster_it_makes_thirty_events_a_second(evening: Told) -> None:
    outside = [event for event in evening[0] if not 18 <= minute(event) < 31]
    assert 24 < len(outside) / (47 * 5) < 36
    assert len({str(event.data["stream"]) for event in evening[0] if event.type == "stream.chat"}) >= 6


def test_the_biggest_stream_goes_from_420_to_2600_lines_a_minute_of_arrival(evening: Told) -> None:
    chats = [event for event in evening[0] if event.type == "stream.chat"]
    raided = next(str(event.data["stream"]) for event in chats if evening[2][event.id].trick == "live_raid")
    lines = [minute(event) for event in chats if str(event.data["stream"]) == raided]
    before = sum(6 <= each < 18 for each in lines)  # twelve minutes of the story are one of arrival
    amid = sum(18 <= each < 30 for each in lines)
    assert 300 < before < 560
    assert 2_300 < amid < 2_900


def test_61_accounts_raid_from_4_devices_and_one_of_these_is_an_honest_fan_s_too(evening: Told) -> None:
    events, people, truth = evening
    raiders = {event.actor for event in events if truth[event.id].trick == "live_raid"}
    devices = {str(event.data["device"]) for event in events if truth[event.id].trick == "live_raid"}
    assert (len(raiders), len(devices)) == (61, 4)
    fans = [account for account, row in people.items() if row.persona == "fan"]
    assert len(fans) == 1
    cheers = [event for event in events if event.actor == fans[0] and event.type == "stream.chat"]
    assert people[fans[0]].trick is None
    assert all(truth[event.id].trick is None and not truth[event.id].harm for event in cheers)
    assert {str(event.data["device"]) for event in cheers if 18 <= minute(event) < 43} <= devices
    assert any(minute(event) > 44 for event in cheers), "after the mute is gone the fan writes again"


def test_the_take_over_goes_from_a_new_device_to_the_cash_out(evening: Told) -> None:
    events, people, truth = evening
    story = [event for event in events if chapter_of(truth[event.id].incident) == "takeover"]
    assert [event.type for event in story] == ["login.succeeded", "payout_account.changed", "payout.requested"]
    assert 6 <= minute(story[0]) < minute(story[2]) < 8
    assert people[story[0].actor].stolen
    assert truth[story[2].id].planted_minor == 184_000


def test_the_switched_parcel_is_the_one_of_612_grams(evening: Told) -> None:
    back = [event for event in evening[0] if chapter_of(evening[2][event.id].incident) == "parcel"][-1]
    assert (back.data["weight_out_g"], back.data["weight_back_g"], back.data["serial_matches"]) == (612, 388, False)


def test_the_day_before_has_the_same_people_all_honest_and_ends_before_the_evening(evening: Told) -> None:
    truth: list[TruthRow] = []
    past = list(plan(past_of(evening_of(1, START)), truth.append))
    assert 2_000 < len(past) < 4_000
    assert {row.account for row in truth if isinstance(row, AccountTruth) and not row.account.count("past")} <= set(
        evening[1]
    )
    assert not any(isinstance(row, EventTruth) and row.trick for row in truth)
    assert past[0].at >= START - 24 * HOUR
    assert past[-1].at < START - 4 * MINUTE
    assert {event.id for event in past}.isdisjoint(event.id for event in evening[0])
    assert {event.source for event in past}.isdisjoint(event.source for event in evening[0])


def test_things_of_the_evening_have_one_meaning(evening: Told) -> None:
    kinds = collections.Counter(event.type for event in evening[0])
    assert kinds["stream.started"] >= 6
    times = [event.at for event in evening[0]]
    assert all(before <= after for before, after in itertools.pairwise(times))
    assert times[-1] < START + HOUR
    assert times[0] < START + 10 * SECOND
